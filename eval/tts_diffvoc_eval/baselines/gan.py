"""Coqui's GANs in training: its ``train_step`` and losses, and its discriminators, which can be made narrower."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils import parametrizations, spectral_norm
from torch.utils._pytree import tree_map
from TTS.vocoder.models.gan import GAN
from TTS.vocoder.models.hifigan_discriminator import HifiganDiscriminator
from TTS.vocoder.models.melgan_multiscale_discriminator import MelganMultiscaleDiscriminator
from TTS.vocoder.models.parallel_wavegan_discriminator import ParallelWaveganDiscriminator
from TTS.vocoder.models.univnet_discriminator import SpecDiscriminator, UnivnetDiscriminator

from tts_diffvoc_eval.baselines.configs import BaselineConfig, SizeConfig

DISCRIMINATORS = {
    "hifigan": HifiganDiscriminator,
    "melgan": MelganMultiscaleDiscriminator,
    "parallel-wavegan": ParallelWaveganDiscriminator,
    "univnet": UnivnetDiscriminator,
}


class GANTraining(GAN):
    """A generator and a discriminator that learn in turns, as ``tts_diffvoc.training.loop`` trains them.

    Coqui's ``GAN`` builds both itself, in sizes that ``setup_generator`` fixes.

    Args:
        generator: with weight norm.
        bf16: compute both networks in bfloat16; losses stay float32.
    """

    def __init__(self, baseline: BaselineConfig, size: SizeConfig, generator: nn.Module, bf16: bool = False) -> None:
        nn.Module.__init__(self)
        self.config, self.discriminator_from = baseline.coqui, size.discriminator_from
        self.model_g, self.model_d = generator, make_discriminator(**(size.discriminator or {}))
        self.train_disc, self.y_hat_g = False, None
        self.criterion_d, self.criterion_g = self.get_criterion()
        # Not the windows of the discriminator's spectrograms.
        self.learnt = [p for p in self.model_d.parameters() if p.requires_grad]
        if bf16:
            for network in (self.model_g, self.model_d):
                _in_bfloat16(network)

    @property
    def generator(self) -> nn.Module:
        return self.model_g

    def parts(self) -> dict[str, list[nn.Parameter]]:
        return {"discriminator": self.learnt, "generator": list(self.model_g.parameters())}

    def losses(self, batch: dict[str, Any]) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """The discriminator's loss once it has joined in, and then the generator's.

        Args:
            batch: ``waveform`` [B, T], ``mel`` [B, M, F] as the network takes it, ``progress``: share of the budget.
        """
        given = {"input": batch["mel"], "waveform": batch["waveform"].unsqueeze(1)}
        self.train_disc = batch["progress"] >= self.discriminator_from
        losses = self.train_step(given, self.criterion_d, 0)[1]
        if self.train_disc:
            yield "discriminator", {"loss": losses["loss"]}
        for parameter in self.learnt:
            parameter.requires_grad_(False)
        yield "generator", {"loss": self.train_step(given, self.criterion_g, 1)[1]["loss"]}
        for parameter in self.learnt:
            parameter.requires_grad_(True)


def _in_bfloat16(network: nn.Module) -> None:
    """Let ``network`` compute in bfloat16 and return float32."""
    forward = network.forward

    @functools.wraps(forward)
    def mixed(*inputs: Tensor) -> Any:
        with torch.autocast(inputs[0].device.type, torch.bfloat16):
            outputs = forward(*inputs)
        return tree_map(lambda x: x.float() if isinstance(x, Tensor) else x, outputs)

    network.forward = mixed


class SpectrumDiscriminator(SpecDiscriminator):
    """Coqui's ``SpecDiscriminator``, with a score that the generator can learn from.

    Coqui computes the spectrogram under ``no_grad``, so that the spectral half of UnivNet's discriminator (Jang et
    al. 2021, section 2.3) trains, and never reaches the generator.
    """

    def forward(self, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = self.stft(y.squeeze(1)).unsqueeze(1)
        features = []
        for layer in self.discriminators:
            x = leaky_relu(layer(x), 0.1)
            features.append(x)
        x = self.out(x)
        return x.flatten(1), [*features, x]


def make_discriminator(name: str, narrower: int = 1, **settings: Any) -> nn.Module:
    """Coqui's discriminator of that name, its hidden channels divided by ``narrower``."""
    discriminator = DISCRIMINATORS[name](**settings)
    if isinstance(discriminator, UnivnetDiscriminator):
        for one in discriminator.msd.discriminators:
            one.__class__ = SpectrumDiscriminator
    if narrower > 1:
        for parent in list(discriminator.modules()):
            for child, layer in list(parent.named_children()):
                if isinstance(layer, nn.modules.conv._ConvNd):
                    setattr(parent, child, _narrower(layer, narrower))
    return discriminator


def _narrower(layer: Any, by: int) -> nn.Module:
    """A convolution with ``by`` times fewer channels; inputs and scores stay single."""
    inputs, outputs = (max(1, c // by) if c > 1 else 1 for c in (layer.in_channels, layer.out_channels))
    small = (nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.Conv1d)(
        inputs,
        outputs,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        gcd(layer.groups, inputs, outputs),
        layer.bias is not None,
    )
    by_spectrum = hasattr(layer, "weight_orig")  # the old spectral norm keeps the weight under that name
    return spectral_norm(small) if by_spectrum else parametrizations.weight_norm(small)
