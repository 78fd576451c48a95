"""DiffWave (Kong et al. 2021, "DiffWave: A Versatile Diffusion Model for Audio Synthesis").

B is the batch, T the samples of a clip, F its mel frames, M the mel bands, C the residual channels.
The state-dict layout is that of the public ``diffwave`` package, so its checkpoints load as they are.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.diffusion.schedules import NoiseSchedule, fractional_step
from tts_diffvoc.schema import Count, Depth, FromJson, Octaves, Width


@dataclass(frozen=True)
class DiffWaveConfig(FromJson):
    """Sizes of a DiffWave network.

    ``in_channels`` is 1 for the published network, which works on samples; more are those of a spectrum
    (:mod:`tts_diffvoc.preconditioning`). ``upsample_factors`` multiply to the hop of the mel. Without mel
    (``n_mels`` 0) nothing is upsampled, and ``upsample_factors`` are ignored. With ``labels`` the network is
    conditioned on one of so many classes, or on none of them, by an embedding of ``label_channels``.
    """

    residual_channels: Width = 64
    residual_layers: Depth = 30
    dilation_cycle: Octaves = 10
    n_mels: Count = 80
    upsample_factors: tuple[Width, ...] = (16, 16)
    in_channels: Width = 1
    labels: Count = 0
    label_channels: Width = 128

    def __post_init__(self) -> None:
        object.__setattr__(self, "upsample_factors", tuple(self.upsample_factors))

    @property
    def positions_per_frame(self) -> int:
        return math.prod(self.upsample_factors)

    @property
    def reach(self) -> int:
        """Positions on either side on which the noise at one depends: the sum of the dilations."""
        return sum(2 ** (layer % self.dilation_cycle) for layer in range(self.residual_layers))

    @property
    def mel_reach(self) -> int:
        """Frames of the mel beyond that: each upsampling sees one of its own inputs on either side, at most a frame."""
        return len(self.upsample_factors)


BASE = DiffWaveConfig()
LARGE = DiffWaveConfig(residual_channels=128)
# Spoken digits of one second at 16 kHz: unconditional (section 5.2), and with labels as the deep and thin version
# (section 5.3), of whose dilation cycle nothing is said. All were trained with the schedule "diffwave-200".
SC09 = DiffWaveConfig(256, 36, 12, n_mels=0, upsample_factors=())
SC09_DEEP_THIN = DiffWaveConfig(128, 48, 12, n_mels=0, upsample_factors=(), labels=10)


# What does not depend on the step: for each residual layer a bias [B or 1, 2C, positions or 1], or None.
Conditioning = tuple[Tensor | None, ...]


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


class SpectrogramUpsampler(nn.Sequential):
    """Mel [B, M, F] to [B, M, F * product of factors] by transposed 2-d convolutions, leaky ReLU 0.4."""

    def __init__(self, factors: tuple[int, ...]) -> None:
        super().__init__(OrderedDict((f"conv{i}", self._upsample_by(factor)) for i, factor in enumerate(factors, 1)))

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
        for convolution in self:
            x = F.leaky_relu(convolution(x), 0.4)
        return x.squeeze(1)


class ResidualLayer(nn.Module):
    """One bidirectional dilated convolution layer with a gated activation (figure 2 of the paper).

    ``conditioner_projection`` is there with a mel, ``label_projection`` with labels.
    """

    conditioner_projection: nn.Conv1d
    label_projection: nn.Conv1d

    def __init__(self, config: DiffWaveConfig, dilation: int) -> None:
        super().__init__()
        channels = config.residual_channels
        self.dilated_conv = nn.Conv1d(channels, 2 * channels, 3, padding=dilation, dilation=dilation)
        self.diffusion_projection = nn.Linear(512, channels)
        convolutions = [self.dilated_conv]
        if config.n_mels:
            self.conditioner_projection = nn.Conv1d(config.n_mels, 2 * channels, 1)
            convolutions.append(self.conditioner_projection)
        self.output_projection = nn.Conv1d(channels, 2 * channels, 1)
        convolutions.append(self.output_projection)
        if config.labels:
            self.label_projection = nn.Conv1d(config.label_channels, 2 * channels, 1)
            convolutions.append(self.label_projection)
        for conv in convolutions:
            nn.init.kaiming_normal_(conv.weight)

    def condition(self, upsampled: Tensor | None, embedded: Tensor | None) -> Tensor | None:
        """The bias of the dilated convolution: from a mel [B, M, positions], labels [B, channels, 1], both or none."""
        parts = [] if upsampled is None else [self.conditioner_projection(upsampled)]
        if embedded is not None:
            parts.append(self.label_projection(embedded))
        return sum(parts[1:], parts[0]) if parts else None

    def forward(self, x: Tensor, embedding: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        y = self.dilated_conv(x + self.diffusion_projection(embedding).unsqueeze(-1))
        gate, value = (y if condition is None else y + condition).chunk(2, dim=1)
        residual, skip = self.output_projection(gate.sigmoid() * value.tanh()).chunk(2, dim=1)
        return (x + residual) * math.sqrt(0.5), skip


class DiffWave(nn.Module):
    """The noise predictor eps(x, noise_level, mel, label).

    The mel is a local conditioner and the label a global one (section 3.2); a network may have either, both or none.

    Args:
        config: sizes.
        schedule: the training schedule; its length sizes the step embedding, and a noise level is looked
            up among its levels as a fractional step (section 3.2, fast sampling).
    """

    spectrogram_upsampler: SpectrogramUpsampler
    label_embedding: nn.Embedding

    def __init__(self, config: DiffWaveConfig, schedule: NoiseSchedule) -> None:
        super().__init__()
        self.config = config
        self.schedule = schedule
        channels = config.residual_channels
        self.input_projection = nn.Conv1d(config.in_channels, channels, 1)
        self.diffusion_embedding = DiffusionEmbedding(schedule.num_steps)
        if config.n_mels:
            self.spectrogram_upsampler = SpectrogramUpsampler(config.upsample_factors)
        self.residual_layers = nn.ModuleList(
            ResidualLayer(config, 2 ** (i % config.dilation_cycle)) for i in range(config.residual_layers)
        )
        self.skip_projection = nn.Conv1d(channels, channels, 1)
        self.output_projection = nn.Conv1d(channels, config.in_channels, 1)
        nn.init.kaiming_normal_(self.input_projection.weight)
        nn.init.kaiming_normal_(self.skip_projection.weight)
        nn.init.zeros_(self.output_projection.weight)
        if config.labels:
            self.label_embedding = nn.Embedding(config.labels + 1, config.label_channels)

    @property
    def no_label(self) -> int:
        """The row of the label embedding that stands for no label (Ho and Salimans 2022, section 3.2)."""
        return self.config.labels

    def condition(self, mel: Tensor | None = None, labels: Tensor | None = None) -> Conditioning:
        """What the layers add for a mel and labels; once an utterance, not once a step.

        Args:
            mel: [B, M, F], upsampled and projected for each layer; None without mel.
            labels: [B], whole numbers from 0; ``no_label`` is none, and None is none for every row. The embedding
                is projected for each layer and added at all positions (section 3.2).

        """
        self.schedule.noise_levels_on(self.input_projection.weight.device)  # before a step waits for it, or is compiled
        upsampled = None if mel is None else self.spectrogram_upsampler(mel)
        embedded = self._embed(labels)
        layers = cast("list[ResidualLayer]", list(self.residual_layers))
        return tuple(layer.condition(upsampled, embedded) for layer in layers)

    def _embed(self, labels: Tensor | None) -> Tensor | None:
        """Labels [B] to [B, channels, 1], or [1, channels, 1] of no label; None for a network without."""
        if not self.config.labels:
            return None
        weight = self.label_embedding.weight
        if labels is None:
            return weight[self.no_label :].unsqueeze(-1)
        return self.label_embedding(labels.to(weight.device)).unsqueeze(-1)

    def forward(self, x: Tensor, noise_level: Tensor, conditioning: Conditioning) -> Tensor:
        """Predict the noise in ``x``.

        Args:
            x: [B, T], or [B, in_channels, positions] where there are several channels.
            noise_level: [B], the square root of the cumulated alphas, within the training schedule.
            conditioning: from :meth:`condition`.

        Returns: the noise, of the shape of ``x``.
        Raises: DiffvocError for a noise level outside the training range.
        """
        embedding = self.diffusion_embedding(fractional_step(self.schedule, noise_level))
        h = F.relu(self.input_projection(x.reshape(x.shape[0], self.config.in_channels, -1)))
        skips: Tensor | None = None
        for layer, condition in zip(self.residual_layers, conditioning):
            h, skip = layer(h, embedding, condition)
            skips = skip if skips is None else skips + skip
        assert skips is not None
        h = F.relu(self.skip_projection(skips * math.sqrt(1.0 / len(self.residual_layers))))
        return self.output_projection(h).reshape(x.shape)
