"""Audio files: the only reader, writer and resampler of the package (libsndfile and soxr)."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from tts_diffvoc.errors import DiffvocError, Failure
from tts_diffvoc.files import check_readable, replacing

RATES = (1_000, 768_000)
MOST_SAMPLES = 1 << 27  # of one recording in memory, 0.5 GiB: 1.7 hours at 22,050 Hz
MOST_EXPANDED = 4096  # samples that a byte of any codec can stand for
LOUDEST = 8.0  # peak beyond which samples are not audio in [-1, 1], which floating-point files may exceed a little
BLOCK = 1 << 16
HIGHPASS_HZ = 20.0


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
        raise DiffvocError(f"{path} cannot be read as audio; give wav, flac or ogg.") from None
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
            file.seek(start)
            while left > 0:
                block = file.read(min(left, BLOCK), dtype="float32", always_2d=True)
                if not len(block):
                    break
                left -= len(block)
                _check_block(block, path)
                yield block
    except (soundfile.SoundFileError, OSError):
        left = 1
    if left > 0:
        raise DiffvocError(f"{path} cannot be read to its end; it is damaged, or has changed.")


def _check_block(block: np.ndarray, path: Path) -> None:
    peak = float(np.abs(block).max())
    if not np.isfinite(peak):
        raise DiffvocError(f"{path} holds NaN or infinite samples; make it again.")
    if peak > LOUDEST:
        raise DiffvocError(f"{path} has peaks far above full scale; samples lie within -1 to 1: scale them down.")


def read_audio(path: Path, start: int = 0, stop: int | None = None, *, highpass: bool = True) -> tuple[Tensor, int]:
    """Samples ``start`` to ``stop`` of a recording, channels averaged, [T] float32, and its rate.

    What lies below 20 Hz, an offset of the recorder above all, is not speech and a vocoder makes it audible, so it is
    taken off by :func:`remove_dc` unless ``highpass`` is False. A part has the samples of the whole file, cut.

    Raises: DiffvocError for what is no audio, does not have these samples, or is too long for memory.
    """
    import torch

    header = read_header(path)
    stop = header.samples if stop is None else stop
    if not 0 <= start <= stop <= header.samples:
        raise DiffvocError(f"{path} has {header.samples:,} samples, not {start:,} to {stop:,} as asked; put it back.")
    if stop - start > MOST_SAMPLES:
        raise DiffvocError(
            f"{path} is {(stop - start) / header.rate / 3600:.1f} hours long; cut it into shorter recordings."
        )
    reach = 2 * _window(header.rate) if highpass else 0
    first, last = max(0, start - reach), min(header.samples, stop + reach)
    blocks = [block.mean(axis=1) for block in read_blocks(path, first, last)]
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


def scale_peaks(waveform: Tensor, name: str) -> Tensor:
    """``waveform`` [..., T], each row whose peak is above 1 scaled to 1, with a warning; ``name`` is who made it.

    Raises: DiffvocError for NaN and infinity.
    """
    highest = _peak(waveform, name)
    if highest <= 1:
        return waveform
    warnings.warn(f"{name} made a peak of {highest:.3g}, and the clip was scaled down to 1.", stacklevel=3)
    return waveform / waveform.abs().amax(-1, keepdim=True).clamp_min(1.0)


def cut_peaks(waveform: Tensor, name: str) -> Tensor:
    """``waveform`` [..., T] cut to [-1, 1], with a warning: of a stream, whose later peaks nobody knows.

    Raises: DiffvocError for NaN and infinity.
    """
    highest = _peak(waveform, name)
    if highest <= 1:
        return waveform
    warnings.warn(f"{name} made a peak of {highest:.3g}, which was cut to 1.", stacklevel=3)
    return waveform.clamp(-1.0, 1.0)


def _peak(waveform: Tensor, name: str) -> float:
    peak = float(waveform.abs().max())
    if not np.isfinite(peak):
        raise Failure(f"{name} made NaN or infinite samples; give another mel, other options or weights.")
    return peak


def write_wav(path: Path, waveform: Tensor, sample_rate: int) -> None:
    """Write ``waveform`` [T] in [-1, 1] as 16-bit wav, whole or not at all.

    Raises: DiffvocError for another shape, NaN and infinity, and where it cannot be written. A peak above 1 is scaled.
    """
    import soundfile

    if waveform.dim() != 1 or not len(waveform):
        raise DiffvocError(f"a waveform of shape {list(waveform.shape)} was to be written; give [T], T at least 1.")
    waveform = scale_peaks(waveform.detach().float(), path.name)
    held = io.BytesIO()
    soundfile.write(held, waveform.cpu().numpy(), sample_rate, format="WAV", subtype="PCM_16")
    with replacing(path) as beside:
        beside.write_bytes(held.getvalue())
