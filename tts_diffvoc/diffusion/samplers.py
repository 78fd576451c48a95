"""Samplers: from noise, or a noised start, to data.

A sampler is a function of a schedule: it gives the steps, one an evaluation of the denoiser, and :func:`sample` takes
them. With a = noise level and s = sqrt(1 - a^2), the index t is the level that a step starts from and u the cleaner one
that it ends at; the last step ends at a = 1, s = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from tts_diffvoc.diffusion.process import Denoiser, Randomness, noise_like
from tts_diffvoc.diffusion.schedules import NoiseSchedule

Callback = Callable[[int, Tensor, Tensor], None]


class Step(NamedTuple):
    """The denoiser predicts x0 in x at ``level``; then x becomes keep x + take x0 + recall (the x0 of the step before)
    + renew (fresh unit noise)."""

    level: float
    keep: float
    take: float
    renew: float = 0.0
    recall: float = 0.0


Sampler = Callable[[NoiseSchedule], Iterable[Step]]


def sample(
    sampler: Sampler,
    denoiser: Denoiser,
    noise: Tensor,
    schedule: NoiseSchedule,
    *,
    generator: Randomness = None,
    callback: Callback | None = None,
    clip: float | None = None,
) -> Tensor:
    """Take the steps of ``sampler`` from ``noise`` [B, ...], the state at the schedule's noisiest level, to clean data.

    Args:
        denoiser: (x, noise_level [B], float64) -> x0, the clean data in x, of the shape of x.
        generator: draws further noise, or is a function that makes the next.
        callback: called as (step, x, x0) after each step.
        clip: cut the state to [-clip, clip] after each step, as the public ``diffwave`` and ``wavegrad`` packages do
            with 1; no paper says so.
    """
    x = x0 = noise
    for index, step in enumerate(sampler(schedule)):
        last, x0 = x0, denoiser(x, torch.full((x.shape[0],), step.level, device=x.device, dtype=torch.float64))
        x = step.keep * x + step.take * x0
        if step.recall:
            x = x + step.recall * last
        if step.renew:
            x = x + step.renew * noise_like(x, generator)
        if clip is not None:
            x = x.clamp(-clip, clip)
        if callback:
            callback(index, x, x0)
    return x


def _spans(schedule: NoiseSchedule) -> Iterator[tuple[float, float]]:
    """(a_t, a_u) of each step, from the noisiest level to clean data."""
    levels = [1.0, *schedule.levels]
    return zip(levels[:0:-1], levels[-2::-1])


def _sigma(level: float) -> float:
    return math.sqrt(max(1 - level * level, 0.0))


def ddpm(schedule: NoiseSchedule) -> Iterator[Step]:
    """Ancestral sampling: the posterior q(x_u | x_t, x0) at the predicted x0 (Ho et al. 2020, equations 6 and 7).

    The variance of a step is beta_tilde, (1 - a_u^2) / (1 - a_t^2) beta_t.
    """
    for a_t, a_u in _spans(schedule):
        alpha, left_t, left_u = (a_t / a_u) ** 2, 1 - a_t * a_t, 1 - a_u * a_u
        renew = math.sqrt((1 - alpha) * left_u / left_t)
        yield Step(a_t, math.sqrt(alpha) * left_u / left_t, a_u * (1 - alpha) / left_t, renew)


def ddim(schedule: NoiseSchedule) -> Iterator[Step]:
    """Implicit sampling (Song, Meng and Ermon 2021, equation 12), deterministic after the first noise (eta 0)."""
    for a_t, a_u in _spans(schedule):
        keep = _sigma(a_u) / _sigma(a_t)
        yield Step(a_t, keep, a_u - keep * a_t)


def dpm_solver_pp_2m(schedule: NoiseSchedule) -> Iterator[Step]:
    """DPM-Solver++(2M), second order and deterministic (Lu et al. 2022, algorithm 2).

    The first step and the last, whose half-log-SNR is infinite, are of first order.
    """
    previous = math.inf
    for a_t, a_u in _spans(schedule):
        s_t, s_u = _sigma(a_t), _sigma(a_u)
        if s_u == 0:
            yield Step(a_t, 0.0, 1.0)
            return
        span = math.log(a_u / s_u) - math.log(a_t / s_t)
        take = -a_u * math.expm1(-span)
        second = take * span / (2 * previous)
        yield Step(a_t, s_u / s_t, take + second, recall=-second)
        previous = span


def langevin(schedule: NoiseSchedule) -> Iterator[Step]:
    """Annealed Langevin dynamics (Song and Ermon 2019, algorithm 1), ended by Tweedie's estimate of clean data.

    In the variance-exploding view y = x / a has noise of deviation sigma = s / a and the score (x0 - y) / sigma^2. At
    each level y moves half of the way to x0, along the score by sigma^2 / 2, and gets sigma of fresh noise.
    """
    cleanest, *_ = levels = schedule.levels
    for level, cleaner in zip(levels[::-1], [*levels[-2::-1], cleanest]):
        yield Step(level, cleaner / level / 2, cleaner / 2, cleaner * _sigma(level) / level)
    yield Step(cleanest, 0.0, 1.0)


SAMPLERS: dict[str, Sampler] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "dpm_solver_pp_2m": dpm_solver_pp_2m,
    "langevin": langevin,
}
