"""SC09: the digits of the Speech Commands corpus (Warden 2018, CC BY 4.0), as in DiffWave's section 5.

One folder a word, ``zero`` to ``nine``; ``testing_list.txt`` names the clips that are held back, and
``validation_list.txt`` those that belong to neither part. Clips are 16,000 samples at 16,000 Hz; 192 of silence on
each side make 16,384. In memory the whole corpus takes 2.5 GB.
"""

from __future__ import annotations

from pathlib import Path

import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.generation.fsdd import Digits, read_all, split

__all__ = ["CREDIT", "LABELS", "LENGTH", "SAMPLE_RATE", "WORDS", "Digits", "is_here", "listed", "load", "split"]

SAMPLE_RATE = 16000
LENGTH = 16384
LABELS = tuple("0123456789")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LISTS = {"held": "testing_list.txt", "validation": "validation_list.txt"}
CREDIT = "Speech Commands (P. Warden, Google), CC BY 4.0"


def is_here(folder: str | Path) -> bool:
    """Whether ``folder`` is laid out as Speech Commands, with at least one digit."""
    return any((Path(folder) / word).is_dir() for word in WORDS)


def listed(folder: str | Path) -> dict[str, set[str]]:
    """The clips, as word/name.wav, of the parts "held" and "validation" of the corpus in ``folder``.

    Raises: DiffvocError for a folder without the ten words or the two lists.
    """
    folder = Path(folder)
    missing = [name for name in (*WORDS, *LISTS.values()) if not (folder / name).exists()]
    if missing:
        raise DiffvocError(
            f"{folder} has no {', '.join(missing)}; give the folder of Speech Commands, which holds one folder a word, "
            f"{' and '.join(LISTS.values())}."
        )
    return {part: set((folder / name).read_text(encoding="utf-8").split()) for part, name in LISTS.items()}


def load(folder: str | Path, limit: int | None = None) -> Digits:
    """Every digit of the corpus in ``folder``, word by word.

    Args: limit: use at most so many clips of each word and part, the first by name.

    Raises: DiffvocError for a folder without the ten words or the two lists, or a clip that cannot be read.
    """
    folder = Path(folder)
    named = listed(folder)
    paths, labels, parts = [], [], []
    for label, word in enumerate(WORDS):
        count = dict.fromkeys(("train", *LISTS), 0)
        for path in sorted((folder / word).glob("*.wav")):
            part = next((part for part, names in named.items() if f"{word}/{path.name}" in names), "train")
            count[part] += 1
            if limit is None or count[part] <= limit:
                paths.append(path)
                labels.append(label)
                parts.append(part)
        if not count["train"]:
            raise DiffvocError(f"{folder / word} holds no wav to train on; copy the corpus again.")
    speakers = [path.stem.split("_nohash_")[0] for path in paths]
    names = [f"{path.parent.name}/{path.stem}" for path in paths]
    return Digits(read_all(paths, SAMPLE_RATE, LENGTH), torch.tensor(labels), speakers, names, parts, SAMPLE_RATE)
