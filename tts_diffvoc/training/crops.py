"""Aligned crops of recordings, read by seek, and the order in which training sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import gcd
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from tts_diffvoc.audio import read_audio, resample
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, compress, expand, log_mel
from tts_diffvoc.training.conditions import numbered
from tts_diffvoc.training.corpus import Recording, read_header, why_unusable

# Samples on each side, at the lower of two rates, in which soxr's filter dies away.
FILTER_WIDTH = 256


def read_waveform(recording: Recording, start: int, stop: int, rate: int) -> Tensor:
    """Samples ``start`` to ``stop`` of the recording resampled to ``rate``, [stop - start].

    They equal that part of the whole clip's resampling: the piece read begins on a common multiple of both rates,
    and reaches beyond the crop by more than the filter's length.
    """
    if recording.rate == rate:
        return read_audio(recording.path, start, stop, highpass=recording.highpass)[0]
    common = gcd(recording.rate, rate)
    source, target = recording.rate // common, rate // common
    reach = -(-FILTER_WIDTH * recording.rate // (min(recording.rate, rate) * source))
    first = max(0, start // target - reach)
    last = -(-stop // target) + reach
    ends = first * source, min(last * source, recording.samples)
    resampled = resample(read_audio(recording.path, *ends, highpass=recording.highpass)[0], recording.rate, rate)
    return resampled[start - first * target : stop - first * target]


def count_frames(recording: Recording, mel: MelConfig) -> int:
    """Whole mel frames of a recording: those of its saved mel, or samples divided by the hop."""
    frames = recording.length(mel.sample_rate) // mel.hop_length
    if recording.mel is None:
        return frames
    saved = _open_mel(recording, mel)
    if abs(saved.shape[1] - frames) > 2:
        raise DiffvocError(
            f"{recording.mel} has {saved.shape[1]} frames and {recording.path.name} has {frames}; "
            "extract the mels again with this vocoder's hop and rate."
        )
    return min(frames, saved.shape[1])


def _open_mel(recording: Recording, mel: MelConfig) -> np.ndarray:
    assert recording.mel is not None
    try:
        saved = np.load(recording.mel, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        raise DiffvocError(f"{recording.mel} cannot be read as a saved mel; extract the mels again.") from None
    if saved.ndim != 2 or saved.shape[0] != mel.n_mels:
        raise DiffvocError(f"{recording.mel} has the shape {saved.shape}; this vocoder takes ({mel.n_mels}, frames).")
    return saved


def read_crop(recording: Recording, mel: MelConfig, start: int, frames: int) -> tuple[Tensor, Tensor]:
    """Waveform [frames * hop] and log-mel [M, frames] of a recording from frame ``start``.

    The mel is that of the whole clip, cut: enough audio is read on both sides for the windows at the crop's edges.
    """
    whole, hop = count_frames(recording, mel), mel.hop_length
    if not 0 <= start <= start + frames <= whole:
        raise DiffvocError(f"frames {start} to {start + frames} of {recording.path.name} were asked; it has {whole}.")
    if recording.mel is not None:
        piece = _open_mel(recording, mel)[:, start : start + frames]
        waveform = read_waveform(recording, start * hop, (start + frames) * hop, mel.sample_rate)
        return waveform, torch.from_numpy(np.array(piece, dtype=np.float32))
    side = -(-mel.n_fft // 2 // hop)
    first, last = max(0, start - side), min(whole, start + frames + side)
    end = recording.length(mel.sample_rate) if last == whole else last * hop  # the clip's last window sees its end
    waveform = read_waveform(recording, first * hop, end, mel.sample_rate)
    columns = log_mel(waveform.unsqueeze(0), mel)[0, :, start - first : start - first + frames]
    return waveform[(start - first) * hop : (start - first + frames) * hop], columns


def read_clip(recording: Recording, mel: MelConfig, seconds: float | None = None) -> tuple[Tensor, Tensor]:
    """Waveform [F * hop] and log-mel [M, F] of a recording, its first ``seconds`` or all."""
    frames = count_frames(recording, mel)
    if seconds is not None:
        frames = min(frames, max(1, int(seconds * mel.sample_rate / mel.hop_length)))
    return read_crop(recording, mel, 0, frames)


def change_gain(batch: dict[str, Any], gain_db: float, config: MelConfig) -> dict[str, Any]:
    """Make each row up to ``gain_db`` softer or half as many decibels louder, never above full scale.

    Args:
        batch: as :func:`collate` makes it; the rows' seeds are those of their gains, too.
    """
    waveform, mel = batch["waveform"], batch["mel"]
    draws = [float(np.random.default_rng([int(seed), 1]).uniform(-gain_db, gain_db / 2)) for seed in batch["seed"]]
    gain = 10 ** (torch.tensor(draws).to(waveform) / 20)
    gain = torch.minimum(gain, 1 / waveform.abs().amax(1).clamp_min(1e-3)).unsqueeze(1)
    gain = torch.where(waveform.abs().amax(1, keepdim=True) > 1, 1.0, gain)
    return {**batch, "waveform": waveform * gain, "mel": compress(expand(mel, config) * gain.unsqueeze(2), config)}


class CropKey(NamedTuple):
    """One crop to read: which clip, from which frame, and the seed of its noise."""

    clip: int
    start: int
    seed: int


class CropDataset(Dataset):
    """Crops of ``frames`` mel frames by :class:`CropKey`; a clip that is shorter is padded with silence.

    An item is (waveform [frames * hop], mel [M, frames], seed), and with ``conditions`` the number of the clip's own
    among them; or the DiffvocError that reading met: raised in a loader's process it would lose its words.
    """

    def __init__(
        self, recordings: Sequence[Recording], mel: MelConfig, frames: int, conditions: Sequence[str] = ()
    ) -> None:
        self.recordings = list(recordings)
        self.conditions = numbered(self.recordings, conditions) if conditions else []
        self.mel = mel
        self.frames = frames
        self.lengths = [count_frames(r, mel) for r in self.recordings]
        self.clips: list[tuple[Tensor, Tensor]] = []

    def load(self, device: str | torch.device = "cpu") -> CropDataset:
        """Hold whole clips on ``device``, 0.5 GB an hour, instead of reading a piece for each crop; returns itself."""
        clips = (read_clip(recording, self.mel) for recording in self.recordings)
        self.clips = [(waveform.to(device), mel.to(device)) for waveform, mel in clips]
        return self

    def __len__(self) -> int:
        return len(self.recordings)

    def _read(self, key: CropKey, frames: int) -> tuple[Tensor, Tensor]:
        if not self.clips:
            return read_crop(self.recordings[key.clip], self.mel, key.start, frames)
        waveform, mel = self.clips[key.clip]
        hop, stop = self.mel.hop_length, key.start + frames
        return waveform[key.start * hop : stop * hop], mel[:, key.start : stop]

    def __getitem__(self, key: CropKey) -> tuple[Any, ...] | DiffvocError:
        frames = min(self.frames, self.lengths[key.clip])
        try:
            waveform, mel = self._read(key, frames)
        except DiffvocError as error:
            return error
        missing = self.frames - frames
        if missing:
            silence = log_mel(torch.zeros(1, 2 * self.mel.n_fft), self.mel)[0, :, :1].to(mel)
            waveform = torch.nn.functional.pad(waveform, (0, missing * self.mel.hop_length))
            mel = torch.cat([mel, silence.expand(-1, missing)], dim=1)
        condition = (self.conditions[key.clip],) if self.conditions else ()
        return waveform, mel, key.seed, *condition


def collate(items: list[Any]) -> dict[str, Any]:
    """Items of :class:`CropDataset` to {"waveform": [B, T], "mel": [B, M, F], "seed": [B]}, or {"error": text}.

    Where clips have conditions, "condition" [B], int64, is their numbers.
    """
    for item in items:
        if isinstance(item, DiffvocError):
            return {"error": str(item)}
    waveforms, mels, *numbers = zip(*items)
    columns = {name: torch.tensor(column) for name, column in zip(("seed", "condition"), numbers)}
    return {"waveform": torch.stack(waveforms), "mel": torch.stack(mels), **columns}


def check_batch(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch of :func:`collate` as it is; DiffvocError with the words of what reading it met."""
    if "error" in batch:
        raise DiffvocError(batch["error"])
    return batch


