"""Generators on short-time spectra: the network corrects the best linear estimate of clean data.

The estimate is Wiener's. Let a be the noise level, s^2 = 1 - a^2, and r the deviation that a coefficient of the MDCT
has over the training set. Then x has deviation d = sqrt(a^2 r^2 + s^2) there, the estimate is a r^2 x / d^2, and its
error has deviation s r / d, in units of which the network corrects it. The MDCT is orthonormal: white noise stays white
noise there. With r = 1 this is the v-prediction of Salimans and Ho (2022, section 4), and the preconditioning of Karras
et al. (2022, table 1) for each coefficient by itself. The network sees and corrects short-time Fourier spectra, one
position a hop with many channels, instead of sample by sample: one evaluation costs a fiftieth on a CPU.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.diffusion.process import Denoiser

# Of a bin, whose power is about 1 for what is seen on average.
LEAST_POWER = 0.01


class MDCT(nn.Module):
    """Modified discrete cosine transform with a sine window, blocks of N samples, N even, periodic at the ends.

    X[k, j] = sqrt(2 / N) sum_n w[n] x[jN - N/2 + n] cos(pi / N (n + 1/2 + N/2)(k + 1/2)), n < 2N
    (Princen, Johnson and Bradley 1987). The periodic ends make it a square orthonormal map of T samples.
    """

    basis: Tensor

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block
        n = torch.arange(2 * block, dtype=torch.float64) + 0.5
        k = torch.arange(block, dtype=torch.float64).unsqueeze(1) + 0.5
        basis = math.sqrt(2 / block) * torch.cos(math.pi / block * (n + block / 2) * k)
        basis = basis * torch.sin(math.pi * n / (2 * block))
        self.register_buffer("basis", basis.float().unsqueeze(1), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, T] to [B, N, T / N]; T must be a multiple of N."""
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


class STFT(nn.Module):
    """Short-time Fourier transform of a waveform as real channels, and back by overlap-add.

    One frame of four hops a hop, centred on the middle of its hop, so that T = F * hop samples have F frames. A
    periodic Hann window on both sides; spectra of unit white noise have unit variance.
    """

    window: Tensor

    def __init__(self, hop: int) -> None:
        super().__init__()
        self.hop, self.n_fft, self.side = hop, 4 * hop, 3 * hop // 2
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)
        self.norm = math.sqrt(float(self.window.square().sum()) / 2)

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, F * hop] to [B, n_fft + 2, F], real parts before imaginary ones."""
        frames = F.pad(waveform, (self.side, self.side)).unfold(-1, self.n_fft, self.hop) * self.window
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
        length = frames.shape[1] * self.hop + 2 * self.side
        added = F.fold(frames.transpose(1, 2), (1, length), (1, self.n_fft), stride=(1, self.hop))
        return added[:, 0, 0, self.side : length - self.side]


def precondition(network: Denoiser, power: Tensor, mdct: MDCT, stft: STFT) -> Denoiser:
    """The denoiser (x [B, T], noise_level [B]) -> x0 [B, T] of a network on spectra.

    What the network is shown is the linear estimate divided by r, and all of it by the deviation that is then left on
    average, so that its level depends neither on the data's spectrum nor on the noise.

    Args:
        network: (spectra [B, n_fft + 2, F], noise_level [B]) -> corrections of the same shape, of deviation one.
        power: r^2, [1, hop, 1].
    """

    def denoise(x: Tensor, noise_level: Tensor) -> Tensor:
        level = noise_level.reshape(-1, 1, 1).to(x)
        variance = (1 - level.square()).clamp_min(1e-12)
        total = level.square() * power + variance
        coefficients = mdct(x)
        linear = mdct.inverse(coefficients * (level * power / total))
        left = (level.square() * power / total).mean((1, 2), keepdim=True)
        shown = mdct.inverse(coefficients * (level * power.sqrt() / total / left.sqrt()))
        correction = mdct(stft.inverse(network(stft(shown), noise_level).to(x.dtype)))
        return linear + mdct.inverse(correction * (variance * power / total).sqrt())

    return denoise


def with_gains(network: Denoiser) -> Denoiser:
    """A network on spectra [B, 2 K, F] from one on [B, 3 K, F]: spectra and log powers in, spectra and gains out.

    Where data are Gaussian with a variance of their own at each place, the best estimate is a gain on what is seen
    (Wiener's), and what one needs to know to choose it are powers nearby. A convolution that sees amplitudes alone has
    to find both products by itself.

    Args:
        network: ([B, 3 K, F], noise_level [B]) -> [B, 3 K, F]; the first 2 K channels are real and imaginary parts.
    """

    def predict(spectra: Tensor, noise_level: Tensor) -> Tensor:
        real, imaginary = spectra.chunk(2, dim=1)
        powers = (real.square() + imaginary.square() + LEAST_POWER).log()
        correction, gain = network(torch.cat([spectra, powers], dim=1), noise_level).split(
            [spectra.shape[1], real.shape[1]], dim=1
        )
        return correction + torch.cat([gain, gain], dim=1) * spectra

    return predict


def remaining_error(power: Tensor, noise_level: Tensor) -> Tensor:
    """The squared error s^2 r^2 / d^2 that the best linear estimate of clean data leaves, mean over ``power``, [B].

    Divided by it, no level's errors drown the others', and below 1 is what a network has learnt.

    Args:
        power: r^2 of any shape.
        noise_level: [B].
    """
    signal, power = noise_level.square().unsqueeze(1), power.reshape(1, -1)
    return ((1 - signal) * power / (signal * power + 1 - signal)).mean(1)
