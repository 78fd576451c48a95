"""Fundamental frequency and voicing from a log-mel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, expand, log_mel
from tts_diffvoc.spectral.layers import ConvNeXtBlock


@dataclass(frozen=True)
class PitchConfig:
    """Sizes of the pitch network: ``bins`` log-spaced frequencies from ``lowest`` to ``highest`` Hz."""

    channels: int = 160
    blocks: int = 6
    bins: int = 192
    lowest: float = 50.0
    highest: float = 600.0

    def __post_init__(self) -> None:
        if min(self.channels, self.blocks) < 1 or self.bins < 2:
            raise DiffvocError(f"{self} has a size below one, or fewer than two bins.")
        if not 0 < self.lowest < self.highest < math.inf:
            raise DiffvocError(f"pitch from {self.lowest} to {self.highest} Hz is no range; use for example 50 to 600.")


class F0(NamedTuple):
    """F0 in Hz [B, F], going on through what is unvoiced, and what is voiced, bool [B, F]."""

    f0: Tensor
    voiced: Tensor


def natural_mel(mel: Tensor, config: MelConfig) -> Tensor:
    """Any log-mel [B, M, F] as natural logarithms of magnitudes, about unit variance, what the networks read."""
    level = expand(mel, config).clamp(1e-5, 1e3).log()
    return (level + 5.0) / 2.0


def viterbi(log_probability: Tensor, cost: float = 0.3, reach: int = 10) -> Tensor:
    """The likeliest smooth path through bins [B, N, F] -> [B, F] (Viterbi 1967).

    Args:
        cost: in nats, of moving by one bin from a frame to the next; so an octave there and back must be worth it.
        reach: most bins that a frame can move by.
    """
    batch, bins, frames = log_probability.shape
    moves = torch.arange(-reach, reach + 1, device=log_probability.device)
    penalty = cost * moves.abs().to(log_probability.dtype)
    score, came = log_probability[:, :, 0], []
    for frame in range(1, frames):
        around = F.pad(score, (reach, reach), value=-math.inf).unfold(1, 2 * reach + 1, 1) - penalty
        best, move = around.max(-1)
        came.append(move - reach)
        score = best + log_probability[:, :, frame]
    path = [score.argmax(1)]
    for move in reversed(came):
        path.append(path[-1] + move.gather(1, path[-1].unsqueeze(1)).squeeze(1))
    return torch.stack(path[::-1], 1)


class PitchNetwork(nn.Module):
    """Log-mel to F0; trained on glottal closures' periods."""

    def __init__(self, config: PitchConfig, mel: MelConfig) -> None:
        super().__init__()
        self.config, self.mel = config, mel
        self.first = nn.Conv1d(mel.n_mels, config.channels, 3, padding=1)
        self.blocks = nn.Sequential(*(ConvNeXtBlock(config.channels) for _ in range(config.blocks)))
        self.last = nn.Conv1d(config.channels, config.bins + 1, 1)

    def logits(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel [B, M, F] to logits over the bins [B, N, F] and of voicing [B, F]."""
        out = self.last(self.blocks(self.first(natural_mel(mel, self.mel)))).float()
        return out[:, :-1], out[:, -1]

    def place(self, f0: Tensor) -> Tensor:
        """F0 in Hz to its place among the bins, a fraction from 0 to N - 1."""
        low, high = math.log(self.config.lowest), math.log(self.config.highest)
        return (f0.clamp(self.config.lowest, self.config.highest).log() - low) / (high - low) * (self.config.bins - 1)

    def frequency(self, place: Tensor) -> Tensor:
        """The inverse of :meth:`place`."""
        low, high = math.log(self.config.lowest), math.log(self.config.highest)
        return torch.exp(low + place / (self.config.bins - 1) * (high - low))

    def forward(self, mel: Tensor) -> F0:
        """Log-mel [B, M, F] to F0, decoded so that it jumps by no octave within a phrase."""
        logits, voicing = self.logits(mel)
        probability = logits.softmax(1)
        # What is unvoiced says little about pitch, and may not bend the path.
        path = viterbi(logits.log_softmax(1) * voicing.sigmoid().unsqueeze(1)).unsqueeze(1)
        bins = torch.arange(self.config.bins, device=mel.device, dtype=probability.dtype).view(1, -1, 1)
        near = probability * ((bins - path).abs() <= 3) + 1e-8 * (bins == path)
        return F0(self.frequency((near * bins).sum(1) / near.sum(1)), voicing > 0)

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropies of the bin, smoothed over neighbours, and of voicing.

        Args:
            batch: "waveform" [B, T], "f0" [B, F] in Hz, 0 where unvoiced, and "sure" [B, F], which counts in full.
        """
        f0, frames = batch["f0"], batch["f0"].shape[1]
        logits, voicing = self.logits(log_mel(batch["waveform"], self.mel)[..., :frames])
        bins = torch.arange(self.config.bins, device=f0.device).view(1, -1, 1)
        aim = torch.exp(-0.5 * (bins - self.place(f0).unsqueeze(1)).square())
        cross = -(aim / aim.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1)
        voiced = f0 > 0
        weight = voiced * (0.2 + 0.8 * batch["sure"])
        bin_loss = (cross * weight).sum() / weight.sum().clamp_min(1.0)
        voicing_loss = F.binary_cross_entropy_with_logits(voicing, voiced.float())
        return {"loss": bin_loss + voicing_loss, "bin": bin_loss, "voicing": voicing_loss}
