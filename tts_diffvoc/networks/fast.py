"""Inference of the published DiffWave on CPUs, several times as fast as layer by layer over the whole clip.

The network is bound by memory, not by arithmetic: a layer of a three-second clip does not fit in a cache, and
freshly allocated activations cost page faults. So activations are rows [T, C]; a layer is walked in tiles that stay
in cache; the three taps of the dilated convolution and the mel's projection are one matrix product over a gathered
tile; constants (the step's embedding, biases, the square root of one half) are folded into it; and all buffers are
allocated once and used again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.diffusion.schedules import fractional_step
from tts_diffvoc.networks.diffwave import DiffWave, ResidualLayer
from tts_diffvoc.networks.wavegrad import WaveGrad

TILE = 1024
HALF = math.sqrt(0.5)


class _Layer(NamedTuple):
    """One residual layer's weights, packed for rows."""

    dilation: int
    gather: Tensor  # [2 C, 3 C + M]: the mel after the taps from past to future; the half that becomes tanh doubled
    gather_bias: Tensor  # [2 C], likewise
    output: Tensor  # [2 C, C], doubled; the residual half times the square root of one half
    residual_bias: Tensor  # [C], times the square root of one half
    skip_bias: Tensor  # [C]
    embed: nn.Linear


def _pack(layer: ResidualLayer) -> _Layer:
    conv, mel, out = layer.dilated_conv, layer.conditioner_projection, layer.output_projection
    channels = conv.in_channels
    assert conv.bias is not None and mel.bias is not None and out.bias is not None
    gather = torch.cat([conv.weight.permute(0, 2, 1).reshape(2 * channels, 3 * channels), mel.weight[:, :, 0]], dim=1)
    double = torch.ones(2 * channels).index_fill_(0, torch.arange(channels, 2 * channels), 2.0)
    halve = torch.full((2 * channels,), 2.0).index_fill_(0, torch.arange(channels), 2.0 * HALF)
    return _Layer(
        conv.dilation[0],
        (gather * double.unsqueeze(1)).contiguous(),
        (conv.bias + mel.bias) * double,
        (out.weight[:, :, 0] * halve.unsqueeze(1)).contiguous(),
        HALF * out.bias[:channels],
        out.bias[channels:].clone(),
        layer.diffusion_projection,
    )


