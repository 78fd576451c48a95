"""How far a system's samples for one mel lie from each other, and what that costs in error.

All distances are means over the pairs of seeds. Two floors are measured by the same code: the original beside itself
one sample later (:func:`floor`), which is what a metric shows for a difference that nobody hears, and a deterministic
system, which is exactly zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from tts_diffvoc.errors import DiffvocError

QUIET = 1e-4  # of the original's strongest bin: 80 dB below it all counts as silence
FRAME_MS = 5.0  # of the pitch track


@dataclass(frozen=True)
class Measure:
    """A column of ``diversity.jsonl`` in words; ``headline``: the one that an overview shows."""

    name: str
    label: str
    unit: str
    description: str
    better: str = "neither"
    headline: bool = False
    decimals: int = 2


_ALL = (
    Measure(
        "spread_lsd",
        "Spectral spread",
        "dB",
        "Log-spectral distance between two seeds of one mel. 0: always the same; 7.9: as far as two white noises. It "
        "cannot tell natural variety from noise: look at the error beside it.",
        headline=True,
    ),
    Measure(
        "spread_waveform",
        "Waveform spread",
        "× RMS",
        "RMS of the difference of two seeds over their RMS. 0: the same; 1.41: nothing in common; 2: turned over. A "
        "delay that nobody hears counts like any other difference.",
    ),
    Measure(
        "spread_phase",
        "Phase spread",
        "rad",
        "Mean difference of the phases of two seeds, by energy. 0: the same; 1.57: nothing in common.",
    ),
    Measure(
        "spread_group_delay",
        "Group-delay spread",
        "rad",
        "As the phase spread, for the step of the phase from one frequency bin to the next: a constant phase does not "
        "count, a delay hardly. 0.98: as far as two white noises.",
        decimals=3,
    ),
    Measure(
        "spread_log_mel",
        "Mel spread",
        "",
        "Mean difference of the log-mels (natural logarithm) of two seeds. The mel was given, so this is not freedom "
        "but error that changes with the seed.",
        decimals=3,
    ),
    Measure(
        "spread_f0",
        "Pitch spread",
        "cents",
        "Standard deviation of the pitch over seeds, in frames that are voiced in all; 100 cents are a semitone. Slips "
        "of the pitch tracker count too.",
        decimals=1,
    ),
    Measure(
        "seed_log_mel_error",
        "Mel error",
        "",
        "Mean difference of the log-mels of a seed and of the original: what the variety is paid with.",
        decimals=3,
    ),
    Measure(
        "spread_to_error",
        "Spread / error",
        "",
        "Mel spread over mel error, 0 to 2. Near 0: every seed makes the same error; 1: the original lies among the "
        "seeds as if it were one of them; above: the seeds err more than they agree, each in its own way.",
    ),
)
MEASURES = {measure.name: measure for measure in _ALL}


# What is compared


@dataclass(frozen=True)
class _View:
    """One sample as the distances see it: waveform [T], magnitude and phase [K, F], log-mel [M, F]."""

    waveform: np.ndarray
    magnitude: np.ndarray
    phase: np.ndarray
    log_mel: np.ndarray


def _view(waveform: np.ndarray, rate: int) -> _View:
    import torch

    from tts_diffvoc.mel import MelConfig, compress, mel_filters, stft

    config = MelConfig(sample_rate=rate, fmax=min(8000.0, rate / 2))
    spectrum = stft(torch.from_numpy(waveform)[None], config)[0]
    magnitude = spectrum.abs()
    log_mel = compress(mel_filters(config).to(magnitude) @ magnitude, config)
    return _View(waveform, magnitude.numpy(), spectrum.angle().numpy(), log_mel.numpy())


def pitch(waveform: np.ndarray, rate: int) -> np.ndarray:
    """F0 in Hz every 5 ms [L], 0 where unvoiced: DIO and StoneMask of WORLD (Morise et al. 2016).

    Harvest takes ten times as long, and noise of RMS 0.001 moved its track farther on each of three clips.
    """
    import pyworld

    samples = waveform.astype(np.float64)
    rough, times = pyworld.dio(samples, rate, frame_period=FRAME_MS)
    return pyworld.stonemask(samples, rough, times, rate)


# Distances of two views


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _waveform(a: _View, b: _View) -> float:
    """RMS of a - b over the RMS of both, sqrt((a^2 + b^2) / 2): sqrt(2) for two that are uncorrelated."""
    difference = _rms(a.waveform - b.waveform)
    return difference / math.hypot(_rms(a.waveform), _rms(b.waveform)) * math.sqrt(2) if difference else 0.0


def _wrapped(angle: np.ndarray) -> np.ndarray:
    """|angle - 2 pi round(angle / 2 pi)|, at most pi: the anti-wrapping of Ai & Ling 2023 (arXiv 2211.15974)."""
    return np.abs(angle - 2 * np.pi * np.round(angle / (2 * np.pi)))


def _mean_by(weights: np.ndarray, values: np.ndarray) -> float:
    total = weights.sum()
    return float((weights * values).sum() / total) if total > 0 else math.nan


def _phase(a: _View, b: _View) -> float:
    """Mean wrapped phase difference by |A| |B|, radians."""
    return _mean_by(a.magnitude * b.magnitude, _wrapped(a.phase - b.phase))


def _group_delay(a: _View, b: _View) -> float:
    """The same of the phase's step from bin to bin, by the geometric mean of both bins' weights (Ai & Ling 2023)."""
    weights = a.magnitude * b.magnitude
    steps = np.diff(a.phase, axis=0) - np.diff(b.phase, axis=0)
    return _mean_by(np.sqrt(weights[1:] * weights[:-1]), _wrapped(steps))


def _lsd(least: float) -> Callable[[_View, _View], float]:
    """Log-spectral distance in dB (Gray & Markel 1976): RMS over bins, mean over frames; below ``least`` is silence."""

    def distance(a: _View, b: _View) -> float:
        levels = [20 * np.log10(np.maximum(view.magnitude, least)) for view in (a, b)]
        return float(np.sqrt(np.square(levels[0] - levels[1]).mean(axis=0)).mean())

    return distance


def _log_mel(a: _View, b: _View) -> float:
    return float(np.abs(a.log_mel - b.log_mel).mean())


def _over_pairs(distance: Callable[[_View, _View], float], views: Sequence[_View]) -> float:
    return float(np.mean([distance(a, b) for a, b in combinations(views, 2)]))


def _f0_spread(tracks: np.ndarray) -> float:
    """Standard deviation over seeds of tracks [N, L] in Hz, mean over frames voiced in all, cents; NaN without any."""
    voiced = tracks[:, (tracks > 0).all(axis=0)]
    return float((1200 * np.log2(voiced)).std(axis=0, ddof=1).mean()) if voiced.size else math.nan


# What is recorded


def _checked(samples: np.ndarray, original: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    samples, original = np.asarray(samples, dtype=np.float32), np.asarray(original, dtype=np.float32)
    if samples.ndim != 2 or len(samples) < 2 or original.shape != samples.shape[1:]:
        raise DiffvocError(
            f"samples of shape {list(samples.shape)} and an original of shape {list(original.shape)} were given; "
            "diversity needs [N, T] with N of at least 2, and [T]: cut them to one length."
        )
    if not (np.isfinite(samples).all() and np.isfinite(original).all()):
        raise DiffvocError("the waveforms hold NaN or infinite values; check what made them.")
    if not original.any():
        raise DiffvocError("the original is silent; diversity needs speech.")
    return samples, original


def spread(samples: np.ndarray, original: np.ndarray, rate: int) -> dict[str, float]:
    """The values of ``MEASURES`` for samples [N, T] of one mel, one a seed, and the original [T] it was made of.

    A value that does not exist is NaN: pitch where no frame is voiced in all, phase of silence, the ratio to an error
    of zero. Raises DiffvocError for other shapes, values that are not finite, or a silent original.
    """
    samples, original = _checked(samples, original)
    views, truth = [_view(sample, rate) for sample in samples], _view(original, rate)
    log_mel = _over_pairs(_log_mel, views)
    error = float(np.mean([_log_mel(view, truth) for view in views]))
    return {
        "spread_lsd": _over_pairs(_lsd(QUIET * float(truth.magnitude.max())), views),
        "spread_waveform": _over_pairs(_waveform, views),
        "spread_phase": _over_pairs(_phase, views),
        "spread_group_delay": _over_pairs(_group_delay, views),
        "spread_log_mel": log_mel,
        "spread_f0": _f0_spread(np.stack([pitch(sample, rate) for sample in samples])),
        "seed_log_mel_error": error,
        "spread_to_error": log_mel / error if error > 0 else math.nan,
    }


def floor(original: np.ndarray, rate: int) -> dict[str, float]:
    """What the measures show for the original [T] beside itself one sample later; the error is that of the shift."""
    original = np.asarray(original, dtype=np.float32)
    values = spread(np.stack([original[:-1], original[1:]]), original[:-1], rate)
    return {**values, "seed_log_mel_error": values["spread_log_mel"], "spread_to_error": math.nan}


def record(
    system: str, clip: str, made: Mapping[int, np.ndarray | str], original: np.ndarray, rate: int
) -> dict[str, Any]:
    """One line of ``diversity.jsonl``.

    Args: made: seed -> its waveform [T], or in words why there is none. The system "original" gets :func:`floor`.
    """
    line: dict[str, Any] = {"system": system, "clip": clip, "seeds": list(made), "error": None, "values": {}}
    failed = [f"seed {seed}: {why}" for seed, why in made.items() if isinstance(why, str)]
    try:
        if failed:
            raise DiffvocError("; ".join(failed))
        samples = [np.asarray(waveform) for waveform in made.values()]
        if system == "original":
            values = floor(original, rate)
        elif len({sample.shape for sample in samples}) > 1:
            raise DiffvocError("the seeds gave waveforms of different lengths.")
        else:
            values = spread(np.stack(samples) if samples else np.zeros((0, 0)), original, rate)
    except DiffvocError as error:
        return {**line, "error": str(error)}
    return {**line, "values": values}
