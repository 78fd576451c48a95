"""Kinds of mels that other packages make: what they are, one turned into another, and what a foreign one looks like.

F counts frames, M mel bands, K bins of a spectrum.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError, shown
from tts_diffvoc.mel import PRESETS, MelConfig, check_mel, compress, expand, mel_filters

# The vocoder's own bands at another level.
LEVELS: dict[str, dict[str, Any]] = {
    "log10": {"log_base": "10", "floor": 1e-10, "scale": 1.0, "shift": 0.0},
    "decibels": {"log_base": "10", "floor": 1e-10, "scale": 20.0, "shift": 0.0},
    "normalized": {"log_base": "10", "floor": 1e-5, "scale": 0.2, "shift": 0.8},  # decibels from -80 to 20, as 0 to 1
    "symmetric": {"log_base": "10", "floor": 1e-5, "scale": 1.6, "shift": 2.4},  # the same, as -4 to 4: Coqui's default
    "standardized": {"log_base": "e", "floor": 1e-5, "scale": 0.47, "shift": 2.6},  # to mean 0 and deviation 1, as LJ's
    "power": {"log_base": "e", "floor": 1e-10, "scale": 2.0, "shift": 0.0},
}
KINDS = ("auto", "own", *PRESETS, *LEVELS)
# Of the natural log-mel of speech: the mean, in nepers, and the logarithm of the deviation, each with a deviation over
# recordings, so wide that a clip of another loudness or with much silence stays within.
TYPICAL = ((-6.5, 1.3), (np.log(2.2), 0.25))
UNLIKELY, LIKELY = 9.0, 5.0  # squared distances from them beyond which a mel is suspected, and within which explained
FEWEST = 20  # frames of which anything is said
UNITS = {"sample_rate": " Hz", "fmin": " Hz", "fmax": " Hz"}
BANDS = ("sample_rate", "n_fft", "win_length", "hop_length", "n_mels", "fmin", "fmax", "mel_scale", "mel_norm", "power")


def kind_of(kind: str | MelConfig, own: MelConfig) -> MelConfig:
    """The settings that ``kind`` stands for at a vocoder whose own are ``own``: one of ``KINDS``, or given whole.

    Raises: DiffvocError for another name.
    """
    if isinstance(kind, MelConfig):
        return kind
    if kind in ("auto", "own"):
        return own
    if kind in LEVELS:
        return replace(own, gain=1.0, ceiling=None, **LEVELS[kind])
    if kind not in PRESETS:
        raise DiffvocError(f"mel_kind={shown(kind)} is unknown; choose one of {', '.join(KINDS)}.")
    return PRESETS[kind]


def take_mel(mel: Tensor, own: MelConfig, kind: str | MelConfig = "auto") -> Tensor:
    """``mel`` as a vocoder takes it, float32 [B, M, F].

    Args:
        own: the vocoder's settings.
        kind: what the mel is, see :func:`kind_of`; it is converted, with a warning where that is approximate. "auto"
            and "own" are the vocoder's own kind, and with "auto" a warning tells where it looks like another.

    Raises: DiffvocError for what :func:`tts_diffvoc.mel.check_mel` refuses, and for an unknown kind.
    """
    if isinstance(mel, Tensor) and mel.device.type != "cpu":  # what is looked at must be waited for: all of it at once
        return take_mel(mel.cpu(), own, kind).to(mel.device, non_blocking=mel.is_cuda)
    if kind == "auto":
        likely = likely_kind(mel, own)
        try:
            checked = check_mel(mel, own)
        except DiffvocError as error:
            if likely is None:
                raise
            raise DiffvocError(f"{str(error).rstrip('.')}; it looks {likely}.") from None
        if likely:
            warnings.warn(f'this mel looks {likely}; say so, or mel_kind="own" if it is not.', stacklevel=3)
        return checked
    source = kind_of(kind, own)
    different = differences(source, own)
    if different:
        warnings.warn(f"the mel is approximated: {'; '.join(different)}, the given one first.", stacklevel=3)
    return convert(check_mel(mel, source), source, own)


def differences(source: MelConfig, target: MelConfig) -> list[str]:
    """Each setting in which two kinds are different spectrograms, and not just different levels, with both values."""
    pairs = ((name, getattr(source, name), getattr(target, name)) for name in BANDS)
    return [f"{name} {_text(a, name)} against {_text(b, name)}" for name, a, b in pairs if a != b]


def _text(value: Any, name: str) -> str:
    return f"{value:g}{UNITS.get(name, '')}" if isinstance(value, (int, float)) else str(value)


def convert(mel: Tensor, source: MelConfig, target: MelConfig) -> Tensor:
    """Log-mels [B, M, F] of one kind as another, [B, M', F'].

    Exact, down to the floors, where only levels differ; other bands, windows, hops or rates are approximated.
    """
    if source == target:
        return mel
    magnitude = expand(mel, source)
    if not differences(source, target):
        return compress(magnitude, target)
    rows = [approximated(row.double().cpu().numpy(), source, target) for row in magnitude]
    return torch.stack(rows).to(mel)


def approximated(mel: np.ndarray, source: MelConfig, target: MelConfig, preemphasis: float = 0.0) -> Tensor:
    """Mel magnitudes [M, F] of one kind of spectrogram to the log-mel [M', F'] of another, float32.

    The spectrum behind the mel is estimated without negative values, resampled over frequency, filtered by the other
    bank, and its level resampled over time. What the first bank misses stays at the floor.

    Args:
        preemphasis: of the recordings behind ``mel``, which is undone.
    """
    spectrum = spectrum_behind(mel, mel_filters(source).double().numpy()) ** (1 / source.power)
    given = np.linspace(0.0, source.sample_rate / 2, spectrum.shape[0])
    if preemphasis:
        response = np.abs(1 - preemphasis * np.exp(-2j * np.pi * given / source.sample_rate))
        spectrum = spectrum / np.maximum(response, 0.05)[:, None]
    wanted = np.linspace(0.0, target.sample_rate / 2, target.n_fft // 2 + 1)
    resampled = np.stack([np.interp(wanted, given, frame, right=0.0) for frame in spectrum.T], axis=1)
    # A windowed sinusoid's peak grows with the sum of the window.
    resampled *= target.win_length / source.win_length
    amplitude = mel_filters(target).double() @ torch.from_numpy(resampled**target.power)
    return in_time(compress(amplitude, target), source, target).float()


def spectrum_behind(mel: np.ndarray, filters: np.ndarray, iterations: int = 60) -> np.ndarray:
    """A non-negative spectrum [K, F] whose filtered version is ``mel`` [M, F]; ``filters`` is [M, K].

    Multiplicative updates for the squared error (Lee and Seung 2001, theorem 1), from the back-projection.
    """
    reached = filters.sum(axis=1, keepdims=True)
    weight = filters.sum(axis=0)[:, None]
    spectrum = filters.T @ (mel / np.maximum(reached, 1e-12)) / np.maximum(weight, 1e-12)
    numerator = filters.T @ mel
    for _ in range(iterations):
        spectrum = spectrum * numerator / np.maximum(filters.T @ (filters @ spectrum), 1e-12)
    return spectrum


def in_time(log_mel: Tensor, source: MelConfig, target: MelConfig) -> Tensor:
    """Resample frames linearly: frame i of [M, F] is centred at i * hop / sample rate on either side."""
    seconds, wanted = source.hop_length / source.sample_rate, target.hop_length / target.sample_rate
    if seconds == wanted:
        return log_mel
    given = np.arange(log_mel.shape[1])
    position = np.arange(int(given[-1] * seconds / wanted + 1e-6) + 1) * (wanted / seconds)
    return torch.from_numpy(np.stack([np.interp(position, given, band) for band in log_mel.numpy()]))


def likely_kind(mel: Tensor, own: MelConfig) -> str | None:
    """What a mel [B, M, F] looks like if it is unlike any of speech at the levels of ``own``, in words; else None.

    Compared are the mean and the deviation of the natural log-mel that each kind would mean. Other bands, hops and
    rates of the same level show in no statistic. Of what is no mel, or too short a one, nothing is said.
    """
    mels = isinstance(mel, Tensor) and mel.is_floating_point() and mel.dim() in (2, 3) and mel.shape[-2] == own.n_mels
    if not mels or not mel.isfinite().all() or mel.shape[-1] < FEWEST or _distance(mel, own) < UNLIKELY:
        return None
    if mel.min() >= 0 and _distance(mel.clamp_min(own.floor).log(), MelConfig(n_mels=own.n_mels)) < LIKELY:
        return "like magnitudes, whose logarithm is to be given"
    distances = {kind: _distance(mel, kind_of(kind, own)) for kind in LEVELS}
    best = min(distances, key=distances.__getitem__)
    return f'like mel_kind="{best}"' if distances[best] < LIKELY else None


def _distance(mel: Tensor, kind: MelConfig) -> float:
    """Squared distance of a mel of this kind from ``TYPICAL`` speech."""
    level = expand(mel.double(), kind).clamp(1e-5, 1e6).log() / kind.power
    (mean, about), (spread, around) = TYPICAL
    return float(((level.mean() - mean) / about) ** 2 + ((level.std().clamp_min(1e-9).log() - spread) / around) ** 2)
