"""The benchmark's mel, and how it becomes the mel that another vocoder takes."""

from __future__ import annotations

from torch import Tensor

from tts_diffvoc import mel_kinds
from tts_diffvoc.mel import MelConfig

MEL = MelConfig()


def differences(target: MelConfig) -> list[str]:
    """What makes ``target`` another spectrogram than ``MEL``, and not just another level, with both values."""
    return mel_kinds.differences(target, MEL)


def convert(mel: Tensor, target: MelConfig) -> Tensor:
    """Log-mels [B, 80, F] of the benchmark as ``target`` has them, [B, M', F']; see :func:`mel_kinds.convert`."""
    return mel_kinds.convert(mel, MEL, target)
