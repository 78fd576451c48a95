"""WaveNet: a clip sample by sample, each drawn given those before it.

Van den Oord et al., "WaveNet: A Generative Model for Raw Audio" (2016), sections 2.1 to 2.4, without conditioning. A
clip follows endless silence: every layer sees its first column also before it, and generation starts from what the
layers hold in silence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu
from torchaudio.functional import mu_law_decoding, mu_law_encoding

from tts_diffvoc.schema import Depth, FromJson, Length, Octaves, Rate, Width
from tts_diffvoc_eval.generation.unconditional_model import UnconditionalModel

CLASSES = 256
SILENCE = CLASSES // 2


@dataclass(frozen=True)
class WaveNetConfig(FromJson):
    """The paper leaves the numbers open but for the dilations, 1 to 512, stacked.

    Attributes:
        length: samples of a clip.
        channels: of the residual path and of each gate.
        skip: channels of the skip path.
        cycle: layers of dilations 1, 2, 4 and so on in a cycle.
        cycles: how often they are stacked.
    """

    length: Length = 8192
    channels: Width = 128
    skip: Width = 256
    cycle: Octaves = 10
    cycles: Depth = 3
    sample_rate: Rate = 8000

    @property
    def dilations(self) -> list[int]:
        return [2**i for i in range(self.cycle)] * self.cycles

    @property
    def receptive_field(self) -> int:
        return 2 + sum(self.dilations)


def earlier(x: Tensor, steps: int) -> Tensor:
    """x [B, T, C] delayed by ``steps`` columns, the first one repeated."""
    steps = min(steps, x.shape[1])
    return torch.cat([x[:, :1].expand(-1, steps, -1), x[:, : x.shape[1] - steps]], dim=1)


class GatedLayer(nn.Module):
    """A gated dilated convolution with kernel 2, a residual and a skip; equation 2 and figure 4."""

    def __init__(self, channels: int, skip: int, dilation: int) -> None:
        super().__init__()
        self.channels, self.dilation = channels, dilation
        self.gates = nn.Linear(2 * channels, 2 * channels)  # of a column and the earlier one; filters, then gates
        self.outputs = nn.Linear(channels, channels + skip)  # residual, then skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        filters, gates = self.gates(torch.cat([x, earlier(x, self.dilation)], dim=2)).chunk(2, dim=2)
        output = self.outputs(torch.tanh(filters) * torch.sigmoid(gates))
        return x + output[..., : self.channels], output[..., self.channels :]


class WaveNet(UnconditionalModel):
    """Mu-law classes [B, T], each that of the sample before, to logits [B, T, 256] of the sample's own."""

    kind, title, family, config_type = "wavenet", "WaveNet", "autoregressive", WaveNetConfig
    what = "The network of van den Oord et al. (2016), on 8-bit mu-law samples:"

    def __init__(self, config: WaveNetConfig, size: str = "small", training: str = "untrained") -> None:
        super().__init__(config, size, training)
        # The first causal convolution, of kernel 2 on one-hot columns, is a sum of rows of two tables.
        self.latest = nn.Embedding(CLASSES, config.channels)
        self.second = nn.Embedding(CLASSES, config.channels)
        self.layers = nn.ModuleList(GatedLayer(config.channels, config.skip, d) for d in config.dilations)
        self.mixed = nn.Linear(config.skip, config.skip)
        self.logits = nn.Linear(config.skip, CLASSES)
        # At first, near classes are alike, as they are near in sound, and all classes are as likely.
        level = (torch.arange(CLASSES).unsqueeze(1) - SILENCE) / SILENCE
        with torch.no_grad():
            for table in (self.latest, self.second):
                table.weight.mul_(0.05).add_(level * torch.randn(1, config.channels))
        nn.init.zeros_(self.logits.weight)
        nn.init.zeros_(self.logits.bias)

    def forward(self, before: Tensor) -> Tensor:
        skips, _ = self._skips(before)
        return self.logits(relu(self.mixed(relu(skips))))

    def _skips(self, before: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The sum of the skips [B, T, S], and the input of each layer, [B, T, C]."""
        x = self.latest(before) + earlier(self.second(before), 1)
        skips = x.new_zeros(())
        inputs = []
        for layer in self.layers:
            inputs.append(x)
            x, skip = layer(x)
            skips = skips + skip
        return skips, inputs

    def inputs_in_silence(self) -> list[Tensor]:
        """The input of each layer, [C], after endless silence."""
        silence = torch.full((1, 1), SILENCE, device=self.latest.weight.device)
        return [x[0, 0] for x in self._skips(silence)[1]]

    def bits(self, waveform: Tensor) -> Tensor:
        """Negative log-likelihood of clips [B, T] in bits a sample, [B]; equation 1."""
        classes = mu_law_encoding(waveform, CLASSES)
        before = torch.cat([torch.full_like(classes[:, :1], SILENCE), classes[:, :-1]], dim=1)
        nats = cross_entropy(self(before).flatten(0, 1), classes.flatten(), reduction="none")
        return nats.view_as(classes).mean(1) / math.log(2)

    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Of a :class:`tts_diffvoc_eval.generation.training.Batch`."""
        return {"loss": self.bits(batch.waveform).mean()}

    @torch.no_grad()
    def held_out(self, waveform: Tensor) -> dict[str, float]:
        """Bits a sample of clips [N, T] that are not learnt from."""
        return {"held_bits": float(torch.cat([self.bits(part) for part in waveform.split(8)]).mean())}

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.rand(count, self.config.length, generator=generator)

    def sample(self, latent: Tensor) -> Tensor:
        """Clips [B, T] of numbers [B, T] in [0, 1), by inverting the cumulated probabilities of each sample."""
        stepper = Stepper(self, len(latent))
        last = torch.full((len(latent),), SILENCE, device=latent.device)
        classes = []
        for number in latent.t().contiguous():
            cumulated = torch.softmax(stepper.step(last), dim=1).cumsum(1)
            last = torch.searchsorted(cumulated, number.unsqueeze(1), right=True)[:, 0].clamp_(max=CLASSES - 1)
            classes.append(last)
        return mu_law_decoding(torch.stack(classes, dim=1), CLASSES)


class Stepper:
    """A WaveNet one sample at a time, for B clips side by side, with what it has computed before.

    Each layer keeps a ring of as many columns as its dilation (Le Paine et al. 2016, "Fast Wavenet Generation
    Algorithm"): what its earlier input adds to its gates later. Residual and skip path lie in one array [B, C + S], so
    that a layer is three matrix products in place. Biases of the outputs are added once, to what the later layers and
    the head start from; sigmoid(x) is (1 + tanh(x / 2)) / 2, its factors in the weights.
    """

    def __init__(self, network: WaveNet, batch: int) -> None:
        channels, skip = network.config.channels, network.config.skip
        latest, second = network.latest.weight, network.second.weight
        self.latest = torch.cat([latest, latest.new_zeros(CLASSES, skip)], dim=1)
        self.second = second.clone()
        self.paths = latest.new_empty(batch, channels + skip)
        self.residual, self.skips = self.paths[:, :channels], self.paths[:, channels:]
        self.gated = latest.new_empty(batch, channels)
        self.layers, self.position = [], 0
        halves = latest.new_ones(2 * channels)
        halves[channels:] = 0.5
        offset = latest.new_zeros(channels + skip)  # of output biases so far
        layers: Any = network.layers
        for layer, silent in zip(layers, network.inputs_in_silence()):
            new, old = (layer.gates.weight * halves.unsqueeze(1)).t().split(channels)
            bias = layer.gates.bias * halves + offset[:channels] @ (new + old)
            added = (silent - offset[:channels]) @ old + bias
            ring = added.repeat(layer.dilation, batch, 1).unbind(0)
            outputs = layer.outputs.weight.t() / 2
            self.layers.append((ring, new.contiguous(), old.contiguous(), bias, outputs.contiguous()))
            offset = offset + layer.outputs.bias
        self.mixed = (network.mixed.bias, network.mixed.weight.t().contiguous())
        self.logits = (network.logits.bias, network.logits.weight.t().contiguous())
        self.skip_offset = offset[channels:]
        self.earlier = self.second[SILENCE].repeat(batch, 1)

    def step(self, classes: Tensor) -> Tensor:
        """Logits [B, 256] of the next samples, given the classes [B] of those before them."""
        channels = self.gated.shape[1]
        torch.index_select(self.latest, 0, classes, out=self.paths)
        self.residual.add_(self.earlier)
        torch.index_select(self.second, 0, classes, out=self.earlier)
        for ring, new, old, bias, outputs in self.layers:
            gates = ring[self.position % len(ring)]
            gates.addmm_(self.residual, new).tanh_()
            torch.addcmul(gates[:, :channels], gates[:, :channels], gates[:, channels:], out=self.gated)
            torch.addmm(bias, self.residual, old, out=gates)
            self.paths.addmm_(self.gated, outputs)
        self.position += 1
        mixed = torch.addmm(self.mixed[0], (self.skips + self.skip_offset).relu_(), self.mixed[1]).relu_()
        return torch.addmm(self.logits[0], mixed, self.logits[1])
