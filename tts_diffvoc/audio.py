"""Audio files: the only reader, writer and resampler of the package (libsndfile and soxr)."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from tts_diffvoc.errors import DiffvocError, Failure, shown
from tts_diffvoc.files import check_readable, replacing

if TYPE_CHECKING:  # peaks are also scaled where there is no torch
    from torch import Tensor

RATES = (1_000, 768_000)
MOST_SAMPLES = 1 << 27  # of one recording in memory, 0.5 GiB: 1.7 hours at 22,050 Hz
MOST_EXPANDED = 4096  # samples that a byte of any codec can stand for
LOUDEST = 8.0  # peak beyond which samples are not audio in [-1, 1], which floating-point files may exceed a little
BLOCK = 1 << 16
MP3_LEAD = 16 * 1152  # samples decoded before a part of an MP3, whose frames hold bits for later ones
HIGHPASS_HZ = 20.0
Samples = TypeVar("Samples", "Tensor", np.ndarray)


class Format(NamedTuple):
    """A kind of file in libsndfile's words, and the sample rates that it can have, none for any."""

    container: str
    subtype: str
    rates: tuple[int, ...] = ()


# By the ending of a file's name.
FORMATS = {
    "wav": Format("WAV", "PCM_16"),
    "flac": Format("FLAC", "PCM_16"),
    "ogg": Format("OGG", "VORBIS"),
    "opus": Format("OGG", "OPUS", (8000, 12000, 16000, 24000, 48000)),
    "mp3": Format("MP3", "MPEG_LAYER_III", (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)),
}
SUFFIXES = tuple(f".{name}" for name in FORMATS)


class Header(NamedTuple):
    """What a file says of itself: samples a channel, samples a second, channels."""

    samples: int
    rate: int
    channels: int


def read_header(path: Path) -> Header:
    """The header of an audio file, checked; DiffvocError for what is no audio or can't be true."""
    import soundfile

    size = check_readable(path)
    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError, TypeError):  # TypeError: headerless, by its suffix
        raise DiffvocError(f"{path} cannot be read as audio; give {', '.join(FORMATS)}.") from None
    header = Header(info.frames, info.samplerate, info.channels)
    if not RATES[0] <= header.rate <= RATES[1]:
        raise DiffvocError(
            f"{path} has {header.rate:,} samples a second; recordings have {RATES[0]:,} to {RATES[1]:,}: check it."
        )
    if not 0 <= header.samples * header.channels <= MOST_EXPANDED * size:
        raise DiffvocError(f"{path} is too small to hold the {header.samples:,} samples of its header; it is damaged.")
    return header


