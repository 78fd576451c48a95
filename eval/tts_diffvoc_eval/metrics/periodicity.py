"""How periodic a voice is, frame by frame, without any decision between voiced and unvoiced."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.signal import get_window

from tts_diffvoc_eval.metrics.sound import RATE, Pair, Sound, frames, loud_frames

SPAN = 1024  # samples of a frame: three periods of the lowest pitch, as Boersma asks
SHORTEST, LONGEST = RATE // 500, SPAN // 3  # lags in samples: pitch from 65 to 500 Hz
FINER = 4  # values a sample of lag


def periodicity(pair: Pair) -> float:
    """Root mean square difference of periodicity, 0 to 1, over frames within 50 dB of the reference's loudest."""
    loud = loud_frames(pair.reference.at(RATE))
    difference = harmonic_strength(pair.degraded) - harmonic_strength(pair.reference)
    return float(np.sqrt(np.mean(np.square(difference[loud]))))


@lru_cache(maxsize=64)
def harmonic_strength(sound: Sound) -> np.ndarray:
    """Share of a frame's power that repeats with a voice's period, [F] from 0 to 1 (Boersma 1993, equation 9).

    The highest peak of the autocorrelation of the windowed frame divided by that of the window, at lags between 1/500
    and 1/65 s. Harmonics of power H in noise of power N give H / (H + N).
    """
    window = get_window("hann", SPAN)
    pieces = frames(sound.at(RATE).samples.astype(np.float64), SPAN)
    found = _autocorrelation((pieces - pieces.mean(1, keepdims=True)) * window)
    ratio = found / _autocorrelation(window[None])
    lags = ratio[:, SHORTEST * FINER : LONGEST * FINER]
    peak = (lags[:, 1:-1] > lags[:, :-2]) & (lags[:, 1:-1] >= lags[:, 2:])
    return np.where(peak, lags[:, 1:-1], 0).max(1).clip(0, 1)


def _autocorrelation(pieces: np.ndarray) -> np.ndarray:
    """Autocorrelation [F, lags] of ``pieces`` [F, SPAN], 1 at lag 0, ``FINER`` values a sample."""
    power = np.square(np.abs(np.fft.rfft(pieces, 2 * SPAN)))
    lags = np.fft.irfft(power, 2 * SPAN * FINER)[:, : (LONGEST + 1) * FINER]
    return lags / np.maximum(lags[:, :1], 1e-20)
