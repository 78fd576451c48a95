"""Corpora of spoken digits in memory: the Free Spoken Digit Dataset (FSDD), or SC09, the digits of Speech Commands.

FSDD (Jackson et al. 2018, CC BY-SA 4.0): files ``digit_speaker_take.wav`` or .flac at 8,000 Hz, in the given folder or
in ``recordings`` inside it; 10 digits, 6 speakers, 50 takes. SC09 (Warden 2018, CC BY 4.0; DiffWave's section 5): one
folder a word, 16,000 Hz; ``testing_list.txt`` names the held-out clips, and those of ``validation_list.txt`` are not
used. The whole of SC09 takes 2.5 GB of memory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tts_diffvoc.audio import read_audio, resample
from tts_diffvoc.errors import DiffvocError

LABELS = tuple("0123456789")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FSDD_NAME = re.compile(r"(\d)_(.+)_(\d+)")
FSDD_CREDIT = "Free Spoken Digit Dataset (Z. Jackson and others), CC BY-SA 4.0"
SC09_CREDIT = "Speech Commands (P. Warden, Google), CC BY 4.0"
SC09_LISTS = {"held": "testing_list.txt", "validation": "validation_list.txt"}


@dataclass(frozen=True)
class Digits:
    """Spoken digits.

    Attributes:
        waveforms: [N, T] float32 in [-1, 1], on the CPU.
        labels: [N] int64, 0 to 9.
        speakers: one a clip.
        names: of the files, without suffix; SC09's with their folder.
    """

    waveforms: Tensor
    labels: Tensor
    speakers: list[str]
    names: list[str]
    sample_rate: int

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class DigitCorpus:
    """A corpus that was read: its name, "FSDD" or "SC09", its author and licence, and its two parts."""

    name: str
    credit: str
    train: Digits
    held: Digits

    @property
    def sample_rate(self) -> int:
        return self.train.sample_rate

    @property
    def length(self) -> int:
        """Samples of every clip."""
        return self.train.waveforms.shape[1]


def load(folder: str | Path) -> DigitCorpus:
    """The corpus in ``folder``; its layout tells which one.

    Raises: DiffvocError for a folder that holds neither, or a clip that cannot be read.
    """
    folder = Path(folder)
    if any((folder / word).is_dir() for word in WORDS):
        name, credit, rate, length, clips = "SC09", SC09_CREDIT, 16000, 16384, _sc09_clips(folder)
    else:
        name, credit, rate, length, clips = "FSDD", FSDD_CREDIT, 8000, 8192, _fsdd_clips(folder)
    parts = []
    for part, purpose in (("train", "train on"), ("held", "hold out")):
        chosen = [clip for clip in clips if clip[4] == part]
        if not chosen:
            raise DiffvocError(f"{folder} has no clip to {purpose}; give the whole corpus.")
        paths, names, labels, speakers, _ = zip(*chosen)
        waveforms = torch.stack([torch.from_numpy(fit(_read(path, rate), length)) for path in paths])
        parts.append(Digits(waveforms, torch.tensor(labels), list(speakers), list(names), rate))
    return DigitCorpus(name, credit, *parts)


Clip = tuple[Path, str, int, str, str]  # file, name, label, speaker, part


def _fsdd_clips(folder: Path) -> list[Clip]:
    paths = fsdd_files(folder)
    matches = [FSDD_NAME.fullmatch(path.stem) for path in paths]
    labels, speakers, takes = zip(*((int(match[1]), match[2], int(match[3])) for match in matches if match))
    parts = ["held" if held else "train" for held in fsdd_held_out(labels, speakers, takes)]
    return list(zip(paths, [path.stem for path in paths], labels, speakers, parts))


def fsdd_held_out(labels: Sequence[int], speakers: Sequence[str], takes: Sequence[int]) -> list[bool]:
    """Whether each clip is held out: takes 0 to 7 of every digit and speaker, and take 8 of every third pair.

    Every third pair: those where the digit plus the speaker's place in alphabetical order is a multiple of 3. Of the
    whole corpus 500 clips are held out, and 2,500 are trained on.
    """
    places = {name: place for place, name in enumerate(sorted(set(speakers)))}
    return [
        take < 8 or (take == 8 and (label + places[speaker]) % 3 == 0)
        for label, speaker, take in zip(labels, speakers, takes)
    ]


def fsdd_files(folder: Path) -> list[Path]:
    """FSDD's files in ``folder`` or its ``recordings``, sorted by name; wav where a clip is there in both formats."""
    if not folder.is_dir():
        raise DiffvocError(f"there is no folder {folder}; give the Free Spoken Digit Dataset's.")
    for place in (folder, folder / "recordings"):
        found = [*place.glob("*.flac"), *place.glob("*.wav")]  # the wav replaces the flac below
        clips = {path.stem: path for path in found if FSDD_NAME.fullmatch(path.stem)}
        if clips:
            return [clips[name] for name in sorted(clips)]
    raise DiffvocError(
        f"{folder} has no clip named digit_speaker_take.wav or .flac, as in 3_theo_7.wav; "
        "give the folder of the Free Spoken Digit Dataset."
    )


def sc09_lists(folder: Path) -> dict[str, set[str]]:
    """The clips, as word/name.wav, of the parts "held" and "validation" of Speech Commands.

    Raises: DiffvocError for a folder without the ten words or the two lists.
    """
    missing = [name for name in (*WORDS, *SC09_LISTS.values()) if not (folder / name).exists()]
    if missing:
        raise DiffvocError(
            f"{folder} has no {', '.join(missing)}; give the folder of Speech Commands, with a folder for each word, "
            f"{' and '.join(SC09_LISTS.values())}."
        )
    return {part: set((folder / name).read_text(encoding="utf-8").split()) for part, name in SC09_LISTS.items()}


def _sc09_clips(folder: Path) -> list[Clip]:
    listed = sc09_lists(folder)
    clips = []
    for label, word in enumerate(WORDS):
        for path in sorted((folder / word).glob("*.wav")):
            name = f"{word}/{path.stem}"
            part = next((part for part, names in listed.items() if f"{name}.wav" in names), "train")
            clips.append((path, name, label, path.stem.split("_nohash_")[0], part))
    return clips


def _read(path: Path, sample_rate: int) -> np.ndarray:
    waveform, rate = read_audio(path)
    if not len(waveform):
        raise DiffvocError(f"{path} has no samples; copy it again or leave it out.")
    return resample(waveform, rate, sample_rate).clamp(-1, 1).numpy()


def fit(waveform: np.ndarray, length: int) -> np.ndarray:
    """``waveform`` [T] as [length]: padded with silence on both sides, or its middle."""
    missing = length - len(waveform)
    if missing >= 0:
        return np.pad(waveform, (missing // 2, missing - missing // 2))
    return waveform[-missing // 2 :][:length].copy()