def read_blocks(path: Path, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
    """Samples ``start`` to ``stop`` of each channel, float32 [n, channels], a block at a time.

    Raises: DiffvocError when the file ends before that, holds NaN, or is so loud that it is no audio in [-1, 1].
    """
    import soundfile

    header = read_header(path)
    left = (header.samples if stop is None else stop) - start
    try:
        with soundfile.SoundFile(str(path)) as file:
            # libsndfile's seek misses by hundreds of samples in Vorbis, and loses bits of earlier frames in MP3.
            for first in range(0, start if file.subtype == "VORBIS" else 0, BLOCK):
                file.read(min(start - first, BLOCK))
            size = 64 * BLOCK if file.format == "MP3" else BLOCK  # soundfile seeks after each: libmpg123 then complains
            while left > 0:
                lead = min(start, MP3_LEAD) if file.format == "MP3" else 0
                if file.tell() != start - lead:
                    file.seek(start - lead)
                block = file.read(lead + min(left, size), dtype="float32", always_2d=True)[lead:]
                if not len(block):
                    break
                start, left = start + len(block), left - len(block)
                peak = float(np.abs(block).max())
                if not np.isfinite(peak):
                    raise DiffvocError(f"{path} holds NaN or infinite samples; make it again.")
                if peak > LOUDEST:
                    raise DiffvocError(f"{path} has peaks far above full scale; samples lie within -1 to 1: scale it.")
                yield block
    except (soundfile.SoundFileError, OSError):
        left = 1
    if left > 0:
        raise DiffvocError(f"{path} cannot be read to its end; it is damaged, or has changed.")


def read_audio(
    path: Path, start: int = 0, stop: int | None = None, *, highpass: bool = True, channel: int | None = None
) -> tuple[Tensor, int]:
    """Samples ``start`` to ``stop`` of a recording, [T] float32, and its rate.

    ``channel`` is the one to take, counted from 1; None averages all. What lies below 20 Hz, an offset of the recorder
    above all, is not speech and a vocoder makes it audible, so it is taken off by :func:`remove_dc` unless ``highpass``
    is False. A part has the samples of the whole file, cut.

    Raises: DiffvocError for what is no audio, does not have these samples or this channel, or is too long for memory.
    """
    import torch

    header = read_header(path)
    if channel is not None and channel > header.channels:
        raise DiffvocError(f"{path} has {header.channels} channels and no channel {channel}; give another.")
    stop = header.samples if stop is None else stop
    if not 0 <= start <= stop <= header.samples:
        raise DiffvocError(f"{path} has {header.samples:,} samples, not {start:,} to {stop:,} as asked; put it back.")
    if stop - start > MOST_SAMPLES:
        raise DiffvocError(
            f"{path} is {(stop - start) / header.rate / 3600:.1f} hours long; cut it into shorter recordings."
        )
    reach = 2 * _window(header.rate) if highpass else 0
    first, last = max(0, start - reach), min(header.samples, stop + reach)
    blocks = [
        block.mean(axis=1) if channel is None else block[:, channel - 1] for block in read_blocks(path, first, last)
    ]
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if highpass:
        samples = remove_dc(samples, header.rate)
    return torch.from_numpy(samples[start - first : stop - first]), header.rate


def _window(rate: int) -> int:
    """Samples of the moving average whose square leaves 0.3 of a tone at HIGHPASS_HZ."""
    return max(1, round(0.575 * rate / HIGHPASS_HZ))


def remove_dc(samples: np.ndarray, rate: int) -> np.ndarray:
    """``samples`` [T] without what lies below 20 Hz: -3 dB there, 0.1 dB at 60 Hz, no phase shift.

    What is subtracted is a moving average over 29 ms, taken twice.
    """
    from scipy.ndimage import uniform_filter1d

    if not len(samples):
        return samples
    average = samples.astype(np.float64)
    for _ in range(2):
        average = uniform_filter1d(average, _window(rate), mode="reflect")
    return (samples - average).astype(np.float32)


def resampled_length(samples: int, rate: int, wanted: int) -> int:
    """How many samples :func:`resample` makes of so many."""
    return (2 * samples * wanted + rate) // (2 * rate)


def resample(waveform: Tensor, rate: int, wanted: int) -> Tensor:
    """``waveform`` [T] or [B, T] from ``rate`` to ``wanted`` samples a second, by any ratio, in memory of its size."""
    if rate == wanted:
        return waveform
    import soxr
    import torch

    rows = waveform.detach().cpu().numpy().T
    length = resampled_length(len(rows), rate, wanted)
    if length * rows[:1].size > MOST_SAMPLES:
        raise DiffvocError(f"{len(rows):,} samples at {rate:,} Hz are too many at {wanted:,} Hz; cut the recording.")
    made = soxr.resample(rows, rate, wanted)[:length]
    made = np.pad(made, [(0, length - len(made))] + [(0, 0)] * (made.ndim - 1))
    return torch.from_numpy(np.ascontiguousarray(made.T)).to(waveform)


def scale_peaks(waveform: Samples, name: str, cut: bool = False) -> Samples:
    """``waveform`` [..., T], each row whose peak is above 1 scaled to 1, with a warning; ``name`` is who made it.

    With ``cut`` it is cut to [-1, 1] instead: a stream, whose later peaks nobody knows.

    Raises: DiffvocError for NaN and infinity.
    """
    peaks: Any = abs(waveform)
    highest = float(peaks.max())
    if not np.isfinite(highest):
        raise Failure(f"{name} made NaN or infinite samples; give another mel, other options or weights.")
    if highest <= 1:
        return waveform
    done = "which was cut to 1" if cut else "and the clip was scaled down to 1"
    warnings.warn(f"{name} made a peak of {highest:.3g}, {done}.", stacklevel=3)
    if cut:
        return waveform.clip(-1, 1)
    return waveform / (peaks.max(-1, keepdims=True) if isinstance(peaks, np.ndarray) else peaks.amax(-1, True)).clip(1)


def format_of(path: Path) -> Format:
    """The format that the ending of a name stands for; DiffvocError for one that is not there to be written."""
    import soundfile

    kind = FORMATS.get(path.suffix.lower().removeprefix("."))
    if kind is None:
        raise DiffvocError(f"{shown(path.name, 120)} names no format to write; end it in one of {', '.join(SUFFIXES)}.")
    if not soundfile.check_format(kind.container, kind.subtype):
        raise DiffvocError(f"{shown(path.name, 120)} needs libsndfile 1.1 or newer; update soundfile.")
    return kind


def write_audio(path: Path, waveform: Tensor, sample_rate: int) -> None:
    """Write ``waveform`` [T] in [-1, 1] as the ending of the name says, of 16 bits or encoded, whole or not at all.

    A rate that the format does not have becomes the next higher one that it has. A peak above 1 is scaled.

    Raises: DiffvocError for another ending or shape, NaN and infinity, and where it cannot be written.
    """
    import soundfile

    kind = format_of(path)
    if waveform.dim() != 1 or not len(waveform):
        raise DiffvocError(f"a waveform of shape {list(waveform.shape)} was to be written; give [T], T at least 1.")
    waveform = scale_peaks(waveform.detach().float(), path.name).cpu()
    rate = sample_rate
    if kind.rates:
        rate = min((r for r in kind.rates if r >= sample_rate), default=kind.rates[-1])
    samples = resample(waveform, sample_rate, rate).numpy()
    held = io.BytesIO()
    with soundfile.SoundFile(held, "w", rate, 1, kind.subtype, format=kind.container) as file:
        for start in range(0, len(samples), BLOCK):  # libsndfile's Vorbis overflows its stack on a long one
            file.write(samples[start : start + BLOCK])
    with replacing(path) as beside:
        beside.write_bytes(held.getvalue())
