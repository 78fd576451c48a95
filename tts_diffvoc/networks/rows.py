"""Layers of networks at frame rate, on signals that are rows, one a frame: [B, F, C]."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.networks.fast import find_linear


def linear(x: Tensor, layer: nn.Linear | nn.Conv1d) -> Tensor:
    """A dense layer, or a convolution of one frame: [..., C] to [..., C']."""
    weight, bias = layer.weight.flatten(1), layer.bias
    traced = torch.is_grad_enabled() or torch.compiler.is_compiling()
    plain = traced or torch.is_autocast_enabled(x.device.type) or x.dtype != torch.float32
    if plain or x.device.type != "cpu" or bias is None:
        return F.linear(x, weight, bias)
    return find_linear()(x, weight, bias)


def convolve(x: Tensor, layer: nn.Conv1d) -> Tensor:
    """A convolution over frames, [B, F, C] to [B, F, C'], without copies: rows are an image in channels_last."""
    image = x.unsqueeze(1).permute(0, 3, 1, 2)
    padding, dilation = int(layer.padding[0]), layer.dilation[0]
    weight = layer.weight.unsqueeze(2)
    made = F.conv2d(image, weight, layer.bias, padding=(0, padding), dilation=(1, dilation), groups=layer.groups)
    return made.permute(0, 2, 3, 1).squeeze(1)


def gated_unit(x: Tensor) -> Tensor:
    """Sigmoid of one half of the channels times tanh of the other: [..., 2 C] to [..., C]."""
    gate, value = x.chunk(2, -1)
    if x.dtype == torch.float32:  # a sigmoid has a vector instruction's speed on every CPU, tanh has not
        return gate.sigmoid() * (2 * value).sigmoid().mul(2).sub(1)
    return gate.sigmoid() * value.tanh()


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution of 7 frames, layer norm, two dense layers (Liu et al. 2022), in one dimension."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, 2 * channels)
        self.narrow = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, F, C] to [B, F, C]."""
        y = self.norm(convolve(x, self.depthwise))
        return x + linear(F.gelu(linear(y, self.widen)), self.narrow)


class LevelEmbedding(nn.Module):
    """Sinusoids of a continuous noise level and two dense layers (Kong et al. 2021, section 3.1)."""

    rates: Tensor

    def __init__(self, channels: int, sinusoids: int = 32, fastest: float = 1000.0) -> None:
        super().__init__()
        rates = torch.exp(torch.arange(sinusoids) / (sinusoids - 1) * math.log(fastest))
        self.register_buffer("rates", rates, persistent=False)
        self.first = nn.Linear(2 * sinusoids, channels)
        self.second = nn.Linear(channels, channels)

    def forward(self, noise_level: Tensor) -> Tensor:
        """Noise level [B], from 0 to 1, to [B, channels]."""
        angle = noise_level.unsqueeze(1) * self.rates
        return F.silu(self.second(F.silu(self.first(torch.cat([angle.sin(), angle.cos()], 1)))))


def zero(layer: nn.Conv1d | nn.Linear) -> None:
    """Let an untrained ``layer`` put out zeros."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
