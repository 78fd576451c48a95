"""A bridge from a prior to data, and its sampler.

Here a noise level t is the share of clean data: z = (1 - t) (prior + sigma eps) + t x0, from the noised prior at t = 0
to data at t = 1. It is the straight path of InDI (Delbracio and Milanfar 2023, equation 4) from an estimate that is
already near, in place of pure noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tts_diffvoc.diffusion.process import Denoiser, expand_level


def interpolate(prior: Tensor, x0: Tensor, noise_level: Tensor) -> Tensor:
    """The state z [B, ...] at ``noise_level`` [B] between a noised prior and data."""
    return torch.lerp(prior, x0, expand_level(noise_level, x0))


def restart_levels(steps: int, spacing: float = 0.2, last: float = 0.4) -> tuple[float, ...]:
    """Noise levels of ``steps`` evaluations by :func:`restarts`: 0, 0.2, 0.4, 0.4, ..."""
    return tuple(min(step * spacing, last) for step in range(steps))


def restarts(
    denoiser: Denoiser,
    z: Tensor,
    levels: Sequence[float],
    degrade: Callable[[Tensor], Tensor],
    callback: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Restore, degrade the estimate, restore again: the bridge sampled with restarts.

    This is cold diffusion's sampler (Bansal et al. 2022, algorithm 1); with ``degrade`` adding noise it would be
    multistep consistency sampling (Song et al. 2023, algorithm 1). A straight path keeps some of the prior's errors
    until its end; a restart keeps none but through the estimate.

    Args:
        denoiser: predicts x0 from z and its noise level.
        z: the noised prior [B, ...].
        levels: told to the denoiser, one a step.
        degrade: x0 to the state that the next step starts from.
        callback: called as (step, z, x0) after each step.
    """
    x0 = z
    for step, level in enumerate(levels):
        z = z if step == 0 else degrade(x0)
        x0 = denoiser(z, torch.full((z.shape[0],), level, device=z.device))
        if callback:
            callback(step, z, x0)
    return x0
