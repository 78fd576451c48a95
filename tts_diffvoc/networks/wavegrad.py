"""WaveGrad (Chen et al. 2021, "WaveGrad: Estimating Gradients for Waveform Generation").

B is the batch, T the samples of a clip, F its mel frames, M the mel bands. The state-dict layout is that of
the public ``wavegrad`` package, for any hop that its factors multiply to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.schema import Depth, FromJson, Width

Dilations = tuple[Width, Width, Width, Width]  # of an upsampling block's convolutions


@dataclass(frozen=True)
class WaveGradConfig(FromJson):
    """Sizes of a WaveGrad network; the defaults are the paper's Base for a hop of 300 (appendix A).

    ``factors``, ``channels`` and ``dilations`` describe the upsampling blocks from the mel to the signal;
    the downsampling blocks mirror them. ``down_channels`` belong to the convolution that reads the signal and
    the downsampling blocks after it. ``repeats`` = 2 is the paper's Large: each block is followed by one more
    without resampling (27.6 million parameters so; the paper says 23). ``in_channels`` is 1 for the published
    network, which works on samples; more are those of a spectrum (:mod:`tts_diffvoc.spectral`).
    ``level_scale`` multiplies the noise level before its sinusoids (the paper's C = 5000; the public
    package uses 1). Of other publishers' variants, ``level_encoding`` "added" adds the noise level itself and
    sinusoids of the position, over 5000 (Coqui TTS), instead of "sinusoids" of the noise level, and
    ``interpolation`` "linear" resamples linearly (ivanvovk/WaveGrad) instead of taking the "nearest" position.
    """

    factors: tuple[Width, ...] = (5, 5, 3, 2, 2)
    channels: tuple[Width, ...] = (512, 512, 256, 128, 128)
    dilations: tuple[Dilations, ...] = (
        (1, 2, 1, 2),
        (1, 2, 1, 2),
        (1, 2, 4, 8),
        (1, 2, 4, 8),
        (1, 2, 4, 8),
    )
    first_channels: Width = 768
    down_channels: tuple[Width, ...] = (32, 128, 128, 256, 512)
    n_mels: Width = 128
    in_channels: Width = 1
    repeats: Depth = 1
    level_scale: float = 1.0
    level_encoding: Literal["sinusoids", "added"] = "sinusoids"
    interpolation: Literal["nearest", "linear"] = "nearest"

    def __post_init__(self) -> None:
        for name in ("factors", "channels", "down_channels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "dilations", tuple(tuple(d) for d in self.dilations))
        lengths = {len(self.factors), len(self.channels), len(self.dilations), len(self.down_channels)}
        if lengths != {len(self.factors)} or not self.factors:
            raise DiffvocError(
                "factors, channels, dilations and down_channels of a WaveGrad network must be equally many, "
                f"one for each block; given {sorted(lengths)}."
            )

    @property
    def positions_per_frame(self) -> int:
        return math.prod(self.factors)

    @property
    def reach(self) -> int:
        """No fewer than the positions on either side on which the noise at one depends.

        At each resolution three convolutions on the way down reach 7 steps, those of FiLM 2, resampling 1 each way, and
        those on the way up the sum of their dilations.
        """
        steps, total = self.positions_per_frame, 0
        for factor, dilations in zip(self.factors, self.dilations):
            steps //= factor
            total += steps * (4 + self.repeats * (7 + sum(dilations)))
        return total

    @property
    def mel_reach(self) -> int:
        """Frames of the mel beyond that, of the first convolution and of upsampling."""
        return 2


BASE = WaveGradConfig()
LARGE = WaveGradConfig(repeats=2)


class WaveGradConditioning(NamedTuple):
    """What depends on the mel alone: the first convolution's output [B, first_channels, F]; ``start`` is its frame."""

    hidden: Tensor
    positions: int
    start: int = 0


