"""The speech that systems are measured on: data sets of recordings, or of sentences that an acoustic model reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from torch import Tensor

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.corpus import Recording, read_transcripts, scan
from tts_diffvoc.training.crops import read_clip
from tts_diffvoc_eval import text_to_speech
from tts_diffvoc_eval.held_back import held_back
from tts_diffvoc_eval.mels import MEL
from tts_diffvoc_eval.metrics.recognition import LANGUAGE
from tts_diffvoc_eval.systems import digest, safe

BUNDLED = Path(__file__).parent / "clips"
WORD = re.compile(r"(?:(?P<name>[\w.-]+)=)?(?P<place>.+?)(?::(?P<language>[a-z]{2,3}))?")
T = TypeVar("T")


class DataSet(NamedTuple):
    """Speech of one kind, a word of ``--data``: ``[NAME=]PLACE[:LANGUAGE]``.

    Attributes:
        place: a folder of recordings, or the name or folder of an acoustic model, which reads ``sentences.txt``.
        language: of what is said; transcripts in another than the recogniser's are left alone.
    """

    name: str
    place: str
    language: str = LANGUAGE


@dataclass(frozen=True)
class Clip:
    """One recording or sentence as every system gets it.

    Attributes:
        name: unique in a run and fit for a file name.
        samples: the recording, float32 [T], T = F * hop_length; None of a sentence that an acoustic model reads.
        mel: log-mel [1, 80, F], of the recording or of the acoustic model.
        text: what is said, None where nobody wrote it down in the recogniser's language.
        digest: SHA-256 of the file, or of the acoustic model's weights and the sentence.
        data_set: the name of the one that it is of.
    """

    name: str
    samples: np.ndarray | None
    mel: Tensor
    text: str | None
    digest: str
    data_set: str

    @property
    def seconds(self) -> float:
        return self.mel.shape[-1] * MEL.hop_length / MEL.sample_rate


def parse(word: str | Path) -> DataSet:
    """A word of ``--data``; a set without a name has that of its folder.

    >>> parse("german=kerstin/wavs:de"), parse("LJSpeech-1.1/wavs").name
    (DataSet(name='german', place='kerstin/wavs', language='de'), 'LJSpeech-1.1')
    """
    found = WORD.fullmatch(str(word))
    if found is None:
        raise DiffvocError("--data has an empty word; give [NAME=]FOLDER[:LANGUAGE].")
    path = Path(found["place"]).expanduser().resolve()
    name = path.parent.name if path.name in ("wavs", "wav") else path.name
    return DataSet(found["name"] or safe(name) or "data", found["place"], found["language"] or LANGUAGE)


def parse_all(words: Sequence[str | Path]) -> list[DataSet]:
    """The data sets of a run, or the bundled clips. Raises: DiffvocError for two of one name."""
    sets = [parse(word) for word in words] or [DataSet("bundled", str(BUNDLED))]
    twice = {one.name for one in sets if [other.name for other in sets].count(one.name) > 1}
    if twice:
        raise DiffvocError(f"two data sets are named {sorted(twice)[0]}; give one another name: NAME=FOLDER.")
    return sets


def transcripts(folder: Path) -> dict[str, str]:
    """Texts by file stem: LJ Speech's ``metadata.csv`` (the normalised text), LibriSpeech's ``*.trans.txt``, and
    ``NAME.txt`` beside ``NAME.wav`` or ``NAME.flac``."""
    found: dict[str, str] = {}
    for path in (folder / "metadata.csv", folder.parent / "metadata.csv"):
        if path.is_file() and not found:
            rows = [row for row in read_transcripts(path) if len(row) > 1]
            found = {Path(row[0]).stem: row[2] if len(row) > 2 and row[2] else row[1] for row in rows}
    for path in sorted(folder.rglob("*.txt")):
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        if path.name.endswith(".trans.txt"):
            found |= {name: said for name, _, said in (line.partition(" ") for line in text.splitlines()) if said}
        elif any(path.with_suffix(suffix).is_file() for suffix in (".wav", ".flac")):
            found[path.stem] = text
    return found


def choose(sets: Sequence[Sequence[T]], count: int) -> list[list[T]]:
    """Up to ``count`` in all, shared out over the sets and spread evenly over each."""
    chosen: list[list[T]] = [[] for _ in sets]
    left = count
    for place, number in enumerate(sorted(range(len(sets)), key=lambda number: len(sets[number]))):
        share = min(len(sets[number]), -(-left // (len(sets) - place)))
        chosen[number] = [sets[number][int((i + 0.5) * len(sets[number]) / share)] for i in range(share)]
        left -= share
    return chosen


def _recording(one: DataSet, text: str | None, seconds: float | None, recording: Recording) -> Clip:
    samples, mel = read_clip(recording, MEL, seconds)
    whole = seconds is None or recording.seconds <= seconds
    name, said = safe(recording.name.replace("/", "-")), hashlib.sha256(recording.path.read_bytes()).hexdigest()
    return Clip(name, samples.numpy(), mel.unsqueeze(0), text if whole else None, said, one.name)


def _sentence(
    one: DataSet, synthesizer: Any, weights: str | None, number: int, sentence: text_to_speech.Sentence
) -> Clip:
    mel = text_to_speech.mel_of(synthesizer, sentence.text)
    said = hashlib.sha256(f"{weights} {sentence.text}".encode()).hexdigest()
    return Clip(f"{one.name}-{number:02}", None, mel, sentence.spoken, said, one.name)


def load(
    data: Sequence[str | Path], count: int, seconds: float | None, held: bool = False, device: str = "cpu"
) -> tuple[list[Clip], str]:
    """The clips of a run, those of each data set in turn, and what was found and skipped, in lines for a person.

    Args:
        data: words of ``--data``; the bundled clips when there are none.
        count: of clips at most, in all.
        seconds: of each recording at most, from its beginning; None for all. What is cut loses its transcript.
        held: only recordings that our recipes hold back from training.
        device: of acoustic models.

    Raises: DiffvocError as ``scan`` does, and when two sets or two clips would have one name.
    """
    makers: list[list[Callable[[], Clip]]] = []
    said = []
    for one in parse_all(data):
        if text_to_speech.is_acoustic(one.place):
            synthesizer, texts = text_to_speech.load(one.place, device=device), text_to_speech.read_sentences()
            reader = partial(_sentence, one, synthesizer, digest(Path(synthesizer.tts_checkpoint)))
            makers.append([partial(reader, number, text) for number, text in enumerate(texts, 1)])
            said.append(f"{one.place}: reads {len(texts)} sentences")
            continue
        corpus = scan(Path(one.place).expanduser(), MEL)
        found = sorted(corpus.recordings, key=lambda recording: recording.name)
        if held:
            kept = held_back([recording.path for recording in found], one=True)
            found = [recording for recording in found if recording.path in kept]
        spoken = transcripts(corpus.folder) if one.language == LANGUAGE else {}
        makers.append([partial(_recording, one, spoken.get(r.path.stem), seconds, r) for r in found])
        said.append(corpus.report())
    clips = [[make() for make in some] for some in choose(makers, count)]
    in_turn = [clip for clip in chain.from_iterable(zip_longest(*clips)) if clip is not None]
    names = [clip.name for clip in in_turn]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DiffvocError(f"several clips are named {sorted(twice)[0]}; rename one, or leave one folder out.")
    return in_turn, "\n".join(said)
