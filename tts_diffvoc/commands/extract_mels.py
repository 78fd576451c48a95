"""``tts-diffvoc extract-mels``: save the mels that an acoustic model makes of your recordings.

The model is led along each recording (teacher forcing), so that its mel keeps the recording's timing. A vocoder
trained on these mels and the recordings learns what it will see behind that model.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_diffvoc import __version__, voices
from tts_diffvoc.errors import DiffvocError

if TYPE_CHECKING:
    import numpy as np

    from tts_diffvoc.coqui.teacher_forcing import Extractor, Utterance

HELP = "save the mels that an acoustic model makes of your recordings"
FORMAT = "tts-diffvoc-mels/1"
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
# Clips that tell mean and deviation of pitch, where a model wants to know them.
SAMPLE = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "--model", required=True, help="acoustic model: a name, a folder, or weights beside config.json"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with metadata.csv and the clips")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write a .npy for each clip to")
    parser.add_argument(
        "--vocoder", default="diffwave", help='vocoder whose mel is wanted, "?mel=approximate" after it'
    )
    parser.add_argument("--formatter", default="ljspeech", help="one of Coqui's dataset formatters")
    parser.add_argument("--metadata", default="metadata.csv", help="name of the list of transcripts in the folder")
    parser.add_argument("--speaker", help="speaker of a model of several, for clips whose own it does not know")
    parser.add_argument(
        "--durations", type=Path, help="folder of .npy with the frames of each symbol, named as the clips"
    )
    parser.add_argument("--batch-size", type=int, default=16, help="clips at a time; changes speed, not results")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--overwrite", action="store_true", help="make mels again that are there already")


@dataclass(frozen=True)
class Clip:
    """A line of the corpus. `name` is the clip's path under the corpus, without suffix, such as wavs/LJ001-0001."""

    name: str
    path: Path
    text: str
    speaker: str | None = None


# The corpus


def read_corpus(folder: Path, formatter: str = "ljspeech", metadata: str = "metadata.csv") -> list[Clip]:
    """The clips that the transcripts of `folder` name, in their order.

    Raises: DiffvocError when there is no such corpus, or two clips would have one name.
    """
    if not folder.is_dir():
        raise DiffvocError(f"there is no folder {folder}; give one with {metadata} and the clips.")
    clips = read_ljspeech(folder, metadata) if formatter == "ljspeech" else read_formatted(folder, formatter, metadata)
    if not clips:
        raise DiffvocError(f"{folder} lists no clips; give a corpus with at least one transcript.")
    seen: set[str] = set()
    for clip in clips:
        if clip.name in seen:
            raise DiffvocError(f"{folder} lists {clip.name} twice; name each clip once.")
        seen.add(clip.name)
    return clips


def read_ljspeech(folder: Path, metadata: str) -> list[Clip]:
    """Clips of lines `id|text|normalised text`, the last column counts; they lie in wavs/ or beside the list."""
    path = folder / metadata
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise DiffvocError(f"{path} cannot be read; give a UTF-8 list of lines id|text|normalised text.") from None
    clips = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *columns = line.split("|")
        if not columns or not name.strip():
            raise DiffvocError(f"line {number} of {path} has no name and text; write id|text|normalised text.")
        name = name.strip()
        name = str(Path(name).with_suffix("")) if Path(name).suffix in SUFFIXES else name
        text = columns[1] if len(columns) > 1 and columns[1].strip() else columns[0]
        found = find_clip(folder, name)
        clips.append(Clip(clip_name(found, folder), found, text.strip()))
    return clips


def find_clip(folder: Path, name: str) -> Path:
    """Where the clip `name` lies, or where it should."""
    for place in (folder / "wavs", folder):
        for suffix in SUFFIXES:
            path = place / f"{name}{suffix}"
            if path.is_file():
                return path
    return folder / "wavs" / f"{name}.wav"


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
        path = Path(sample["audio_file"])
        beside = [p for p in map(path.with_suffix, SUFFIXES) if p.is_file()]
        found = path if path.is_file() or not beside else beside[0]
        clips.append(Clip(clip_name(found, folder), found, sample["text"].strip(), sample.get("speaker_name")))
    return clips


# Writing


def target(folder: Path, clip: Clip | Utterance) -> Path:
    """The file of a clip's mel."""
    return folder / f"{clip.name}.npy"