def _conv(inputs: int, outputs: int, size: int, dilation: int = 1) -> nn.Conv1d:
    conv = nn.Conv1d(inputs, outputs, size, dilation=dilation, padding=dilation * (size // 2))
    nn.init.orthogonal_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def _resize(x: Tensor, length: int, mode: str) -> Tensor:
    return x if x.shape[-1] == length else F.interpolate(x, size=length, mode=mode)


class FiLM(nn.Module):
    """Shift and scale of an upsampling block from the signal and the noise level (section 3, figure 5)."""

    def __init__(self, inputs: int, outputs: int, level_scale: float, level_encoding: str = "sinusoids") -> None:
        super().__init__()
        self.level_scale = level_scale
        self.level_encoding = level_encoding
        self.input_conv = nn.Conv1d(inputs, inputs, 3, padding=1)
        self.output_conv = nn.Conv1d(inputs, 2 * outputs, 3, padding=1)
        for conv in (self.input_conv, self.output_conv):
            nn.init.xavier_uniform_(conv.weight)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def encode(self, noise_level: Tensor, channels: int) -> Tensor:
        """Sinusoids [B, channels] of the noise level [B]."""
        count = channels // 2
        rates = torch.exp(-math.log(1e4) * torch.arange(count, device=noise_level.device) / count)
        angles = self.level_scale * noise_level.unsqueeze(1) * rates.to(noise_level.dtype)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    @staticmethod
    def positions(x: Tensor, start: int = 0) -> Tensor:
        """Sinusoids [channels, positions] of each position of ``x``, over 5000, sines and cosines in turn."""
        channels = x.shape[1]
        place = torch.arange(start, start + x.shape[2], device=x.device, dtype=torch.float32)
        periods = torch.pow(1e4, torch.arange(0, channels, 2, device=x.device).float() / channels)
        angles = place / periods.unsqueeze(1)
        return torch.stack([angles.sin(), angles.cos()], dim=1).reshape(-1, x.shape[2])[:channels] / 5000

    def forward(self, x: Tensor, noise_level: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        x = F.leaky_relu(self.input_conv(x), 0.2)
        if self.level_encoding == "added":
            x = x + noise_level.reshape(-1, 1, 1).to(x.dtype) + self.positions(x, start).to(x.dtype)
        else:
            x = x + self.encode(noise_level, x.shape[1]).unsqueeze(-1).to(x.dtype)
        shift, scale = self.output_conv(x).chunk(2, dim=1)
        return shift, scale


class UBlock(nn.Module):
    """Upsampling block: two residual pairs of dilated convolutions, modulated by FiLM (figure 3)."""

    def __init__(
        self, inputs: int, outputs: int, factor: int, dilations: tuple[int, ...], interpolation: str = "nearest"
    ) -> None:
        super().__init__()
        self.factor = factor
        self.interpolation = interpolation
        self.block1 = _conv(inputs, outputs, 1)
        self.block2 = nn.ModuleList([_conv(inputs, outputs, 3, dilations[0]), _conv(outputs, outputs, 3, dilations[1])])
        self.block3 = nn.ModuleList([_conv(outputs, outputs, 3, d) for d in dilations[2:]])

    def forward(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        length = x.shape[-1] * self.factor
        # A 1x1 convolution and interpolation commute, and the short side is cheaper.
        shortcut = _resize(self.block1(x), length, self.interpolation)
        h = self.block2[0](_resize(F.leaky_relu(x, 0.2), length, self.interpolation))
        h = self.block2[1](F.leaky_relu(shift + scale * h, 0.2))
        x = shortcut + h
        h = x
        for conv in self.block3:
            h = conv(F.leaky_relu(shift + scale * h, 0.2))
        return x + h


class DBlock(nn.Module):
    """Downsampling block: three dilated convolutions beside a 1x1 shortcut (figure 4)."""

    def __init__(self, inputs: int, outputs: int, factor: int, interpolation: str = "nearest") -> None:
        super().__init__()
        self.factor = factor
        self.interpolation = interpolation
        self.residual_dense = _conv(inputs, outputs, 1)
        self.conv = nn.ModuleList(
            [_conv(inputs, outputs, 3, 1), _conv(outputs, outputs, 3, 2), _conv(outputs, outputs, 3, 4)]
        )

    def forward(self, x: Tensor) -> Tensor:
        x = _resize(x, x.shape[-1] // self.factor, self.interpolation)
        shortcut = self.residual_dense(x)
        for conv in self.conv:
            x = conv(F.leaky_relu(x, 0.2))
        return x + shortcut


class WaveGrad(nn.Module):
    """The noise predictor eps(x, noise_level, mel), conditioned on the continuous noise level."""

    def __init__(self, config: WaveGradConfig) -> None:
        super().__init__()
        self.config = config
        down_factors = tuple(reversed(config.factors))[:-1]
        inputs = config.down_channels[0]
        down: list[nn.Module] = [_conv(config.in_channels, inputs, 5)]
        for outputs, factor in zip(config.down_channels[1:], down_factors):
            down += [DBlock(inputs, outputs, factor, config.interpolation)]
            down += [DBlock(outputs, outputs, 1) for _ in range(config.repeats - 1)]
            inputs = outputs
        up: list[nn.Module] = []
        inputs = config.first_channels
        for outputs, factor, dilations in zip(config.channels, config.factors, config.dilations):
            up += [UBlock(inputs, outputs, factor, dilations, config.interpolation)]
            up += [UBlock(outputs, outputs, 1, dilations) for _ in range(config.repeats - 1)]
            inputs = outputs
        self.downsample = nn.ModuleList(down)
        self.film = nn.ModuleList(
            FiLM(inputs, outputs, config.level_scale, config.level_encoding)
            for inputs, outputs in zip(config.down_channels, reversed(config.channels))
        )
        self.upsample = nn.ModuleList(up)
        self.first_conv = _conv(config.n_mels, config.first_channels, 3)
        self.last_conv = _conv(config.channels[-1], config.in_channels, 3)

    def condition(self, mel: Tensor, start: int = 0) -> WaveGradConditioning:
        """The part of the network that depends on ``mel`` [B, M, F], from frame ``start`` of an utterance, alone."""
        return WaveGradConditioning(self.first_conv(mel), self.config.positions_per_frame, start)

    def forward(self, x: Tensor, noise_level: Tensor, conditioning: WaveGradConditioning) -> Tensor:
        """Predict the noise in ``x``.

        Args:
            x: [B, T], or [B, in_channels, positions] where there are several channels.
            noise_level: [B], the square root of the cumulated alphas, in (0, 1].
            conditioning: from :meth:`condition`.

        Returns: the noise, of the shape of ``x``.
        """
        h = x.reshape(x.shape[0], self.config.in_channels, -1)
        repeats = self.config.repeats
        modulations = []
        for i, film in enumerate(self.film):
            first = 0 if i == 0 else 1 + (i - 1) * repeats
            for block in self.downsample[first : 1 + i * repeats]:
                h = block(h)
            modulations.append(film(h, noise_level, conditioning.start * h.shape[-1] // conditioning.hidden.shape[-1]))
        h = conditioning.hidden
        for i, block in enumerate(self.upsample):
            h = block(h, *modulations[-1 - i // repeats])
        return self.last_conv(h).reshape(x.shape)
