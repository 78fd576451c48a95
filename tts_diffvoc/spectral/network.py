"""The denoisers: a DiffWave and a WaveGrad that see a frame of the spectrum at a position, in place of a sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.networks.rows import LevelEmbedding, convolve, gated_unit, linear, zero
from tts_diffvoc.networks.wavegrad import WaveGrad, WaveGradConditioning, WaveGradConfig
from tts_diffvoc.schema import Depth, FromJson, Octaves, Width
from tts_diffvoc.spectral.source import Source
from tts_diffvoc.spectral.transform import power

MOST_POOLED = 64  # frames; an utterance is padded to a multiple of what is pooled


@dataclass(frozen=True)
class DiffWaveSizes(FromJson):
    """Sizes of a DiffWave over frames."""

    residual_channels: Width = 256
    residual_layers: Depth = 8
    dilation_cycle: Octaves = 2
    embedding_channels: Width = 128

    @property
    def channels(self) -> int:
        return self.residual_channels


@dataclass(frozen=True)
class WaveGradSizes(FromJson):
    """Sizes of a WaveGrad over frames: ``channels`` of all, and ``factors`` of the U-net from its narrow middle out."""

    channels: Width = 192
    factors: tuple[Width, ...] = (2, 2, 1)

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(self.factors))
        if math.prod(self.factors) > MOST_POOLED:
            raise DiffvocError(f"factors {self.factors} pool more than {MOST_POOLED} frames; give smaller ones.")


Sizes = DiffWaveSizes | WaveGradSizes
NETWORKS: dict[str, type] = {"diffwave": DiffWaveSizes, "wavegrad": WaveGradSizes}


class ResidualConvNeXt(nn.Module):
    """DiffWave's residual layer (Kong et al. 2021, figure 2), a ConvNeXt (Liu et al. 2022) in its dilated convolution's
    place: a depthwise one of seven frames, a layer norm that the level modulates, and dense layers.

    [B, F, C] to the next state and a skip.
    """

    def __init__(self, sizes: DiffWaveSizes, dilation: int) -> None:
        super().__init__()
        channels = sizes.residual_channels
        self.depthwise = nn.Conv1d(channels, channels, 7, padding=3 * dilation, dilation=dilation, groups=channels)
        self.norm = nn.LayerNorm(channels, elementwise_affine=False)
        self.level = nn.Linear(sizes.embedding_channels, 2 * channels)
        zero(self.level)
        self.widen = nn.Linear(channels, 2 * channels)
        self.output = nn.Linear(channels, 2 * channels)
        self.gain = nn.Parameter(torch.full((channels,), 0.2))

    def forward(self, x: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.level(embedding).unsqueeze(1).chunk(2, -1)
        y = self.norm(convolve(x, self.depthwise)) * (1 + scale) + shift
        residual, skip = linear(gated_unit(linear(y, self.widen)), self.output).chunk(2, -1)
        return torch.addcmul(x, self.gain, residual), skip


class DiffWaveTrunk(nn.Module):
    """Residual layers in dilation cycles, each told the level, and the sum of their skips."""

    def __init__(self, sizes: DiffWaveSizes) -> None:
        super().__init__()
        dilations = (2 ** (i % sizes.dilation_cycle) for i in range(sizes.residual_layers))
        self.embedding = LevelEmbedding(sizes.embedding_channels)
        self.layers = nn.ModuleList(ResidualConvNeXt(sizes, dilation) for dilation in dilations)

    def forward(self, signal: Tensor, condition: Tensor, noise_level: Tensor) -> Tensor:
        """Signal and condition [B, F, C] at ``noise_level`` [B] to [B, F, C]."""
        embedding = self.embedding(noise_level)
        x = skips = signal + condition
        for layer in self.layers:
            x, skip = layer(x, embedding)
            skips = skips + skip
        return skips / math.sqrt(len(self.layers))


class WaveGradTrunk(nn.Module):
    """The U-net of :class:`WaveGrad`: the signal goes down it, the condition up, FiLM by the level in between."""

    def __init__(self, sizes: WaveGradSizes) -> None:
        super().__init__()
        count, channels = len(sizes.factors), sizes.channels
        config = WaveGradConfig(
            factors=sizes.factors,
            channels=(channels,) * count,
            dilations=((1, 2, 1, 2),) * count,
            first_channels=channels,
            down_channels=(channels,) * count,
            n_mels=channels,
            in_channels=channels,
            level_scale=5000.0,
        )
        self.net, self.factor = WaveGrad(config), config.positions_per_frame

    def forward(self, signal: Tensor, condition: Tensor, noise_level: Tensor) -> Tensor:
        """Signal and condition [B, F, C] at ``noise_level`` [B] to [B, F, C]."""
        signal, condition, frames = signal.transpose(1, 2), condition.transpose(1, 2), signal.shape[1]
        missing = (frames + self.factor - 1) // self.factor * self.factor - frames
        signal, condition = F.pad(signal + condition, (0, missing)), F.pad(condition, (0, missing))
        coarse = self.net.first_conv(F.avg_pool1d(condition, self.factor))
        return self.net(signal, noise_level, WaveGradConditioning(coarse, self.factor))[..., :frames].transpose(1, 2)


TRUNKS: dict[type, type] = {DiffWaveSizes: DiffWaveTrunk, WaveGradSizes: WaveGradTrunk}


class Denoiser(nn.Module):
    """A latent z, the short-time spectrum divided by its magnitudes, at a noise level -> the clean latent x0.

    The network sees z, what one Griffin-Lim step makes of z (as in deep Griffin-Lim iteration, Masuyama et al. 2019),
    their log powers, the magnitudes and the source. Its output corrects z's projection, which an untrained network
    returns as it is: x0 = correction + gain z + complex gain * source + (1 + complex gain) * projection.
    """

    def __init__(self, sizes: Sizes, bins: int) -> None:
        super().__init__()
        self.bins = bins
        self.signal = nn.Conv1d(6 * bins, sizes.channels, 1)
        self.known = nn.Conv1d(4 * bins, sizes.channels, 1)
        self.trunk = TRUNKS[type(sizes)](sizes)
        self.norm = nn.LayerNorm(sizes.channels)
        self.output = nn.Conv1d(sizes.channels, 7 * bins, 1)
        zero(self.output)

    def condition(self, log_magnitude: Tensor, source: Source) -> Tensor:
        """What does not depend on z: log magnitudes [B, F, K] and source to [B, F, C]; once an utterance."""
        level = (log_magnitude.unsqueeze(2) + 4.0) / 2.0
        return linear(torch.cat([level, source.spectrum, source.level.unsqueeze(2)], 2).flatten(2), self.known)

    def forward(self, z: Tensor, projected: Tensor, noise_level: Tensor, condition: Tensor, source: Source) -> Tensor:
        """Predict x0.

        Args:
            z: [B, F, 2, K]; projected: of z, likewise.
            noise_level: [B], from 0, the noised prior, to 1, clean.
            condition: from :meth:`condition`.

        Returns: x0 [B, F, 2, K], float32.
        """
        powers = [(power(x) + 0.01).log().unsqueeze(2) for x in (z, projected)]
        signal = linear(torch.cat([z, projected, *powers], 2).flatten(2), self.signal)
        hidden = self.norm(self.trunk(signal, condition, noise_level))
        out = linear(hidden, self.output).float().unflatten(2, (7, self.bins)).unbind(2)
        return _combine(out, z, projected, source.spectrum)


def _combine(out: Sequence[Tensor], z: Tensor, projected: Tensor, source: Tensor) -> Tensor:
    """x0 [B, F, 2, K] of the network's seven outputs, [B, F, K] each; sums in place, which autograd allows."""
    real, imaginary, gain, sr, si, pr, pi = out
    real = (real + projected[:, :, 0]).addcmul_(gain, z[:, :, 0])
    imaginary = (imaginary + projected[:, :, 1]).addcmul_(gain, z[:, :, 1])
    for r, i, spectrum in ((sr, si, source), (pr, pi, projected)):
        real.addcmul_(r, spectrum[:, :, 0]).addcmul_(i, spectrum[:, :, 1], value=-1)
        imaginary.addcmul_(r, spectrum[:, :, 1]).addcmul_(i, spectrum[:, :, 0])
    return torch.stack([real, imaginary], 2)
