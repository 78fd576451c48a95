"""The mels of a whole corpus, written to a folder: a .npy for each clip, and mels.json with what made them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tts_diffvoc import __version__, voices
from tts_diffvoc.audio import read_header
from tts_diffvoc.coqui import support
from tts_diffvoc.coqui.gta.corpus import Clip
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import make_folder, replacing, write_beside

if TYPE_CHECKING:
    from tts_diffvoc.coqui.gta.extractor import Extractor
    from tts_diffvoc.coqui.gta.utterance import Utterance

FORMAT = "tts-diffvoc-mels/1"
# Clips that tell mean and deviation of pitch, where a model wants to know them.
SAMPLE = 100
# Called with clips done, clips to do and seconds left.
Progress = Callable[[int, int, float], None]


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        there: how many mels were there before.
        skipped: clips that were left out, and why.
        differences: of each mel that was made, how far it is from the recording's own, in natural logarithms.
    """

    there: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)

    @property
    def made(self) -> int:
        return len(self.differences)

    @property
    def mean_difference(self) -> float | None:
        """Mean of the differences, None without any."""
        return sum(self.differences.values()) / self.made if self.made else None

    def facts(self) -> dict[str, Any]:
        """What mels.json says of the run; the clips of the largest difference are those to look at first."""
        mean = self.mean_difference
        largest = sorted(self.differences, key=lambda name: -self.differences[name])[:10]
        return {
            "clips": self.there + self.made,
            "log_mel_l1": {
                "clips": self.made,
                "mean": None if mean is None else round(mean, 4),
                "largest": {name: round(self.differences[name], 4) for name in largest},
            },
            "skipped": self.skipped,
        }


def check_settings(folder: Path, durations: Path | None) -> None:
    """Raise DiffvocError for what can be seen to be wrong before any work."""
    if durations is not None and not durations.is_dir():
        raise DiffvocError(f"there is no folder {durations}; --durations takes a folder of .npy files.")
    if folder.exists() and not folder.is_dir():
        raise DiffvocError(f"{folder} is a file; -o takes a folder.")


def extract_mels(
    extractor: Extractor,
    clips: Sequence[Clip],
    folder: Path,
    *,
    speaker: str | None = None,
    durations: Path | None = None,
    batch_size: int = 16,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Write the mel of each clip to ``folder``, and what made them to mels.json.

    Clips whose mels are there already are passed over, so that a run which was stopped goes on.

    Args:
        extractor: acoustic model and vocoder contract.
        clips: names are unique.
        folder: made when it is not there.
        speaker: for clips whose own the model does not know.
        durations: folder of .npy with the frames of each symbol, named as the clips.
        batch_size: clips at a time; changes speed, not results.
        overwrite: make mels again that are there.
        progress: called after each batch.

    Raises: DiffvocError when ``folder`` holds mels of another origin or cannot be written. A clip that cannot be
        used is left out and told in the outcome.
    """
    check_settings(folder, durations)
    if durations is not None and not extractor.adapter.takes_durations:
        kind = type(extractor.acoustic).__name__
        raise DiffvocError(f"the model {kind} finds durations by itself; leave --durations out.")
    timing = "given by the user" if durations else extractor.adapter.timing
    identity = json.loads(json.dumps({**extractor.identity(), "durations": timing}))
    there = {} if overwrite else voices.read_json(folder / "mels.json").get("identity", identity)
    other = [name for name in identity if not overwrite and there.get(name) != identity[name]]
    if other:
        raise DiffvocError(
            f"{folder} holds mels made with another {' and '.join(other)}; give another folder, or --overwrite to "
            "make all of them again."
        )
    versions = {"tts-diffvoc": __version__, "coqui-tts": support.version(), "torch": torch.__version__}
    facts = {"format": FORMAT, **extractor.asked, "identity": identity, "versions": versions}
    write_facts(folder, facts)
    if overwrite:
        for clip in clips:
            target(folder, clip).unlink(missing_ok=True)
    todo = [clip for clip in clips if not is_done(folder, clip, extractor)]
    work = _Run(extractor, folder, speaker, durations, Outcome(len(clips) - len(todo)))
    if todo:
        sample = clips[:: max(1, len(clips) // SAMPLE)][:SAMPLE]
        extractor.adapter.fit(filter(None, map(work.prepare, sample)))
        work.extract(todo, batch_size, progress)
    write_facts(folder, {**facts, **work.outcome.facts()})
    return work.outcome


def target(folder: Path, clip: Clip | Utterance) -> Path:
    """The file of a clip's mel."""
    return folder / f"{clip.name}.npy"


def is_done(folder: Path, clip: Clip, extractor: Extractor) -> bool:
    """Whether the mel of `clip` is there, whole and as long as the clip."""
    try:
        mel = np.load(target(folder, clip), mmap_mode="r", allow_pickle=False)
        sound = read_header(clip.path)
    except (OSError, ValueError, EOFError):
        return False
    return mel.dtype == np.float32 and mel.shape == (
        extractor.mel.n_mels,
        extractor.frames(sound.samples, sound.rate),
    )


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Write mels.json beside and rename."""
    make_folder(folder)
    write_beside(folder / "mels.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


@dataclass
class _Run:
    """One run over a corpus; arguments as those of :func:`extract_mels`."""

    extractor: Extractor
    folder: Path
    default_speaker: str | None
    durations: Path | None
    outcome: Outcome

    def prepare(self, clip: Clip) -> Utterance | None:
        """The clip made ready; None, and the reason noted, when it cannot be used."""
        durations = self.durations and self.durations / f"{clip.name}.npy"
        manager = self.extractor.acoustic.speaker_manager
        known = manager is not None and clip.speaker in manager.speaker_names
        speaker = clip.speaker if known else self.default_speaker
        try:
            if clip.problem:
                raise DiffvocError(clip.problem)
            return self.extractor.prepare(clip.name, clip.path, clip.text, speaker, durations)
        except DiffvocError as error:
            self.outcome.skipped[clip.name] = str(error)
            return None

    def extract(self, clips: Sequence[Clip], batch_size: int, progress: Progress | None) -> None:
        """Make and write the mels, clips of like length together."""
        began = time.monotonic()
        clips = sorted(clips, key=lambda clip: len(clip.text))
        letters, done = sum(len(clip.text) + 1 for clip in clips), 0
        for start in range(0, len(clips), batch_size):
            batch = clips[start : start + batch_size]
            self.batch(batch)
            done += sum(len(clip.text) + 1 for clip in batch)
            if progress is not None:
                progress(start + len(batch), len(clips), (time.monotonic() - began) * (letters / done - 1))

    def batch(self, clips: Sequence[Clip]) -> None:
        """Make and write the mels of one batch."""
        ready = [u for u in map(self.prepare, clips) if u is not None]
        try:
            made = self.extractor.extract(ready) if ready else []
        except DiffvocError as error:
            if len(clips) > 1:  # one of them cannot be led: the others can
                for clip in clips:
                    self.batch([clip])
                return
            self.outcome.skipped[clips[0].name], made = str(error), []
        for utterance, mel in zip(ready, made):
            if not mel.isfinite().all():
                self.outcome.skipped[utterance.name] = "the model made NaN or infinite values of it."
                continue
            path = target(self.folder, utterance)
            make_folder(path.parent)
            with replacing(path) as beside, beside.open("wb") as file:
                np.save(file, mel.numpy())
            self.outcome.differences[utterance.name] = self.extractor.difference(mel, utterance.own)
