"""The mel contract: which log-mel spectrogram a vocoder takes, and how it is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError


@dataclass(frozen=True)
class MelConfig:
    """Settings of a log-mel spectrogram; the defaults are Tacotron 2's (Shen et al. 2018, section 2.1).

    Magnitudes (not powers) of a centred short-time Fourier transform with a periodic Hann window and
    reflected edges, times a Slaney filter bank of unit area, times ``gain``, clamped to ``floor``, and the
    logarithm to ``log_base`` (``"e"`` or ``"10"``).
    """

    sample_rate: int = 22050
    n_fft: int = 1024
    win_length: int = 1024
    hop_length: int = 256
    n_mels: int = 80
    fmin: float = 0.0
    fmax: float = 8000.0
    mel_scale: str = "slaney"
    log_base: str = "e"
    floor: float = 1e-5
    gain: float = 1.0

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_fft", "win_length", "hop_length", "n_mels"):
            if getattr(self, name) < 1:
                raise DiffvocError(f"mel setting {name} is {getattr(self, name)}; it must be a positive number.")
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise DiffvocError(
                f"mel bands from {self.fmin} to {self.fmax} Hz do not fit in a sample rate of "
                f"{self.sample_rate} Hz; use 0 <= fmin < fmax <= {self.sample_rate / 2}."
            )
        if self.log_base not in ("e", "10"):
            raise DiffvocError(f"mel log_base is {self.log_base!r}; it must be 'e' or '10'.")
        if self.mel_scale not in ("slaney", "htk"):
            raise DiffvocError(f"mel_scale is {self.mel_scale!r}; it must be 'slaney' or 'htk'.")
        if self.floor <= 0 or self.gain <= 0:
            raise DiffvocError("mel floor and gain must be above zero.")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MelConfig:
        """Read a plain dictionary, and refuse keys that this version does not know."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise DiffvocError(f"unknown mel settings {sorted(unknown)}; this version knows {cls().names()}.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def names(self) -> list[str]:
        return [field.name for field in fields(self)]


@lru_cache(maxsize=8)
def mel_filters(config: MelConfig) -> Tensor:
    """The filter bank [n_mels, n_fft // 2 + 1], float32, each band of unit area (Slaney's normalisation)."""
    import torchaudio.functional as F  # a heavy import, paid only when a mel is really made

    filters = F.melscale_fbanks(
        config.n_fft // 2 + 1,
        config.fmin,
        config.fmax,
        config.n_mels,
        config.sample_rate,
        norm="slaney",
        mel_scale=config.mel_scale,
    )
    return filters.T.contiguous()


def stft(waveform: Tensor, config: MelConfig) -> Tensor:
    """Complex spectrogram [B, n_fft // 2 + 1, F] of ``waveform`` [B, T], frame f centred at sample f * hop."""
    if waveform.dim() != 2:
        raise DiffvocError(f"a waveform of shape {list(waveform.shape)} was given; it must be [B, T].")
    if waveform.shape[-1] <= config.n_fft // 2:
        raise DiffvocError(
            f"the waveform has {waveform.shape[-1]} samples; at least {config.n_fft // 2 + 1} are needed."
        )
    window = torch.hann_window(config.win_length, device=waveform.device, dtype=waveform.dtype)
    return torch.stft(
        waveform,
        config.n_fft,
        config.hop_length,
        config.win_length,
        window,
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )


def compress(mel_magnitude: Tensor, config: MelConfig) -> Tensor:
    """Magnitudes to log-mel, as ``config`` says."""
    clamped = (mel_magnitude * config.gain).clamp_min(config.floor)
    return clamped.log() if config.log_base == "e" else clamped.log10()


def expand(log_mel: Tensor, config: MelConfig) -> Tensor:
    """Log-mel to magnitudes: the inverse of :func:`compress` above the floor."""
    magnitude = log_mel.exp() if config.log_base == "e" else torch.pow(10.0, log_mel)
    return magnitude / config.gain


def log_mel(waveform: Tensor, config: MelConfig) -> Tensor:
    """Log-mel spectrogram [B, n_mels, F] of ``waveform`` [B, T] in [-1, 1]; F = T // hop_length + 1.

    Raises DiffvocError for another shape or a clip shorter than half a window.
    """
    magnitude = stft(waveform, config).abs()
    return compress(mel_filters(config).to(magnitude) @ magnitude, config)


def check_mel(mel: Tensor, config: MelConfig) -> Tensor:
    """Return ``mel`` as float32 [B, n_mels, F], or say in one sentence what is wrong with it."""
    if not isinstance(mel, Tensor):
        raise DiffvocError(f"a mel of type {type(mel).__name__} was given; it must be a torch tensor.")
    if mel.dim() == 2:
        mel = mel.unsqueeze(0)
    if mel.dim() != 3 or mel.shape[1] != config.n_mels:
        raise DiffvocError(
            f"a mel of shape {list(mel.shape)} was given; this vocoder takes [B, {config.n_mels}, F]"
            + (": transpose it." if mel.dim() == 3 and mel.shape[2] == config.n_mels else ".")
        )
    if mel.shape[0] == 0 or mel.shape[2] == 0:
        raise DiffvocError("the mel has no frames; give at least one.")
    if not torch.isfinite(mel).all():
        raise DiffvocError("the mel holds NaN or infinite values; check what made it.")
    return mel.float()
