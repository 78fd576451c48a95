"""An orthonormal lapped transform, and a noise prior shaped by the mel.

A vocoder that folds samples into channels works on the coefficients of a modified discrete cosine transform
instead of samples. The transform is orthonormal, so white noise stays white noise and every formula of the
diffusion holds unchanged; only the network sees fewer positions with more channels. Dividing each coefficient
by the magnitude that the mel leads one to expect there turns the diffusion into one whose noise is shaped by
the mel: PriorGrad (Lee et al. 2022, equation 4) with SpecGrad's time-varying filter (Koizumi et al. 2022).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, expand, mel_filters


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


class MelPrior(nn.Module):
    """Expected standard deviation of each transform coefficient, from the mel alone.

    The magnitude of a band is spread evenly over its width, which takes mel magnitudes to the root mean square
    of Gaussian noise with that spectrum (Rayleigh magnitudes: rms = mean * sqrt(4 / pi)). The power is smeared
    over frequency by a triangle as wide as the transform's own leakage, so that a harmonic that the mel resolves
    and the shorter transform does not is expected in each coefficient that it reaches.
    """

    smear: Tensor
    gain: Tensor

    def __init__(self, mel: MelConfig, block: int, floor: float = 3e-5) -> None:
        super().__init__()
        if mel.hop_length % block:
            raise DiffvocError(f"blocks of {block} samples do not divide a hop of {mel.hop_length}.")
        self.mel = mel
        self.block = block
        self.floor = floor
        filters = mel_filters(mel).double()
        area = filters.sum(1).clamp_min(1e-12)
        centres = (filters @ (torch.arange(filters.shape[1]).double() * mel.sample_rate / mel.n_fft)) / area
        spacing = mel.sample_rate / (2 * block)
        frequency = ((torch.arange(block).double() + 0.5) * spacing).clamp(centres[0], centres[-1]).unsqueeze(1)
        distance = (frequency - centres).abs()
        # Wide enough to meet at least the nearest band on each side, where bands lie far apart.
        width = torch.topk(distance, 2, dim=1, largest=False).values.sum(1, keepdim=True).clamp_min(1.5 * spacing)
        smear = (1 - distance / width).clamp_min(0)
        self.register_buffer("smear", (smear / smear.sum(1, keepdim=True)).float(), persistent=False)
        energy = torch.hann_window(mel.win_length, dtype=torch.float64).square().sum()
        gain = math.sqrt(4 / math.pi) / (area * energy.sqrt())
        self.register_buffer("gain", gain.float().unsqueeze(1), persistent=False)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Log-mel [B, M, F] to standard deviations [B, N, F * hop / N]."""
        power = self.smear @ (expand(log_mel, self.mel) * self.gain).square()
        per_frame = self.mel.hop_length // self.block
        frames = power.shape[-1]
        place = (torch.arange(frames * per_frame, device=power.device) + 0.5) / per_frame
        below = place.floor().long().clamp(max=frames - 1)
        above = (below + 1).clamp(max=frames - 1)
        share = (place - below).to(power.dtype)
        return (power[..., below] * (1 - share) + power[..., above] * share).sqrt().clamp_min(self.floor)
