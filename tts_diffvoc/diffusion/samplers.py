"""Samplers: from noise, or a noised start, to data.

Each takes ``(denoiser, noise, schedule, *, generator, callback)`` and options of its own. ``denoiser(x, noise_level)``
predicts the clean data x0 in ``x`` [B, ...] at ``noise_level`` [B], float64; ``noise`` is the state at the schedule's
noisiest level; ``generator`` draws further noise, or is a function that makes the next; ``callback(step, x, x0)`` is
called after each step with the state and the prediction. With a = noise level and s = sqrt(1 - a^2), the index t is
the level that a step starts from and u the cleaner one that it ends at; the last step ends at a = 1, s = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from tts_diffvoc.diffusion.process import Denoiser, Randomness, noise_like
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.errors import DiffvocError

Callback = Callable[[int, Tensor, Tensor], None]


def _steps(schedule: NoiseSchedule) -> Iterator[tuple[int, float, float]]:
    """(step, a_t, a_u) from the noisiest level to clean data."""
    levels = [1.0, *schedule.noise_levels.tolist()]
    for step, t in enumerate(range(schedule.num_steps, 0, -1)):
        yield step, levels[t], levels[t - 1]


def _sigma(level: float) -> float:
    return math.sqrt(max(1 - level * level, 0.0))


def _denoise(denoiser: Denoiser, x: Tensor, level: float) -> Tensor:
    return denoiser(x, torch.full((x.shape[0],), level, device=x.device, dtype=torch.float64))


def ddpm(
    denoiser: Denoiser,
    noise: Tensor,
    schedule: NoiseSchedule,
    *,
    generator: Randomness = None,
    callback: Callback | None = None,
    variance: str = "beta_tilde",
    clip: float | None = None,
) -> Tensor:
    """Ancestral sampling: the posterior q(x_u | x_t, x0) at the predicted x0 (Ho et al. 2020, equations 6 and 7).

    Args:
        variance: of the noise added in a step: "beta_tilde", (1 - a_u^2) / (1 - a_t^2) beta_t, right for data that
            is one point, or "beta", beta_t, right for data of unit variance (section 3.2).
        clip: cut the state to [-clip, clip] after each step, as the public ``diffwave`` and ``wavegrad`` packages
            do with 1; no paper says so.
    """
    if variance not in ("beta_tilde", "beta"):
        raise DiffvocError(f"variance {variance!r} is unknown; use 'beta_tilde' or 'beta'.")
    x = noise
    for step, a_t, a_u in _steps(schedule):
        x0 = _denoise(denoiser, x, a_t)
        alpha, left_t, left_u = (a_t / a_u) ** 2, 1 - a_t * a_t, 1 - a_u * a_u
        x = a_u * (1 - alpha) / left_t * x0 + math.sqrt(alpha) * left_u / left_t * x
        if left_u > 0:
            spread = (1 - alpha) * (left_u / left_t if variance == "beta_tilde" else 1.0)
            x = x + math.sqrt(spread) * noise_like(x, generator)
        if clip is not None:
            x = x.clamp(-clip, clip)
        if callback:
            callback(step, x, x0)
    return x


def ddim(
    denoiser: Denoiser,
    noise: Tensor,
    schedule: NoiseSchedule,
    *,
    generator: Randomness = None,
    callback: Callback | None = None,
    eta: float = 0.0,
) -> Tensor:
    """Implicit sampling (Song, Meng and Ermon 2021, equations 12 and 16).

    Args:
        eta: 0 is deterministic after the first noise; 1 is ancestral sampling with "beta_tilde".
    """
    if not 0 <= eta <= 1:
        raise DiffvocError(f"eta={eta} was given; it must lie between 0 and 1.")
    x = noise
    for step, a_t, a_u in _steps(schedule):
        x0 = _denoise(denoiser, x, a_t)
        s_t, s_u = _sigma(a_t), _sigma(a_u)
        eps = (x - a_t * x0) / s_t
        spread = eta * s_u / s_t * math.sqrt(max(1 - (a_t / a_u) ** 2, 0.0))
        x = a_u * x0 + math.sqrt(max(s_u * s_u - spread * spread, 0.0)) * eps
        if spread > 0:
            x = x + spread * noise_like(x, generator)
        if callback:
            callback(step, x, x0)
    return x


def dpm_solver_pp_2m(
    denoiser: Denoiser,
    noise: Tensor,
    schedule: NoiseSchedule,
    *,
    generator: Randomness = None,
    callback: Callback | None = None,
) -> Tensor:
    """DPM-Solver++(2M), second order and deterministic (Lu et al. 2022, algorithm 2).

    The first step and the last, whose half-log-SNR is infinite, are of first order.
    """
    x, previous, previous_span = noise, None, 0.0
    for step, a_t, a_u in _steps(schedule):
        x0 = _denoise(denoiser, x, a_t)
        s_t, s_u = _sigma(a_t), _sigma(a_u)
        if s_u == 0:
            x = x0
        else:
            span = math.log(a_u / s_u) - math.log(a_t / s_t)
            d = x0
            if previous is not None:
                ratio = previous_span / span
                d = x0 + (x0 - previous) / (2 * ratio)
            x = s_u / s_t * x - a_u * math.expm1(-span) * d
            previous, previous_span = x0, span
        if callback:
            callback(step, x, x0)
    return x


def langevin(
    denoiser: Denoiser,
    noise: Tensor,
    schedule: NoiseSchedule,
    *,
    generator: Randomness = None,
    callback: Callback | None = None,
    steps_per_level: int = 1,
    c1: float = 1.0,
    c2: float = 0.5,
) -> Tensor:
    """Annealed Langevin dynamics (Song and Ermon 2019, algorithm 1), ended by Tweedie's estimate of clean data.

    In the variance-exploding view y = x / a has noise of deviation sigma = s / a and the score (x0 - y) / sigma^2. At
    each level y moves by (c2 sigma^2) score + c1 sqrt(2 c2) sigma z; with the defaults that is half of the way to x0,
    and sigma of fresh noise.

    Args:
        steps_per_level: network evaluations at each level.
        c1: scale of the fresh noise, 1 samples and 0 climbs.
        c2: step along the score in units of sigma^2, in (0, 1].
    """
    if steps_per_level < 1:
        raise DiffvocError(f"steps_per_level={steps_per_level} was given; give at least 1.")
    if not 0 < c2 <= 1:
        raise DiffvocError(f"c2={c2} was given; the step along the score must lie in (0, 1].")
    levels = schedule.noise_levels.tolist()
    y, x0 = noise / levels[-1], noise
    for step, level in enumerate(reversed(levels)):
        sigma = _sigma(level) / level
        for _ in range(steps_per_level):
            x0 = _denoise(denoiser, y * level, level)
            y = y + c2 * (x0 - y) + c1 * math.sqrt(2 * c2) * sigma * noise_like(y, generator)
        if callback:
            callback(step, y * level, x0)
    return _denoise(denoiser, y * levels[0], levels[0])


SAMPLERS: dict[str, Callable[..., Tensor]] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "dpm_solver_pp_2m": dpm_solver_pp_2m,
    "langevin": langevin,
}
