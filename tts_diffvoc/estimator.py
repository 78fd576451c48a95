"""Linear magnitudes from a mel, and the Griffin-Lim algorithm, which finds phases for them.

A small network at frame rate guesses the linear magnitudes behind a mel, and the guess is scaled until its own mel
is the given one. The magnitudes precondition a folded network; each step of the reverse process may be projected on
them; and with phases by Griffin-Lim (Griffin and Lim 1984, with the momentum of Perraudin et al. 2013) they make a
first estimate of the waveform, from which the reverse process may start instead of from pure noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, expand, mel_filters, stft


@dataclass(frozen=True)
class EstimatorConfig:
    """Sizes of the magnitude network, and how long Griffin-Lim runs."""

    channels: int = 256
    blocks: int = 4
    iterations: int = 32

    def __post_init__(self) -> None:
        if min(self.channels, self.blocks, self.iterations) < 1:
            raise DiffvocError(f"{self} has a size below one.")


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution of 7 frames, layer norm, two dense layers (Liu et al. 2022), in one dimension."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, 2 * channels)
        self.narrow = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).transpose(1, 2))
        return x + self.narrow(F.gelu(self.widen(y))).transpose(1, 2)


def match_mel(magnitude: Tensor, mel_magnitude: Tensor, filters: Tensor, iterations: int = 3) -> Tensor:
    """Scale ``magnitude`` [B, K, F] smoothly over frequency until its mel is ``mel_magnitude`` [B, M, F].

    Each pass multiplies every bin by the ratio of wanted to present mel, averaged over the bands that see it.
    """
    weight = filters.T / filters.sum(0).clamp_min(1e-8).unsqueeze(1)
    covered = (filters.sum(0) > 0).unsqueeze(1)
    for _ in range(iterations):
        ratio = mel_magnitude / (filters @ magnitude).clamp_min(1e-9)
        correction = torch.where(covered, weight @ ratio.clamp(1e-2, 1e2), 1.0)
        magnitude = magnitude * correction
    return magnitude


def make_consistent(waveform: Tensor, log_mel: Tensor, config: MelConfig, iterations: int) -> Tensor:
    """Scale the spectrogram of ``waveform`` [B, F * hop] until its mel is nearer to ``log_mel`` [B, M, F].

    Each iteration multiplies the short-time spectrum, phases kept, by the smooth correction of :func:`match_mel` and
    goes back to a waveform: a projection on the data, as in the range-null space decomposition of Wang et al. (2023,
    "Zero-shot image restoration using denoising diffusion null-space model"), with the mel as the measurement.
    """
    if waveform.shape[-1] <= config.n_fft // 2:
        return waveform
    filters = mel_filters(config).to(waveform)
    wanted = expand(log_mel, config)
    wanted = torch.cat([wanted, wanted[..., -1:]], dim=-1)
    window = torch.hann_window(config.win_length, device=waveform.device)
    options = (config.n_fft, config.hop_length, config.win_length, window)
    for _ in range(iterations):
        spectrum = torch.stft(waveform, *options, return_complex=True)
        level = spectrum.abs().clamp_min(1e-9) ** config.power
        gain = (match_mel(level, wanted, filters, 1) / level) ** (1 / config.power)
        gain = gain.clamp(0.1, 10.0)
        waveform = torch.istft(spectrum * gain, *options, length=waveform.shape[-1])
    return waveform


class Estimator(nn.Module):
    """Mel to an estimated waveform; only the magnitude network is trained."""

    filters: Tensor
    spread: Tensor
    area: Tensor

    def __init__(self, config: EstimatorConfig, mel: MelConfig) -> None:
        super().__init__()
        self.config = config
        self.mel = mel
        filters = mel_filters(mel)
        self.register_buffer("filters", filters, persistent=False)
        area = filters.sum(1, keepdim=True).clamp_min(1e-8)
        # Bins that no band covers (above fmax) take the level of the nearest band.
        bins = torch.arange(filters.shape[1]) * mel.sample_rate / mel.n_fft
        centres = (filters @ bins) / area.squeeze(1)
        nearest = (bins.unsqueeze(1) - centres).abs().argmin(1)
        spread = (filters / area).T / (filters / area).sum(0).clamp_min(1e-8).unsqueeze(1)
        uncovered = filters.sum(0) == 0
        spread[uncovered] = F.one_hot(nearest[uncovered], mel.n_mels).float()
        self.register_buffer("spread", spread, persistent=False)
        self.register_buffer("area", area, persistent=False)
        self.first = nn.Conv1d(mel.n_mels, config.channels, 5, padding=2)
        self.blocks = nn.ModuleList(ConvNeXtBlock(config.channels) for _ in range(config.blocks))
        self.last = nn.Conv1d(config.channels, filters.shape[1], 1)
        nn.init.zeros_(self.last.weight)

    def log_magnitude(self, log_mel: Tensor) -> Tensor:
        """Log-mel [B, M, F] to natural-log linear magnitudes [B, n_fft // 2 + 1, F]."""
        level = expand(log_mel, self.mel).clamp_min(self.mel.floor).log()
        x = self.first((level + 5.0) / 2.0)
        for block in self.blocks:
            x = block(x)
        envelope = self.spread @ (level - self.area.log())
        return envelope + self.last(x)

    def magnitude(self, log_mel: Tensor) -> Tensor:
        """Linear magnitudes [B, n_fft // 2 + 1, F] whose mel is the given one."""
        guess = self.log_magnitude(log_mel).exp()
        return match_mel(guess, expand(log_mel, self.mel), self.filters)

    def loss(self, waveform: Tensor, log_mel: Tensor) -> Tensor:
        """Mean absolute error of the log magnitudes, in nepers, one scalar.

        Frames whose windows reach beyond the crop do not count.

        Args:
            waveform: [B, F * hop].
            log_mel: [B, M, F] of it, or of what an acoustic model makes of it.
        """
        side = -(-self.mel.n_fft // 2 // self.mel.hop_length)
        frames = log_mel.shape[-1]
        if frames <= 2 * side:
            raise DiffvocError(f"crops of {frames} frames are too short; give at least {2 * side + 1}.")
        target = stft(waveform, self.mel).abs()[..., side : frames - side].clamp_min(1e-4).log()
        return (self.log_magnitude(log_mel)[..., side:-side] - target).abs().mean()

    def forward(self, log_mel: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Log-mel [B, M, F] to a waveform [B, F * hop]; the generator draws Griffin-Lim's first phases."""
        return griffin_lim(self.magnitude(log_mel), self.mel, self.config.iterations, generator)


def griffin_lim(
    magnitude: Tensor,
    mel: MelConfig,
    iterations: int,
    generator: torch.Generator | None = None,
    start: Tensor | None = None,
    momentum: float = 0.99,
) -> Tensor:
    """Magnitudes [B, n_fft // 2 + 1, F] to a waveform [B, F * hop] by Griffin-Lim with momentum.

    The first phases are those of ``start`` [B, F * hop], or random ones drawn from ``generator``.
    """
    window = torch.hann_window(mel.win_length, device=magnitude.device)
    # One more frame closes the last hop, so that F frames give F * hop samples.
    magnitude = torch.cat([magnitude, magnitude[..., -1:]], dim=-1)
    length = (magnitude.shape[-1] - 1) * mel.hop_length
    options = (mel.n_fft, mel.hop_length, mel.win_length, window)
    pad = "reflect" if length > mel.n_fft // 2 else "constant"

    def analyse(waveform: Tensor) -> Tensor:
        return torch.stft(waveform, *options, return_complex=True, pad_mode=pad)

    def unit(spectrum: Tensor) -> Tensor:
        return spectrum / spectrum.abs().clamp_min(1e-16)

    if start is None:
        device = magnitude.device if generator is None else generator.device
        angle = torch.rand(magnitude.shape, generator=generator, device=device).to(magnitude.device) * 2 * torch.pi
        phase = torch.polar(torch.ones_like(angle), angle)
    else:
        phase = unit(analyse(start))
    previous = torch.zeros_like(phase)
    for _ in range(iterations):
        rebuilt = analyse(torch.istft(magnitude * phase, *options, length=length))
        phase = unit(rebuilt - previous * (momentum / (1 + momentum)))
        previous = rebuilt
    return torch.istft(magnitude * phase, *options, length=length)
