"""A folder of recordings, looked at before it is trained on."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig

SUFFIXES = (".wav", ".flac", ".ogg", ".opus")
# A full-scale run of this many samples is no peak but a cut one.
CLIPPED_RUN = 3
SILENCE_DB = -60.0
BLOCK = 1 << 16


@dataclass(frozen=True)
class Recording:
    """One audio file, by its header.

    Attributes:
        path: the file.
        name: its path below the corpus folder, without the suffix.
        samples: samples a channel in the file.
        rate: samples a second in the file.
        channels: channels in the file; they are averaged when read.
        mel: saved mel that belongs to it (.npy, [M, F]), None to compute it from the audio.
        condition: its speaker or other class, None where conditions do not matter.
    """

    path: Path
    name: str
    samples: int
    rate: int
    channels: int
    mel: Path | None = None
    condition: str | None = None

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    def length(self, rate: int) -> int:
        """Samples once resampled to ``rate``."""
        return -(-self.samples * rate // self.rate)


@dataclass
class Corpus:
    """What a folder holds: the recordings to use, and what was skipped and why."""

    folder: Path
    recordings: list[Recording] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)
    quiet_share: float = 0.0

    @property
    def seconds(self) -> float:
        return sum(r.seconds for r in self.recordings)

    def report(self, shown: int = 5) -> str:
        """What was found, in lines for a person; ``shown`` examples of each kind of skipped file."""
        rates = Counter(r.rate for r in self.recordings)
        lines = [
            f"{self.folder}: {len(self.recordings)} clips, {self.seconds / 60:.1f} minutes, "
            + ", ".join(f"{n} at {rate:,} Hz" for rate, n in rates.most_common())
        ]
        stereo = sum(r.channels > 1 for r in self.recordings)
        if stereo:
            lines.append(f"  {stereo} with several channels, which are averaged")
        if self.clipped:
            lines.append(
                f"  {len(self.clipped)} clipped (cut at full scale), such as {self.clipped[0]}: they are used, "
                "but the cut will be learnt"
            )
        if self.quiet_share > 0.05:
            lines.append(f"  {self.quiet_share:.0%} of the time is silence below {SILENCE_DB:.0f} dB")
        for reason, names in self._by_reason().items():
            more = f" and {len(names) - shown} more" if len(names) > shown else ""
            lines.append(f"  skipped {len(names)}, {reason}: {', '.join(names[:shown])}{more}")
        return "\n".join(lines)

    def _by_reason(self) -> dict[str, list[str]]:
        reasons: dict[str, list[str]] = {}
        for name, reason in self.skipped:
            reasons.setdefault(reason, []).append(name)
        return reasons

    def split(self, held_back: int, least: int = 3) -> tuple[list[Recording], list[Recording]]:
        """Recordings to train on, and ``held_back`` others, evenly spread over the sorted names.

        Raises: DiffvocError when fewer than ``least`` clips are there in all, or too few are left to train on.
        """
        count = len(self.recordings)
        if count < least:
            raise DiffvocError(
                f"{self.folder} has {count} usable clips in all; training and a fair comparison need at least {least}, "
                "and a voice some minutes of speech."
            )
        if not 0 < held_back < count:
            raise DiffvocError(
                f"{held_back} clips of {count} were to be held back; give a number from 1 to {count - 1}."
            )
        chosen = {int((i + 0.5) * count / held_back) for i in range(held_back)}
        ordered = sorted(self.recordings, key=lambda r: r.name)
        kept = [r for i, r in enumerate(ordered) if i not in chosen]
        return kept, [ordered[i] for i in sorted(chosen)]


def list_audio(folder: Path) -> list[Path]:
    """Every wav, flac, ogg and opus file below ``folder``, sorted; hidden files and folders are left out."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def read_header(path: Path, name: str | None = None, mel: Path | None = None) -> Recording:
    """The recording in ``path`` by its header; DiffvocError says why it is none."""
    import soundfile

    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError):
        exists = path.is_file()
        raise DiffvocError(f"{path} {'is not audio' if exists else 'is not there'}.") from None
    return Recording(path, name or path.stem, info.frames, info.samplerate, info.channels, mel)


def why_unusable(recording: Recording, mel: MelConfig) -> str | None:
    """Why a recording cannot be trained on with this mel, in a few words; None when it can."""
    if recording.samples == 0:
        return "0 seconds long"
    least = mel.n_fft + 2 * mel.hop_length
    if recording.length(mel.sample_rate) < least:
        return f"shorter than {least / mel.sample_rate:.2f} s"
    if recording.rate < 2 * mel.fmax:
        return (
            f"recorded at {recording.rate:,} Hz, which holds nothing above {recording.rate // 2:,} Hz, "
            f"while the mel reaches {mel.fmax:,.0f} Hz"
        )
    return None


