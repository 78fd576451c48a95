"""Transforms of a folded vocoder: an orthonormal lapped transform, short-time spectra, and a magnitude prior.

A folded network sees a waveform as short-time spectra, one position a hop with many channels, instead of sample by
sample. What the mel tells about each coefficient's magnitude preconditions it (see ``Vocoder.denoiser``). That is
done on a modified discrete cosine transform, which is orthonormal: white noise stays white noise there, so that
expected magnitudes and the noise's compare coefficient by coefficient.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, mel_filters


class LappedTransform(nn.Module):
    """Modified discrete cosine transform with a sine window, blocks of N samples, periodic at the ends.

    X[k, j] = sqrt(2 / N) sum_n w[n] x[jN - N/2 + n] cos(pi / N (n + 1/2 + N/2)(k + 1/2)), n < 2N
    (Princen, Johnson and Bradley 1987). The periodic ends make it a square orthonormal map of T samples.
    """

    basis: Tensor

    def __init__(self, block: int) -> None:
        super().__init__()
        if block < 2 or block % 2:
            raise DiffvocError(f"a lapped transform of {block} samples a block was asked for; use an even number.")
        self.block = block
        n = torch.arange(2 * block, dtype=torch.float64) + 0.5
        k = torch.arange(block, dtype=torch.float64).unsqueeze(1) + 0.5
        basis = math.sqrt(2 / block) * torch.cos(math.pi / block * (n + block / 2) * k)
        basis = basis * torch.sin(math.pi * n / (2 * block))
        self.register_buffer("basis", basis.float().unsqueeze(1), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, T] to [B, N, T / N]; T must be a multiple of N."""
        if waveform.shape[-1] % self.block:
            raise DiffvocError(f"{waveform.shape[-1]} samples are not a multiple of the block of {self.block}.")
        half = self.block // 2
        padded = torch.cat([waveform[:, -half:], waveform, waveform[:, :half]], dim=-1)
        return F.conv1d(padded.unsqueeze(1), self.basis, stride=self.block)

    def inverse(self, coefficients: Tensor) -> Tensor:
        """[B, N, T / N] to [B, T]."""
        padded = F.conv_transpose1d(coefficients, self.basis, stride=self.block).squeeze(1)
        half = self.block // 2
        waveform = padded[:, half:-half].clone()
        waveform[:, -half:] += padded[:, :half]
        waveform[:, :half] += padded[:, -half:]
        return waveform


class Frames(nn.Module):
    """Short-time spectra of a waveform as real channels, and back by overlap-add.

    One frame a hop, centred on the middle of its hop, so that T = F * hop samples have F frames. A periodic Hann
    window on both sides; spectra of unit white noise have unit variance.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        if (n_fft - hop_length) % 2 or n_fft < 2 * hop_length:
            raise DiffvocError(f"frames of {n_fft} samples do not overlap evenly with a hop of {hop_length}.")
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.norm = math.sqrt(float(self.window.square().sum()) / 2)

    @property
    def channels(self) -> int:
        return self.n_fft + 2

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, F * hop] to [B, n_fft + 2, F], real parts before imaginary ones."""
        side = (self.n_fft - self.hop_length) // 2
        frames = F.pad(waveform, (side, side)).unfold(-1, self.n_fft, self.hop_length) * self.window
        spectrum = torch.fft.rfft(frames) / self.norm
        return torch.cat([spectrum.real, spectrum.imag], dim=-1).transpose(1, 2)

    def inverse(self, channels: Tensor) -> Tensor:
        """[B, n_fft + 2, F] to [B, F * hop]; the least-squares inverse of :meth:`forward`."""
        real, imaginary = channels.transpose(1, 2).chunk(2, dim=-1)
        frames = torch.fft.irfft(torch.complex(real, imaginary) * self.norm, n=self.n_fft) * self.window
        waveform = self._overlap_add(frames)
        weight = self._overlap_add(self.window.square().expand(1, frames.shape[1], -1))
        return waveform / weight.clamp_min(1e-3)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        side = (self.n_fft - self.hop_length) // 2
        length = frames.shape[1] * self.hop_length + 2 * side
        added = F.fold(frames.transpose(1, 2), (1, length), (1, self.n_fft), stride=(1, self.hop_length))
        return added[:, 0, 0, side : length - side]


def _hann_energy(mel: MelConfig) -> float:
    """Energy of the analysis window: a short-time spectrum of white noise is this many times its variance."""
    return float(torch.hann_window(mel.win_length, dtype=torch.float64).square().sum())


def _triangles(places: Tensor, block: int, mel: MelConfig) -> Tensor:
    """Weights [N, len(places)], rows of sum 1, that smear power at ``places`` (Hz) over transform coefficients.

    A triangle is as wide as the transform's own leakage, or meets the nearest place on each side where places lie
    far apart; coefficients beyond the ends take the power at the ends.
    """
    spacing = mel.sample_rate / (2 * block)
    frequency = ((torch.arange(block).double() + 0.5) * spacing).clamp(float(places[0]), float(places[-1]))
    distance = (frequency.unsqueeze(1) - places.double()).abs()
    width = torch.topk(distance, 2, dim=1, largest=False).values.sum(1, keepdim=True).clamp_min(1.5 * spacing)
    weight = (1 - distance / width).clamp_min(0)
    return (weight / weight.sum(1, keepdim=True)).float()


def _to_positions(power: Tensor, per_frame: int) -> Tensor:
    """Power [B, N, F] at mel frames, linearly interpolated to [B, N, F * per_frame] block centres."""
    frames = power.shape[-1]
    place = (torch.arange(frames * per_frame, device=power.device) + 0.5) / per_frame
    below = place.floor().long().clamp(max=frames - 1)
    above = (below + 1).clamp(max=frames - 1)
    share = (place - below).to(power.dtype)
    return power[..., below] * (1 - share) + power[..., above] * share


class MagnitudePrior(nn.Module):
    """Expected standard deviation of each transform coefficient, from linear or mel magnitudes.

    Magnitudes are means over what is Rayleigh distributed, so their root mean square is sqrt(4 / pi) times as much
    for Gaussian noise with that spectrum.

    Args:
        mel: the contract of the magnitudes.
        block: samples a block of the transform.
        bands: True for mel magnitudes [B, M, F], False for linear ones [B, n_fft // 2 + 1, F].
        floor: the least standard deviation, about one step of 16-bit audio.
    """

    smear: Tensor
    gain: Tensor

    def __init__(self, mel: MelConfig, block: int, bands: bool, floor: float = 3e-5) -> None:
        super().__init__()
        if mel.hop_length % block:
            raise DiffvocError(f"blocks of {block} samples do not divide a hop of {mel.hop_length}.")
        self.per_frame = mel.hop_length // block
        self.floor = floor
        places = torch.arange(mel.n_fft // 2 + 1).double() * mel.sample_rate / mel.n_fft
        gain = torch.full_like(places, math.sqrt(4 / math.pi / _hann_energy(mel)))
        if bands:
            filters = mel_filters(mel).double()
            area = filters.sum(1).clamp_min(1e-12)
            gain = gain[0] / area
            places = (filters @ places) / area
        self.register_buffer("smear", _triangles(places, block, mel), persistent=False)
        self.register_buffer("gain", gain.float().unsqueeze(1), persistent=False)

    def forward(self, magnitude: Tensor) -> Tensor:
        """Magnitudes [B, M or n_fft // 2 + 1, F] to standard deviations [B, N, F * hop / N]."""
        power = self.smear @ (magnitude * self.gain).square()
        return _to_positions(power, self.per_frame).sqrt().clamp_min(self.floor)
