"""Clips with targets for the spectral vocoders on disk, and crops of them in memory.

Corpora are drawn by their shares, clips by their length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import replacing
from tts_diffvoc.spectral.vocoder import SpectralVocoder

GAIN_DB = 6.0  # a crop is made softer or louder by up to so much


@dataclass(frozen=True)
class Prepared:
    """A clip in memory: arrays [T] or [F] by name, its corpus and its recording's bandwidth in Hz."""

    folder: str
    arrays: dict[str, np.ndarray]
    bandwidth: float
    hop: int = 256

    @property
    def frames(self) -> int:
        return len(self.arrays["waveform"]) // self.hop


def write_target(
    vocoder: SpectralVocoder, waveform: Tensor, place: Path, seed: int, bandwidth: float, tracked: bool = False
) -> None:
    """Rebuild the phases of ``waveform`` [F * hop] from the source that inference will have: an .npz, float16.

    Its name is CORPUS~NAME~...~train.npz, or held.npz. Clips of no more than a window are left out.
    """
    if len(waveform) <= vocoder.config.mel.n_fft:
        return
    with torch.inference_mode():
        made = vocoder.targets(waveform.unsqueeze(0).to(vocoder.device), seed)
    target, source = (one[0].cpu().half().numpy() for one in made)
    with replacing(place) as part, part.open("wb") as file:
        recording = waveform.half().numpy()
        np.savez(file, waveform=target, recording=recording, source=source, tracked=tracked, bandwidth=bandwidth)


def load(folder: Path, names: tuple[str, ...], held: bool, hop: int = 256) -> list[Prepared]:
    """The clips in ``folder`` with what is called ``names`` of each: those to learn from, or those held out."""
    clips = []
    for path in sorted(folder.glob(f"*~{'held' if held else 'train'}.npz")):
        with np.load(path) as values:
            if not values["tracked"] and "f0" in names:
                continue
            arrays = {name: values[name] for name in names}
            clips.append(Prepared(path.stem.split("~")[0], arrays, float(values["bandwidth"]), hop))
    return clips


class Crops:
    """An endless iterator over batches: each array [B, frames * hop] or [B, frames], and "bandwidth" [B].

    Args:
        shares: of the corpora, by name.
        size, frames: of a batch and a crop.
        noisy: share of crops that get white noise.
    """

    def __init__(
        self, clips: list[Prepared], shares: dict[str, float], size: int, frames: int, noisy: float = 0.0, seed: int = 0
    ) -> None:
        self.clips, self.size, self.frames, self.noisy = clips, size, frames, noisy
        if not clips:
            raise DiffvocError("there are no clips to draw crops from; prepare some first.")
        self.hop = clips[0].hop
        lengths = {name: sum(c.frames for c in clips if c.folder == name) for name in shares}
        chances = np.array([shares.get(c.folder, 0.0) * c.frames / max(1, lengths.get(c.folder, 1)) for c in clips])
        self.ends = np.cumsum(chances / chances.sum())
        self.random = np.random.default_rng([seed, int.from_bytes(np.random.bytes(4), "big")])

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self

    def __next__(self) -> dict[str, Tensor]:
        places = np.minimum(np.searchsorted(self.ends, self.random.random(self.size)), len(self.clips) - 1)
        rows = [self.crop(self.clips[place]) for place in places]
        batch = {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}
        batch["bandwidth"] = torch.tensor([self.clips[place].bandwidth for place in places])
        return batch

    def crop(self, clip: Prepared) -> dict[str, np.ndarray]:
        """One crop of a clip, at a random place and gain; a clip that is too short is followed by zeros."""
        start = int(self.random.integers(0, max(0, clip.frames - self.frames) + 1))
        samples = len(clip.arrays["waveform"])
        row = {
            name: cut(array, start, self.frames, self.hop if len(array) == samples else 1)
            for name, array in clip.arrays.items()
        }
        gain = 10 ** (self.random.uniform(-GAIN_DB, GAIN_DB) / 20)
        gain = min(gain, 1 / max(1e-3, np.abs(row["waveform"]).max()))
        for name in row.keys() & {"waveform", "recording"}:
            row[name] *= gain
        if self.random.random() < self.noisy:
            deviation = row["waveform"].std() * 10 ** (self.random.uniform(-50, -10) / 20)
            row["waveform"] += deviation * self.random.standard_normal(len(row["waveform"]), np.float32)
        return row


def cut(array: np.ndarray, start: int, frames: int, step: int) -> np.ndarray:
    """Frames from ``start`` of an array with ``step`` values a frame; int16 becomes float in [-1, 1]."""
    piece = array[start * step : (start + frames) * step]
    scaled = piece.astype(np.float32) / (32767 if array.dtype == np.int16 else 1)
    return np.pad(scaled, (0, frames * step - len(scaled)))
