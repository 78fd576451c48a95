"""Envelope, pitch and voicing by the vocoder WORLD (Morise et al. 2016), library pyworld."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.fft import dct

from tts_diffvoc_eval.metrics.metric import MetricError
from tts_diffvoc_eval.metrics.sound import HOP, RATE, Pair, Sound, loud_frames

DEPTH = 80.0  # decibels below a sound's own greatest power where its envelope ends
LOWEST, HIGHEST = 65.0, 500.0  # Hz, of a voice
ENVELOPE_RATE, ALPHA, ORDER = 16000, 0.42, 24  # of the mel-cepstrum: an all-pass of 0.42 is close to mel at 16 kHz


def f0_rmse(pair: Pair) -> float:
    """Root mean square pitch error in cents, 1200 log2(f / f'), over frames that are voiced in both sounds."""
    (first, voiced), (second, voiced_there) = _pitch(pair.audible().degraded), _pitch(pair.reference)
    both = voiced & voiced_there
    if not both.any():
        raise MetricError("no frame is voiced in both sounds.")
    return float(np.sqrt(np.mean(np.square(1200 * np.log2(first[both] / second[both])))))


def vuv_f1(pair: Pair) -> float:
    """F1 of the decision "voiced" against the reference's, 0 to 1: 2 TP / (2 TP + FP + FN) over all frames."""
    truth = _pitch(pair.reference)[1]
    if not truth.any():
        raise MetricError("the reference has no voiced frame.")
    found = np.zeros_like(truth) if pair.degraded.silent else _pitch(pair.degraded)[1]
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def mcd(pair: Pair) -> float:
    """Mel-cepstral distortion in dB (Kubichek 1993): 10 / ln 10 * sqrt(2 * sum of squared differences), frames' mean.

    Coefficients 1 to 24 (not 0, the loudness) of CheapTrick's envelope, both sounds at the reference's pitch so that
    pitch errors stay out; at 16 kHz, which is what the mel shows; no time warping; frames within 50 dB of the
    reference's loudest.
    """
    pair.audible()
    f0, _ = _pitch(pair.reference)
    difference = mel_cepstrum(pair.degraded, f0) - mel_cepstrum(pair.reference, f0)
    each = 10 / np.log(10) * np.sqrt(2 * np.square(difference[:, 1:]).sum(1))
    return float(each[loud_frames(pair.reference.at(RATE))].mean())


def mel_cepstrum(sound: Sound, f0: np.ndarray) -> np.ndarray:
    """Mel-cepstrum [F, 25] of the spectral envelope at pitch ``f0`` [F]: log|H| = sum of c_m cos(m w~).

    w~ is the frequency as the all-pass of Tokuda et al. 1994 warps it. Valleys deeper than 80 dB below the sound's
    greatest power are filled, or faint noise in an empty band would count as much as a wrong vowel.
    """
    import pyworld

    power = pyworld.cheaptrick(_samples(sound, ENVELOPE_RATE), f0, np.arange(len(f0)) * HOP / RATE, ENVELOPE_RATE)
    return _warped(0.5 * np.log(np.maximum(power, power.max() * 10 ** (-DEPTH / 10))))


def _warped(log_amplitude: np.ndarray) -> np.ndarray:
    """Mel-cepstra [F, 25] of log amplitudes [F, bins], bins evenly from 0 to half the sample rate."""
    bins = log_amplitude.shape[1]
    warped = np.pi * (np.arange(bins) + 0.5) / bins
    plain = warped - 2 * np.arctan2(ALPHA * np.sin(warped), 1 + ALPHA * np.cos(warped))
    place = plain / np.pi * (bins - 1)
    left = np.floor(place).astype(int)
    share = place - left
    even = (1 - share) * log_amplitude[:, left] + share * log_amplitude[:, left + 1]
    cepstrum = dct(even, type=2, axis=1)[:, : ORDER + 1] / bins
    cepstrum[:, 0] /= 2
    return cepstrum


@lru_cache(maxsize=64)
def _pitch(sound: Sound) -> tuple[np.ndarray, np.ndarray]:
    """Pitch [F] in Hz by Harvest, and which frames are voiced [F] by D4C LoveTrain at 0.85; frames 256 samples apart.

    Harvest alone takes almost everything for voiced; LoveTrain asks for energy below 4 kHz as well.
    """
    import pyworld

    count = len(sound.at(RATE).samples) // HOP + 1
    samples = np.pad(_samples(sound), (0, HOP))  # by rounding, Harvest can stop a frame early
    f0, times = pyworld.harvest(samples, RATE, LOWEST, HIGHEST, 1000 * HOP / RATE)
    noisy = pyworld.d4c(samples, f0, times, RATE, threshold=0.85)
    f0, noisy = f0[:count], noisy[:count, 0]
    return f0, (f0 > 0) & (noisy < 0.999)


def _samples(sound: Sound, rate: int = RATE) -> np.ndarray:
    return sound.at(rate).samples.astype(np.float64)
