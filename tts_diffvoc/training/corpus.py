"""A folder of recordings, looked at before it is trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tts_diffvoc.audio import SUFFIXES, read_blocks, resampled_length
from tts_diffvoc.audio import read_header as read_audio_header
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import check_readable
from tts_diffvoc.mel import MelConfig

# A full-scale run of this many samples is no peak but a cut one.
CLIPPED_RUN = 3
SILENCE_DB = -60.0


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
        highpass: whether what lies below 20 Hz is taken off when it is read.
    """

    path: Path
    name: str
    samples: int
    rate: int
    channels: int
    mel: Path | None = None
    condition: str | None = None
    highpass: bool = True

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    def length(self, rate: int) -> int:
        """Samples once resampled to ``rate``."""
        return resampled_length(self.samples, self.rate, rate)


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


def list_audio(folder: Path, suffixes: Collection[str] = SUFFIXES) -> list[Path]:
    """Every recording below ``folder`` by its suffix, sorted; hidden files and folders are left out."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def read_header(path: Path, name: str | None = None, mel: Path | None = None) -> Recording:
    """The recording in ``path`` by its header; DiffvocError says why it is none."""
    return Recording(path, name or path.stem, *read_audio_header(path), mel)


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


def scan(
    folder: str | Path,
    mel: MelConfig,
    features: str | Path | None = None,
    listen: bool = True,
    highpass: bool = True,
) -> Corpus:
    """Look at every recording below ``folder``.

    Args:
        folder: recordings at any depth, of any rate and number of channels; a ``metadata.csv`` in
            LJ Speech's layout (id|text|...), in it or beside a folder ``wavs``, is checked for transcripts without
            a clip.
        mel: the contract that recordings must be able to fill.
        features: folder of saved mels, ``<name>.npy`` for each recording; None to compute mels.
        listen: read the audio too, for silence, clipping and invalid samples.
        highpass: take off what lies below 20 Hz when the recordings are read.

    Raises: DiffvocError when there is no folder, no audio in it, or nothing that can be used.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise DiffvocError(f"there is no folder {folder}; give one with recordings in it.")
    paths = list_audio(folder)
    if not paths:
        raise DiffvocError(f"{folder} holds no recordings ({', '.join(SUFFIXES)}); put some there, at any depth.")
    corpus = Corpus(folder)
    corpus.skipped += [(name, "a transcript without its clip") for name in _missing_clips(folder, paths)]
    quiet, total = 0, 0
    for path in paths:
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            recording = replace(read_header(path, name, _find_mel(features, folder, name)), highpass=highpass)
            heard = hear(read_blocks(path)) if listen else Finding()
        except DiffvocError as error:
            reason: str | None = str(error).removeprefix(f"{path} ").partition(";")[0]
        else:
            reason = why_unusable(recording, mel) or heard.reason
        if reason:
            corpus.skipped.append((name + path.suffix, reason))
            continue
        corpus.recordings.append(recording)
        corpus.clipped += [name] if heard.clipped else []
        quiet, total = quiet + heard.quiet, total + heard.blocks
    corpus.quiet_share = quiet / total if total else 0.0
    if not corpus.recordings:
        reasons = "; ".join(f"{reason} ({names[0]})" for reason, names in list(corpus._by_reason().items())[:3])
        raise DiffvocError(f"{folder} holds nothing that can be trained on: {reasons}.")
    return corpus


def _find_mel(features: str | Path | None, folder: Path, name: str) -> Path | None:
    """The saved mel of a recording, also when the mels were extracted from the folder above; None to make it."""
    if features is None:
        return None
    root = Path(features).expanduser()
    for place in (root / f"{name}.npy", root / folder.resolve().name / f"{name}.npy"):
        if place.is_file():
            return place
    raise DiffvocError(f"no saved mel of it in {features}; extract it.")


@dataclass
class Finding:
    """What listening to one file found; ``quiet`` of ``blocks`` pieces of 1024 samples are silent."""

    reason: str | None = None
    clipped: bool = False
    quiet: int = 0
    blocks: int = 0


def hear(blocks: Iterable[np.ndarray]) -> Finding:
    """Silence and clipping in float blocks [n, channels] of one recording."""
    finding, peak = Finding(), 0.0
    full = np.zeros(0, dtype=bool)
    for block in blocks:
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


def _missing_clips(folder: Path, paths: list[Path]) -> list[str]:
    """Names in an LJ Speech ``metadata.csv``, in the folder or beside its ``wavs``, that no audio file has."""
    tables = [place / "metadata.csv" for place in (folder, folder.parent) if place == folder or folder.name == "wavs"]
    table = next((table for table in tables if table.is_file()), None)
    if table is None:
        return []
    stems = {path.stem for path in paths}
    names = [Path(row[0]).name for row in read_transcripts(table)]
    return [name for name in dict.fromkeys(names) if name and name not in stems and Path(name).stem not in stems]


def read_transcripts(path: Path) -> list[list[str]]:
    """The lines of an LJ Speech ``metadata.csv``, id|text|..., as columns without spaces around them; at least one.

    A byte order mark, either kind of line end, empty lines and bytes that are no UTF-8 do no harm.

    Raises: DiffvocError when it cannot be read.
    """
    check_readable(path)
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return [[column.strip() for column in line.split("|")] for line in lines if line.strip()]
