"""What metrics share: two waveforms of one length, other sample rates, frames, and analyses that are made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

import numpy as np
import torch

from tts_diffvoc.audio import resample
from tts_diffvoc.errors import DiffvocError

RATE, HOP = 22050, 256  # where our own metrics are defined, whatever the waveforms' rate
SILENT = 1e-5  # a third of a step of 16 bits
SHORTEST = 0.1  # seconds
Result = TypeVar("Result")


def check_pair(preds: np.ndarray, target: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Two waveforms [T] as float32, the longer one cut where it is longer by less than a hop of 256 samples.

    Raises: DiffvocError for another shape, NaN, infinity, a greater difference, less than 0.1 s, and a silent target.
    """
    preds, target = _checked("sound", preds), _checked("original", target)
    if abs(len(preds) - len(target)) >= HOP:
        raise DiffvocError(
            f"the sound has {len(preds)} samples and the original {len(target)}; metrics compare sample by sample, so "
            f"fewer than {HOP} may differ."
        )
    length = min(len(preds), len(target))
    if length < SHORTEST * sample_rate:
        raise DiffvocError(f"the sounds last {length / sample_rate:.2f} s; at least {SHORTEST} s are needed.")
    if is_silent(target):
        raise DiffvocError("the original is silent.")
    return preds[:length], target[:length]


def _checked(name: str, samples: np.ndarray) -> np.ndarray:
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    if samples.ndim != 1:
        raise DiffvocError(f"the {name} has shape {list(samples.shape)}; it must be [T].")
    if not np.isfinite(samples).all():
        raise DiffvocError(f"the {name} holds NaN or infinite values.")
    return samples


def is_silent(samples: np.ndarray) -> bool:
    return float(np.abs(samples).max()) < SILENT


def check_audible(preds: np.ndarray) -> None:
    """Raises: DiffvocError for silence, for metrics that mean nothing then."""
    if is_silent(preds):
        raise DiffvocError("the sound is silent.")


def at_rate(samples: np.ndarray, sample_rate: int, wanted: int) -> np.ndarray:
    """``samples`` [T] as float32 [T'] at ``wanted`` Hz."""
    return resample(torch.tensor(np.asarray(samples, np.float32)), sample_rate, wanted).numpy()


def once(analysis: Callable[[np.ndarray, int], Result]) -> Callable[[np.ndarray, int], Result]:
    """Keep the latest results of an ``analysis(samples, sample_rate)``, which several metrics need, by content."""

    @lru_cache(maxsize=64)
    def kept(content: bytes, sample_rate: int) -> Result:
        return analysis(np.frombuffer(content, np.float32), sample_rate)

    @wraps(analysis)
    def call(samples: np.ndarray, sample_rate: int) -> Result:
        return kept(np.asarray(samples, np.float32).tobytes(), sample_rate)

    return call


def loud_frames(samples: np.ndarray) -> np.ndarray:
    """Which frames of 1,024 samples, centred at samples 256 f, are within 50 dB of the loudest; [T // 256 + 1]."""
    power = np.square(frames(samples, 1024), dtype=np.float64).mean(-1)
    return power > power.max() * 1e-5


def frames(samples: np.ndarray, span: int) -> np.ndarray:
    """Overlapping pieces [T // 256 + 1, span] of ``samples`` [T], centred at samples 256 f; zeros beyond the ends."""
    padded = np.pad(samples, (span // 2, span - span // 2))
    return np.lib.stride_tricks.sliding_window_view(padded, span)[: len(samples) + 1 : HOP]
