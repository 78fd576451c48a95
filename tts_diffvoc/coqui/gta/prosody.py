"""Pitch of a recording, and the frames of each symbol: searched for a model without an aligner, or read from a file."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import torch
from torch import Tensor
from TTS.tts.models.forward_tts import ForwardTTS

from tts_diffvoc.coqui.gta.corpus import Utterance
from tts_diffvoc.errors import DiffvocError

STEPS = np.array([[1, 0], [1, 1], [1, 2], [1, 3]])  # stay on a frame of the reference, go on, or skip up to two
PRICES = np.array([0.1, 0.0, 0.1, 0.2])


def pitch_of(samples: Tensor, rate: int, hop: int, frames: int, low: float = 65.0, high: float = 450.0) -> Tensor:
    """Fundamental frequency in Hz of each frame [F] of `samples` [N] by autocorrelation, 0 where unvoiced.

    The autocorrelation of a Hann-windowed stretch of three periods of `low` is divided by the window's (Boersma
    1993, equation 9). The shortest lag that is nearly as good as the best one counts, against octave errors.
    """
    size = int(3 * rate / low)
    padded = torch.nn.functional.pad(samples.float(), (size // 2, size // 2 + hop * 2))
    stretches = padded.unfold(0, size, hop)[:frames]
    window = torch.hann_window(size)
    transform = 1 << (2 * size - 1).bit_length()
    shortest, longest = int(rate / high), int(rate / low)

    def correlation(x: Tensor) -> Tensor:
        power = torch.fft.rfft(x, transform).abs().square()
        power[..., int(1200 / rate * transform) :] = 0  # harmonics above tell little and cost accuracy
        out = torch.fft.irfft(power)[..., : longest + 1]
        return out / out[..., :1].clamp_min(1e-12)

    own = correlation((stretches - stretches.mean(1, keepdim=True)) * window) / correlation(window)
    lags = own[:, shortest:]
    peak = lags.amax(1, keepdim=True)
    inner = (own[:, 1:-1] >= own[:, :-2]) & (own[:, 1:-1] >= own[:, 2:])
    risen = torch.nn.functional.pad(inner, (1, 1))[:, shortest:] & (lags > 0.9 * peak)
    first = torch.where(risen.any(1), risen.float().argmax(1), lags.argmax(1)) + shortest
    voiced = (peak[:, 0] > 0.6) & (stretches.std(1) > 0.003)
    return torch.where(voiced, rate / first, 0.0)


def follow(model: ForwardTTS, utterance: Utterance, rounds: int = 3) -> Tensor:
    """Frames of each symbol [T], summing to F, from a search along the model's own mel.

    The model's mel under its predicted durations, stretched to F frames, is warped on the recording's
    (dynamic time warping, Sakoe and Chiba 1978, both with each band at zero mean and unit deviation). What the
    recording spends on the frames of a symbol is its duration. The next round starts from what was found.

    Raises: DiffvocError when the transcript has more symbols than the clip has frames.
    """
    utterance.check_length()
    symbols, frames = utterance.lengths()
    count, device = len(utterance.symbols), utterance.symbols.device

    def run(durations: Tensor, length: Tensor) -> dict[str, Tensor]:
        given = durations[None].to(device)
        return model(utterance.symbols[None], symbols, length, dr=given, aux_input=utterance.conditioning())

    even = whole(torch.ones(count, dtype=torch.float64), len(utterance.mel))
    durations = whole(run(even, frames)["durations"][0].double().cpu(), len(utterance.mel))
    for _ in range(rounds):
        lasting = durations.clamp_min(1)
        reference = run(lasting, lasting.sum().reshape(1).to(device))["model_outputs"][0]
        path = warp(standard(utterance.mel).cpu(), standard(reference).cpu())
        owner = torch.repeat_interleave(torch.arange(count), lasting)
        found = torch.bincount(owner[path], minlength=count)
        if torch.equal(found, durations):
            break
        durations = found
    return durations


def whole(durations: Tensor, frames: int) -> Tensor:
    """Durations [T] scaled to sum to `frames`, rounded so that each boundary moves by half a frame at most."""
    ends = durations.clamp_min(0).cumsum(0) + torch.arange(1, len(durations) + 1) * 1e-6
    ends = torch.round(ends * (frames / ends[-1])).long()
    return torch.diff(ends, prepend=torch.zeros(1, dtype=torch.long))


def standard(mel: Tensor) -> Tensor:
    """A mel [F, C] with each band at zero mean and unit deviation: no loudness, no tone colour of a room."""
    return (mel - mel.mean(0)) / mel.std(0, unbiased=False).clamp_min(1e-3)


def warp(mel: Tensor, reference: Tensor) -> Tensor:
    """For each frame of `mel` [F, C] the frame of `reference` [R, C] on the cheapest path, [F], never falling."""
    cost = torch.cdist(mel.double(), reference.double(), p=1).numpy() / mel.shape[1]
    _, path = librosa.sequence.dtw(C=cost, step_sizes_sigma=STEPS, weights_add=PRICES, weights_mul=np.ones(len(STEPS)))
    return torch.from_numpy(path[::-1, 1].copy())


def read_durations(path: Path, symbols: int, frames: int) -> Tensor:
    """Frames of each symbol [T] from an .npy, which must sum to `frames` give or take two.

    Raises: DiffvocError for a missing file, another number of symbols or another sum.
    """
    try:
        values = np.load(path, allow_pickle=False)
        durations = torch.from_numpy(np.round(values.astype(np.float64))).long()
    except (OSError, ValueError, TypeError):
        raise DiffvocError(f"{path} cannot be read; save the frames of each symbol as a plain array.") from None
    if durations.shape != (symbols,) or (durations < 0).any():
        raise DiffvocError(
            f"{path} has shape {list(values.shape)} and the transcript {symbols} symbols; give one each."
        )
    late = frames - int(durations.sum())
    longest = int(durations.argmax())
    if abs(late) > 2 or durations[longest] + late < 0:
        raise DiffvocError(f"{path} sums to {int(durations.sum())} frames and the clip has {frames}; give its own.")
    durations[-1 if durations[-1] + late >= 0 else longest] += late
    return durations
