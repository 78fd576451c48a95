"""Training of the published DiffWave on CPUs, with the same gradients, faster than layer by layer.

What autograd does with a layer is bound by memory: it keeps a dozen arrays of the whole batch, and the dilated
convolution falls back to an unpacked one. Here the residual stack is one function with a backward pass of its own.
Activations are rows [T, C]; a layer is walked in tiles that stay in cache; the three taps and the mel's projection
are one matrix product; only the layers' inputs and their two gate halves are kept.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.diffusion.schedules import fractional_step
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.networks.diffwave import DiffWave, ResidualLayer
from tts_diffvoc.networks.fast import TILE, FastConditioning, find_linear
from tts_diffvoc.networks.wavegrad import WaveGrad

HALF = math.sqrt(0.5)
# Tensors that each layer brings: gather weight and bias, output weight and bias.
PER_LAYER = 4


# Arrays to use again at the next step, by shape: freshly taken memory costs as much as the arithmetic.
_spare: dict[tuple[int, ...], list[Tensor]] = {}


def _take(*shape: int) -> Tensor:
    """An array of any content."""
    spare = _spare.get(shape)
    return spare.pop() if spare else torch.empty(shape)


def _give(*arrays: Tensor) -> None:
    """Keep arrays for the next step."""
    for array in arrays:
        _spare.setdefault(tuple(array.shape), []).append(array)


class _Tape(NamedTuple):
    """What the backward pass needs of one layer and one row of the batch."""

    padded: Tensor  # [T + 2 d, C]: the layer's input with the step's shift, zeros at the ends
    gate: Tensor  # [T, C]: the sigmoid half
    value: Tensor  # [T, C]: the tanh half


def _gather(padded: Tensor, mel: Tensor, start: int, stop: int, dilation: int, out: Tensor) -> Tensor:
    """Rows start to stop of the taps t - d, t and t + d, and of the mel: [stop - start, 3 C + M], in ``out``."""
    channels, rows = padded.shape[1], out[: stop - start]
    for tap in range(3):
        first = start + tap * dilation
        rows[:, tap * channels : (tap + 1) * channels].copy_(padded[first : first + stop - start])
    rows[:, 3 * channels :].copy_(mel[start:stop])
    return rows


class ResidualStack(torch.autograd.Function):
    """The sum of all layers' skip outputs, [B, T, C].

    Arguments: the first state [B, T, C], the upsampled mel [B, T, M], the steps' shifts [layers, B, C], the layers'
    dilations, then for each layer its gather weight [2 C, 3 C + M] and bias, and its output weight [2 C, C] and bias.
    """

    @staticmethod
    def forward(ctx: Any, state: Tensor, mel: Tensor, shifts: Tensor, dilations: tuple[int, ...], *weights: Tensor):
        linear = find_linear()
        skip = torch.zeros_like(state)
        batch, length, channels = state.shape
        gathered = torch.empty(min(TILE, length), 3 * channels + mel.shape[2])
        tapes: list[list[_Tape]] = []
        for row in range(batch):
            x, tape, states = state[row], [], (_take(length, channels), _take(length, channels))
            for i, dilation in enumerate(dilations):
                gather, gather_bias, output, output_bias = weights[PER_LAYER * i : PER_LAYER * (i + 1)]
                padded = _take(length + 2 * dilation, channels)
                padded[:dilation] = 0
                padded[-dilation:] = 0
                torch.add(x, shifts[i, row], out=padded[dilation : dilation + length])
                gate, value = _take(length, channels), _take(length, channels)
                following = states[i % 2]
                for start in range(0, length, TILE):
                    stop = min(start + TILE, length)
                    rows = _gather(padded, mel[row], start, stop, dilation, gathered)
                    z = linear(rows, gather, gather_bias)
                    g = torch.sigmoid(z[:, :channels], out=gate[start:stop])
                    # The hyperbolic tangent by the sigmoid, which vectorises better: tanh(z) = 2 sigmoid(2 z) - 1.
                    v = torch.mul(z[:, channels:], 2.0, out=value[start:stop]).sigmoid_().mul_(2.0).sub_(1.0)
                    o = linear(g * v, output, output_bias)
                    torch.add(x[start:stop], o[:, :channels], out=following[start:stop]).mul_(HALF)
                    skip[row, start:stop] += o[:, channels:]
                tape.append(_Tape(padded, gate, value))
                x = following
            tapes.append(tape)
            _give(*states)
        ctx.tapes, ctx.dilations = tapes, dilations
        ctx.save_for_backward(mel, *weights)
        return skip

    @staticmethod
    def backward(ctx: Any, skip_gradient: Tensor):  # type: ignore[override]
        mel, *weights = ctx.saved_tensors
        linear, layers = find_linear(), len(ctx.dilations)
        batch, length, channels = skip_gradient.shape
        inputs = 3 * channels + mel.shape[2]
        found = [torch.zeros_like(w) for w in weights]
        turned = [w.T.contiguous() for w in weights[0::PER_LAYER]], [w.T.contiguous() for w in weights[2::PER_LAYER]]
        nothing = torch.zeros(inputs), torch.zeros(channels), torch.zeros(2 * channels)
        shift_gradient = torch.empty(layers, batch, channels)
        mel_gradient = torch.zeros_like(mel)
        state_gradient = torch.empty_like(skip_gradient)
        gathered = torch.empty(min(TILE, length), inputs)
        into = torch.empty(min(TILE, length), 2 * channels)
        for row in range(batch):
            after = torch.zeros(length, channels)
            for i in reversed(range(layers)):
                dilation, tape = ctx.dilations[i], ctx.tapes[row].pop()
                gather, gather_bias, output, output_bias = found[PER_LAYER * i : PER_LAYER * (i + 1)]
                padded = _take(length + 2 * dilation, channels).zero_()
                for start in range(0, length, TILE):
                    stop = min(start + TILE, length)
                    n = stop - start
                    g, v = tape.gate[start:stop], tape.value[start:stop]
                    o = into[:n]
                    torch.mul(after[start:stop], HALF, out=o[:, :channels])
                    o[:, channels:] = skip_gradient[row, start:stop]
                    product = g * v
                    output += linear(o.T, product.T, nothing[1])
                    output_bias += o.sum(0)
                    p = linear(o, turned[1][i], nothing[1])
                    z = o  # its values are used up
                    torch.mul(p, product, out=z[:, :channels]).mul_(1 - g)
                    torch.mul(p, g, out=z[:, channels:]).mul_(1 - v * v)
                    rows = _gather(tape.padded, mel[row], start, stop, dilation, gathered)
                    gather += linear(z.T, rows.T, nothing[0])
                    gather_bias += z.sum(0)
                    back = linear(z, turned[0][i], nothing[0])
                    for tap in range(3):
                        first = start + tap * dilation
                        padded[first : first + n] += back[:, tap * channels : (tap + 1) * channels]
                    mel_gradient[row, start:stop] += back[:, 3 * channels :]
                inside = padded[dilation : dilation + length]
                shift_gradient[i, row] = inside.sum(0)
                after = after.mul_(HALF).add_(inside)
                _give(padded, *tape)
            state_gradient[row] = after
        return state_gradient, mel_gradient, shift_gradient, None, *found


class TrainingDiffWave:
    """A stand-in for a :class:`DiffWave` that is being trained on a CPU in float32.

    It calls the network's own parameters, so that their gradients are those of :meth:`DiffWave.forward`.
    """

    def __init__(self, network: DiffWave) -> None:
        self.network = network

    def condition(self, mel: Tensor) -> FastConditioning:
        """Upsample ``mel`` [B, M, F]; its projections are part of each layer's product."""
        return FastConditioning(self.network.spectrogram_upsampler(mel).transpose(1, 2).contiguous())

    def __call__(self, x: Tensor, noise_level: Tensor, conditioning: FastConditioning) -> Tensor:
        """The noise [B, T] in ``x`` [B, T], as :meth:`DiffWave.forward` says it, with the same errors."""
        net = self.network
        if x.shape[-1] != conditioning.length:
            raise DiffvocError(
                f"x has {x.shape[-1]} positions and its mel conditions {conditioning.length}; they must be equal."
            )
        embedding = net.diffusion_embedding(fractional_step(net.schedule, noise_level))
        layers = [layer for layer in net.residual_layers if isinstance(layer, ResidualLayer)]
        shifts = torch.stack([layer.diffusion_projection(embedding) for layer in layers])
        first = F.relu(_pointwise(x.unsqueeze(2), net.input_projection))
        weights = [weight for layer in layers for weight in _layer_weights(layer)]
        dilations = tuple(layer.dilated_conv.dilation[0] for layer in layers)
        skip = ResidualStack.apply(first, conditioning.rows, shifts, dilations, *weights)
        h = F.relu(_pointwise(skip * math.sqrt(1.0 / len(layers)), net.skip_projection))
        return _pointwise(h, net.output_projection).squeeze(2)


def _pointwise(rows: Tensor, conv: nn.Conv1d) -> Tensor:
    """A 1x1 convolution on rows [..., C]."""
    return F.linear(rows, conv.weight[:, :, 0], conv.bias)


def _layer_weights(layer: ResidualLayer) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    conv, mel, out = layer.dilated_conv, layer.conditioner_projection, layer.output_projection
    assert conv.bias is not None and mel.bias is not None and out.bias is not None
    channels = conv.in_channels
    gather = torch.cat([conv.weight.permute(0, 2, 1).reshape(2 * channels, 3 * channels), mel.weight[:, :, 0]], dim=1)
    return gather, conv.bias + mel.bias, out.weight[:, :, 0], out.bias


def fast_training(network: DiffWave | WaveGrad) -> DiffWave | WaveGrad | TrainingDiffWave:
    """The fast path of ``network`` where it has one and gradients are wanted, else ``network`` itself."""
    if not isinstance(network, DiffWave) or not network.config.mel_only:
        return network
    if not torch.is_grad_enabled():
        return network
    weight = network.input_projection.weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not network.training:
        return network
    return TrainingDiffWave(network)
