"""Corpora of spoken digits by their folders: the Free Spoken Digit Dataset, or SC09 in Speech Commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tts_diffvoc_eval.generation import fsdd, sc09
from tts_diffvoc_eval.generation.fsdd import Digits, fit

__all__ = ["Corpus", "Digits", "fit", "load"]


@dataclass(frozen=True)
class Corpus:
    """A corpus that was read.

    Attributes:
        name: "FSDD" or "SC09".
        credit: whose it is, and its licence.
        train, held: clips to train on, and those that training never hears.
    """

    name: str
    credit: str
    train: Digits
    held: Digits

    @property
    def sample_rate(self) -> int:
        return self.train.sample_rate

    @property
    def length(self) -> int:
        return self.train.waveforms.shape[1]


def load(folder: str | Path) -> Corpus:
    """The corpus in ``folder``; which one its layout says.

    Raises: DiffvocError for a folder that holds neither, or clips that cannot be read.
    """
    name, module = ("SC09", sc09) if sc09.is_here(folder) else ("FSDD", fsdd)
    train, held = module.split(module.load(folder))
    for part, clips in (("train on", train), ("hold back", held)):
        if not len(clips):
            raise module.DiffvocError(f"{folder} holds no clip to {part}; give the whole corpus.")
    return Corpus(name, module.CREDIT, train, held)
