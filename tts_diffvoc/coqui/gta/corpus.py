"""The clips of a corpus and their transcripts, in LJ Speech's layout or in one that a formatter of Coqui reads."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tts_diffvoc import voices
from tts_diffvoc.audio import SUFFIXES
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.corpus import read_transcripts


@dataclass(frozen=True)
class Clip:
    """A line of the corpus. `name` is the clip's path under the corpus, without suffix, such as wavs/LJ001-0001.

    `problem` says why the line cannot be used; it is empty for one that can.
    """

    name: str
    path: Path
    text: str
    speaker: str | None = None
    problem: str = ""


@dataclass
class Utterance:
    """A clip and its transcript as the acoustic model takes them; T counts symbols, F frames, C channels.

    Attributes:
        name: the clip's name, which seeds what is random about it.
        symbols: [T], whole numbers.
        mel: the recording's own mel [F, C], in the acoustic model's levels.
        samples: the recording [N] at the acoustic model's sample rate.
        speaker: speaker number [1] and speaker vector [1, D], either may be None.
        durations: frames of each symbol [T] where the user gave them, summing to F.
        own: the recording's mel [M, F'] in the vocoder's contract, F' frames being whole hops.
        gain: by how much the acoustic model's settings amplify a recording.
    """

    name: str
    symbols: Tensor
    mel: Tensor
    samples: np.ndarray
    speaker: tuple[Tensor | None, Tensor | None]
    durations: Tensor | None
    own: Tensor
    gain: float

    def conditioning(self) -> dict[str, Tensor | None]:
        """The speaker under the names that Coqui's models read."""
        return {"speaker_ids": self.speaker[0], "d_vectors": self.speaker[1]}

    def lengths(self) -> tuple[Tensor, Tensor]:
        """T and F as tensors [1]."""
        counts = len(self.symbols), len(self.mel)
        return tuple(torch.tensor([n], device=self.symbols.device) for n in counts)  # type: ignore[return-value]

    def check_length(self, frames: int | None = None) -> None:
        """Raise DiffvocError for a transcript with more symbols than its clip has frames, F or those given."""
        if len(self.symbols) > (len(self.mel) if frames is None else frames):
            raise DiffvocError(
                f"its transcript has {len(self.symbols)} symbols and the clip only {len(self.mel)} frames; check that "
                "they belong together."
            )


def read_corpus(folder: Path, formatter: str = "ljspeech", metadata: str = "metadata.csv") -> list[Clip]:
    """The clips that the transcripts of `folder` name, in their order.

    Raises: DiffvocError when there is no such corpus, or two clips would have one name.
    """
    if not folder.is_dir():
        raise DiffvocError(f"there is no folder {folder}; give one with {metadata} and the clips.")
    clips = read_ljspeech(folder, metadata) if formatter == "ljspeech" else read_formatted(folder, formatter, metadata)
    if not clips:
        raise DiffvocError(f"{folder} lists no clips; give a corpus with at least one transcript.")
    first: dict[str, Clip] = {}
    for number, clip in enumerate(clips, 1):
        if clip.name in first:
            clip = replace(clip, name=f"{clip.name} ({number})", problem=f"{clip.name} is listed twice; name it once.")
        first[clip.name] = clip
    return list(first.values())


def read_ljspeech(folder: Path, metadata: str) -> list[Clip]:
    """Clips of lines `id|text|normalised text`, the last column counts; they lie in wavs/ or beside the list."""
    clips = []
    for number, (name, *columns) in enumerate(read_transcripts(folder / metadata), 1):
        name = str(Path(name).with_suffix("")) if Path(name).suffix in SUFFIXES else name
        text = next(filter(None, [*columns[1:2], *columns[:1]]), "")
        places = [find_clip(place / f"{name or f'line {number}'}.wav") for place in (folder / "wavs", folder)]
        found = next((place for place in places if place.is_file()), places[0 if name else 1])
        problem = "" if name else "it has no name; write id|text|normalised text."
        clips.append(Clip(clip_name(found, folder), found, text, problem=problem))
    return clips


def find_clip(path: Path) -> Path:
    """``path``, or the file beside it that has another ending of audio, where that is what is there."""
    beside = [other for other in map(path.with_suffix, SUFFIXES) if other.is_file()]
    return path if path.is_file() or not beside else beside[0]


def clip_name(path: Path, folder: Path) -> str:
    """The path of a clip under the corpus, without suffix: as the trainer looks for its mel.

    Raises: DiffvocError for a clip elsewhere, since its mel would be written elsewhere.
    """
    path, folder = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    if not path.is_relative_to(folder):
        raise DiffvocError(f"the clip {path} lies outside of {folder}; give the folder that holds all of them.")
    return path.relative_to(folder).with_suffix("").as_posix()


def read_formatted(folder: Path, formatter: str, metadata: str) -> list[Clip]:
    """Clips that one of Coqui's formatters finds."""
    from TTS.tts.datasets import formatters

    known = sorted(formatters._FORMATTER_REGISTRY)
    if formatter not in known:
        raise voices.unknown(formatter, known, "formatter")
    try:
        samples = formatters._FORMATTER_REGISTRY[formatter](str(folder), metadata, ignored_speakers=None)
    except Exception as error:  # each formatter trusts its corpus in its own way
        raise DiffvocError(
            f"Coqui's formatter {formatter} cannot read {folder} with {metadata} ({type(error).__name__}: {error}); "
            "check --formatter and --metadata."
        ) from None
    clips = []
    for sample in samples:
        found = find_clip(Path(sample["audio_file"]))
        clips.append(Clip(clip_name(found, folder), found, sample["text"].strip(), sample.get("speaker_name")))
    return clips
