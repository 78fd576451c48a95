"""What `train.py` learns from: each recording of some folders as an .npz with samples, F0 and what else is known.

F0 comes from glottal closures that REAPER (Talkin 2015; the package pyreaper) marks, averaged over four periods: its
own F0 is quantised to whole samples. REAPER crashes the process on some recordings, so each has one of its own.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tts_diffvoc.audio import read_audio, resample
from tts_diffvoc.training.corpus import list_audio
from tts_diffvoc_eval.held_back import TWENTIETH, is_held_back, stable_hash

RATE, HOP = 22050, 256
LABELLED = 260  # clips of a corpus whose F0 is measured, which is most of the time spent: enough for the pitch network
SHIFTS = (0.75, 0.84, 1.19, 1.33, 1.5)  # of pitch and formants, for low voices and children
SHIFTED = 3  # of so many recordings one is learnt shifted, too


@dataclass(frozen=True)
class Clip:
    """A recording, or its copy at another pitch.

    Attributes:
        path: the recording.
        folder: name of its corpus.
        shift: factor of all its frequencies; 1 for the recording as it is.
    """

    path: Path
    folder: str
    shift: float = 1.0

    @property
    def held_out(self) -> bool:
        return is_held_back(self.path)

    @property
    def name(self) -> str:
        """Of its file: corpus, recording, shift, and the split last."""
        return f"{self.folder}~{self.path.stem}~{self.shift:g}~{'held' if self.held_out else 'train'}"


def corpus_name(folder: Path) -> str:
    """Name of a corpus folder: its own, or that above a folder called "wavs"."""
    folder = folder.resolve()
    return folder.parent.name if folder.name == "wavs" else folder.name


def list_clips(folder: Path) -> Iterator[Clip]:
    """Every recording below ``folder``, and of one in three of those to learn from a shifted copy."""
    name = corpus_name(folder)
    for path in list_audio(folder):
        yield Clip(path, name)
        number = stable_hash(path.stem) // TWENTIETH
        if number % SHIFTED == 0 and not is_held_back(path):
            yield Clip(path, name, SHIFTS[number // SHIFTED % len(SHIFTS)])


def read(clip: Clip) -> tuple[np.ndarray, float]:
    """Samples [T] at 22,050 Hz, and the bandwidth of the recording in Hz."""
    samples, rate = read_audio(clip.path, highpass=False)
    played = round(rate * clip.shift)
    return resample(samples, played, RATE).numpy(), min(played, RATE) / 2


def residual(samples: np.ndarray, order: int = 24, size: int = 512) -> np.ndarray:
    """Linear-prediction residual [T], about unit variance in each frame; its largest peaks are glottal closures."""
    hop = size // 2
    x = np.pad(samples.astype(np.float64), (hop, size - len(samples) % hop))
    frames = np.lib.stride_tricks.sliding_window_view(x, size)[::hop] * np.hanning(size + 1)[:-1]
    spectrum = np.fft.rfft(frames, 2 * size + 2 * order)
    r = np.fft.irfft(np.abs(spectrum) ** 2)[:, : order + 1]
    r[:, 0] = r[:, 0] * 1.0001 + 1e-9
    lags = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
    a = np.linalg.solve(r[:, lags], r[:, 1:, None])[..., 0]
    inverse = np.fft.rfft(np.concatenate([np.ones((len(a), 1)), -a], 1), 2 * size + 2 * order)
    e = np.fft.irfft(spectrum * inverse)[:, :size]
    e /= np.sqrt((e * e).mean(1, keepdims=True)) + 1e-9
    out = np.zeros(len(frames) * hop + hop)
    for half in (0, 1):
        out[half * hop : half * hop + len(frames) * hop] += e[:, half * hop : (half + 1) * hop].ravel()
    return out[hop : hop + len(samples)]


def polarity(samples: np.ndarray, closures: np.ndarray) -> float:
    """Sign of the residual where it is largest about the closures, on average; 1 where there are too few."""
    if len(closures) < 20:
        return 1.0
    e = residual(samples)
    near = [e[np.clip(closures + offset, 0, len(e) - 1)].mean() for offset in range(-12, 13)]
    return float(np.sign(near[int(np.argmax(np.abs(near)))])) or 1.0


def refine(closures: np.ndarray, f0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F0 [F] from the four periods about each frame, and whether they agree with ``f0`` and each other, bool [F]."""
    if len(closures) < 6:
        return f0, np.zeros(len(f0), bool)
    centre = np.arange(len(f0)) * HOP
    near = np.clip(np.searchsorted(closures, centre), 2, len(closures) - 3)
    marks = closures[near[:, None] + np.arange(-2, 3)].astype(np.float64)
    periods = np.diff(marks, axis=1)
    mean = RATE / periods.mean(1)
    steady = (np.abs(periods / np.median(periods, 1, keepdims=True) - 1) < 0.15).all(1)
    close = np.abs(np.log2(mean / np.maximum(f0, 1))) < 0.15
    sure = (f0 > 0) & steady & close & (np.abs(closures[near] - centre) < 1500)
    return np.where(sure, mean, f0), sure


