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

from tts_diffvoc.diffusion.process import x0_from_eps
from tts_diffvoc.spectral.source import Source
from tts_diffvoc.spectral.transform import Transform
from tts_diffvoc.spectral.vocoder import SCALE, Conditions, SpectralSettings, SpectralVocoder
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


def begin(vocoder: SpectralVocoder, mel: Tensor, noise: Tensor) -> tuple[Conditions, Tensor]:
    """What the denoiser is told, and the first state [B, F, 2, K], of a log-mel [B, M, F] and noise [B, F, N]."""
    source, start = noise.split(draws(vocoder), 2)
    f0 = vocoder.pitch(mel, viterbi)
    conditions = vocoder.conditions(mel, vocoder.excitation(f0, source.flatten(1)))
    return conditions, vocoder.prior(conditions, start.unflatten(2, (2, vocoder.transform.bins)))


def prior(vocoder: SpectralVocoder, mel: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
    """All that comes before the sampler's loop: of a log-mel [B, M, F] and noise [B, F, N] the prior x0 and the first
    state z [B, F, 2, K], and what the denoiser is told: magnitude [B, F, K], spectrum [B, F, 2, K] of the source,
    hidden [B, F, C]."""
    conditions, z = begin(vocoder, mel, noise)
    source = conditions.source
    return SCALE * source.phases, z, conditions.magnitude, source.spectrum, conditions.hidden


def denoise(
    vocoder: SpectralVocoder, z: Tensor, noise_level: Tensor, magnitude: Tensor, spectrum: Tensor, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    """One evaluation: z [B, F, 2, K] at ``noise_level`` [B] to the estimate x0 and the next step's z, likewise."""
    source = Source(spectrum, spectrum, magnitude)  # of which a denoiser reads the spectrum alone
    x0 = vocoder.denoise(z, noise_level, Conditions(magnitude, source, hidden))
    return x0, vocoder.degrade(x0)


def whole_spectral(vocoder: SpectralVocoder, mel: Tensor, noise: Tensor, settings: SpectralSettings) -> Tensor:
    """Everything: log-mel [B, M, F] and noise [B, F, N] to [B, F * hop], in fixed numbers of steps and iterations."""
    return _scaled(vocoder.restore(mel, *begin(vocoder, mel, noise), settings))


def condition(vocoder: Vocoder, mel: Tensor) -> Any:
    """What depends on the mel [B, M, F], and on the vocoder's default speaker."""
    network: Any = vocoder.network
    speaker = vocoder.defaults.get("speaker")
    if speaker is None:
        return network.condition(mel)
    return network.condition(mel, mel.new_full((mel.shape[0],), vocoder.speaker_number(speaker), dtype=torch.long))


def estimate(vocoder: Vocoder, x: Tensor, noise_level: Tensor, conditioning: Any) -> Tensor:
    """The estimate x0 in x [B, F * hop] at ``noise_level`` [B], float64."""
    network: Any = vocoder.network
    return x0_from_eps(x, noise_level, network(x, noise_level.to(x.dtype), conditioning))


def published(vocoder: Vocoder, x: Tensor, noise_level: Tensor, mel: Tensor) -> Tensor:
    """One evaluation: x [B, F * hop] at ``noise_level`` [B], float64, and log-mel [B, M, F], to x0 [B, F * hop]."""
    return estimate(vocoder, x, noise_level, condition(vocoder, mel))


def whole_published(vocoder: Vocoder, mel: Tensor, noise: Tensor, plan: list[list[float]]) -> Tensor:
    """Everything: log-mel [B, M, F] and noise [B, F, hop * draws] to [B, F * hop], along a ``plan``: see
    :func:`tts_diffvoc.onnx.export.plan`."""
    draws = noise.chunk(sum(1 for *_, renew in plan if renew) + 1, 2)
    conditioning, x = condition(vocoder, mel), draws[0].flatten(1)
    for step, (level, keep, take, renew) in enumerate(plan, 1):
        # A tensor, since an exporter keeps float32 of a number.
        x0 = estimate(vocoder, x, torch.tensor([level], dtype=torch.float64).expand(mel.shape[0]), conditioning)
        x = keep * x + take * x0
        if renew:
            x = x + renew * draws[step].flatten(1)
    return _scaled(x)


def _scaled(waveform: Tensor) -> Tensor:
    """Each row of [B, T] whose peak is above 1 scaled to 1."""
    return waveform / waveform.abs().amax(1, keepdim=True).clamp_min(1.0)


def draws(vocoder: SpectralVocoder) -> list[int]:
    """Noise values a frame: of the source, and of the prior."""
    return [vocoder.config.mel.hop_length, 2 * vocoder.transform.bins]
