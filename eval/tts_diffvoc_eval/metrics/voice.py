"""Timbre, pitch, voicing and periodicity: WORLD (Morise et al. 2016, library pyworld) and an autocorrelation."""

from __future__ import annotations

import numpy as np
from scipy.fft import dct
from scipy.signal import get_window

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.metrics.waveforms import HOP, RATE, at_rate, check_audible, frames, is_silent, loud_frames, once

DEPTH = 80.0  # decibels below a sound's own greatest power where its envelope ends
LOWEST, HIGHEST = 65.0, 500.0  # Hz, of a voice
ENVELOPE_RATE, ALPHA, ORDER = 16000, 0.42, 24  # of the mel-cepstrum: an all-pass of 0.42 is close to mel at 16 kHz
SPAN = 1024  # samples of a frame: three periods of the lowest pitch, as Boersma asks
SHORTEST, LONGEST = RATE // 500, SPAN // 3  # lags in samples: pitch from 65 to 500 Hz
FINER = 4  # values a sample of lag


def f0_rmse(preds: np.ndarray, target: np.ndarray, sample_rate: int) -> float:
    """Root mean square pitch error over frames voiced in both sounds (WORLD's Harvest); 100 cents are a semitone.

    Limits:
        A few octave slips of the tracker outweigh the rest; frames that lost their voice are skipped: read V/UV too.

    >>> low, high = (np.sign(np.sin(2 * np.pi * f * np.arange(22050) / 22050)) / 10 for f in (100, 125))
    >>> round(f0_rmse(high, low, 22050))  # 1200 log2(1.25)
    386
    """
    check_audible(preds)
    (found, voiced), (wanted, voiced_there) = pitch(preds, sample_rate), pitch(target, sample_rate)
    both = voiced & voiced_there
    if not both.any():
        raise DiffvocError("no frame is voiced in both sounds.")
    return float(np.sqrt(np.mean(np.square(1200 * np.log2(found[both] / wanted[both])))))


def vuv_f1(preds: np.ndarray, target: np.ndarray, sample_rate: int) -> float:
    """Agreement with the original about which frames are voiced, F1 from 0 to 1 (WORLD's D4C LoveTrain).

    Limits:
        A yes or no for each frame: a slight buzz or hoarseness that does not flip the decision is not counted.

    >>> voice = np.sign(np.sin(2 * np.pi * 150 * np.arange(22050) / 22050)) / 10
    >>> vuv_f1(0 * voice, voice, 22050), vuv_f1(0.5 * voice, voice, 22050)
    (0.0, 1.0)
    """
    truth = pitch(target, sample_rate)[1]
    if not truth.any():
        raise DiffvocError("the original has no voiced frame.")
    found = np.zeros_like(truth) if is_silent(preds) else pitch(preds, sample_rate)[1]
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


@once
def pitch(samples: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Pitch [F] in Hz by Harvest, and which frames are voiced [F] by D4C LoveTrain at 0.85; frames 256 samples apart.

    Harvest alone takes almost everything for voiced; LoveTrain asks for energy below 4 kHz as well.
    """
    import pyworld

    samples = at_rate(samples, sample_rate, RATE).astype(np.float64)
    count = len(samples) // HOP + 1
    samples = np.pad(samples, (0, HOP))  # by rounding, Harvest can stop a frame early
    f0, times = pyworld.harvest(samples, RATE, LOWEST, HIGHEST, 1000 * HOP / RATE)
    noisy = pyworld.d4c(samples, f0, times, RATE, threshold=0.85)
    f0, noisy = f0[:count], noisy[:count, 0]
    return f0, (f0 > 0) & (noisy < 0.999)


def mcd(preds: np.ndarray, target: np.ndarray, sample_rate: int) -> float:
    """Mel-cepstral distortion, coefficients 1 to 24 of WORLD's envelope: how far the timbre is off.

    Limits:
        Blind to loudness, pitch, hoarseness, phase and what lies above 8 kHz. Toolkits differ in envelope and order:
        compare only figures of one.

    10 / ln 10 * sqrt(2 * sum of squared differences) (Kubichek 1993), the mean over frames within 50 dB of the
    original's loudest. CheapTrick's envelope of both sounds is taken at the original's pitch so that pitch errors stay
    out, and at 16 kHz, which is what the mel shows; no time warping.

    >>> noise = np.random.default_rng(0).standard_normal(22050)
    >>> mcd(0.5 * noise, noise, 22050) < 0.01
    True
    """
    check_audible(preds)
    f0, _ = pitch(target, sample_rate)
    found, wanted = (mel_cepstrum(samples, sample_rate, f0) for samples in (preds, target))
    each = 10 / np.log(10) * np.sqrt(2 * np.square((found - wanted)[:, 1:]).sum(1))
    return float(each[loud_frames(at_rate(target, sample_rate, RATE))].mean())


def mel_cepstrum(samples: np.ndarray, sample_rate: int, f0: np.ndarray) -> np.ndarray:
    """Mel-cepstrum [F, 25] of the spectral envelope at pitch ``f0`` [F]: log|H| = sum of c_m cos(m w~).

    w~ is the frequency as the all-pass of Tokuda et al. 1994 warps it. Valleys deeper than 80 dB below the sound's
    greatest power are filled, or faint noise in an empty band would count as much as a wrong vowel.
    """
    import pyworld

    samples = at_rate(samples, sample_rate, ENVELOPE_RATE).astype(np.float64)
    power = pyworld.cheaptrick(samples, f0, np.arange(len(f0)) * HOP / RATE, ENVELOPE_RATE)
    return warped_cepstrum(0.5 * np.log(np.maximum(power, power.max() * 10 ** (-DEPTH / 10))))


def warped_cepstrum(log_amplitude: np.ndarray) -> np.ndarray:
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


def periodicity(preds: np.ndarray, target: np.ndarray, sample_rate: int) -> float:
    """Root mean square error of how periodic each frame is, 0 to 1: the peak of the normalised autocorrelation (Boersma
    1993) for pitches of 65 to 500 Hz.

    Limits:
        Does not know which pitch repeats; white noise has about 0.14, so that the worst error is near 0.85.

    Over frames within 50 dB of the original's loudest.

    >>> voice = np.sign(np.sin(2 * np.pi * 150 * np.arange(22050) / 22050)) / 10
    >>> round(periodicity(np.random.default_rng(0).standard_normal(22050), voice, 22050), 1)
    0.8
    """
    loud = loud_frames(at_rate(target, sample_rate, RATE))
    found, wanted = (harmonic_strength(samples, sample_rate) for samples in (preds, target))
    return float(np.sqrt(np.mean(np.square((found - wanted)[loud]))))


@once
def harmonic_strength(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Share of a frame's power that repeats with a voice's period, [F] from 0 to 1 (Boersma 1993, equation 9).

    The highest peak of the autocorrelation of the windowed frame divided by that of the window, at lags between 1/500
    and 1/65 s. Harmonics of power H in noise of power N give H / (H + N).
    """
    window = get_window("hann", SPAN)
    pieces = frames(at_rate(samples, sample_rate, RATE).astype(np.float64), SPAN)
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
