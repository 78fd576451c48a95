"""Fundamental frequency and voicing from a log-mel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, expand, log_mel
from tts_diffvoc.networks.rows import ConvNeXtBlock, convolve, linear
from tts_diffvoc.schema import Depth, FromJson, Width


@dataclass(frozen=True)
class PitchConfig(FromJson):
    """Sizes of the pitch network: ``bins`` log-spaced frequencies from ``lowest`` to ``highest`` Hz."""

    channels: Width = 160
    blocks: Depth = 6
    bins: Width = 192
    lowest: float = 50.0
    highest: float = 600.0

    def __post_init__(self) -> None:
        if not 0 < self.lowest < self.highest < math.inf or self.bins < 2:
            raise DiffvocError(
                f"{self.bins} bins of pitch from {self.lowest} to {self.highest} Hz are no range; use for example 192 "
                "from 50 to 600."
            )


class F0(NamedTuple):
    """F0 in Hz [B, F], float64, going on through what is unvoiced, and what is voiced, bool [B, F]."""

    f0: Tensor
    voiced: Tensor


def natural_mel(mel: Tensor, config: MelConfig) -> Tensor:
    """Any log-mel [B, M, F] as natural logarithms of magnitudes [B, F, M], about unit variance: what networks read."""
    level = expand(mel, config).clamp(1e-5, 1e3).log().transpose(1, 2)
    return (level + 5.0) / 2.0


def viterbi(log_probability: Tensor, cost: float = 0.3, reach: int = 10) -> Tensor:
    """The likeliest smooth path through bins [B, F, N] -> [B, F] (Viterbi 1967).

    Args:
        cost: in nats, of moving by one bin from a frame to the next; so an octave there and back must be worth it.
        reach: most bins that a frame can move by.
    """
    batch, bins, frames = log_probability.shape
    log_probability = log_probability.detach()
    moves = torch.arange(-reach, reach + 1, device=log_probability.device)
    penalty = cost * moves.abs().to(log_probability.dtype).unsqueeze(1)
    padded = F.pad(log_probability[:, 0], (reach, reach), value=-math.inf)
    score, around = padded[:, reach : -reach or None], padded.unfold(1, log_probability.shape[2], 1)  # both see it
    came = torch.zeros(log_probability.shape, dtype=torch.long, device=log_probability.device)
    best = torch.empty_like(log_probability[:, 0])
    for now, move in zip(log_probability.unbind(1)[1:], came.unbind(1)[1:]):
        torch.max(around - penalty, 1, out=(best, move))
        torch.add(best, now, out=score)
    path, rows = [score.argmax(1)], torch.arange(batch, device=log_probability.device)
    for move in came.unbind(1)[:0:-1]:
        path.append(path[-1] + move[rows, path[-1]] - reach)
    return torch.stack(path[::-1], 1)


class PitchNetwork(nn.Module):
    """Log-mel to F0; trained on glottal closures' periods."""

    def __init__(self, config: PitchConfig, mel: MelConfig) -> None:
        super().__init__()
        self.config, self.mel = config, mel
        step = math.log(config.highest / config.lowest) / (config.bins - 1)
        self.low, self.step = torch.tensor([math.log(config.lowest), step]).tolist()  # what exporters keep: float32
        self.search: Callable[[Tensor], Tensor] = viterbi
        self.first = nn.Conv1d(mel.n_mels, config.channels, 3, padding=1)
        self.blocks = nn.Sequential(*(ConvNeXtBlock(config.channels) for _ in range(config.blocks)))
        self.last = nn.Conv1d(config.channels, config.bins + 1, 1)

    def logits(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel [B, M, F] to logits over the bins [B, F, N] and of voicing [B, F]."""
        x = self.blocks(convolve(natural_mel(mel, self.mel), self.first))
        out = linear(x, self.last).float()
        return out[..., :-1], out[..., -1]

    def place(self, f0: Tensor) -> Tensor:
        """F0 in Hz to its place among the bins, a fraction from 0 to N - 1."""
        return (f0.clamp(self.config.lowest, self.config.highest).log() - self.low) / self.step

    def frequency(self, place: Tensor) -> Tensor:
        """The inverse of :meth:`place`."""
        return torch.exp(self.low + self.step * place)

    def forward(self, mel: Tensor) -> F0:
        """Log-mel [B, M, F] to F0, decoded by ``self.search`` so that it jumps by no octave within a phrase.

        Decoding goes frame by frame, in steps too small for a GPU: F0 is on the CPU, wherever the network is.
        """
        logits, voicing = (one.cpu() for one in self.logits(mel))
        # What is unvoiced says little about pitch, and may not bend the path.
        path = self.search(logits.log_softmax(-1) * voicing.sigmoid().unsqueeze(-1)).unsqueeze(-1)
        # In float64 from here: pulses add up F0 over an utterance, and with it what two machines round differently.
        away = torch.arange(self.config.bins) - path
        near = logits.double().softmax(-1) * (away.abs() <= 3) + 1e-8 * (away == 0)
        between = (near * away).sum(-1) / near.sum(-1)
        return F0(self.frequency(path.squeeze(-1) + between), voicing > 0)

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropies of the bin, smoothed over neighbours, and of voicing.

        Args:
            batch: "waveform" [B, T], "f0" [B, F] in Hz, 0 where unvoiced, and "sure" [B, F], which counts in full.
        """
        f0, frames = batch["f0"], batch["f0"].shape[1]
        logits, voicing = self.logits(log_mel(batch["waveform"], self.mel)[..., :frames])
        bins = torch.arange(self.config.bins, device=f0.device)
        aim = torch.exp(-0.5 * (bins - self.place(f0).unsqueeze(-1)).square())
        cross = -(aim / aim.sum(-1, keepdim=True) * logits.log_softmax(-1)).sum(-1)
        voiced = f0 > 0
        weight = voiced * (0.2 + 0.8 * batch["sure"])
        bin_loss = (cross * weight).sum() / weight.sum().clamp_min(1.0)
        voicing_loss = F.binary_cross_entropy_with_logits(voicing, voiced.float())
        return {"loss": bin_loss + voicing_loss, "bin": bin_loss, "voicing": voicing_loss}
