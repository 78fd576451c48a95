"""The forward process and the quantities that determine each other.

With a = noise_level and s = sqrt(1 - a^2): x = a x0 + s eps (Ho et al. 2020, equation 4). All functions take
``noise_level`` [B] and tensors [B, ...] of one shape.
"""

from __future__ import annotations

from torch import Tensor


def expand_level(noise_level: Tensor, like: Tensor) -> Tensor:
    """``noise_level`` [B] with trailing axes of length one, of ``like``'s type."""
    return noise_level.to(like).reshape(-1, *[1] * (like.dim() - 1))


def noise_scale(noise_level: Tensor) -> Tensor:
    """The standard deviation of the noise that goes with a noise level: sqrt(1 - a^2)."""
    return (1 - noise_level.square()).clamp_min(0).sqrt()


def q_sample(x0: Tensor, noise_level: Tensor, eps: Tensor) -> Tensor:
    """Noised data x = a x0 + s eps (Ho et al. 2020, equation 4)."""
    level = expand_level(noise_level, x0)
    return level * x0 + noise_scale(level) * eps


def x0_from_eps(x: Tensor, noise_level: Tensor, eps: Tensor) -> Tensor:
    """Clean data from its noise: x0 = (x - s eps) / a."""
    level = expand_level(noise_level, x)
    return (x - noise_scale(level) * eps) / level


def eps_from_x0(x: Tensor, noise_level: Tensor, x0: Tensor) -> Tensor:
    """Noise from the clean data: eps = (x - a x0) / s."""
    level = expand_level(noise_level, x)
    return (x - level * x0) / noise_scale(level)


def score_from_eps(eps: Tensor, noise_level: Tensor) -> Tensor:
    """The gradient of the log-density of x: -eps / s (Song et al. 2021, equation 7 and Tweedie's formula)."""
    return -eps / noise_scale(expand_level(noise_level, eps))
