"""The recordings that systems are measured on."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.corpus import Corpus, Recording, scan
from tts_diffvoc.training.crops import read_clip
from tts_diffvoc_eval.held_back import held_back
from tts_diffvoc_eval.mels import MEL
from tts_diffvoc_eval.systems import safe

BUNDLED = Path(__file__).parent / "clips"


@dataclass(frozen=True)
class Clip:
    """One recording as every system gets it.

    Attributes:
        name: unique in a run and fit for a file name.
        samples: float32 [T], T = F * hop_length; None where there is a text but no recording of it.
        mel: log-mel [1, 80, F], of the recording, or of an acoustic model that speaks the text.
        aligned: whether the mel is the recording's.
        text: what is said, None where nobody wrote it down.
        digest: SHA-256 of the file.
    """

    name: str
    samples: np.ndarray | None
    mel: Tensor
    text: str | None
    digest: str
    aligned: bool = True

    @property
    def seconds(self) -> float:
        return self.mel.shape[-1] * MEL.hop_length / MEL.sample_rate


def transcripts(folder: Path) -> dict[str, str]:
    """Texts by file stem: LJ Speech's ``metadata.csv`` (the normalised text), LibriSpeech's ``*.trans.txt``, and
    ``NAME.txt`` beside ``NAME.wav`` or ``NAME.flac``."""
    found: dict[str, str] = {}
    for path in (folder / "metadata.csv", folder.parent / "metadata.csv"):
        if path.is_file() and not found:
            with path.open(encoding="utf-8", newline="") as file:
                rows = [row for row in csv.reader(file, delimiter="|", quoting=csv.QUOTE_NONE) if len(row) > 1]
            found = {Path(row[0]).stem: (row[2] if len(row) > 2 and row[2] else row[1]).strip() for row in rows}
    for path in sorted(folder.rglob("*.txt")):
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        if path.name.endswith(".trans.txt"):
            found |= {name: said for name, _, said in (line.partition(" ") for line in text.splitlines()) if said}
        elif any(path.with_suffix(suffix).is_file() for suffix in (".wav", ".flac")):
            found[path.stem] = text
    return found


def choose(corpora: Sequence[Corpus], count: int) -> list[tuple[Corpus, Recording]]:
    """Up to ``count`` recordings, shared out over the folders and spread evenly over each."""
    chosen: list[tuple[Corpus, Recording]] = []
    left = count
    for place, corpus in enumerate(sorted(corpora, key=lambda corpus: len(corpus.recordings))):
        share = min(len(corpus.recordings), -(-left // (len(corpora) - place)))
        ordered = sorted(corpus.recordings, key=lambda r: r.name)
        spots = [int((i + 0.5) * len(ordered) / share) for i in range(share)] if share else []
        chosen += [(corpus, ordered[i]) for i in spots]
        left -= share
    return chosen


def unheard(corpus: Corpus) -> Corpus:
    """Those recordings of a corpus that our recipes hold back from training."""
    held = held_back([recording.path for recording in corpus.recordings], one=True)
    return replace(corpus, recordings=[r for r in corpus.recordings if r.path in held])


def load(folders: Sequence[Path], count: int, seconds: float | None, held: bool = False) -> tuple[list[Clip], str]:
    """The clips of a run, and what was found and skipped, in lines for a person.

    Args:
        folders: of recordings; the bundled clips when there are none.
        count: of clips at most.
        seconds: of each clip at most, from its beginning; None for all.
        held: only recordings that our recipes hold back from training.

    Raises: DiffvocError as ``scan`` does, and when two clips would have one name.
    """
    found = [scan(folder, MEL) for folder in folders or [BUNDLED]]
    corpora = [unheard(corpus) for corpus in found] if held else found
    texts = {corpus.folder: transcripts(corpus.folder) for corpus in corpora}
    clips: list[Clip] = []
    for corpus, recording in choose(corpora, count):
        samples, mel = read_clip(recording, MEL, seconds)
        whole = seconds is None or recording.seconds <= seconds
        clips.append(
            Clip(
                safe(recording.name.replace("/", "-")),
                samples.numpy(),
                mel.unsqueeze(0),
                texts[corpus.folder].get(recording.path.stem) if whole else None,
                hashlib.sha256(recording.path.read_bytes()).hexdigest(),
            )
        )
    names = [clip.name for clip in clips]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DiffvocError(f"several clips are named {sorted(twice)[0]}; rename one, or leave one folder out.")
    return sorted(clips, key=lambda clip: clip.name), "\n".join(corpus.report() for corpus in found)
