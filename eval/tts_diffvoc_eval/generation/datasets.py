"""Corpora of spoken digits in memory: the Free Spoken Digit Dataset (FSDD), or SC09, the digits of Speech Commands.

FSDD (Jackson et al. 2018, CC BY-SA 4.0): files ``digit_speaker_take.wav`` or .flac at 8,000 Hz, in the given folder or
in ``recordings`` inside it; 10 digits, 6 speakers, 50 takes. SC09 (Warden 2018, CC BY 4.0; DiffWave's section 5): one
folder a word, 16,000 Hz; ``testing_list.txt`` names the held-out clips, and those of ``validation_list.txt`` are not
used. The whole of SC09 takes 2.5 GB of memory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from tts_diffvoc.audio import read_audio, resample
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import centred

LABELS = tuple("0123456789")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FSDD_NAME = re.compile(r"(\d)_(.+)_(\d+)")
SC09_LISTS = {"held": "testing_list.txt", "validation": "validation_list.txt"}


class DigitClip(NamedTuple):
    """A clip on disk: its label 0 to 9, and its part, "train", "held" (out), or, of SC09, "validation".

    ``name`` is that of the file without suffix; SC09's with its folder.
    """

    path: Path
    name: str
    label: int
    speaker: str
    part: str


@dataclass(frozen=True)
class Digits:
    """Spoken digits.

    Attributes:
        waveforms: [N, T] float32 in [-1, 1], on the CPU.
        labels: [N] int64, 0 to 9.
        speakers, names: as in :class:`DigitClip`.
    """

    waveforms: Tensor
    labels: Tensor
    speakers: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class DigitCorpus:
    """A corpus: its name, its author and licence, samples a second and in a clip, and the two parts that were read."""

    name: str
    credit: str
    sample_rate: int
    length: int
    train: Digits
    held: Digits


FSDD = ("FSDD", "Free Spoken Digit Dataset (Z. Jackson and others), CC BY-SA 4.0", 8000, 8192)
SC09 = ("SC09", "Speech Commands (P. Warden, Google), CC BY 4.0", 16000, 16384)


def load(folder: str | Path) -> DigitCorpus:
    """The corpus in ``folder``; its layout tells which one.

    Raises: DiffvocError for a folder that holds neither, or a clip that cannot be read.
    """
    name, credit, rate, length = SC09 if is_sc09(Path(folder)) else FSDD
    clips, parts = list_clips(Path(folder)), []
    for part, purpose in (("train", "train on"), ("held", "hold out")):
        chosen = [clip for clip in clips if clip.part == part]
        if not chosen:
            raise DiffvocError(f"{folder} has no clip to {purpose}; give the whole corpus.")
        waveforms = torch.stack([centred(_read(clip.path, rate), length) for clip in chosen])
        _, names, labels, speakers, _ = zip(*chosen)
        parts.append(Digits(waveforms, torch.tensor(labels), speakers, names))
    return DigitCorpus(name, credit, rate, length, *parts)


def is_sc09(folder: Path) -> bool:
    """Whether ``folder`` is laid out as Speech Commands."""
    return any((folder / word).is_dir() for word in WORDS)


def list_clips(folder: Path) -> list[DigitClip]:
    """Every clip of a corpus, sorted. Raises: DiffvocError for a folder that holds none."""
    return _sc09_clips(folder) if is_sc09(folder) else _fsdd_clips(folder)


def _fsdd_clips(folder: Path) -> list[DigitClip]:
    """Held out are takes 0 to 7 of every digit and speaker, and take 8 where the digit plus the speaker's place in
    alphabetical order is a multiple of 3: 500 of the whole corpus, so that 2,500 are trained on."""
    for place in (folder, folder / "recordings"):
        found = {path.stem: path for suffix in ("flac", "wav") for path in place.glob(f"*.{suffix}")}  # wav before flac
        matches = [match for name in sorted(found) if (match := FSDD_NAME.fullmatch(name))]
        if matches:
            break
    else:
        raise DiffvocError(
            f"{folder} has no clip named digit_speaker_take.wav or .flac, as in 3_theo_7.wav; "
            "give the folder of the Free Spoken Digit Dataset."
        )
    speakers, clips = sorted({match[2] for match in matches}), []
    for match in matches:
        label, speaker, take = int(match[1]), match[2], int(match[3])
        held = take < 8 or (take == 8 and (label + speakers.index(speaker)) % 3 == 0)
        clips.append(DigitClip(found[match[0]], match[0], label, speaker, "held" if held else "train"))
    return clips


def _sc09_clips(folder: Path) -> list[DigitClip]:
    missing = [name for name in (*WORDS, *SC09_LISTS.values()) if not (folder / name).exists()]
    if missing:
        raise DiffvocError(
            f"{folder} has no {', '.join(missing)}; give the folder of Speech Commands, with a folder for each word, "
            f"{' and '.join(SC09_LISTS.values())}."
        )
    parts = {name: part for part, file in SC09_LISTS.items() for name in (folder / file).read_text("utf-8").split()}
    clips = []
    for label, word in enumerate(WORDS):
        for path in sorted((folder / word).glob("*.wav")):
            part = parts.get(f"{word}/{path.name}", "train")
            clips.append(DigitClip(path, f"{word}/{path.stem}", label, path.stem.split("_nohash_")[0], part))
    return clips


def _read(path: Path, sample_rate: int) -> Tensor:
    waveform, rate = read_audio(path)
    if not len(waveform):
        raise DiffvocError(f"{path} has no samples; copy it again or leave it out.")
    return resample(waveform, rate, sample_rate).clamp(-1, 1)
