"""What is exported: the parts of a vocoder, and a whole one, as modules of real arithmetic and symbolic shapes.

Letters in shapes: B batch, T samples, F frames (T = F * hop), M mel bands, K bins, C channels, N noise values a frame.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from tts_diffvoc.diffusion.bridge import restart_levels, restarts
from tts_diffvoc.diffusion.process import x0_from_eps
from tts_diffvoc.spectral.source import Source
from tts_diffvoc.spectral.transform import Transform
from tts_diffvoc.spectral.vocoder import SCALE, Conditions, SpectralVocoder
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


class Prior(nn.Module):
    """All that comes before the sampler's loop."""

    def __init__(self, vocoder: SpectralVocoder) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(self, mel: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """Log-mel [B, M, F] and noise [B, F, N] to the prior x0 and the first state z [B, F, 2, K], and to what the
        denoiser is told: magnitude [B, F, K], spectrum [B, F, 2, K] of the source, hidden [B, F, C]."""
        conditions, z = self.conditions(mel, noise)
        source = conditions.source
        return SCALE * source.phases, z, conditions.magnitude, source.spectrum, conditions.hidden

    def conditions(self, mel: Tensor, noise: Tensor) -> tuple[Conditions, Tensor]:
        """What the denoiser is told, and the first state."""
        vocoder = self.vocoder
        source, start = noise.split(draws(vocoder), 2)
        f0 = vocoder.pitch(mel, viterbi)
        conditions = vocoder.conditions(mel, vocoder.excitation(f0, source.flatten(1)))
        return conditions, vocoder.prior(conditions, start.unflatten(2, (2, vocoder.transform.bins)))


class Denoise(nn.Module):
    """One evaluation of a spectral vocoder's denoiser."""

    def __init__(self, vocoder: SpectralVocoder) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(
        self, z: Tensor, noise_level: Tensor, magnitude: Tensor, spectrum: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor]:
        """z [B, F, 2, K] at ``noise_level`` [B] to the estimate x0 and the next step's z, likewise."""
        source = Source(spectrum, spectrum, magnitude)  # of which a denoiser reads the spectrum alone
        x0 = self.vocoder.denoise(z, noise_level, Conditions(magnitude, source, hidden))
        return x0, self.vocoder.degrade(x0)


class Decode(nn.Module):
    """From an estimate to a waveform."""

    def __init__(self, vocoder: SpectralVocoder) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(self, x0: Tensor, magnitude: Tensor) -> Tensor:
        """x0 [B, F, 2, K] and magnitude [B, F, K] to [B, F * hop]."""
        return self.vocoder.decode(x0, magnitude)


class Consistency(nn.Module):
    """One iteration of consistency."""

    def __init__(self, vocoder: SpectralVocoder) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(self, state: Tensor, x0: Tensor, magnitude: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """State and estimate x0 [B, F, 2, K], magnitude [B, F, K] and log-mel [B, M, F] to the next state and x0."""
        return self.vocoder.make_consistent(state, x0, magnitude, mel)


class WholeSpectral(nn.Module):
    """Everything, from a mel to the waveform, in so many ``steps`` and iterations of ``consistency``."""

    def __init__(self, vocoder: SpectralVocoder, steps: int, consistency: int) -> None:
        super().__init__()
        self.prior, self.steps, self.consistency = Prior(vocoder), steps, consistency

    def forward(self, mel: Tensor, noise: Tensor) -> Tensor:
        """Log-mel [B, M, F] and noise [B, F, N] to [B, F * hop]."""
        vocoder = self.prior.vocoder
        conditions, z = self.prior.conditions(mel, noise)
        x0 = SCALE * conditions.source.phases
        if self.steps:
            levels = restart_levels(self.steps)
            x0 = restarts(lambda z, level: vocoder.denoise(z, level, conditions), z, levels, vocoder.degrade)
        state = x0
        for _ in range(self.consistency):
            state, x0 = vocoder.make_consistent(state, x0, conditions.magnitude, mel)
        return _scaled(vocoder.decode(x0, conditions.magnitude))


class Published(nn.Module):
    """One evaluation of a published network."""

    def __init__(self, vocoder: Vocoder) -> None:
        super().__init__()
        self.network: Any = vocoder.network
        vocoder.config.schedule.noise_levels  # noqa: B018  cached here, or it would become part of the graph
        speaker = vocoder.defaults.get("speaker")
        self.speaker = None if speaker is None else vocoder.speaker_number(speaker)

    def forward(self, x: Tensor, noise_level: Tensor, mel: Tensor) -> Tensor:
        """x [B, F * hop] at ``noise_level`` [B], float64, and log-mel [B, M, F], to the estimate x0 [B, F * hop]."""
        return self.denoise(x, noise_level, self.condition(mel))

    def denoise(self, x: Tensor, noise_level: Tensor, conditioning: Any) -> Tensor:
        """The estimate x0."""
        return x0_from_eps(x, noise_level, self.network(x, noise_level.to(x.dtype), conditioning))

    def condition(self, mel: Tensor) -> Any:
        """What depends on the mel, and on the speaker that was exported."""
        labels = [] if self.speaker is None else [mel.new_full((mel.shape[0],), self.speaker, dtype=torch.long)]
        return self.network.condition(mel, *labels)


class WholePublished(nn.Module):
    """Everything, from a mel to the waveform, along a ``plan``: see :func:`tts_diffvoc.onnx.export.plan`."""

    levels: Tensor

    def __init__(self, vocoder: Vocoder, plan: list[list[float]]) -> None:
        super().__init__()
        self.published, self.plan = Published(vocoder), plan
        # A tensor, since an exporter keeps float32 of a constant.
        self.register_buffer("levels", torch.tensor([level for level, *_ in plan], dtype=torch.float64))

    def forward(self, mel: Tensor, noise: Tensor) -> Tensor:
        """Log-mel [B, M, F] and noise [B, F, hop * draws] to [B, F * hop]."""
        draws = noise.chunk(sum(1 for *_, renew in self.plan if renew) + 1, 2)
        conditioning, x = self.published.condition(mel), draws[0].flatten(1)
        for step, (level, (_, keep, take, renew)) in enumerate(zip(self.levels, self.plan), 1):
            x0 = self.published.denoise(x, level.expand(mel.shape[0]), conditioning)
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
