"""The source of speech: band-limited pulses at the pitch, and noise; and the minimum phase that turns it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.spectral.transform import Transform, magnitude, power, rescale, rotate

NOISE = 0.015  # deviation of the source's noise beside unit pulses
LEVEL = 4.6  # of the spectrum of pulses at any pitch, about
FLOOR = 0.02  # of a bin's power, below which the source says nothing
TAPS = 4  # of a pulse, to each side


def pulses(f0: Tensor, voiced: Tensor, hop: int, sample_rate: int, phase: Tensor | None = None) -> Tensor:
    """Band-limited pulses of area 220 / F0 at each period of ``f0`` [B, F] in Hz where ``voiced`` [B, F]: [B, F * hop].

    A pulse lies between samples, where its period ends: a windowed sinc of eight taps.

    Args:
        phase: share of a period that has passed before the first sample [B], float64; none if not given.
    """
    step = periods(f0, voiced, hop, sample_rate)
    turned = step.cumsum(-1) + (0.0 if phase is None else phase.unsqueeze(1))
    turns = turned.floor()
    begins = turns > F.pad(turns[:, :-1], (1, 0))  # at the first sample after the end of a period
    row, sample = begins.nonzero(as_tuple=True)
    each = step[row, sample]
    late = ((turned - turns)[row, sample] / each).clamp(0, 1).float()
    taps = torch.arange(-TAPS, TAPS, device=f0.device)
    at = late.unsqueeze(1) + taps
    area = (220.0 / sample_rate / each).float().unsqueeze(1)
    value = area * torch.sinc(at) * (at * (math.pi / 2 / TAPS)).cos().square()
    out = F.pad(value.new_zeros(step.shape), (TAPS, TAPS))
    place = (row * out.shape[1] + sample + TAPS).unsqueeze(1) + taps
    return out.flatten().index_add(0, place.flatten(), value.flatten()).view_as(out)[:, TAPS:-TAPS]


def periods(f0: Tensor, voiced: Tensor, hop: int, sample_rate: int) -> Tensor:
    """Share of a period that each sample is, 0 where unvoiced, of ``f0`` [B, F] in Hz: [B, F * hop], float64."""
    on = _to_samples(voiced.float(), hop) > 0.5
    return torch.where(on, _to_samples(f0.double(), hop) / sample_rate, 0.0)


def _to_samples(values: Tensor, hop: int) -> Tensor:
    """Values at frames [B, F], of which f lies at sample f * hop, interpolated linearly to [B, F * hop]."""
    following = torch.cat([values[:, 1:], values[:, -1:]], 1)
    share = torch.arange(hop, device=values.device, dtype=values.dtype) / hop
    return torch.lerp(values.unsqueeze(-1), following.unsqueeze(-1), share).flatten(1)


class MinimumPhase(nn.Module):
    """Phases [B, F, K] of the minimum-phase filter with the smoothed log magnitudes [B, F, K].

    The real cepstrum's first coefficients, doubled for positive times (Oppenheim and Schafer 1975, section 7.2):
    phase = -2 sum_q c_q sin(2 pi q k / n_fft), two matrix products in all.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(self, n_fft: int = 1024, quefrencies: int = 60) -> None:
        super().__init__()
        bins, quefrency = torch.arange(n_fft // 2 + 1), torch.arange(1, quefrencies)
        angle = 2 * math.pi / n_fft * torch.outer(quefrency, bins).double()
        twice = torch.full((len(bins),), 2.0).double()
        twice[0] = twice[-1] = 1.0  # of a real signal's spectrum, only these two have no mirror image
        self.register_buffer("cosines", (angle.cos() * twice / n_fft).T.float().contiguous(), persistent=False)
        self.register_buffer("sines", (-2.0 * angle.sin()).float(), persistent=False)

    def forward(self, log_magnitude: Tensor) -> Tensor:
        return log_magnitude @ self.cosines @ self.sines


def source_level(spectrum: Tensor) -> Tensor:
    """Log level [B, F, K] of the source's spectrum [B, F, 2, K]."""
    return 0.5 * (power(spectrum) + FLOOR).log()


class Source(NamedTuple):
    """What the denoiser is told of the source: its phases turned by the filter, magnitudes one; with its magnitudes
    too, at most about one; both [B, F, 2, K]; and its log level [B, F, K]."""

    phases: Tensor
    spectrum: Tensor
    level: Tensor


def turn(spectrum: Tensor, phase: Tensor, level: Tensor) -> Source:
    """The source's ``spectrum`` [B, F, 2, K], of log ``level`` [B, F, K], filtered by ``phase`` [B, F, K]."""
    turned = rotate(spectrum, phase)
    return Source(rescale(turned, 1.0), turned * (-level).exp().unsqueeze(2), level)


def rebuild_phases(
    waveform: Tensor, source: Tensor, transform: Transform, minimum_phase: MinimumPhase, iterations: int = 48
) -> Tensor:
    """``waveform`` [B, F * hop] with phases that follow from its ``source`` [B, F * hop], which a network can learn.

    Its own magnitudes, phases of the source turned by their minimum phase, then Griffin-Lim without momentum.
    """
    wanted = magnitude(transform(waveform))
    filtered = rotate(transform(source), minimum_phase(wanted.clamp_min(1e-4).log()))
    out = transform.inverse(rescale(filtered, wanted))
    for _ in range(iterations):
        out = transform.inverse(rescale(transform(out), wanted))
    return out
