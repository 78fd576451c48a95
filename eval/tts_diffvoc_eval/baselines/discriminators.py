"""Coqui's discriminators, made narrower for CPUs, and with one gradient that Coqui leaves out."""

from __future__ import annotations

import importlib
from math import gcd
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils import parametrizations, spectral_norm

PLACES = {
    "HifiganDiscriminator": "hifigan_discriminator",
    "MelganMultiscaleDiscriminator": "melgan_multiscale_discriminator",
    "ParallelWaveganDiscriminator": "parallel_wavegan_discriminator",
    "UnivnetDiscriminator": "univnet_discriminator",
}


def make(name: str, narrower: int = 1, **settings: Any) -> nn.Module:
    """Coqui's discriminator of that class, its hidden channels divided by ``narrower``."""
    module = importlib.import_module(f"TTS.vocoder.models.{PLACES[name]}")
    discriminator = getattr(module, name)(**settings)
    if name == "UnivnetDiscriminator":
        for one in discriminator.msd.discriminators:
            one.__class__ = _listening(module.SpecDiscriminator)
    if narrower > 1:
        narrow(discriminator, narrower)
    return discriminator


def _listening(coquis: type[nn.Module]) -> type[nn.Module]:
    """``SpecDiscriminator`` whose score the generator can learn from.

    Coqui computes the spectrogram under ``no_grad``, so that the spectral half of UnivNet's discriminator (Jang et
    al. 2021, section 2.3) trains, and never reaches the generator.
    """

    class Listening(coquis):
        def forward(self, y: Tensor) -> tuple[Tensor, list[Tensor]]:
            x = self.stft(y.squeeze(1)).unsqueeze(1)
            features = []
            for layer in self.discriminators:
                x = leaky_relu(layer(x), 0.1)
                features.append(x)
            x = self.out(x)
            return x.flatten(1), [*features, x]

    return Listening


def narrow(discriminator: nn.Module, by: int) -> None:
    """Replace every convolution by one with ``by`` times fewer channels, in place; inputs and scores stay single."""
    for parent in list(discriminator.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.modules.conv._ConvNd):
                setattr(parent, name, _narrower(layer, by))


def _narrower(layer: nn.Module, by: int) -> nn.Module:
    channels_in, channels_out = (max(1, c // by) if c > 1 else 1 for c in (layer.in_channels, layer.out_channels))
    kind = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.Conv1d
    small = kind(
        channels_in,
        channels_out,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        gcd(layer.groups, channels_in, channels_out),
        layer.bias is not None,
    )
    by_spectrum = hasattr(layer, "weight_orig")  # the old spectral norm keeps the weight under that name
    return spectral_norm(small) if by_spectrum else parametrizations.weight_norm(small)
