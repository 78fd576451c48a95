"""What the networks at frame rate are built of."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution of 7 frames, layer norm, two dense layers (Liu et al. 2022), in one dimension."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, 2 * channels)
        self.narrow = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, F] to [B, C, F]."""
        y = self.norm(self.depthwise(x).transpose(1, 2))
        return x + self.narrow(F.gelu(self.widen(y))).transpose(1, 2)


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
