"""Distances between short-time spectra."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch

from tts_diffvoc.mel import MelConfig, log_mel, stft
from tts_diffvoc_eval.metrics.sound import RATE, Pair

DEPTH, BAND = 80.0, 8000.0  # decibels below the reference's peak and Hz that the log-spectral distance looks at


def lsd(pair: Pair) -> float:
    """Log-spectral distance in dB: the mean over frames of the root mean square over bins of 20 log10(|X| / |Y|).

    Each frame's is the d_2 of Gray and Markel 1976. Windows of 1,024 samples, hop 256, at 22,050 Hz; bins up to 8 kHz,
    which is what the mel shows; no magnitude taken lower than 80 dB below the reference's greatest, so that silence
    counts little.
    """
    degraded, reference = (_magnitude(samples) for samples in pair.at(RATE))
    floor = reference.max() * 10 ** (-DEPTH / 20)
    ratio = degraded.clamp_min(floor) / reference.clamp_min(floor)
    return (20 * ratio.log10()).square().mean(0).sqrt().mean().item()


def _magnitude(samples: np.ndarray) -> torch.Tensor:
    """Magnitudes [bins, F] up to 8 kHz."""
    spectrum = stft(torch.from_numpy(samples).double().unsqueeze(0), MelConfig())[0].abs()
    return spectrum[: int(BAND / RATE * MelConfig().n_fft) + 1]


def log_mel_l1(pair: Pair) -> float:
    """Mean absolute difference of natural log-mels of the vocoders' contract: 80 bands up to 8 kHz at 22,050 Hz."""
    first, second = (log_mel(torch.from_numpy(samples).double().unsqueeze(0), MelConfig()) for samples in pair.at(RATE))
    return (first - second).abs().mean().item()


def mrstft(pair: Pair) -> float:
    """Multi-resolution STFT distance (Yamamoto et al. 2020, equations 3 to 6) by auraloss.

    Spectral convergence plus the L1 distance of log magnitudes, the mean of windows of 600, 1,200 and 240 samples.
    """
    degraded, reference = (torch.from_numpy(samples)[None, None] for samples in pair.at(RATE))
    with torch.inference_mode():
        return _mrstft()(degraded, reference).item()


@lru_cache(maxsize=1)
def _mrstft() -> Any:
    from auraloss.freq import MultiResolutionSTFTLoss

    return MultiResolutionSTFTLoss()
