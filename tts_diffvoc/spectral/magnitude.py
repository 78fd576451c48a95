"""Linear magnitudes from a log-mel and the source's level, and mels carried towards a wanted one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.mel import MelConfig, expand, log_mel, mel_filters
from tts_diffvoc.networks.rows import ConvNeXtBlock, convolve, linear, zero
from tts_diffvoc.schema import Depth, FromJson, Width
from tts_diffvoc.spectral.pitch import natural_mel
from tts_diffvoc.spectral.source import LEVEL, source_level
from tts_diffvoc.spectral.transform import Transform, magnitude

LEAST, MOST = 1e-3, 512.0  # of a magnitude: -86 dBFS of noise, and a full-scale tone


@dataclass(frozen=True)
class MagnitudeConfig(FromJson):
    """Sizes of the magnitude network."""

    channels: Width = 256
    blocks: Depth = 6


def mel_gain(spectrum: Tensor, wanted: Tensor, filters: Tensor) -> Tensor:
    """For each bin of magnitudes [B, F, K] the ratio of ``wanted`` to present mel [B, F, M], over bands that see it."""
    total = filters.sum(0)
    ratio = (wanted / (spectrum @ filters.T).clamp_min(1e-9)).clamp(1e-2, 1e2)
    return torch.where(total > 0, ratio @ (filters / total.clamp_min(1e-8)), 1.0)


def match_mel(spectrum: Tensor, wanted: Tensor, filters: Tensor, iterations: int = 3) -> Tensor:
    """Scale magnitudes [B, F, K] smoothly over frequency until their mel is ``wanted`` [B, F, M], magnitudes too."""
    for _ in range(iterations):
        spectrum = spectrum * mel_gain(spectrum, wanted, filters)
    return spectrum


def carry_mel(spectrum: Tensor, wanted: Tensor, filters: Tensor) -> Tensor:
    """Scale a spectrum [B, F, 2, K], phases kept, until its mel is nearer to ``wanted`` [B, F, M], magnitudes.

    A projection on the data (Wang et al. 2023, denoising diffusion null-space model), the mel being the measurement.
    """
    return spectrum * mel_gain(magnitude(spectrum), wanted, filters).clamp(0.1, 10.0).unsqueeze(2)


class MagnitudeNetwork(nn.Module):
    """Log-mel and the source's level to linear magnitudes: the mel's envelope, corrected."""

    filters: Tensor
    spread: Tensor

    def __init__(self, config: MagnitudeConfig, mel: MelConfig) -> None:
        super().__init__()
        self.config, self.mel = config, mel
        self.transform = Transform(mel.n_fft, mel.hop_length)
        bins = self.transform.bins
        self.register_buffer("filters", mel_filters(mel), persistent=False)
        self.register_buffer("spread", spread_bands(self.filters).T.contiguous(), persistent=False)
        self.first = nn.Conv1d(mel.n_mels, config.channels, 3, padding=1)
        self.source = nn.Conv1d(bins, config.channels, 3, padding=1)
        self.blocks = nn.Sequential(*(ConvNeXtBlock(config.channels) for _ in range(config.blocks)))
        self.last = nn.Conv1d(config.channels, 2 * bins, 1)
        zero(self.last)

    def log_magnitude(self, mel: Tensor, level: Tensor) -> Tensor:
        """Log-mel [B, M, F] and the source's log level [B, F, K] to log magnitudes [B, F, K]."""
        x = convolve(natural_mel(mel, self.mel), self.first) + convolve(level + 1.0, self.source)
        correction, gain = linear(self.blocks(x), self.last).float().chunk(2, -1)
        return torch.addcmul(self.envelope(mel) + correction, gain, level)

    def envelope(self, mel: Tensor) -> Tensor:
        """Log magnitudes [B, F, K] of bands that are flat; bins above all bands go on like the last one."""
        density = expand(mel, self.mel).transpose(1, 2).clamp_min(1e-5) / self.filters.sum(1)
        return density.log() @ self.spread

    def forward(self, mel: Tensor, level: Tensor) -> Tensor:
        """Magnitudes [B, F, K] whose mel is ``mel`` [B, M, F]."""
        guess = self.log_magnitude(mel, level)
        # No mel holds the bins that no band sees: what is unlike speech may not make them loud.
        unseen = torch.where(self.filters.sum(0) > 0, 8.0, self.envelope(mel) + 1.0)
        guess = torch.minimum(guess, unseen).clamp(-16.0, 8.0).exp()
        wanted = expand(mel, self.mel).clamp_max(1e3).transpose(1, 2)
        return match_mel(guess, wanted, self.filters).clamp(LEAST, MOST)

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Mean absolute error of the log magnitudes, quiet bins counting less, those beyond the bandwidth nothing.

        Args:
            batch: "waveform" and "source" [B, F * hop], "bandwidth" [B] in Hz.
        """
        waveform = batch["waveform"]
        target = magnitude(self.transform(waveform)).clamp_min(1e-4).log()
        mel = log_mel(waveform, self.mel)[..., : target.shape[1]]
        level = source_level(self.transform(batch["source"]) / LEVEL)
        weight = ((target - target.amax((1, 2), keepdim=True)) / 2 + 4).clamp(0.15, 1)
        weight = weight * within(batch["bandwidth"], self.mel)
        return {"loss": ((self.log_magnitude(mel, level) - target).abs() * weight).sum() / weight.sum()}


def within(bandwidth: Tensor, mel: MelConfig) -> Tensor:
    """Bins below each recording's ``bandwidth`` [B] in Hz, with room for its filter: [B, 1, K]."""
    frequency = torch.arange(mel.n_fft // 2 + 1, device=bandwidth.device) * (mel.sample_rate / mel.n_fft)
    return (frequency < (bandwidth.unsqueeze(1) - 150)).unsqueeze(1)


def spread_bands(filters: Tensor) -> Tensor:
    """The matrix [K, M] by which each bin takes the mean of the bands that see it, or the last band of all."""
    weight = filters / filters.sum(1, keepdim=True)
    total = weight.sum(0)
    centre = (weight * torch.arange(filters.shape[1])).sum(1)
    nearest = (torch.arange(filters.shape[1]).unsqueeze(1) - centre).abs().argmin(1)
    alone = F.one_hot(nearest, filters.shape[0]).to(filters)
    return torch.where((total > 0).unsqueeze(1), (weight / total.clamp_min(1e-8)).T, alone)
