"""What is exported: the parts of a vocoder, and a whole one, as modules of real arithmetic and symbolic shapes.

Letters in shapes: B batch, T samples, F frames (T = F * hop), M mel bands, K bins, C channels, N noise values a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from tts_diffvoc.diffusion.samplers import SAMPLERS
from tts_diffvoc.spectral.source import Source
from tts_diffvoc.spectral.transform import Transform
from tts_diffvoc.spectral.vocoder import SCALE, Conditions, SpectralVocoder
from tts_diffvoc.streaming import Window
from tts_diffvoc.vocoder import Vocoder


class ProductTransform(Transform):
    """The same transform by matrix products, which every runtime has; clips of any length take the same path."""

    analysis: Tensor
    synthesis: Tensor

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__(n_fft, hop)
        window = torch.hann_window(n_fft, dtype=torch.float64)
        spectra = torch.fft.rfft(torch.diag(window))
        self.register_buffer("analysis", torch.cat([spectra.real, spectra.imag], 1).float(), persistent=False)
        unit = torch.eye(self.bins, dtype=torch.float64)
        frames = torch.fft.irfft(torch.cat([unit, 1j * unit]), n_fft) * window
        self.register_buffer("synthesis", frames.float(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform [B, F * hop] to its spectrum [B, F, 2, K]."""
        total, half = waveform.shape[-1], self.n_fft // 2
        frames = total // self.hop
        place = torch.arange(-half, total + half - self.hop)
        mirrored = (total - 1) - ((total - 1) - place.abs()).abs()
        heard = (mirrored == place) | (torch.full_like(place, total) > half)  # very short clips have silent edges
        blocks = (waveform[:, mirrored.clamp_min(0)] * heard).unflatten(1, (-1, self.hop))
        rows = torch.cat([blocks[:, i : i + frames] for i in range(self.blocks)], 2)
        return (rows @ self.analysis).unflatten(2, (2, self.bins))

    def inverse(self, spectrum: Tensor) -> Tensor:
        """Spectrum [B, F, 2, K] to the waveform [B, F * hop]."""
        frames, last = spectrum.shape[1], self.blocks - 1
        blocks = (spectrum.flatten(2) @ self.synthesis).unflatten(2, (self.blocks, self.hop)).unbind(2)
        summed = torch.stack([F.pad(block, (0, 0, i, last - i)) for i, block in enumerate(blocks)]).sum(0)
        return (summed[:, self.blocks // 2 :][:, :frames] / self._window_sums(frames)).flatten(1)


def viterbi(log_probability: Tensor, cost: float = 0.3, reach: int = 10) -> Tensor:
    """:func:`tts_diffvoc.spectral.pitch.viterbi` as two scans, of frames forwards and of moves back."""
    bins = log_probability.shape[2]
    penalty = cost * torch.arange(-reach, reach + 1).abs().to(log_probability)

    def move(score: Tensor, now: Tensor) -> tuple[Tensor, Tensor]:
        padded = F.pad(score, (reach, reach), value=-1e30)
        around = torch.stack([padded[:, i : i + bins] for i in range(2 * reach + 1)], 2)
        best, came = (around - penalty).max(2)
        return best + now, came - reach

    def back(place: Tensor, came: Tensor) -> tuple[Tensor, Tensor]:
        return place + came.gather(1, place.unsqueeze(1)).squeeze(1), place.clone()

    score, moves = scan(move, torch.zeros_like(log_probability[:, 0]), log_probability.transpose(0, 1).contiguous())
    return scan(back, score.argmax(1), moves, reverse=True)[1].transpose(0, 1)


class Part(nn.Module):
    """What ``function`` makes of a vocoder and tensors, as a module, which an exporter takes."""

    def __init__(self, vocoder: SpectralVocoder | Vocoder, function: Callable[..., Any]) -> None:
        super().__init__()
        self.vocoder, self.function = vocoder, function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(self.vocoder, *inputs)


class GivenNoise:
    """What a graph takes as noise, [B, F, N], in the place of :class:`FrameNoise`: draws of ``values`` a frame each."""

    def __init__(self, noise: Tensor, values: list[int]) -> None:
        self.parts = noise.split(values, 2)

    def __call__(self, draw: int, start: int, frames: int, values: int) -> Tensor:
        return self.parts[draw]

    def draws(self, start: int, frames: int, values: int, ahead: int = 0) -> Callable[[], Tensor]:
        return (part.flatten(1) for part in self.parts).__next__


def prior(vocoder: SpectralVocoder, mel: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
    """All that comes before the sampler's loop: of a log-mel [B, M, F] and noise [B, F, N] the prior x0 and the first
    state z [B, F, 2, K], and what the denoiser is told: magnitude [B, F, K], spectrum [B, F, 2, K] of the source,
    hidden [B, F, C]."""
    excitation, start = noise.split(draws(vocoder), 2)
    conditions = vocoder.conditions(mel, vocoder.excitation(vocoder.pitch(mel), excitation.flatten(1)))
    source, z = conditions.source, vocoder.prior(conditions, start.unflatten(2, (2, vocoder.transform.bins)))
    return SCALE * source.phases, z, conditions.magnitude, source.spectrum, conditions.hidden


def denoise(
    vocoder: SpectralVocoder, z: Tensor, noise_level: Tensor, magnitude: Tensor, spectrum: Tensor, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    """One evaluation: z [B, F, 2, K] at ``noise_level`` [B] to the estimate x0 and the next step's z, likewise."""
    source = Source(spectrum, spectrum, magnitude)  # of which a denoiser reads the spectrum alone
    x0 = vocoder.denoise(z, noise_level, Conditions(magnitude, source, hidden))
    return x0, vocoder.degrade(x0)


def published(vocoder: Vocoder, x: Tensor, noise_level: Tensor, mel: Tensor, speaker: int | None) -> Tensor:
    """One evaluation: x [B, F * hop] at ``noise_level`` [B], float64, and log-mel [B, M, F], to x0 [B, F * hop]."""
    return vocoder.denoiser(mel, vocoder.labels(speaker, mel.shape[0]))(x, noise_level)


def whole(vocoder: Any, mel: Tensor, noise: Tensor, settings: Any, values: list[int]) -> Tensor:
    """Everything: log-mel [B, M, F] and noise [B, F, N], draws of ``values``, to [B, F * hop], peaks up to 1."""
    given = GivenNoise(noise, values)
    waveform, _ = vocoder._synthesise(Window(mel, 0, slice(0, mel.shape[2]), True), given, settings, None, None)
    return waveform / waveform.abs().amax(1, keepdim=True).clamp_min(1.0)


def draws(vocoder: SpectralVocoder | Vocoder, settings: Any = None) -> list[int]:
    """Noise values a frame of each draw: of the source, and of the prior; or of the start, and of each step's."""
    hop = vocoder.config.mel.hop_length
    if isinstance(vocoder, SpectralVocoder):
        return [hop, 2 * vocoder.transform.bins]
    settings = settings or vocoder._settle()
    return [hop] + [hop for step in SAMPLERS[settings.sampler](settings.schedule) if step.renew]