def is_done(folder: Path, clip: Clip, extractor: Extractor) -> bool:
    """Whether the mel of `clip` is there, whole and as long as the clip."""
    import numpy as np
    import soundfile

    try:
        mel = np.load(target(folder, clip), mmap_mode="r", allow_pickle=False)
        sound = soundfile.info(clip.path)
    except (OSError, ValueError, EOFError, soundfile.LibsndfileError):
        return False
    return mel.dtype == np.float32 and mel.shape == (
        extractor.mel.n_mels,
        extractor.frames(sound.frames, sound.samplerate),
    )


def write(path: Path, mel: np.ndarray) -> None:
    """Write an array beside and rename, so that no half file is left."""
    import numpy as np

    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            np.save(file, mel)
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise DiffvocError(
            f"{path} cannot be written ({error.strerror or error}); make room or give another."
        ) from None


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Write mels.json beside and rename."""
    path = folder / "mels.json"
    beside = path.with_name(f".{path.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise DiffvocError(f"{path} cannot be written ({error.strerror or error}); give another folder.") from None


def check_same(folder: Path, identity: dict[str, Any]) -> None:
    """Raise DiffvocError when `folder` holds mels of another model, vocoder or corpus."""
    there = voices.read_json(folder / "mels.json").get("identity")
    if there is None or there == identity:
        return
    other = [name for name in identity if there.get(name) != identity[name]]
    raise DiffvocError(
        f"{folder} holds mels made with another {' and '.join(other)}; give another folder, or --overwrite to make "
        "all of them again."
    )


# The work


class Run:
    """One run of the command: what was done, what was left out, and the time that is left."""

    def __init__(self, extractor: Extractor, options: argparse.Namespace) -> None:
        self.extractor, self.options = extractor, options
        self.skipped: dict[str, str] = {}
        self.differences: dict[str, float] = {}
        self.told = self.began = time.monotonic()

    def prepare(self, clip: Clip) -> Utterance | None:
        """The clip made ready; None, and the reason noted, when it cannot be used."""
        durations = self.options.durations and self.options.durations / f"{clip.name}.npy"
        try:
            if not clip.path.is_file():
                raise DiffvocError(f"there is no recording {clip.path}.")
            speaker = self.speaker(clip)
            return self.extractor.prepare(clip.name, clip.path, clip.text, speaker, durations)
        except DiffvocError as error:
            self.skipped[clip.name] = str(error)
            return None

    def speaker(self, clip: Clip) -> str | None:
        """The clip's speaker where the model knows it, else the one that the user named."""
        manager = self.extractor.acoustic.speaker_manager
        known = manager is not None and clip.speaker in manager.speaker_names
        return clip.speaker if known else self.options.speaker

    def survey(self, clips: list[Clip]) -> None:
        """Let the model learn what it must know about the corpus, from a sample of it."""
        if self.extractor.forcer.wants_survey():
            chosen = clips[:: max(1, len(clips) // SAMPLE)][:SAMPLE]
            self.extractor.forcer.survey([u for u in map(self.prepare, chosen) if u is not None])

    def extract(self, clips: list[Clip]) -> None:
        """Make and write the mels, clips of like length together."""
        clips = sorted(clips, key=lambda clip: len(clip.text))
        letters, done = sum(len(clip.text) + 1 for clip in clips), 0
        for start in range(0, len(clips), self.options.batch_size):
            batch = clips[start : start + self.options.batch_size]
            self.batch(batch)
            done += sum(len(clip.text) + 1 for clip in batch)
            self.tell(start + len(batch), len(clips), done / letters)

    def batch(self, clips: list[Clip]) -> None:
        """Make and write the mels of one batch."""
        ready = [u for u in map(self.prepare, clips) if u is not None]
        try:
            mels = list(zip(ready, self.extractor.extract(ready))) if ready else []
        except DiffvocError:  # one of them cannot be led: the others can
            mels = [(u, mel) for u in ready for mel in self.single(u)]
        for utterance, mel in mels:
            if not mel.isfinite().all():
                self.skipped[utterance.name] = "the model made NaN or infinite values of it."
                continue
            write(target(self.options.output, utterance), mel.numpy())
            self.differences[utterance.name] = self.extractor.difference(mel, utterance.own)

    def single(self, utterance: Utterance) -> list[Any]:
        """The mel of one utterance in a list, or an empty one and the reason noted."""
        try:
            return self.extractor.extract([utterance])
        except DiffvocError as error:
            self.skipped[utterance.name] = str(error)
            return []

    def tell(self, done: int, count: int, share: float) -> None:
        """Progress and time left on stderr, every ten seconds."""
        now = time.monotonic()
        if now - self.told > 10 and done < count:
            left = (now - self.began) * (1 / share - 1)
            print(f"{done} of {count} clips, {duration(left)} left", file=sys.stderr, flush=True)
            self.told = now


def duration(seconds: float) -> str:
    """Seconds as `1 h 05 min`, `3 min` or `20 s`."""
    minutes, hours = round(seconds / 60), int(seconds // 3600)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{hours} h {minutes - 60 * hours:02d} min" if hours else f"{minutes} min"


def check_options(options: argparse.Namespace) -> None:
    """Raise DiffvocError for what can be seen to be wrong before any work."""
    if options.batch_size < 1:
        raise DiffvocError(f"--batch-size is {options.batch_size}; give 1 or more.")
    if options.durations is not None and not options.durations.is_dir():
        raise DiffvocError(f"there is no folder {options.durations}; --durations takes a folder of .npy files.")
    if options.output.exists() and not options.output.is_dir():
        raise DiffvocError(f"{options.output} is a file; -o takes a folder.")


def run(options: argparse.Namespace) -> None:
    """Extract the mels, and print what was made and how far it is from the recordings' own."""
    check_options(options)
    clips = read_corpus(options.data, options.formatter, options.metadata)
    extractor = load(options)
    identity = json.loads(json.dumps({**extractor.identity(), "durations": timing(options, extractor)}))
    if not options.overwrite:
        check_same(options.output, identity)
    facts: dict[str, Any] = {"format": FORMAT, "model": options.model, "vocoder": options.vocoder, "identity": identity}
    facts["versions"] = versions()
    write_facts(options.output, facts)
    if options.overwrite:
        for clip in clips:
            target(options.output, clip).unlink(missing_ok=True)
    there = {clip for clip in clips if is_done(options.output, clip, extractor)}
    work = Run(extractor, options)
    todo = [clip for clip in clips if clip not in there]
    if todo:
        work.survey(clips)
        work.extract(todo)
    write_facts(options.output, {**facts, **results(work, there)})
    report(work, clips, there)


def load(options: argparse.Namespace) -> Extractor:
    """The acoustic model and the vocoder's contract; DiffvocError when they do not fit each other or Coqui is gone."""
    try:
        import tts_diffvoc
        from tts_diffvoc.coqui import arguments, support

        tts_diffvoc.register()
        support.check()
        from tts_diffvoc.coqui.teacher_forcing import Extractor
    except ModuleNotFoundError as error:
        raise DiffvocError(f"extract-mels needs Coqui TTS ({error}); install coqui-tts 0.28.x.") from None
    arguments.check_device(options.device)
    extractor = Extractor(options.model, options.vocoder, options.device)
    if options.durations is not None and not extractor.forcer.takes_durations:
        kind = type(extractor.acoustic).__name__
        raise DiffvocError(f"the model {kind} finds durations by itself; leave --durations out.")
    return extractor


def timing(options: argparse.Namespace, extractor: Extractor) -> str:
    """Where the durations come from, in words."""
    return "given by the user" if options.durations else extractor.forcer.timing


def versions() -> dict[str, str]:
    """The versions of what made the mels."""
    import torch

    from tts_diffvoc.coqui import support

    return {"tts-diffvoc": __version__, "coqui-tts": support.version(), "torch": torch.__version__}


def results(work: Run, there: set[Clip]) -> dict[str, Any]:
    """What mels.json says of the run; the clips of the largest difference are those to look at first."""
    made = len(work.differences)
    mean = round(sum(work.differences.values()) / made, 4) if made else None
    largest = sorted(work.differences, key=lambda name: -work.differences[name])[:10]
    return {
        "clips": len(there) + made,
        "log_mel_l1": {
            "clips": made,
            "mean": mean,
            "largest": {name: round(work.differences[name], 4) for name in largest},
        },
        "skipped": work.skipped,
    }


def report(work: Run, clips: list[Clip], there: set[Clip]) -> None:
    """Print what was made; raise DiffvocError when nothing is there at all."""
    made = len(work.differences)
    for name, reason in list(work.skipped.items())[:10]:
        print(f"left out {name}: {reason}", file=sys.stderr)
    if len(work.skipped) > 10:
        print(f"left out {len(work.skipped) - 10} more, see mels.json", file=sys.stderr)
    if not made and not there:
        raise DiffvocError(f"none of the {len(clips)} clips could be used; mels.json says why for each.")
    output, model = work.options.output, work.options.model
    print(f"{output}: {made} mels by {model}, {len(there)} were there, {len(work.skipped)} clips left out")
    if made:
        mean = sum(work.differences.values()) / made
        print(f"mean difference from the recordings' own mels: {mean:.3f} (natural logarithm)")
