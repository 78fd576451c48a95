"""Pitch of a recording."""

from __future__ import annotations

import torch
from torch import Tensor


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