def scan(folder: str | Path, mel: MelConfig, features: str | Path | None = None, listen: bool = True) -> Corpus:
    """Look at every recording below ``folder``.

    Args:
        folder: wav and flac files at any depth, of any rate and number of channels; a ``metadata.csv`` in
            LJ Speech's layout (id|text|...), in it or beside a folder ``wavs``, is checked for transcripts without
            a clip.
        mel: the contract that recordings must be able to fill.
        features: folder of saved mels, ``<name>.npy`` for each recording; None to compute mels.
        listen: read the audio too, for silence, clipping and invalid samples.

    Raises: DiffvocError when there is no folder, no audio in it, or nothing that can be used.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise DiffvocError(f"there is no folder {folder}; give one with wav or flac recordings in it.")
    paths = list_audio(folder)
    if not paths:
        raise DiffvocError(f"{folder} holds no wav or flac files; put recordings there, in sub-folders if you like.")
    corpus = Corpus(folder)
    corpus.skipped += [(name, "a transcript without its clip") for name in _missing_clips(folder, paths)]
    quiet, total = 0, 0
    for path in paths:
        name = path.relative_to(folder).with_suffix("").as_posix()
        reason, heard = _look(corpus, path, name, mel, features, listen)
        if reason:
            corpus.skipped.append((name + path.suffix, reason))
        quiet, total = quiet + heard[0], total + heard[1]
    corpus.quiet_share = quiet / total if total else 0.0
    if not corpus.recordings:
        reasons = "; ".join(f"{reason} ({names[0]})" for reason, names in list(corpus._by_reason().items())[:3])
        raise DiffvocError(f"{folder} holds nothing that can be trained on: {reasons}.")
    return corpus


def _look(
    corpus: Corpus, path: Path, name: str, mel: MelConfig, features: str | Path | None, listen: bool
) -> tuple[str | None, tuple[int, int]]:
    """Add a file to the corpus, or say why not; beside it how many blocks are quiet, of how many."""
    saved = None
    if features is not None:
        saved = _find_mel(Path(features).expanduser(), corpus.folder, name)
        if saved is None:
            return f"no saved mel of it in {features}", (0, 0)
    try:
        recording = read_header(path, name, saved)
    except DiffvocError:
        return "not audio, whatever its name says", (0, 0)
    reason = why_unusable(recording, mel)
    if reason or not listen:
        if not reason:
            corpus.recordings.append(recording)
        return reason, (0, 0)
    try:
        finding = hear(_blocks(path))
    except DiffvocError:
        return "cannot be read to its end", (0, 0)
    if finding.reason:
        return finding.reason, (0, 0)
    corpus.recordings.append(recording)
    if finding.clipped:
        corpus.clipped.append(name)
    return None, (finding.quiet, finding.blocks)


def _find_mel(features: Path, folder: Path, name: str) -> Path | None:
    """The saved mel of a recording, also when the mels were extracted from the folder above."""
    places = (features / f"{name}.npy", features / folder.resolve().name / f"{name}.npy")
    return next((place for place in places if place.is_file()), None)


@dataclass
class Finding:
    """What listening to one file found; ``quiet`` of ``blocks`` pieces of 1024 samples are silent."""

    reason: str | None = None
    clipped: bool = False
    quiet: int = 0
    blocks: int = 0


def hear(blocks: Iterable[np.ndarray]) -> Finding:
    """Silence, clipping and invalid samples in float blocks [n, channels] of one recording."""
    finding, peak = Finding(), 0.0
    full = np.zeros(0, dtype=bool)
    for block in blocks:
        if not np.isfinite(block).all():
            return Finding("it holds NaN or infinite samples")
        level = np.abs(block).max(axis=1, initial=0.0)
        peak = max(peak, float(level.max(initial=0.0)))
        # A run may begin in the block before.
        full = np.concatenate([full[len(full) - CLIPPED_RUN + 1 :], level >= 0.9995])
        if full.sum() >= CLIPPED_RUN:
            runs = np.convolve(full, np.ones(CLIPPED_RUN, dtype=int), "valid")
            finding.clipped |= bool((runs >= CLIPPED_RUN).any())
        pieces = level[: len(level) // 1024 * 1024].reshape(-1, 1024).max(axis=1, initial=0.0)
        finding.quiet += int((pieces < 10 ** (SILENCE_DB / 20)).sum())
        finding.blocks += len(pieces)
    if peak < 10 ** (SILENCE_DB / 20):
        finding.reason = "silent from end to end"
    return finding


def _blocks(path: Path) -> Iterator[np.ndarray]:
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            yield from file.blocks(BLOCK, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError):
        raise DiffvocError(f"{path} cannot be read to its end.") from None


def _missing_clips(folder: Path, paths: list[Path]) -> list[str]:
    """Names in an LJ Speech ``metadata.csv``, in the folder or beside its ``wavs``, that no audio file has."""
    tables = [place / "metadata.csv" for place in (folder, folder.parent) if place == folder or folder.name == "wavs"]
    table = next((table for table in tables if table.is_file()), None)
    if table is None:
        return []
    stems = {path.stem for path in paths}
    with table.open(encoding="utf-8", errors="replace", newline="") as lines:
        rows = csv.reader(lines, delimiter="|", quoting=csv.QUOTE_NONE)
        names = [Path(row[0]).name for row in rows if row and row[0].strip()]
    return [name for name in names if name not in stems and Path(name).stem not in stems]
