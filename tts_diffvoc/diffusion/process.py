"""The forward process and the quantities that determine each other.

With a = noise_level and s = sqrt(1 - a^2): x = a x0 + s eps (Ho et al. 2020, equation 4). All functions take
``noise_level`` [B] and tensors [B, ...] of one shape. Float64 levels are worth giving: at WaveGrad's cleanest ones s is
wrong by several per cent in float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# (x [B, ...], noise_level [B]) -> x0, the clean data in x, or eps, the noise in x, of the shape of x.
Denoiser = Callable[[Tensor, Tensor], Tensor]
NoisePredictor = Callable[[Tensor, Tensor], Tensor]
Randomness = torch.Generator | Callable[[], Tensor] | None


def expand_level(noise_level: Tensor, like: Tensor) -> Tensor:
    """``noise_level`` [B] with trailing axes of length one, of ``like``'s type."""
    return noise_level.to(like).reshape(-1, *[1] * (like.dim() - 1))


def scales(noise_level: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """a and s, each [B, 1, ...], of ``like``'s type."""
    return expand_level(noise_level, like), expand_level((1 - noise_level.square()).clamp_min(0).sqrt(), like)


def noise_like(x: Tensor, generator: Randomness = None) -> Tensor:
    """Unit noise of the shape, type and device of ``x``.

    A function gives it; a generator draws it where it lives, so that a seed gives the same on every device; and without
    either it is drawn on the device.
    """
    if callable(generator):
        return generator().to(x)
    device = x.device if generator is None else generator.device
    return torch.randn(x.shape, generator=generator, device=device, dtype=x.dtype).to(x.device, non_blocking=x.is_cuda)


def q_sample(x0: Tensor, noise_level: Tensor, eps: Tensor) -> Tensor:
    """Noised data x = a x0 + s eps (Ho et al. 2020, equation 4)."""
    a, s = scales(noise_level, x0)
    return a * x0 + s * eps


def x0_from_eps(x: Tensor, noise_level: Tensor, eps: Tensor) -> Tensor:
    """Clean data from its noise: x0 = (x - s eps) / a."""
    a, s = scales(noise_level, x)
    return (x - s * eps) / a


def denoiser_from(predict_noise: NoisePredictor) -> Denoiser:
    """The denoiser that a network is which predicts noise."""
    return lambda x, noise_level: x0_from_eps(x, noise_level, predict_noise(x, noise_level))
