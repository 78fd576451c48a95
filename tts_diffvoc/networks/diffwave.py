"""DiffWave (Kong et al. 2021, "DiffWave: A Versatile Diffusion Model for Audio Synthesis").

B is the batch, T the samples of a clip, F its mel frames, M the mel bands, C the residual channels.
The state-dict layout is that of the public ``diffwave`` package, so its checkpoints load as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.diffusion.schedules import NoiseSchedule, fractional_step
from tts_diffvoc.errors import DiffvocError


@dataclass(frozen=True)
class DiffWaveConfig:
    """Sizes of a DiffWave network.

    ``in_channels`` is 1 for the published network, which sees one sample a position; a folded one sees a
    block of ``in_channels`` transform coefficients a position (:class:`tts_diffvoc.lapped.LappedTransform`).
    ``upsample_factors`` multiply to the positions of a mel frame: (16, 16) for a hop of 256 unfolded.
    """

    residual_channels: int = 64
    residual_layers: int = 30
    dilation_cycle: int = 10
    n_mels: int = 80
    upsample_factors: tuple[int, ...] = (16, 16)
    in_channels: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "upsample_factors", tuple(self.upsample_factors))
        numbers = (self.residual_channels, self.residual_layers, self.dilation_cycle, self.n_mels, self.in_channels)
        if min(numbers + self.upsample_factors, default=0) < 1 or not self.upsample_factors:
            raise DiffvocError(f"{self} has a size below one; every size of a DiffWave network must be positive.")

    @property
    def positions_per_frame(self) -> int:
        return math.prod(self.upsample_factors)


BASE = DiffWaveConfig()
LARGE = DiffWaveConfig(residual_channels=128)


class Conditioning(NamedTuple):
    """What depends on the mel alone: one [B, 2C, positions] projection for each residual layer."""

    layers: tuple[Tensor, ...]

    @property
    def length(self) -> int:
        return self.layers[0].shape[-1]


class DiffusionEmbedding(nn.Module):
    """Sinusoidal embedding of the diffusion step and two dense layers (section 3.1 and equation 8)."""

    embedding: Tensor

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        angles = torch.arange(num_steps).unsqueeze(1) * 10.0 ** (torch.arange(64) * 4.0 / 63.0)
        self.register_buffer("embedding", torch.cat([angles.sin(), angles.cos()], dim=1), persistent=False)
        self.projection1 = nn.Linear(128, 512)
        self.projection2 = nn.Linear(512, 512)

    def forward(self, step: Tensor) -> Tensor:
        """Fractional ``step`` [B], counted from zero, to [B, 512]; between two steps it is interpolated."""
        below = step.floor().long()
        low, high = self.embedding[below], self.embedding[step.ceil().long()]
        x = low + (high - low) * (step - below).unsqueeze(-1).to(low.dtype)
        return F.silu(self.projection2(F.silu(self.projection1(x))))


class SpectrogramUpsampler(nn.Module):
    """Mel [B, M, F] to [B, M, F * product of factors] by transposed 2-d convolutions, leaky ReLU 0.4."""

    def __init__(self, factors: tuple[int, ...]) -> None:
        super().__init__()
        self.names = [f"conv{i + 1}" for i in range(len(factors))]
        for name, factor in zip(self.names, factors):
            self.add_module(name, self._upsample_by(factor))

    @staticmethod
    def _upsample_by(factor: int) -> nn.ConvTranspose2d:
        if factor == 1:
            return nn.ConvTranspose2d(1, 1, (3, 3), padding=(1, 1))
        return nn.ConvTranspose2d(
            1,
            1,
            (3, 2 * factor),
            stride=(1, factor),
            padding=(1, (factor + 1) // 2),
            output_padding=(0, factor % 2),
        )

    def forward(self, mel: Tensor) -> Tensor:
        x = mel.unsqueeze(1)
        for name in self.names:
            x = F.leaky_relu(getattr(self, name)(x), 0.4)
        return x.squeeze(1)


class ResidualLayer(nn.Module):
    """One bidirectional dilated convolution layer with a gated activation (figure 2 of the paper)."""

    def __init__(self, config: DiffWaveConfig, dilation: int) -> None:
        super().__init__()
        channels = config.residual_channels
        self.dilated_conv = nn.Conv1d(channels, 2 * channels, 3, padding=dilation, dilation=dilation)
        self.diffusion_projection = nn.Linear(512, channels)
        self.conditioner_projection = nn.Conv1d(config.n_mels, 2 * channels, 1)
        self.output_projection = nn.Conv1d(channels, 2 * channels, 1)
        for conv in (self.dilated_conv, self.conditioner_projection, self.output_projection):
            nn.init.kaiming_normal_(conv.weight)

    def forward(self, x: Tensor, embedding: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        y = x + self.diffusion_projection(embedding).unsqueeze(-1)
        gate, value = (self.dilated_conv(y) + condition).chunk(2, dim=1)
        residual, skip = self.output_projection(gate.sigmoid() * value.tanh()).chunk(2, dim=1)
        return (x + residual) * math.sqrt(0.5), skip


class DiffWave(nn.Module):
    """The noise predictor eps(x, noise_level, mel).

    Args:
        config: sizes.
        schedule: the training schedule; its length sizes the step embedding, and a noise level is looked
            up among its levels as a fractional step (section 3.2, fast sampling).
    """

    noise_levels: Tensor

    def __init__(self, config: DiffWaveConfig, schedule: NoiseSchedule) -> None:
        super().__init__()
        self.config = config
        self.schedule = schedule
        channels = config.residual_channels
        self.input_projection = nn.Conv1d(config.in_channels, channels, 1)
        self.diffusion_embedding = DiffusionEmbedding(schedule.num_steps)
        self.spectrogram_upsampler = SpectrogramUpsampler(config.upsample_factors)
        self.residual_layers = nn.ModuleList(
            ResidualLayer(config, 2 ** (i % config.dilation_cycle)) for i in range(config.residual_layers)
        )
        self.skip_projection = nn.Conv1d(channels, channels, 1)
        self.output_projection = nn.Conv1d(channels, config.in_channels, 1)
        nn.init.kaiming_normal_(self.input_projection.weight)
        nn.init.kaiming_normal_(self.skip_projection.weight)
        nn.init.zeros_(self.output_projection.weight)

    def condition(self, mel: Tensor) -> Conditioning:
        """Upsample ``mel`` [B, M, F] and project it for each layer; once an utterance, not once a step."""
        upsampled = self.spectrogram_upsampler(mel)
        layers = cast("list[ResidualLayer]", list(self.residual_layers))
        return Conditioning(tuple(layer.conditioner_projection(upsampled) for layer in layers))

    def forward(self, x: Tensor, noise_level: Tensor, conditioning: Conditioning) -> Tensor:
        """Predict the noise in ``x``.

        Args:
            x: [B, T], or [B, in_channels, positions] of a folded network.
            noise_level: [B], the square root of the cumulated alphas, within the training schedule.
            conditioning: from :meth:`condition`.

        Returns: the noise, of the shape of ``x``.
        Raises: DiffvocError for a noise level outside the training range, or lengths that do not match.
        """
        folded = x.dim() == 3
        if x.shape[-1] != conditioning.length:
            raise DiffvocError(
                f"x has {x.shape[-1]} positions and its mel conditions {conditioning.length}; they must be equal."
            )
        embedding = self.diffusion_embedding(fractional_step(self.schedule, noise_level))
        h = F.relu(self.input_projection(x if folded else x.unsqueeze(1)))
        skips: Tensor | None = None
        for layer, condition in zip(self.residual_layers, conditioning.layers):
            h, skip = layer(h, embedding, condition)
            skips = skip if skips is None else skips + skip
        assert skips is not None
        h = F.relu(self.skip_projection(skips * math.sqrt(1.0 / len(self.residual_layers))))
        eps = self.output_projection(h)
        return eps if folded else eps.squeeze(1)
