"""Two sounds that a metric compares, checked once, and keyed by content so that costly analyses are shared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from tts_diffvoc_eval.metrics.metric import MetricError

RATE, HOP = 22050, 256  # where our own metrics are defined, whatever the sounds' rate
SILENT = 1e-5  # a third of a step of 16 bits
SHORTEST = 0.1  # seconds


@dataclass(frozen=True, eq=False)
class Sound:
    """A waveform: ``samples`` [T] float32 at ``rate`` Hz. Equal content makes equal keys of a cache."""

    samples: np.ndarray
    rate: int

    @cached_property
    def key(self) -> tuple[bytes, int]:
        return hashlib.blake2b(self.samples.tobytes(), digest_size=16).digest(), self.rate

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sound) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def silent(self) -> bool:
        return float(np.abs(self.samples).max()) < SILENT

    def at(self, rate: int) -> Sound:
        """The same sound at another sample rate."""
        return self if rate == self.rate else _resampled(self, rate)


@lru_cache(maxsize=16)
def _resampled(sound: Sound, rate: int) -> Sound:
    import soxr

    return Sound(soxr.resample(sound.samples, sound.rate, rate, quality="HQ"), rate)


@dataclass(frozen=True)
class Pair:
    """``degraded`` beside ``reference``, of one length and rate; ``text`` is what is said, if that is known."""

    degraded: Sound
    reference: Sound
    text: str | None = None

    def at(self, rate: int) -> tuple[np.ndarray, np.ndarray]:
        """Both waveforms [T] float32 at ``rate`` Hz."""
        return self.degraded.at(rate).samples, self.reference.at(rate).samples

    def audible(self) -> Pair:
        """This pair, or MetricError if the degraded sound is silent, for metrics that mean nothing then."""
        if self.degraded.silent:
            raise MetricError("the degraded sound is silent.")
        return self


def make_pair(degraded: np.ndarray, reference: np.ndarray, rate: int, text: str | None = None) -> Pair:
    """Check two waveforms [T] and cut the longer one's end if it is longer by less than a hop of 256 samples.

    Raises MetricError for another shape, NaN, infinity, a greater difference, less than 0.1 s, and for a reference
    that is silent.
    """
    degraded, reference = _checked("degraded", degraded), _checked("reference", reference)
    if abs(len(degraded) - len(reference)) >= HOP:
        raise MetricError(
            f"the degraded sound has {len(degraded)} samples and the reference {len(reference)}; metrics compare "
            f"sample by sample, so fewer than {HOP} may differ."
        )
    length = min(len(degraded), len(reference))
    if length < SHORTEST * rate:
        raise MetricError(f"the sounds last {length / rate:.2f} s; at least {SHORTEST} s are needed.")
    pair = Pair(Sound(degraded[:length], rate), Sound(reference[:length], rate), text)
    if pair.reference.silent:
        raise MetricError("the reference sound is silent.")
    return pair


def _checked(name: str, samples: np.ndarray) -> np.ndarray:
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    if samples.ndim != 1:
        raise MetricError(f"the {name} sound has shape {list(samples.shape)}; it must be [T].")
    if not np.isfinite(samples).all():
        raise MetricError(f"the {name} sound holds NaN or infinite values.")
    return samples


def loud_frames(sound: Sound, span: int = 1024, down: float = 50.0) -> np.ndarray:
    """Which frames, centred at samples 256 f, are less than ``down`` dB below the loudest; bool [T // 256 + 1].

    Args:
        span: samples that a frame looks at.
    """
    power = np.square(frames(sound.samples, span), dtype=np.float64).mean(-1)
    return power > power.max() * 10 ** (-down / 10)


def frames(samples: np.ndarray, span: int) -> np.ndarray:
    """Overlapping pieces [T // 256 + 1, span] of ``samples`` [T], centred at samples 256 f; zeros beyond the ends."""
    padded = np.pad(samples, (span // 2, span - span // 2))
    return np.lib.stride_tricks.sliding_window_view(padded, span)[: len(samples) + 1 : HOP]
