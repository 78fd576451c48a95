"""A vocoder on held-back recordings, before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tts_diffvoc.audio import resample
from tts_diffvoc.factory import AnyVocoder
from tts_diffvoc.training.corpus import Recording
from tts_diffvoc.training.crops import read_clip


@dataclass(frozen=True)
class ClipScore:
    """How near one clip came.

    Attributes:
        name: of the recording.
        mel_l1: mean absolute difference of the log-mels of what was made and what was asked for, in nepers (or
            whatever unit the mel has).
        pesq: PESQ-WB against the recording, 1 to 4.64; None without the package ``pesq`` or where it fails.
    """

    name: str
    mel_l1: float
    pesq: float | None


@torch.inference_mode()
def score_clips(
    vocoder: AnyVocoder, recordings: Sequence[Recording], seconds: float | None = None, seed: int = 0
) -> list[ClipScore]:
    """Synthesise the mel of each recording, its first ``seconds`` or all, with one seed, and compare."""
    scores = []
    for recording in recordings:
        waveform, mel = read_clip(recording, vocoder.mel_config, seconds)
        made = vocoder.generate(mel.unsqueeze(0), seed=seed)
        difference = vocoder.mel(made)[0, :, : mel.shape[1]].cpu() - mel
        score = pesq_wb(waveform, made[0].cpu(), vocoder.sample_rate)
        scores.append(ClipScore(recording.name, float(difference.abs().mean()), score))
    return scores


def pesq_wb(reference: Tensor, degraded: Tensor, rate: int) -> float | None:
    """PESQ-WB (ITU-T P.862.2) of ``degraded`` [T] against ``reference`` [T]; None where it cannot be had."""
    try:
        from pesq import PesqError, pesq
    except ImportError:
        return None
    pair = [resample(x, rate, 16000).clamp(-1, 1).numpy() for x in (reference, degraded)]
    try:
        return float(pesq(16000, *pair, "wb"))
    except (PesqError, ValueError):
        return None


def mean(scores: Sequence[ClipScore], field: str) -> float | None:
    """The mean of one field over the clips that have it, as a finite number; None when none has."""
    values = [value for score in scores if (value := getattr(score, field)) is not None and math.isfinite(value)]
    return sum(values) / len(values) if values else None


def comparison(before: Sequence[ClipScore], after: Sequence[ClipScore]) -> str:
    """A Markdown table of the held-back clips before and after, with their means."""
    lines = ["| clip | log-mel L1 before | after | PESQ-WB before | after |", "| --- | --- | --- | --- | --- |"]
    lines += [_row(old.name, old.mel_l1, new.mel_l1, old.pesq, new.pesq) for old, new in zip(before, after)]
    means = [mean(scores, field) for field in ("mel_l1", "pesq") for scores in (before, after)]
    lines.append(_row("**mean**", *means))
    return "\n".join(lines)


def _row(name: str, *values: float | None) -> str:
    shown = ["-" if v is None else f"{v:.4f}" if i < 2 else f"{v:.3f}" for i, v in enumerate(values)]
    return f"| {name} | " + " | ".join(shown) + " |"


def verdict(before: Sequence[ClipScore], after: Sequence[ClipScore]) -> str:
    """What the means say, in a sentence for each measure."""
    sentences = []
    old, new = mean(before, "mel_l1"), mean(after, "mel_l1")
    if old and new is not None:
        change = (new - old) / old
        sentences.append(f"Log-mel L1 {'fell' if change < 0 else 'rose'} by {abs(change):.1%}.")
    old, new = mean(before, "pesq"), mean(after, "pesq")
    if old is not None and new is not None:
        sentences.append(f"PESQ-WB {'rose' if new > old else 'fell'} by {abs(new - old):.3f}.")
    return " ".join(sentences)
