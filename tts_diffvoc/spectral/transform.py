"""The short-time Fourier transform and its inverse, and arithmetic of complex spectra kept as real tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.errors import DiffvocError

TINY = 1e-12  # of a power: keeps phases finite, and magnitudes differentiable at zero


class Transform(nn.Module):
    """Short-time Fourier transform with a Hann window, frame f centred at sample f * hop, and its exact inverse.

    Nothing is copied to the host, so that a sampler never waits for the device.

    Raises: DiffvocError unless the hop divides a quarter of the window.
    """

    window: Tensor

    def __init__(self, n_fft: int = 1024, hop: int = 256) -> None:
        super().__init__()
        if hop < 1 or n_fft % (4 * hop):
            raise DiffvocError(f"a hop of {hop} does not divide a quarter of n_fft {n_fft}; use 256 for 1024.")
        self.n_fft, self.hop = n_fft, hop
        self.bins, self.blocks = n_fft // 2 + 1, n_fft // hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform [B, F * hop] to its spectrum [B, F, 2, K]; edges are reflected, or silent in very short clips."""
        frames, half = waveform.shape[-1] // self.hop, self.n_fft // 2
        mode = "reflect" if waveform.shape[-1] > half else "constant"
        padded = F.pad(waveform.float().unsqueeze(1), (half, half - self.hop), mode=mode).squeeze(1)
        windowed = padded.unfold(-1, self.n_fft, self.hop)[:, :frames] * self.window
        return torch.view_as_real(torch.fft.rfft(windowed)).transpose(2, 3).contiguous()

    def inverse(self, spectrum: Tensor) -> Tensor:
        """Spectrum [B, F, 2, K] to the waveform [B, F * hop] nearest to it (Griffin and Lim 1984, equation 6)."""
        frames = torch.fft.irfft(torch.complex(*spectrum.float().unbind(2)), self.n_fft) * self.window
        summed = self._overlap_add(frames.unflatten(-1, (self.blocks, self.hop)))
        return (summed / self._window_sums(spectrum.shape[1])).flatten(1)

    def _overlap_add(self, blocks: Tensor) -> Tensor:
        """Blocks [B, F, n_fft // hop, hop] of frames, each laid one hop after the last, to [B, F, hop]."""
        length, half = blocks.shape[1], self.blocks // 2
        out = F.pad(blocks[:, :, 0], (0, 0, 0, self.blocks - 1))
        for i in range(1, self.blocks):
            out[:, i : i + length] += blocks[:, :, i]
        return out[:, half : half + length]

    def _window_sums(self, frames: int) -> Tensor:
        """Sum of the squared windows that reach each sample of a clip of so many frames, [F, hop]."""
        squares = self.window.square().view(self.blocks, self.hop)
        return self._overlap_add(squares.expand(1, frames, -1, -1))[0]


def power(spectrum: Tensor) -> Tensor:
    """Squared magnitude [B, F, K] of a spectrum [B, F, 2, K]."""
    real, imaginary = spectrum.unbind(2)
    return torch.addcmul(real.square(), imaginary, imaginary)


def magnitude(spectrum: Tensor) -> Tensor:
    """Magnitude [B, F, K] of a spectrum [B, F, 2, K], differentiable at zero."""
    return (power(spectrum) + TINY).sqrt()


def rescale(spectrum: Tensor, wanted: Tensor | float) -> Tensor:
    """The phases of a spectrum [B, F, 2, K] on the magnitudes ``wanted`` [B, F, K]."""
    return spectrum * ((power(spectrum) + TINY).rsqrt() * wanted).unsqueeze(2)


def rotate(spectrum: Tensor, phase: Tensor) -> Tensor:
    """A spectrum [B, F, 2, K] with ``phase`` [B, F, K] in radians added to its own."""
    (real, imaginary), cosine, sine = spectrum.unbind(2), phase.cos(), phase.sin()
    return torch.stack([real * cosine - imaginary * sine, real * sine + imaginary * cosine], 2)


def project(spectrum: Tensor, wanted: Tensor, transform: Transform) -> Tensor:
    """One Griffin-Lim step: the phases of ``spectrum`` [B, F, 2, K] on the magnitudes ``wanted`` [B, F, K], made the
    spectrum of a waveform (Griffin and Lim 1984, equation 7)."""
    return transform(transform.inverse(rescale(spectrum, wanted)))