def track(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Glottal closures in samples, and REAPER's F0 [T // 256 + 1] in Hz, 0 where unvoiced. May crash the process."""
    import pyreaper

    before, after = 8 * HOP, 16 * HOP  # it crashes less often between silences
    padded = np.pad(samples, (before, after)) / max(1e-4, np.abs(samples).max()) * 28000
    times, marks, _, f0, _ = pyreaper.reaper(
        padded.astype(np.int16), RATE, minf0=50, maxf0=600, frame_period=HOP / RATE
    )
    closures = (times[marks == 1] * RATE).round().astype(np.int64) - before
    f0 = np.maximum(f0, 0)[8:]
    frames = len(samples) // HOP + 1
    f0 = np.pad(f0, (0, max(0, frames - len(f0))))[:frames]
    return closures[(closures >= 0) & (closures < len(samples))], f0


def measure(clip: Clip, path: Path, tracked: bool = True) -> None:
    """Write ``clip`` to ``path``: samples int16 [T], and F0 float32 and whether it is sure, [F].

    Args:
        tracked: whether to measure F0, and to turn the waveform so that closures have one sign in all clips.
    """
    samples, bandwidth = read(clip)
    samples = samples[: len(samples) // HOP * HOP] / max(1.0, np.abs(samples).max(initial=0.0))
    closures, f0 = track(samples) if tracked else (np.zeros(0, np.int64), np.zeros(len(samples) // HOP + 1))
    f0, sure = refine(closures, f0)
    waveform = np.round(samples * polarity(samples, closures) * 32767).astype(np.int16)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, waveform=waveform, f0=f0.astype(np.float32), sure=sure, tracked=tracked, bandwidth=bandwidth)
    part.replace(path)


def prepare(folders: list[Path], output: Path, jobs: int = 1) -> None:
    """Write every clip of ``folders`` to ``output``, those that are there already left alone; a part with F0, first."""
    output.mkdir(parents=True, exist_ok=True)
    corpora = [sorted(list_clips(folder), key=lambda clip: stable_hash(clip.name)) for folder in folders]
    labelled = [clip for corpus in corpora for clip in corpus[:LABELLED] if not place(clip, output).exists()]
    labelled.sort(key=lambda clip: stable_hash(clip.name))  # so that a part of them will do to begin with
    with ThreadPoolExecutor(jobs) as pool:
        for number, _ in enumerate(pool.map(lambda clip: label(clip, place(clip, output)), labelled), 1):
            if number % 100 == 0:
                print(f"{number} of {len(labelled)} clips are looked at for F0", flush=True)
    for clip in (clip for corpus in corpora for clip in corpus[LABELLED:]):
        if not place(clip, output).exists():
            measure(clip, place(clip, output), tracked=False)


def label(clip: Clip, path: Path) -> None:
    """Write ``clip`` to ``path`` with F0, by a process of its own; without, where REAPER crashes that."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tts_diffvoc.training.prepared"])  # once, instead of 2 s of imports for each clip
    process = context.Process(target=measure_silently, args=(clip, path))
    process.start()
    process.join()
    if not path.exists():
        measure(clip, path, tracked=False)


def measure_silently(clip: Clip, path: Path) -> None:
    """As :func:`measure`, without what REAPER says."""
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    measure(clip, path)


def place(clip: Clip, output: Path) -> Path:
    return output / f"{clip.name}.npz"
