"""The benchmark's mel, and how it becomes the mel that another vocoder takes."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from tts_diffvoc.coqui.mel_conversion import approximated
from tts_diffvoc.mel import MelConfig, compress, expand, mel_filters

MEL = MelConfig()
SPECTROGRAM = (
    "sample_rate", "n_fft", "win_length", "hop_length", "n_mels", "fmin", "fmax", "mel_scale", "mel_norm", "power",
)  # fmt: skip


def differences(target: MelConfig) -> list[str]:
    """What makes ``target`` another spectrogram than ``MEL``, and not just another level, with both values."""
    pairs = ((name, getattr(target, name), getattr(MEL, name)) for name in SPECTROGRAM)
    return [f"{name} {its} instead of {ours}" for name, its, ours in pairs if its != ours]


def convert(mel: Tensor, target: MelConfig) -> Tensor:
    """Log-mels [B, 80, F] of the benchmark as ``target`` has them, [B, M', F'].

    Exact, down to the floors, where only levels differ. Another filter bank, window, hop or rate is approximated, as
    ``mel=approximate`` does in speaking.
    """
    if target == MEL:
        return mel
    magnitude = expand(mel, MEL)
    if not differences(target):
        return compress(magnitude, target)
    source = SimpleNamespace(
        sample_rate=MEL.sample_rate,
        win_length=MEL.win_length,
        hop_length=MEL.hop_length,
        preemphasis=0.0,
        mel_basis=mel_filters(MEL).numpy(),
    )
    each = [approximated(one.double().cpu().numpy(), source, target) for one in magnitude]
    return torch.cat(each).to(mel)