@lru_cache(maxsize=1)
def find_linear() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The fastest x W^T + b at hand.

    oneDNN's is twice as fast as the BLAS that torch calls where that does not use AVX-512; torch.compile uses the
    same operator. Where it is missing, or another torch takes other arguments, the plain one serves.
    """
    try:
        onednn = torch.ops.mkldnn._linear_pointwise
        onednn(torch.zeros(16, 16), torch.zeros(16, 16), torch.zeros(16), "none", [], "")
    except (AttributeError, RuntimeError, NotImplementedError):
        return F.linear
    return lambda x, weight, bias: onednn(x, weight, bias, "none", [], "")


class FastDiffWave:
    """A drop-in for a :class:`DiffWave` of mels on a CPU, float32, inference only.

    The weights are repacked when it is made and not looked at again. Not for several threads at once: its buffers
    are its own.
    """

    @torch.inference_mode()
    def __init__(self, network: DiffWave) -> None:
        self.network = network
        self.schedule = network.schedule
        self.layers = [_pack(layer) for layer in network.residual_layers if isinstance(layer, ResidualLayer)]
        self.channels = network.config.residual_channels
        self.linear = find_linear()
        self.pad = max(layer.dilation for layer in self.layers)
        self._buffers: tuple[Tensor, ...] = ()

    def condition(self, mel: Tensor) -> Tensor:
        """``mel`` [B, M, F] upsampled to [B, T, M]; its projections are part of each tile's product."""
        return self.network.spectrogram_upsampler(mel).transpose(1, 2).contiguous()

    def _allocate(self, length: int, bands: int) -> tuple[Tensor, ...]:
        """Two padded states, the skip sum, and a tile's gathered input and gate."""
        if not self._buffers or self._buffers[2].shape[0] != length:
            channels, tile = self.channels, min(TILE, length)
            states = [torch.zeros(length + 2 * self.pad, channels) for _ in range(2)]
            gathered = torch.empty(tile, 3 * channels + bands)
            self._buffers = (*states, torch.empty(length, channels), gathered, torch.empty(tile, channels))
        return self._buffers

    def __call__(self, x: Tensor, noise_level: Tensor, conditioning: Tensor) -> Tensor:
        """The noise [B, T] in ``x`` [B, T], as :meth:`DiffWave.forward` says it, with the same errors."""
        steps = self.network.diffusion_embedding(fractional_step(self.schedule, noise_level))
        return torch.stack([self._one(x[i], steps[i], conditioning[i]) for i in range(x.shape[0])])

    @torch.inference_mode()
    def _one(self, x: Tensor, step: Tensor, mel: Tensor) -> Tensor:
        """One row of a batch: x [T], step embedding [512], upsampled mel [T, M]."""
        state, after, skip, *tile = self._allocate(len(x), mel.shape[1])
        shifts = [layer.embed(step) for layer in self.layers]
        project = self.network.input_projection
        assert project.bias is not None
        inside = state[self.pad : self.pad + len(x)]
        torch.addmm(project.bias, x.unsqueeze(1), project.weight[:, :, 0].T, out=inside)
        inside.relu_().add_(shifts[0])
        skip_bias = torch.stack([layer.skip_bias for layer in self.layers]).sum(0)
        skip.copy_(skip_bias.expand_as(skip))
        for i, layer in enumerate(self.layers):
            # State i carries its own shift; take it out, scaled as the residual is, and put the next one in.
            following = shifts[i + 1] if i + 1 < len(shifts) else torch.zeros_like(shifts[0])
            change = layer.residual_bias - HALF * shifts[i] + following
            self._layer(layer, state, after, skip, mel, change, tile)
            state, after = after, state
        return self._head(skip)

    def _layer(
        self, layer: _Layer, state: Tensor, after: Tensor, skip: Tensor, mel: Tensor, change: Tensor, tile: list[Tensor]
    ) -> None:
        """One residual layer, from ``state`` to ``after``, tile by tile; both have ``pad`` rows of zeros around."""
        length, channels, pad = len(skip), self.channels, self.pad
        bias = torch.cat([change, torch.zeros_like(change)])
        for start in range(0, length, TILE):
            stop = min(start + TILE, length)
            gathered, gate = (buffer[: stop - start] for buffer in tile)
            for tap, offset in enumerate((-layer.dilation, 0, layer.dilation)):
                rows = state[pad + start + offset : pad + stop + offset]
                gathered[:, tap * channels : (tap + 1) * channels].copy_(rows)
            gathered[:, 3 * channels :].copy_(mel[start:stop])
            product = self.linear(gathered, layer.gather, layer.gather_bias).sigmoid_()
            # tanh(y) = 2 (sigmoid(2 y) - 1/2): the factors are in the weights, and sigmoid is the cheaper function.
            torch.sub(product[:, channels:], 0.5, out=gate).mul_(product[:, :channels])
            output = self.linear(gate, layer.output, bias)
            inside = slice(pad + start, pad + stop)
            torch.add(output[:, :channels], state[inside], alpha=HALF, out=after[inside])
            skip[start:stop].add_(output[:, channels:])

    def _head(self, skip: Tensor) -> Tensor:
        """The skip sum [T, C] to the predicted noise [T]."""
        last, out = self.network.skip_projection, self.network.output_projection
        assert last.bias is not None and out.bias is not None
        scale = math.sqrt(1.0 / len(self.layers))
        hidden = torch.addmm(last.bias, skip, (scale * last.weight[:, :, 0]).T).relu_()
        return torch.addmv(out.bias.expand(len(skip)), hidden, out.weight[0, :, 0])


def fast_inference(network: DiffWave | WaveGrad) -> Any:
    """The fast path of ``network`` where there is one, else the network itself.

    There is one for a DiffWave that is conditioned on a mel alone, in evaluation mode, without gradients, on a CPU, in
    float32, and not traced.
    """
    traced = torch.is_grad_enabled() or torch.compiler.is_compiling()
    if not isinstance(network, DiffWave) or traced or network.training:
        return network
    config = network.config
    if not config.n_mels or config.labels or config.in_channels > 1:
        return network
    weight = network.input_projection.weight
    return FastDiffWave(network) if (weight.device.type, weight.dtype) == ("cpu", torch.float32) else network
