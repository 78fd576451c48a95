"""Training objectives: the error of the predicted noise, and how noise levels are drawn."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tts_diffvoc.diffusion.process import q_sample
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.errors import DiffvocError

Denoiser = Callable[[Tensor, Tensor], Tensor]


def discrete_levels(schedule: NoiseSchedule, batch: int, generator: torch.Generator | None = None) -> Tensor:
    """Levels [batch] of steps drawn evenly from the schedule, float32 (Kong et al. 2021, algorithm 1)."""
    step = torch.randint(schedule.num_steps, (batch,), generator=generator)
    return schedule.noise_levels[step].float()


def hierarchical_levels(schedule: NoiseSchedule, batch: int, generator: torch.Generator | None = None) -> Tensor:
    """Continuous levels [batch], float32 (Chen et al. 2021, algorithm 1).

    A segment between neighbouring levels, the first of which starts at 1, is drawn evenly, then a level evenly
    within it.
    """
    edges = torch.cat([torch.ones(1, dtype=torch.float64), schedule.noise_levels])
    segment = torch.randint(schedule.num_steps, (batch,), generator=generator)
    place = torch.rand(batch, generator=generator, dtype=torch.float64)
    cleaner, noisier = edges[segment], edges[segment + 1]
    return (noisier + (cleaner - noisier) * place).float()


def noise_prediction_loss(
    denoiser: Denoiser,
    x0: Tensor,
    noise_level: Tensor,
    generator: torch.Generator | None = None,
    norm: str = "l2",
    limit: float | None = None,
    eps: Tensor | None = None,
) -> Tensor:
    """Mean error of the predicted noise, [B].

    Args:
        denoiser: (x, noise_level [B]) -> eps of the shape of x.
        x0: clean data [B, ...].
        noise_level: [B].
        norm: "l2", squared (Ho et al. 2020, equation 14), or "l1", absolute (Chen et al. 2021, section 3).
        limit: errors beyond it, in deviations of the noise, count as this much and have no gradient.
        eps: the noise, of the shape of ``x0``; None draws it from ``generator``.
    """
    if norm not in ("l1", "l2"):
        raise DiffvocError(f"norm {norm!r} is unknown; use 'l1' or 'l2'.")
    if eps is None:
        eps = torch.randn(x0.shape, generator=generator).to(x0)
    error = denoiser(q_sample(x0, noise_level, eps), noise_level) - eps
    if limit is not None:
        error = error.clamp(-limit, limit)
    error = error.abs() if norm == "l1" else error.square()
    return error.flatten(1).mean(1)
