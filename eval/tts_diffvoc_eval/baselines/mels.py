"""The benchmark's mel as the mel that another network takes."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from tts_diffvoc.coqui.mel_conversion import approximated
from tts_diffvoc.mel import MelConfig, compress, expand, mel_filters

CONTRACT = MelConfig()
SPECTROGRAM = (
    "sample_rate", "n_fft", "win_length", "hop_length", "n_mels", "fmin", "fmax", "mel_scale", "mel_norm", "power",
)  # fmt: skip


def differences(target: MelConfig) -> list[str]:
    """What makes ``target`` another spectrogram than the contract's, and not just another level, with both values."""
    pairs = ((name, getattr(target, name), getattr(CONTRACT, name)) for name in SPECTROGRAM)
    return [f"{name} {its} instead of {ours}" for name, its, ours in pairs if its != ours]


def convert(mel: Tensor, target: MelConfig) -> Tensor:
    """Log-mels [B, 80, F] of the contract as ``target`` has them, [B, M', F'].

    Exact, down to the floors, where only levels differ. Another filter bank, window, hop or rate is approximated, by
    what ``mel=approximate`` does in speaking.
    """
    if target == CONTRACT:
        return mel
    magnitude = expand(mel, CONTRACT)
    if not differences(target):
        return compress(magnitude, target)
    source = SimpleNamespace(
        sample_rate=CONTRACT.sample_rate,
        win_length=CONTRACT.win_length,
        hop_length=CONTRACT.hop_length,
        preemphasis=0.0,
        mel_basis=mel_filters(CONTRACT).numpy(),
    )
    each = [approximated(one.double().cpu().numpy(), source, target) for one in magnitude]
    return torch.cat(each).to(mel)
