"""Zero-shot denoising and interpolation: a generator's reverse process begun midway (Kong et al. 2021, section 5.4).

The state of the process is x = a x0 + s eps, with a the noise level and s^2 = 1 - a^2. So a clip with noise of
deviation s / a, in units of :meth:`Generator.encode`, is that state once it is multiplied by a.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tts_diffvoc.diffusion.process import q_sample
from tts_diffvoc.diffusion.samplers import SAMPLERS, Callback, sample
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.labels import Labels, one_each

if TYPE_CHECKING:
    from tts_diffvoc.generator import Generator

# Of a clip's frames of 20 ms, the share that is taken for noise alone.
QUIET = 0.1


@torch.inference_mode()
def denoise(
    generator: Generator,
    waveform: Tensor,
    t: int | None = None,
    noise: float | None = None,
    steps: int | None = None,
    sampler: str | None = None,
    seed: int | None = None,
    label: Labels = None,
    callback: Callback | None = None,
) -> Tensor:
    """Take noise off ``waveform`` [B, T] by the reverse process, which the generator was never trained to do.

    With the default sampler, "ddim", the result is determined by the clip. In one step it is the posterior mean, the
    estimate of least mean squared error; in many it is as rich as clean data, at some cost in that error.

    Args:
        t: step of the training schedule, counted from 1 for the cleanest as in the paper.
        noise: deviation of the noise in the waveform, where ``t`` is not given. Without either it is estimated, clip by
            clip, from the quietest frames (:func:`estimate_noise`).
        steps: network evaluations from there to clean data; by default all steps of the training schedule.
        sampler: as in :meth:`Generator.generate`.
        seed: of the noise that a sampler adds.
        label: what is said, for a generator that has labels; None for not known.
        callback: called as (step, x, x0) after each step.

    Returns: [B, T] in [-1, 1].
    """
    waveform = generator.check_waveform(waveform)
    if t is not None and noise is not None:
        raise DiffvocError(f"both t={t} and noise={noise} were given; each alone says where to begin.")
    if t is None and noise is None and len(waveform) > 1:
        generator.indices(label, len(waveform))  # refuses labels before any work
        rows = zip(waveform, one_each(label, len(waveform)))
        return torch.cat([denoise(generator, w, None, None, steps, sampler, seed, one, callback) for w, one in rows])
    level = entry_level(generator, t, noise, waveform[0])
    x = level * generator.encode(waveform)
    random = generator._random(seed)
    return _reverse(generator, x, level, steps, sampler, random, label, callback)[:, : waveform.shape[1]]


@torch.inference_mode()
def interpolate(
    generator: Generator,
    a: Tensor,
    b: Tensor,
    t: int,
    points: int = 11,
    steps: int | None = None,
    sampler: str | None = None,
    seed: int | None = None,
    label: Labels = None,
    same_noise: bool = True,
    callback: Callback | None = None,
) -> Tensor:
    """Clips between ``a`` [T] and ``b`` [T], mixed at step ``t``: [points, T].

    Both are noised to step t, mixed there with weights l from 0 to 1, x = (1 - l) x_a + l x_b, and all mixtures led
    back to clean data.

    Args:
        t: as in :func:`denoise`; the larger, the freer the generator is.
        points: how many, the two ends with them.
        steps, sampler, label, callback: as in :func:`denoise`.
        seed: of the noise; the same seed gives the same clips.
        same_noise: both ends get the same noise, so that mixtures hold as much noise as step t has. Two noises of
            their own cancel in part: half and half is left with 0.71 of the deviation.
    """
    a, b = generator.check_waveform(a), generator.check_waveform(b)
    if a.shape != b.shape or len(a) != 1:
        raise DiffvocError(f"clips of shape {list(a.shape)} and {list(b.shape)} were given; give [T] both, alike.")
    if points < 2:
        raise DiffvocError(f"{points} points were asked for; give at least 2, which are the ends.")
    level, random = entry_level(generator, t), generator._random(seed)
    ends = generator.encode(torch.cat([a, b]))
    eps = torch.randn(2, ends.shape[1], generator=random).to(ends)
    eps = eps[:1].expand(2, -1) if same_noise else eps
    noised = q_sample(ends, torch.full((2,), level, dtype=torch.float64), eps)
    weight = torch.linspace(0, 1, points).unsqueeze(1).to(noised)
    x = (1 - weight) * noised[:1] + weight * noised[1:]
    return _reverse(generator, x, level, steps, sampler, random, label, callback)[:, : a.shape[1]]


def _reverse(
    generator: Generator,
    x: Tensor,
    level: float,
    steps: int | None,
    sampler: str | None,
    random: torch.Generator,
    label: Labels,
    callback: Callback | None,
) -> Tensor:
    """From the state ``x`` [B, T] at a noise level to waveforms [B, T]."""
    taken = SAMPLERS[generator.parse_option("sampler", sampler or "ddim")]
    schedule = schedule_from(generator, level, steps)
    denoiser = generator.denoiser(generator.indices(label, len(x)))
    return generator.decode(sample(taken, denoiser, x, schedule, generator=random, callback=callback))


def schedule_from(generator: Generator, level: float, steps: int | None = None) -> NoiseSchedule:
    """The schedule from a noise level within the training schedule to clean data.

    Args:
        steps: network evaluations; None for the training schedule's own levels above ``level``, and ``level``.
    """
    training = generator.config.schedule
    if steps is not None:
        generator.inference_schedule(generator.parse_option("steps", steps))  # refuses too many
    cleaner = [one for one in training.noise_levels.tolist() if one > level + 1e-9]
    if steps is None or not cleaner:
        return NoiseSchedule.from_noise_levels([*cleaner, level])
    return training.between(level, steps)


def entry_level(
    generator: Generator, t: int | None = None, noise: float | None = None, waveform: Tensor | None = None
) -> float:
    """The noise level at which a noisy clip enters the reverse process, see :func:`denoise`.

    Raises: DiffvocError for a step that the schedule has not, and for noise louder than any in training.
    """
    levels = generator.config.schedule.noise_levels
    if t is not None:
        if not 1 <= t <= len(levels):
            raise DiffvocError(f"t={t} is no step of {generator.name}'s schedule; give 1 to {len(levels)}.")
        return float(levels[t - 1])
    cleanest, noisiest = float(levels[0]), float(levels[-1])
    if noise is not None and not 0 < noise <= noise_deviation(generator, noisiest) * (1 + 1e-9):
        raise DiffvocError(
            f"noise={noise} was given; {generator.name} knows noise up to a deviation of "
            f"{noise_deviation(generator, noisiest):.3g}, which must be above 0."
        )
    if noise is None:
        if waveform is None:
            raise DiffvocError("neither t, noise nor a waveform was given; one must say where to begin.")
        noise = estimate_noise(waveform, generator.sample_rate)
    level = 1 / math.hypot(1, noise * generator.config.scale)
    return min(max(level, noisiest), cleanest)


def noise_deviation(generator: Generator, level: float) -> float:
    """The deviation of the noise, in units of the waveform, at a noise level: s / a over the scale."""
    return math.sqrt(1 - level * level) / level / generator.config.scale


def estimate_noise(waveform: Tensor, sample_rate: int) -> float:
    """The deviation of the noise in ``waveform`` [T], from its quietest frames; 0 where there is none.

    A tenth of all frames of 20 ms is taken for noise alone. The quietest frames of noise are quieter than noise, which
    is put right as for normal deviates: the power of n samples has a deviation of sqrt(2 / n) of itself. Digital
    silence at the ends, with which clips are padded, does not count.
    """
    waveform = sounding(waveform).double()
    if not len(waveform):
        return 0.0
    size = min(max(round(0.02 * sample_rate), 1), len(waveform))
    power = waveform.unfold(-1, size, size).var(-1, correction=0).sort().values
    quiet = power[: max(round(QUIET * len(power)), 1)].mean()
    normal = NormalDist()
    bias = normal.pdf(normal.inv_cdf(QUIET)) / QUIET * math.sqrt(2 / size)
    return math.sqrt(float(quiet) / max(1 - bias, 0.1))


def sounding(waveform: Tensor) -> Tensor:
    """``waveform`` [T] without digital silence at its ends."""
    heard = waveform.nonzero()
    return waveform[int(heard[0]) : int(heard[-1]) + 1] if len(heard) else waveform[:0]
