"""WaveGAN: a clip in one pass, from a generator that learnt against a critic.

Donahue, McAuley and Puckette, "Adversarial Audio Synthesis" (ICLR 2019), tables 3 and 4 of its appendix; trained with
the loss of Gulrajani et al., "Improved Training of Wasserstein GANs" (2017), equation 3. Without labels and without the
learnt filter after the generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad, relu

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.generation.rivals import Rival, load, save

__all__ = ["Critic", "Generator", "WaveGan", "WaveGanConfig", "critic_losses", "gradient_penalty", "load", "save"]

KERNEL, STRIDE, LAYERS = 25, 4, 5
SHIFT = 2  # n of phase shuffle
SLOPE = 0.2  # of the critic's leaky ReLU
PENALTY = 10.0  # lambda of the gradient penalty


@dataclass(frozen=True)
class WaveGanConfig:
    """Attributes:
    length: samples of a clip, a multiple of 1,024: 16,384 in the paper.
    width: d, the channels before the waveform; 64 in the paper.
    latent: random numbers of a clip.
    sample_rate: of the clips.
    """

    length: int = 8192
    width: int = 64
    latent: int = 100
    sample_rate: int = 8000

    def __post_init__(self) -> None:
        for name in ("length", "width", "latent", "sample_rate"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise DiffvocError(f"the {name} of a WaveGAN is {value!r}; give a whole number above zero.")
        if self.length % STRIDE**LAYERS:
            raise DiffvocError(f"a WaveGAN's clips have a multiple of {STRIDE**LAYERS} samples, not {self.length}.")

    @property
    def positions(self) -> int:
        """Of the first layer: 16 in the paper."""
        return self.length // STRIDE**LAYERS

    @property
    def channels(self) -> list[int]:
        """From the waveform inwards: 1, d, 2d, 4d, 8d, 16d."""
        return [1] + [self.width * 2**i for i in range(LAYERS)]


class Generator(nn.Module):
    """Table 3: latent [B, 100] to waveform [B, T]."""

    def __init__(self, config: WaveGanConfig) -> None:
        super().__init__()
        widths = config.channels[::-1]
        self.positions = config.positions
        self.dense = nn.Linear(config.latent, config.positions * widths[0])
        self.layers = nn.ModuleList(
            nn.ConvTranspose1d(a, b, KERNEL, STRIDE, padding=KERNEL // 2 - 1, output_padding=1)
            for a, b in zip(widths, widths[1:])
        )
        _start(self.dense, config.latent / 3)  # the variance of a number between -1 and 1 is 1/3
        for i, layer in enumerate(self.layers):
            # Each output hears a fourth of the kernel; half of what it hears is cut by the ReLU before.
            loudness = 1.0 if i + 1 < LAYERS else 0.1
            _start(layer, layer.in_channels * KERNEL / STRIDE / 2, loudness)

    def forward(self, latent: Tensor) -> Tensor:
        x = self.dense(latent).unflatten(1, (-1, self.positions))
        for layer in self.layers:
            x = layer(relu(x))
        return x.squeeze(1).tanh()


class Critic(nn.Module):
    """Table 4: waveform [B, T] to a score [B], higher for what is real.

    Phase shuffle moves what each layer but the last hands on by up to ``SHIFT`` places.
    """

    def __init__(self, config: WaveGanConfig) -> None:
        super().__init__()
        widths = config.channels
        self.layers = nn.ModuleList(
            nn.Conv1d(a, b, KERNEL, STRIDE, padding=KERNEL // 2 - 1) for a, b in zip(widths, widths[1:])
        )
        self.dense = nn.Linear(config.positions * widths[-1], 1)
        for layer in self.layers:
            _start(layer, layer.in_channels * KERNEL / 2)
        _start(self.dense, self.dense.in_features / 2)

    def forward(self, waveform: Tensor) -> Tensor:
        x = waveform.unsqueeze(1)
        for i, layer in enumerate(self.layers):
            x = leaky_relu(layer(x), SLOPE)
            if i + 1 < LAYERS:
                x = phase_shuffle(x)
        return self.dense(x.flatten(1)).squeeze(1)


def _start(layer: nn.Module, heard: float, loudness: float = 1.0) -> None:
    """Draw weights so that what comes out is about as loud as what goes in; He et al. 2015, equation 10."""
    bound = loudness * math.sqrt(3 / heard)
    nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.zeros_(layer.bias)


def phase_shuffle(x: Tensor, most: int = SHIFT, shifts: Tensor | None = None) -> Tensor:
    """Move each clip's activations [B, C, T] by -most to most places, the gap filled by reflection; section 3.3.

    Args:
        shifts: [B] whole numbers instead of random ones, above zero to the right.
    """
    if most == 0:
        return x
    if shifts is None:
        shifts = torch.randint(-most, most + 1, (len(x),))
    length = x.shape[-1]
    starts = (most - shifts).tolist()
    padded = pad(x, (most, most), mode="reflect").unbind(0)
    return torch.stack([clip[:, start : start + length] for clip, start in zip(padded, starts)])


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Mean of (norm of the critic's gradient - 1) squared, a scalar, between real and fake clips [B, T].

    Gulrajani et al. 2017, equation 3, without its factor.

    Args:
        mix: [B], how much of the real clip is in the point between the two.
    """
    between = (mix.unsqueeze(1) * real + (1 - mix.unsqueeze(1)) * fake).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.norm(dim=1) - 1).square().mean()


def critic_losses(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """What the critic makes large, and its penalty: the estimate of the Wasserstein distance, and equation 3's second
    term with its factor. Both are scalars; the critic's loss is the second less the first."""
    scores = critic(torch.cat([real, fake]))
    distance = scores[: len(real)].mean() - scores[len(real) :].mean()
    mix = torch.rand(len(real), device=real.device)
    return distance, PENALTY * gradient_penalty(critic, real, fake, mix)


class WaveGan(Rival):
    kind, name, family, config_type = "wavegan", "WaveGAN", "gan", WaveGanConfig
    what = "The generator of Donahue, McAuley and Puckette (2019):"
    network: Generator

    @staticmethod
    def build(config: WaveGanConfig) -> Generator:
        return Generator(config)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.rand(count, self.config.latent, generator=generator) * 2 - 1

    def make(self, latent: Tensor) -> Tensor:
        return self.network(latent)
