"""The mel contract: which log-mel spectrogram a vocoder takes, and how it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.schema import FromJson, Rate, Width

CHOICES: dict[str, tuple[object, object]] = {
    "log_base": ("e", "10"),
    "mel_scale": ("slaney", "htk"),
    "mel_norm": ("slaney", "none"),
    "power": (1, 2),  # magnitudes or powers
}


@dataclass(frozen=True)
class MelConfig(FromJson):
    """Settings of a log-mel spectrogram; the defaults are Tacotron 2's (Shen et al. 2018, section 2.1).

    Magnitudes (or, with ``power`` 2, powers) of a centred short-time Fourier transform with a periodic Hann window
    and reflected edges, times a filter bank whose bands have unit area (``mel_norm`` "slaney") or unit height
    ("none"), times ``gain``, clamped to ``floor`` and, unless it is None, to ``ceiling``, and the logarithm to
    ``log_base`` (``"e"`` or ``"10"``). Last, the logarithm times ``scale`` plus ``shift``, each one number or one
    for each band, is what other packages call decibels or a normalised mel.
    """

    sample_rate: Rate = 22050
    n_fft: Width = 1024
    win_length: Width = 1024
    hop_length: Width = 256
    n_mels: Width = 80
    fmin: float = 0.0
    fmax: float = 8000.0
    mel_scale: str = "slaney"
    log_base: str = "e"
    floor: float = 1e-5
    gain: float = 1.0
    mel_norm: str = "slaney"
    power: int = 1
    ceiling: float | None = None
    scale: float | tuple[float, ...] = 1.0
    shift: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_fft", "win_length", "hop_length", "n_mels"):
            if getattr(self, name) < 1:
                raise DiffvocError(f"mel setting {name} is {getattr(self, name)}; it must be a positive number.")
        if self.win_length > self.n_fft:
            raise DiffvocError(f"mel win_length is {self.win_length}; it must be at most n_fft, {self.n_fft}.")
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise DiffvocError(
                f"mel bands from {self.fmin} to {self.fmax} Hz do not fit in a sample rate of "
                f"{self.sample_rate} Hz; use 0 <= fmin < fmax <= {self.sample_rate / 2}."
            )
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                wanted = " or ".join(map(repr, choices))
                raise DiffvocError(f"mel {name} is {getattr(self, name)!r}; it must be {wanted}.")
        if self.floor <= 0 or self.gain <= 0:
            raise DiffvocError("mel floor and gain must be above zero.")
        if self.ceiling is not None and self.ceiling <= self.floor:
            raise DiffvocError(f"mel ceiling is {self.ceiling}; it must be above the floor, {self.floor}.")
        for name in ("scale", "shift"):
            value = getattr(self, name)
            alone = isinstance(value, (int, float))
            values = (value,) * self.n_mels if alone else tuple(float(one) for one in value)
            object.__setattr__(self, name, value if alone else values)
            if len(values) != self.n_mels:
                raise DiffvocError(f"mel {name} has {len(values)} numbers; give one, or one for each of {self.n_mels}.")
            if not all(math.isfinite(one) for one in values) or (name == "scale" and 0 in values):
                raise DiffvocError(f"mel {name} is not usable; it must be finite, and the scale not zero.")


# Read in each package's own code. HiFi-GAN, Matcha-TTS and BigVGAN pad so that frame f is centred half a hop later than
# here, which makes the waveform half a hop early and nothing else.
PRESETS = {
    "tacotron2": MelConfig(),
    "hifigan": MelConfig(),
    "coqui": MelConfig(fmax=11025.0, log_base="10", floor=1e-4, ceiling=10.0, scale=1.6, shift=2.4),
    "espnet": MelConfig(fmin=80.0, fmax=7600.0, log_base="10", floor=1e-10),
    "matcha": MelConfig(scale=1 / 2.116101, shift=5.536622 / 2.116101),  # its LJSpeech model, before denormalisation
    "whisper": MelConfig(16000, 400, 400, 160, log_base="10", floor=1e-10, power=2, scale=0.25, shift=1.0),
    "bigvgan": MelConfig(24000, n_mels=100, fmax=12000.0),
    "vocos": MelConfig(24000, n_mels=100, fmax=12000.0, mel_scale="htk", mel_norm="none", floor=1e-7),
}


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # what is kept may be used in training later
def mel_filters(config: MelConfig, device: torch.device | None = None) -> Tensor:
    """The filter bank [n_mels, n_fft // 2 + 1], float32, each band of unit area, or of unit height ("none")."""
    if device is not None:  # copied there once, as each copy waits for it
        return mel_filters(config).to(device)
    lowest, highest = _hz_to_mel(config.fmin, config), _hz_to_mel(config.fmax, config)
    places = torch.linspace(lowest, highest, config.n_mels + 2)
    edges = _mel_to_hz(places, config)
    frequency = torch.linspace(0, config.sample_rate // 2, config.n_fft // 2 + 1)
    slopes = edges.unsqueeze(0) - frequency.unsqueeze(1)
    width = edges[1:] - edges[:-1]
    filters = torch.minimum(-slopes[:, :-2] / width[:-1], slopes[:, 2:] / width[1:]).clamp_min(0)
    if config.mel_norm == "slaney":
        filters = filters * (2.0 / (edges[2:] - edges[:-2]))
    return filters.T.contiguous()


# Slaney's scale (Auditory Toolbox, 1998): linear below 1,000 Hz, which is at 15 mel, logarithmic above.
LINEAR, CORNER, STEP = 200 / 3, 1000.0, math.log(6.4) / 27


def _hz_to_mel(frequency: float, config: MelConfig) -> float:
    if config.mel_scale == "htk":
        return 2595 * math.log10(1 + frequency / 700)
    if frequency < CORNER:
        return frequency / LINEAR
    return CORNER / LINEAR + math.log(frequency / CORNER) / STEP


def _mel_to_hz(mel: Tensor, config: MelConfig) -> Tensor:
    if config.mel_scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    corner = CORNER / LINEAR
    return torch.where(mel < corner, LINEAR * mel, CORNER * torch.exp(STEP * (mel - corner)))


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


def _for_bands(value: float | tuple[float, ...], like: Tensor) -> Tensor | float:
    """``value`` ready to combine with a mel [..., M, F] such as ``like``."""
    return like.new_tensor(value).unsqueeze(-1) if isinstance(value, tuple) else value


def compress(mel_magnitude: Tensor, config: MelConfig) -> Tensor:
    """Magnitudes (powers, with ``config.power`` 2) [..., M, F] to log-mel, as ``config`` says."""
    clamped = (mel_magnitude * config.gain).clamp(config.floor, config.ceiling)
    return _scaled(clamped, config)


def _scaled(magnitude: Tensor, config: MelConfig) -> Tensor:
    """Logarithm, scale and shift of magnitudes [..., M, F]."""
    level = magnitude.log() if config.log_base == "e" else magnitude.log10()
    if config.scale == 1.0 and config.shift == 0.0:
        return level
    return level * _for_bands(config.scale, level) + _for_bands(config.shift, level)


def expand(log_mel: Tensor, config: MelConfig) -> Tensor:
    """Log-mel to magnitudes: the inverse of :func:`compress` between the floor and the ceiling."""
    level = (log_mel - _for_bands(config.shift, log_mel)) / _for_bands(config.scale, log_mel)
    magnitude = level.exp() if config.log_base == "e" else torch.pow(10.0, level)
    return magnitude / config.gain


def log_mel(waveform: Tensor, config: MelConfig) -> Tensor:
    """Log-mel spectrogram [B, n_mels, F] of ``waveform`` [B, T] in [-1, 1]; F = T // hop_length + 1.

    Raises DiffvocError for another shape or a clip shorter than half a window.
    """
    magnitude = stft(waveform, config).abs()
    if config.power == 2:
        magnitude = magnitude.square()
    return compress(mel_filters(config, magnitude.device).to(magnitude) @ magnitude, config)


SLACK = 3.0  # nepers, 26 dB, by which a mel may go beyond those of audio


@lru_cache(maxsize=8)
def limits(config: MelConfig) -> tuple[Tensor, Tensor]:
    """Least and greatest values [n_mels, 1] of a mel of audio in [-1, 1], with ``SLACK`` to spare.

    No bin of a Hann window's transform is above half the window's length, and no band above that in all of its bins.
    """
    loudest = (config.win_length / 2) ** config.power * float(mel_filters(config).sum(1).max())
    spare = math.exp(SLACK * config.power)
    ends = torch.tensor([config.floor / spare, max(config.floor, config.gain * loudest) * spare])
    values = _scaled(ends.expand(config.n_mels, 2), config)
    return values.amin(1, keepdim=True), values.amax(1, keepdim=True)


def check_mel(mel: Tensor, config: MelConfig) -> Tensor:
    """Return ``mel`` as float32 [B, n_mels, F], or say in one sentence what is wrong with it.

    Raises: DiffvocError for what is no tensor of real numbers, of another shape, without frames, or beyond
        :func:`limits`, which NaN and a mel of another kind are.
    """
    if not isinstance(mel, Tensor):
        raise DiffvocError(f"a mel of type {type(mel).__name__} was given; give a tensor, as torch.from_numpy makes.")
    if mel.is_complex() or mel.dtype == torch.bool:
        raise DiffvocError(f"a mel of {mel.dtype} was given; it must be of real numbers.")
    if mel.dim() == 2:
        mel = mel.unsqueeze(0)
    if mel.dim() != 3 or mel.shape[1] != config.n_mels:
        raise DiffvocError(
            f"a mel of shape {list(mel.shape)} was given; this vocoder takes [B, {config.n_mels}, F]"
            + (": transpose it." if mel.dim() == 3 and mel.shape[2] == config.n_mels else ".")
        )
    if mel.shape[0] == 0 or mel.shape[2] == 0:
        raise DiffvocError("the mel has no frames; give at least one.")
    mel = mel.float()
    low, high = (limit.to(mel.device) for limit in limits(config))
    outside = ~((mel >= low) & (mel <= high))  # NaN is neither
    if outside.any():
        row, band, frame = (int(place) for place in outside.nonzero()[0])
        raise DiffvocError(
            f"frame {frame} of the mel holds {float(mel[row, band, frame]):.4g} in band {band}; that of audio lies "
            f"between {float(low[band]):.3g} and {float(high[band]):.3g} there: check its scale."
        )
    return mel
