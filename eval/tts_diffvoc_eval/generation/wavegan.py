"""WaveGAN: a clip in one pass, from a generator that learnt against a critic.

Donahue, McAuley and Puckette, "Adversarial Audio Synthesis" (ICLR 2019), tables 3 and 4; trained with the loss of
Gulrajani et al. 2017, equation 3. Without labels and without the learnt filter after the generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad, relu

from tts_diffvoc.schema import FromJson, Length, Rate, Width
from tts_diffvoc_eval.generation.unconditional_model import UnconditionalModel

KERNEL, STRIDE, LAYERS = 25, 4, 5
SHIFT = 2  # n of phase shuffle
SLOPE = 0.2  # of the critic's leaky ReLU
PENALTY = 10.0  # lambda of the gradient penalty


@dataclass(frozen=True)
class WaveGanConfig(FromJson):
    """Attributes:
    length: samples of a clip, a multiple of 1,024: 16,384 in the paper.
    width: d, the channels before the waveform; 64 in the paper.
    latent: random numbers of a clip.
    """

    length: Length = 8192
    width: Width = 64
    latent: Width = 100
    sample_rate: Rate = 8000

    @property
    def positions(self) -> int:
        """Of the first layer: 16 in the paper."""
        return self.length // STRIDE**LAYERS

    @property
    def channels(self) -> list[int]:
        """From the waveform inwards: 1, d, 2d, 4d, 8d, 16d."""
        return [1] + [self.width * 2**i for i in range(LAYERS)]


def _initialise(layer: Any, fan_in: float, gain: float = 1.0) -> None:
    """Uniform weights that keep the variance (He et al. 2015, equation 10)."""
    bound = gain * math.sqrt(3 / fan_in)
    nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.zeros_(layer.bias)


class WaveGan(UnconditionalModel):
    """Table 3: latent [B, 100] to waveform [B, T]."""

    kind, title, family, config_type = "wavegan", "WaveGAN", "gan", WaveGanConfig
    what = "The generator of Donahue, McAuley and Puckette (2019):"

    def __init__(self, config: WaveGanConfig, size: str = "small", training: str = "untrained") -> None:
        super().__init__(config, size, training)
        widths = config.channels[::-1]
        self.dense = nn.Linear(config.latent, config.positions * widths[0])
        self.layers = nn.ModuleList(
            nn.ConvTranspose1d(a, b, KERNEL, STRIDE, padding=KERNEL // 2 - 1, output_padding=1)
            for a, b in zip(widths, widths[1:])
        )
        _initialise(self.dense, config.latent / 3)  # the variance of a number between -1 and 1 is 1/3
        for i, layer in enumerate(self.layers):
            # An output sees a fourth of the kernel, and half of what it sees is cut by the ReLU before.
            _initialise(layer, widths[i] * KERNEL / STRIDE / 2, 1.0 if i + 1 < LAYERS else 0.1)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.rand(count, self.config.latent, generator=generator) * 2 - 1

    def sample(self, latent: Tensor) -> Tensor:
        return self(latent)

    def forward(self, latent: Tensor) -> Tensor:
        x = self.dense(latent).unflatten(1, (-1, self.config.positions))
        for layer in self.layers:
            x = layer(relu(x))
        return x.squeeze(1).tanh()


class Critic(nn.Module):
    """Table 4: waveform [B, T] to a score [B], higher for what is real; phase shuffle after all layers but the last."""

    def __init__(self, config: WaveGanConfig) -> None:
        super().__init__()
        widths = config.channels
        self.layers = nn.ModuleList(
            nn.Conv1d(a, b, KERNEL, STRIDE, padding=KERNEL // 2 - 1) for a, b in zip(widths, widths[1:])
        )
        self.dense = nn.Linear(config.positions * widths[-1], 1)
        for layer, width in zip(self.layers, widths):
            _initialise(layer, width * KERNEL / 2)
        _initialise(self.dense, self.dense.in_features / 2)

    def forward(self, waveform: Tensor) -> Tensor:
        x = waveform.unsqueeze(1)
        for i, layer in enumerate(self.layers):
            x = leaky_relu(layer(x), SLOPE)
            if i + 1 < LAYERS:
                x = phase_shuffle(x)
        return self.dense(x.flatten(1)).squeeze(1)


def phase_shuffle(x: Tensor, shifts: Tensor | None = None) -> Tensor:
    """Shift each clip's activations [B, C, T] by -SHIFT to SHIFT places, the gap filled by reflection; section 3.3.

    Args: shifts: [B] whole numbers instead of random ones, positive to the right.
    """
    if shifts is None:
        shifts = torch.randint(-SHIFT, SHIFT + 1, (len(x),))
    padded = pad(x, (SHIFT, SHIFT), mode="reflect").unbind(0)
    starts = (SHIFT - shifts).tolist()
    return torch.stack([clip[:, start : start + x.shape[-1]] for clip, start in zip(padded, starts)])


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """E (|grad critic(x)| - 1)^2 at x = mix real + (1 - mix) fake (Gulrajani et al. 2017, eq. 3), a scalar.

    Args: real, fake: [B, T]. mix: [B].
    """
    between = (mix.unsqueeze(1) * real + (1 - mix.unsqueeze(1)) * fake).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.norm(dim=1) - 1).square().mean()


class WaveGanTraining(nn.Module):
    """A generator and its critic, which makes ``critic_steps`` steps before each of the generator's."""

    def __init__(self, model: WaveGan, critic_steps: int) -> None:
        super().__init__()
        self.model, self.critic, self.critic_steps = model, Critic(model.config), critic_steps

    def parts(self) -> dict[str, list[nn.Parameter]]:
        return {"critic": list(self.critic.parameters()), "generator": list(self.model.parameters())}

    def losses(self, batch: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Of a :class:`tts_diffvoc_eval.generation.training.Batch` with clips for all steps of the critic."""
        torch.manual_seed(batch.seed)
        parts = batch.waveform.chunk(self.critic_steps)
        for real in parts:
            with torch.no_grad():
                fake = self.fake(len(real))
            distance = self.critic(real).mean() - self.critic(fake).mean()  # estimates Wasserstein's
            penalty = gradient_penalty(self.critic, real, fake, torch.rand(len(real)).to(real))
            yield "critic", {"loss": PENALTY * penalty - distance, "distance": distance}
        self.critic.requires_grad_(False)
        yield "generator", {"loss": -self.critic(self.fake(len(parts[0]))).mean()}
        self.critic.requires_grad_(True)

    def fake(self, count: int) -> Tensor:
        latent = torch.rand(count, self.model.config.latent) * 2 - 1
        return self.model(latent.to(self.model.dense.weight.device))

    @torch.no_grad()
    def held_out(self, waveform: Tensor) -> dict[str, float]:
        """The critic's estimate of the Wasserstein distance of generated clips from these, [N, T]."""
        scores = [self.critic(part).mean() - self.critic(self.fake(len(part))).mean() for part in waveform.split(64)]
        return {"held_distance": float(torch.stack(scores).mean())}
