"""Distances between short-time spectra."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch

from tts_diffvoc.mel import MelConfig, log_mel, stft
from tts_diffvoc_eval.metrics.waveforms import RATE, at_rate

DEPTH, BAND = 80.0, 8000.0  # decibels below the original's peak and Hz that the log-spectral distance looks at
MEL = MelConfig()


def _row(samples: np.ndarray, sample_rate: int) -> torch.Tensor:
    """A waveform [1, T] at 22,050 Hz."""
    return torch.from_numpy(at_rate(samples, sample_rate, RATE)).double().unsqueeze(0)


def lsd(preds: np.ndarray, target: np.ndarray, sample_rate: int) -> float:
    """Log-spectral distance: by how many decibels the magnitude of a bin is off, up to 8 kHz.

    Limits:
        Deaf to phase; a quiet bin counts as much as a loud one, down to 80 dB below the peak. Two noises of one
        spectrum are about 8 dB apart, so that breath and fricatives never reach 0.

    The mean over frames of the root mean square over bins of 20 log10(|X| / |Y|), the d_2 of Gray and Markel 1976.
    Windows of 1,024 samples, hop 256, at 22,050 Hz; bins up to 8 kHz, which is what the mel shows; no magnitude taken
    lower than 80 dB below the original's greatest, so that silence counts little.

    >>> noise = np.random.default_rng(0).standard_normal(22050)
    >>> round(lsd(0.5 * noise, noise, 22050), 2)
    6.02
    """
    bins = int(BAND / RATE * MEL.n_fft) + 1
    found, wanted = (stft(_row(samples, sample_rate), MEL)[0, :bins].abs() for samples in (preds, target))
    floor = wanted.max() * 10 ** (-DEPTH / 20)
    ratio = found.clamp_min(floor) / wanted.clamp_min(floor)
    return (20 * ratio.log10()).square().mean(0).sqrt().mean().item()


def log_mel_l1(preds: np.ndarray, target: np.ndarray, sample_rate: int) -> float:
    """Mean absolute error of the natural log-mel that the vocoder was given: does the sound say what the mel said?

    Limits:
        Zero for a robot with the right mel: neither phase, nor fine structure, nor anything above 8 kHz counts.

    The mel is the vocoders' contract: 80 bands up to 8 kHz at 22,050 Hz.

    >>> noise = np.random.default_rng(0).standard_normal(22050)
    >>> round(log_mel_l1(0.5 * noise, noise, 22050), 3)
    0.693
    """
    found, wanted = (log_mel(_row(samples, sample_rate), MEL) for samples in (preds, target))
    return (found - wanted).abs().mean().item()


def mrstft(preds: np.ndarray, target: np.ndarray, sample_rate: int) -> float:
    """Multi-resolution STFT distance: spectral convergence plus log-magnitude error at three window lengths.

    Limits:
        Many GANs are trained on it, which favours them; deaf to phase. It looks up to half the sample rate: a band
        that is empty in the original but not in the copy costs much.

    By auraloss (Yamamoto et al. 2020, equations 3 to 6): the mean of windows of 600, 1,200 and 240 samples.

    >>> noise = np.random.default_rng(0).standard_normal(22050)
    >>> round(mrstft(0.5 * noise, noise, 22050), 2)
    1.19
    """
    found, wanted = (_row(samples, sample_rate).float().unsqueeze(0) for samples in (preds, target))
    with torch.inference_mode():
        return _mrstft()(found, wanted).item()


@lru_cache(maxsize=1)
def _mrstft() -> Any:
    from auraloss.freq import MultiResolutionSTFTLoss

    return MultiResolutionSTFTLoss()
