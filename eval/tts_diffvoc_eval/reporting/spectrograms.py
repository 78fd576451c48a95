"""Spectrograms of the audio in a run: one small picture a player."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import soundfile
import torch
from PIL import Image

from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc_eval.reporting.rows import Leaderboard

DECIBEL = 20 / np.log(10)  # log-mels are natural logarithms of magnitudes
RANGE = 80.0  # dB from black to white


def levels(samples: torch.Tensor, rate: int) -> np.ndarray:
    """Mel levels in dB [128, frames] of ``samples`` [T], windows of 46 ms, up to half the sample rate."""
    window = 4 * round(0.0116 * rate)
    config = MelConfig(rate, 2 * window, window, window // 4, n_mels=128, fmax=rate / 2)
    padded = torch.nn.functional.pad(samples, (0, max(0, window + 1 - len(samples))))
    return DECIBEL * log_mel(padded[None], config)[0].numpy()


def of_file(path: Path) -> np.ndarray:
    """Levels of a sound, read at once: libmpg123 complains on standard error of an MP3 that is read in blocks."""
    samples, rate = soundfile.read(path, dtype="float32")
    return levels(torch.from_numpy(samples), rate)


def save(level: np.ndarray, top: float, path: Path) -> None:
    """``level`` [bands, frames] in magma, low bands below, ``top`` dB white and ``top`` - 80 dB black; PNG or WebP."""
    pixels = ((level - top + RANGE) / RANGE).clip(0, 1) * 255
    image = Image.fromarray(pixels[::-1].round().astype(np.uint8), "P")
    colours = matplotlib.colormaps["magma"](np.arange(256))[:, :3] * 255
    image.putpalette(colours.round().astype(int).ravel().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True, quality=80)


def where(audio: str) -> str:
    """Where the picture of a sound lies, from the sound's own place in the run."""
    return Path("spectrograms", *Path(audio).with_suffix(".webp").parts[1:]).as_posix()


def draw(run: Path, leaderboard: Leaderboard) -> set[str]:
    """A picture for each sound of the run; returns the pictures made, and removes others of a former drawing.

    The loudest point of the original (of all, in a run without it) is white in every picture of its clip, so that
    pictures of one clip compare.
    """
    made: set[str] = set()
    for systems in leaderboard.sounds.values():
        files = {record["audio"]: name for name, takes in systems.items() for record in takes.values()}
        level = {file: of_file(run / file) for file in files if file and (run / file).is_file()}
        tops = [one.max() for file, one in level.items() if files[file] == "original"]
        top = float(max(tops or [one.max() for one in level.values()], default=0.0))
        for file, one in level.items():
            save(one, top, run / where(file))
            made.add(where(file))
    for old in (run / "spectrograms").rglob("*.webp"):
        if old.relative_to(run).as_posix() not in made:
            old.unlink()
    return made
