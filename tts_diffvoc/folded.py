"""Folded networks: short-time spectra in, corrections of the best linear estimate out.

A folded network is preconditioned with what is known without it. Let a be the noise level, s^2 = 1 - a^2, and r the
deviation that is expected of a coefficient of the lapped transform: from the mel for a vocoder, over the training set
for a generator. Then x has deviation d = sqrt(a^2 r^2 + s^2) there, the best linear estimate of clean data is
a r^2 x / d^2 (Wiener's), and its error has deviation s r / d, in units of which the network corrects it. With r = 1
this is the v-prediction of Salimans and Ho (2022, section 4), and the preconditioning of Karras et al. (2022, table 1)
for each coefficient by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tts_diffvoc.lapped import Frames, LappedTransform

Denoiser = Callable[[Tensor, Tensor], Tensor]
# Of a bin, whose power is about 1 for what is seen on average.
LEAST_POWER = 0.01


def precondition(
    network: Denoiser, power: Tensor, transform: LappedTransform, frames: Frames, relative: bool = False
) -> Denoiser:
    """The function (x [B, T], noise_level [B]) -> eps [B, T] that samplers and losses see, of a folded network.

    Args:
        network: (spectra [B, n_fft + 2, F], noise_level [B]) -> corrections of the same shape, of deviation one.
        power: r^2, [B or 1, hop, F or 1].
        relative: False shows the network the linear estimate as it is. True shows it divided by r, and all of it by
            the deviation that is then left on average, so that its level depends neither on the spectrum nor on
            the noise: for a network that is told nothing else about the data.
    """

    def denoise(x: Tensor, noise_level: Tensor) -> Tensor:
        level = noise_level.reshape(-1, 1, 1).to(x)
        variance = (1 - level.square()).clamp_min(1e-12)
        total = level.square() * power + variance
        coefficients = transform(x)
        linear = transform.inverse(coefficients * (level * power / total))
        shown = linear
        if relative:
            left = (level.square() * power / total).mean((1, 2), keepdim=True)
            shown = transform.inverse(coefficients * (level * power.sqrt() / total / left.sqrt()))
        correction = transform(frames.inverse(network(frames(shown), noise_level).to(x.dtype)))
        x0 = linear + transform.inverse(correction * (variance * power / total).sqrt())
        return (x - level[:, 0] * x0) / variance[:, 0].sqrt()

    return denoise


def with_gains(network: Denoiser) -> Denoiser:
    """A network on spectra [B, 2 K, F] from one on [B, 3 K, F]: spectra and log powers in, spectra and gains out.

    Where data are Gaussian with a variance of their own at each place, the best estimate is a gain on what is seen
    (Wiener's), and what one needs to know to choose it are powers nearby. A convolution that sees amplitudes alone has
    to find both products by itself.

    Args:
        network: ([B, 3 K, F], noise_level [B]) -> [B, 3 K, F]; the first 2 K channels are real and imaginary parts.
    """

    def predict(spectra: Tensor, noise_level: Tensor) -> Tensor:
        real, imaginary = spectra.chunk(2, dim=1)
        powers = (real.square() + imaginary.square() + LEAST_POWER).log()
        correction, gain = network(torch.cat([spectra, powers], dim=1), noise_level).split(
            [spectra.shape[1], real.shape[1]], dim=1
        )
        return correction + torch.cat([gain, gain], dim=1) * spectra

    return predict


def remaining_error(power: Tensor, noise_level: Tensor, norm: str = "l2") -> Tensor:
    """What the best linear estimate leaves of the noise's prediction on average over ``power``, [B].

    Divided by it, no level's errors drown the others', and below 1 is what a network has learnt.

    Args:
        power: r^2 of any shape.
        noise_level: [B].
        norm: "l2", the squared error a^2 r^2 / d^2, or "l1", the absolute one of a normal deviate.
    """
    signal = noise_level.square().reshape(-1, 1) * power.reshape(1, -1)
    left = signal / (signal + 1 - noise_level.square().reshape(-1, 1))
    return left.mean(1) if norm == "l2" else left.sqrt().mean(1) * math.sqrt(2 / math.pi)
