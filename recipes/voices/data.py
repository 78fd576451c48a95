"""Speech for the bundled vocoders: read folders of recordings once, then draw aligned crops from memory."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch
from torch import Tensor

from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc_eval.held_back import held_back


@dataclass(frozen=True)
class Clip:
    """One recording: 16-bit samples [T] at the mel's rate and its log-mel [M, F], with T = F * hop."""

    name: str
    samples: np.ndarray
    mel: np.ndarray


def read_audio(path: Path, sample_rate: int) -> np.ndarray:
    """Mono float32 samples [T] at ``sample_rate``."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = samples.mean(axis=1)
    if rate != sample_rate:
        samples = librosa.resample(samples, orig_sr=rate, target_sr=sample_rate, res_type="soxr_hq")
    peak = np.abs(samples).max(initial=0.0)
    return samples / peak if peak > 1 else samples


def make_clip(path: Path, mel: MelConfig, max_seconds: float = 20.0) -> Clip:
    """Read ``path`` and compute the mel that belongs to its samples."""
    samples = read_audio(path, mel.sample_rate)[: int(max_seconds * mel.sample_rate)]
    frames = len(samples) // mel.hop_length
    samples = samples[: frames * mel.hop_length]
    spectrogram = log_mel(torch.from_numpy(samples).unsqueeze(0), mel)[0, :, :frames]
    return Clip(path.stem, np.round(samples * 32767).astype(np.int16), spectrogram.numpy())


def is_held_back(path: Path) -> bool:
    """The split of the bundled voices: every seventh LibriSpeech reader and every fifth LJSpeech clip.

    LibriSpeech's file names begin with the reader's number, so the split is by speaker. Rendered speech, .wav, is
    never held back here: the acoustic model has its own sentences.
    """
    return path.suffix == ".flac" and path in held_back(path.parent.glob("*.flac"))


def list_audio(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in (".wav", ".flac"))


class Corpus:
    """Clips in memory, drawn as crops: folders in turn by weight, then a clip by its length."""

    def __init__(self, folders: dict[Path, float], mel: MelConfig, limit: int | None = None) -> None:
        self.mel = mel
        self.groups: list[list[Clip]] = []
        self.weights: list[float] = []
        for folder, weight in folders.items():
            paths = [p for p in list_audio(folder) if not is_held_back(p)][:limit]
            clips = [c for c in (make_clip(p, mel) for p in paths) if c.mel.shape[1] > 8]
            if clips:
                self.groups.append(clips)
                self.weights.append(weight)

    @property
    def minutes(self) -> float:
        samples = sum(len(c.samples) for group in self.groups for c in group)
        return samples / self.mel.sample_rate / 60

    def batch(self, size: int, frames: int, rng: random.Random, gain_db: float = 6.0) -> tuple[Tensor, Tensor]:
        """Waveforms [size, frames * hop] and their mels [size, M, frames], each with a random gain."""
        hop = self.mel.hop_length
        waveform = torch.zeros(size, frames * hop)
        mel = torch.full((size, self.mel.n_mels, frames), float(np.log(self.mel.floor)))
        for row in range(size):
            group = rng.choices(self.groups, self.weights)[0]
            clip = rng.choices(group, [c.mel.shape[1] for c in group])[0]
            start = rng.randrange(max(clip.mel.shape[1] - frames, 0) + 1)
            piece = torch.from_numpy(clip.samples[start * hop : (start + frames) * hop].astype(np.float32) / 32767)
            gain = 10 ** (rng.uniform(-gain_db, gain_db / 2) / 20)
            gain = min(gain, 1.0 / max(float(piece.abs().max()), 1e-3))
            waveform[row, : len(piece)] = piece * gain
            columns = torch.from_numpy(clip.mel[:, start : start + frames]) + float(np.log(gain))
            mel[row, :, : columns.shape[1]] = columns.clamp_min(float(np.log(self.mel.floor)))
        return waveform, mel