def crop_loader(dataset: CropDataset, batches: Iterable[list[CropKey]], workers: int) -> DataLoader[Any]:
    """The crops of ``batches``, read by so many processes, in batches of :func:`collate`."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


class CropBatches(Sampler[list[CropKey]]):
    """Batches of crops for each epoch, the same for the same seed, wherever training is taken up.

    An epoch cuts every clip into pieces of ``frames`` frames, ``passes`` times, each moved at random, and shuffles
    them. Of each joined batch, ``batch_size * world`` crops, a process takes every ``world``-th from ``rank``: what
    the processes see together does not depend on how many they are. The last batch is filled up from the first.

    Args:
        lengths: frames of each clip.
        frames: frames of a crop.
        batch_size: crops a batch of one process.
        seed: of order, places and noise.
        rank, world: this process and how many there are.
        passes: times that an epoch goes through the corpus.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        frames: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        passes: int = 1,
    ) -> None:
        self.lengths, self.frames, self.seed = list(lengths), frames, seed
        self.batch_size, self.rank, self.world = batch_size, rank, world
        pieces = [max(1, length // frames) for length in self.lengths]
        self.pieces = np.repeat(np.arange(len(pieces)), pieces).repeat(passes)
        self.position = 0

    def __len__(self) -> int:
        return -(-len(self.pieces) // (self.batch_size * self.world))

    def joined(self, epoch: int) -> list[CropKey]:
        """Every crop of an epoch in order, joined over processes, filled up to whole batches."""
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(self.pieces)
        wanted = len(self) * self.batch_size * self.world
        order = np.resize(order, wanted)
        room = np.maximum(np.asarray(self.lengths)[order] - self.frames, 0)
        starts = np.floor(random.random(wanted) * (room + 1)).astype(int)
        seeds = random.integers(0, 2**62, wanted)
        return [CropKey(int(c), int(s), int(n)) for c, s, n in zip(order, starts, seeds)]

    def __iter__(self) -> Iterator[list[CropKey]]:
        """The batches from ``position``, counted from the beginning of training, to the end of its epoch."""
        epoch, first = divmod(self.position, len(self))
        self.position = (epoch + 1) * len(self)
        keys = self.joined(epoch)
        size = self.batch_size * self.world
        for batch in range(first, len(self)):
            yield keys[batch * size + self.rank : (batch + 1) * size : self.world]


def fixed_crops(lengths: Sequence[int], frames: int, seed: int) -> list[CropKey]:
    """One crop from the middle of each clip, with noise of its own that never changes: for validation."""
    return [CropKey(i, max(0, (length - frames) // 2), seed + i) for i, length in enumerate(lengths)]


def _name_below(path: Path, folder: str | Path | None) -> str | None:
    """The name of ``path`` in a corpus in ``folder``; None where it does not lie there."""
    if folder is None or not path.is_relative_to(folder):
        return None
    return path.relative_to(folder).with_suffix("").as_posix()


def as_recordings(samples: Sequence[Any], mel: MelConfig, folder: str | Path | None = None) -> list[Recording]:
    """What Coqui's loaders list, paths or (path, saved mel) pairs, or recordings themselves, as recordings.

    A path below ``folder`` gets its name from there on, as a scan of the folder gives it, and any other its stem.

    Raises: DiffvocError for a file that is no audio or cannot be used with ``mel``.
    """
    recordings = []
    for sample in samples:
        if not isinstance(sample, Recording):
            path, saved = sample if isinstance(sample, (tuple, list)) else (sample, None)
            sample = read_header(Path(path), _name_below(Path(path), folder), Path(saved) if saved else None)
        reason = why_unusable(sample, mel)
        if reason:
            raise DiffvocError(f"{sample.path} cannot be trained on: {reason}.")
        recordings.append(sample)
    if not recordings:
        raise DiffvocError("there are no clips to train on; give a folder with recordings.")
    return recordings
