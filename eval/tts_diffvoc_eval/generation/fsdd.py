"""The Free Spoken Digit Dataset (Jackson et al. 2018, CC BY-SA 4.0): its clips, and which of them training never hears.

Files are named ``digit_speaker_take.wav`` (or .flac), at 8,000 Hz: 10 digits, 6 speakers, 50 takes. The clips lie in
the given folder or in ``recordings`` inside it, as in a checkout of the corpus.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError

SAMPLE_RATE = 8000
LENGTH = 8192
LABELS = tuple("0123456789")
HELD_TAKES = 8  # takes 0 to 7 of every digit and speaker are held back, and take 8 of every third pair
NAME = re.compile(r"(\d)_(.+)_(\d+)")
CREDIT = "Free Spoken Digit Dataset (Z. Jackson and others), CC BY-SA 4.0"


@dataclass(frozen=True)
class Digits:
    """Spoken digits.

    Attributes:
        waveforms: [N, T] float32 in [-1, 1], on the CPU, all of one length.
        labels: [N] int64, 0 to 9.
        speakers: who says it, one a clip.
        names: of the files, without suffix (and with their folder where a corpus has one a word).
        parts: "train", "held" or, where a corpus has a third part that neither side uses, "validation".
        sample_rate: Hz.
    """

    waveforms: Tensor
    labels: Tensor
    speakers: list[str]
    names: list[str]
    parts: list[str]
    sample_rate: int = SAMPLE_RATE

    def __len__(self) -> int:
        return len(self.names)

    def part(self, name: str) -> Digits:
        """Only the clips of one part."""
        kept = [i for i, part in enumerate(self.parts) if part == name]
        lists = ([values[i] for i in kept] for values in (self.speakers, self.names, self.parts))
        return Digits(self.waveforms[kept], self.labels[kept], *lists, self.sample_rate)


def load(folder: str | Path) -> Digits:
    """Every clip of the corpus in ``folder``, in the order of their names, LENGTH samples each.

    Raises: DiffvocError for a folder without such clips, or a clip that cannot be read.
    """
    paths = find(Path(folder))
    said = [NAME.fullmatch(path.stem) for path in paths]
    labels, speakers, takes = zip(*((int(one[1]), one[2], int(one[3])) for one in said if one))
    held = held_back(labels, speakers, takes)
    return Digits(
        read_all(paths, SAMPLE_RATE, LENGTH),
        torch.tensor(labels),
        list(speakers),
        [path.stem for path in paths],
        ["held" if one else "train" for one in held],
    )


def split(digits: Digits) -> tuple[Digits, Digits]:
    """Clips to train on, and those held back: 2,500 and 500 of the whole corpus."""
    return digits.part("train"), digits.part("held")


def held_back(labels: Sequence[int], speakers: Sequence[str], takes: Sequence[int]) -> list[bool]:
    """Which clips training never hears: takes 0 to 7 of every digit and speaker, and take 8 of every third pair.

    The third pairs are those where the digit plus the speaker's place in alphabetical order is a multiple of 3.
    """
    places = {name: place for place, name in enumerate(sorted(set(speakers)))}
    return [
        take < HELD_TAKES or (take == HELD_TAKES and (label + places[speaker]) % 3 == 0)
        for label, speaker, take in zip(labels, speakers, takes)
    ]


def find(folder: Path) -> list[Path]:
    """The corpus's files in ``folder`` or its ``recordings``, sorted by name; of one clip in two formats the wav."""
    if not folder.is_dir():
        raise DiffvocError(f"there is no folder {folder}; give the Free Spoken Digit Dataset's.")
    for place in (folder, folder / "recordings"):
        # The wav comes last of two formats, and so is the one that stays.
        found = sorted(path for kind in ("*.flac", "*.wav") for path in place.glob(kind))
        clips = {path.stem: path for path in found if NAME.fullmatch(path.stem)}
        if clips:
            return [clips[name] for name in sorted(clips)]
    raise DiffvocError(
        f"{folder} holds no clip named digit_speaker_take.wav or .flac, as in 3_theo_7.wav; "
        "give the folder of the Free Spoken Digit Dataset."
    )


# What other corpora of digits share


def read_all(paths: Iterable[Path], sample_rate: int, length: int) -> Tensor:
    """Clips [N, length] float32: read, resampled where a file has another rate, and fitted."""
    return torch.stack([torch.from_numpy(fit(read(path, sample_rate), length)) for path in paths])


def read(path: Path, sample_rate: int) -> np.ndarray:
    """One channel [T] float32 at ``sample_rate``, several channels averaged.

    Raises: DiffvocError for a file that is no audio, or an empty one.
    """
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise DiffvocError(f"{path} cannot be read as audio ({error}); copy it again or leave it out.") from None
    mono = samples.mean(1)
    if not len(mono):
        raise DiffvocError(f"{path} holds no samples; copy it again or leave it out.")
    if rate == sample_rate:
        return mono
    from scipy.signal import resample_poly

    common = gcd(rate, sample_rate)
    return np.clip(resample_poly(mono, sample_rate // common, rate // common), -1, 1).astype(np.float32)


def fit(waveform: np.ndarray, length: int) -> np.ndarray:
    """``waveform`` [T] as [length]: silence at both sides of a short one, the middle of a long one."""
    spare = length - len(waveform)
    if spare >= 0:
        return np.pad(waveform, (spare // 2, spare - spare // 2))
    return waveform[-spare // 2 :][:length].copy()
