"""Spectrograms of the audio in a run: one small picture a player, and levels for the map of errors."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import soundfile
import torch
from PIL import Image

from tts_diffvoc.mel import MelConfig, log_mel

from .leaderboard import Leaderboard

DECIBEL = 20 / np.log(10)  # log-mels are natural logarithms of magnitudes
RANGE = 80.0  # dB from black to white


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """Mono float32 [T] and the sample rate."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return samples.mean(1), rate


def levels(samples: np.ndarray, config: MelConfig) -> np.ndarray:
    """Mel levels in dB [bands, frames] of `samples` [T]; a clip shorter than half a window is filled up with zeros."""
    shortest = config.n_fft // 2 + 1
    padded = np.pad(samples, (0, max(0, shortest - len(samples))))
    return DECIBEL * log_mel(torch.from_numpy(np.ascontiguousarray(padded))[None], config)[0].numpy()


def fine(rate: int) -> MelConfig:
    """A mel scale up to half the sample rate, finer than what vocoders get: errors above 8 kHz show too."""
    return MelConfig(sample_rate=rate, n_fft=2048, win_length=1024, hop_length=256, n_mels=128, fmax=rate / 2)


def palette() -> list[int]:
    """matplotlib's magma as 256 colours in a row."""
    return (matplotlib.colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype(int).ravel().tolist()


def save(level: np.ndarray, top: float, path: Path) -> None:
    """`level` [bands, frames] as a PNG, low bands below, `top` dB white and `top` - 80 dB black."""
    pixels = ((level - top + RANGE) / RANGE).clip(0, 1) * 255
    image = Image.fromarray(pixels[::-1].round().astype(np.uint8)).convert("L")
    image = image.copy()
    image.putpalette(palette())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)


def where(audio: str) -> str:
    """Where the picture of a sound lies, from the sound's own place in the run."""
    return str(Path("spectrograms", *Path(audio).with_suffix(".png").parts[1:]).as_posix())


def draw(run: Path, board: Leaderboard) -> set[str]:
    """A picture for each sound of the run; returns the pictures made, and removes others of a former drawing.

    The loudest point of the original (of all, in a run without it) is white in every picture of its clip, so that
    pictures of one clip compare.
    """
    made: set[str] = set()
    for systems in board.sounds.values():
        files = {record["audio"]: name for name, takes in systems.items() for record in takes.values()}
        made |= _draw_clip(run, {file: name for file, name in files.items() if file and (run / file).is_file()})
    for old in (run / "spectrograms").rglob("*.png"):
        if old.relative_to(run).as_posix() not in made:
            old.unlink()
    return made


def _draw_clip(run: Path, files: dict[str, str]) -> set[str]:
    """Pictures of one clip's sounds, {file: system}."""
    level = {}
    for file in files:
        samples, rate = read_audio(run / file)
        level[file] = levels(samples, fine(rate))
    tops = [level[file].max() for file, name in files.items() if name == "original"]
    top = float(max(tops or [one.max() for one in level.values()], default=0.0))
    for file, one in level.items():
        save(one, top, run / where(file))
    return {where(file) for file in level}
