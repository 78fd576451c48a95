"""Coqui's WaveRNN: its training loss, and a sampling loop of ours.

``Wavernn.inference`` takes one clip, returns one frame too few, fades out the last 20 frames (0.23 s), silences the
start of a folded clip, and leaves the model in training mode. This loop evaluates the same modules in the same order
and draws the same random numbers, for batches and to the last sample; a test compares the two.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu
from torchaudio.functional import mu_law_decoding, mu_law_encoding
from TTS.vocoder.configs import WavernnConfig
from TTS.vocoder.configs.wavernn_config import WavernnArgs
from TTS.vocoder.layers.losses import WaveRNNLoss
from TTS.vocoder.models.wavernn import Wavernn
from TTS.vocoder.utils.distribution import sample_from_discretized_mix_logistic, sample_from_gaussian

# About what Coqui's WavernnConfig has: pieces of 11,550 samples after a run-up of 550.
FOLD = (45, 2)


def make(**model_args: object) -> nn.Module:
    """Coqui's ``Wavernn`` with these ``WavernnArgs``."""
    return Wavernn(WavernnConfig(model_args=WavernnArgs(**model_args)))


def level(classes: Tensor, bits: int) -> Tensor:
    """Mu-law classes as the network hears them, evenly spaced in [-1, 1]."""
    return 2 * classes.float() / (2**bits - 1) - 1


def draw(logits: Tensor, mode: str | int) -> Tensor:
    """One sample [B, 1] in [-1, 1] from the network's output [B, C]."""
    if isinstance(mode, int):
        return level(torch.multinomial(torch.softmax(logits, dim=1), 1), mode)
    parameters = logits.unsqueeze(0).transpose(1, 2)
    sample = sample_from_discretized_mix_logistic if mode == "mold" else sample_from_gaussian
    return sample(parameters).reshape(-1, 1)


def generate(model: Any, mel: Tensor, fold: tuple[int, int] | None = FOLD) -> Tensor:
    """Waveforms [B, F * hop] of ``mel`` [B, M, F] in the network's own scale; random numbers are torch's global ones.

    Args:
        model: Coqui's ``Wavernn``.
        mel: [B, M, F].
        fold: frames of a piece, and of the run-up before it. The pieces of a clip are generated side by side, and
            cross-faded in the run-ups. None generates each clip from end to end.
    """
    around, hop = model.args.pad, model.config.audio.hop_length
    frames = mel.shape[-1]
    if fold is None or frames <= fold[0]:
        return _decoded(model, pad(mel, (around, around), "replicate"))
    piece, run_up = fold
    count = -(-frames // piece)
    padded = pad(mel, (run_up + around, count * piece - frames + around), "replicate")
    pieces = padded.unfold(2, run_up + piece + 2 * around, piece).transpose(1, 2)  # [B, count, M, frames of one]
    waveform = _decoded(model, pieces.flatten(0, 1)).unflatten(0, (len(mel), count))
    return _join(waveform, run_up * hop)[:, : frames * hop]


def _decoded(model: Any, padded: Tensor) -> Tensor:
    levels, mode = sample(model, *model.upsample(padded)), model.args.mode
    if not (model.args.mulaw and isinstance(mode, int)):
        return levels
    return mu_law_decoding((levels + 1) / 2 * (2**mode - 1), 2**mode)


def sample(model: Any, features: Tensor, aux: Tensor | None) -> Tensor:
    """Levels [B, T], drawn one after the other, from conditioning [B, T, M] and, where it has them, aux [B, T, A]."""
    args, batch = model.args, features.shape[0]
    first, second = (
        (rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, rnn.bias_hh_l0) for rnn in (model.rnn1, model.rnn2)
    )
    h1 = h2 = features.new_zeros(batch, args.rnn_dims)
    x, levels = features.new_zeros(batch, 1), []
    parts = aux.split(model.aux_dims, dim=2) if aux is not None else None
    for t in range(features.shape[1]):
        a1, a2, a3, a4 = ([part[:, t]] for part in parts[:4]) if parts else ([], [], [], [])
        x = model.I(torch.cat([x, features[:, t], *a1], dim=1))
        h1 = torch.gru_cell(x, h1, *first)
        x = x + h1
        h2 = torch.gru_cell(torch.cat([x, *a2], dim=1), h2, *second)
        x = x + h2
        x = relu(model.fc1(torch.cat([x, *a3], dim=1)))
        x = relu(model.fc2(torch.cat([x, *a4], dim=1)))
        x = draw(model.fc3(x), args.mode)
        levels.append(x)
    return torch.cat(levels, dim=1)


def _join(pieces: Tensor, run_up: int) -> Tensor:
    """Pieces [B, N, run_up + n] to [B, N * n], without the first run-up.

    The first half of a run-up is left out, since the network has just begun there; the second half is cross-faded
    with the end of the piece before, with equal power.
    """
    fade = run_up - run_up // 2
    rising = torch.linspace(0, 1, fade, device=pieces.device).sqrt()
    joined = pieces[:, :, run_up:].clone()
    before, after = joined[:, :-1, -fade:], pieces[:, 1:, run_up - fade : run_up]
    joined[:, :-1, -fade:] = before * rising.flip(0) + after * rising
    return joined.flatten(1)


class WaveRNNTraining(nn.Module):
    """The cross-entropy of each sample's mu-law class, given those before it; the crops have margins."""

    def __init__(self, generator: Any) -> None:
        super().__init__()
        self.generator = generator
        self.criterion = WaveRNNLoss(generator.args.mode)

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Nats a sample of ``waveform`` [B, T] with its ``mel`` [B, M, F]."""
        bits, edge = self.generator.args.mode, self.generator.args.pad * self.generator.config.audio.hop_length
        classes = mu_law_encoding(batch["waveform"].clamp(-1, 1), 2**bits)
        given = {
            "input": batch["mel"],
            "waveform": level(classes[:, edge - 1 : -edge - 1], bits),
            "waveform_coarse": classes[:, edge:-edge],
        }
        return {"loss": self.generator.train_step(given, self.criterion)[1]["loss"]}
