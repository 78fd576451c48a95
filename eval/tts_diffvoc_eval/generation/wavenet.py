"""WaveNet: a clip sample by sample, each drawn given those before it.

Van den Oord et al., "WaveNet: A Generative Model for Raw Audio" (2016), sections 2.1 to 2.4, without conditioning. A
clip is taken to begin after endless silence: every layer hears its first column also before it, and generation starts
from what the layers hold in silence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu
from torch.nn.utils.rnn import pad_sequence

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.generation.rivals import Rival, load, save

__all__ = ["Network", "Stepper", "WaveNet", "WaveNetConfig", "load", "save", "surprise", "windows"]

CLASSES = 256
SILENCE = CLASSES // 2


@dataclass(frozen=True)
class WaveNetConfig:
    """The paper leaves the numbers open but for the dilations, 1 to 512, stacked.

    Attributes:
        length: samples of a clip.
        channels: of the residual path and of each gate.
        skip: channels of the skip path.
        cycle: layers of dilations 1, 2, 4 and so on in a cycle.
        cycles: how often they are stacked.
        sample_rate: of the clips.
    """

    length: int = 8192
    channels: int = 128
    skip: int = 256
    cycle: int = 10
    cycles: int = 3
    sample_rate: int = 8000

    def __post_init__(self) -> None:
        for name in ("length", "channels", "skip", "cycle", "cycles", "sample_rate"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise DiffvocError(f"the {name} of a WaveNet is {value!r}; give a whole number above zero.")

    @property
    def dilations(self) -> list[int]:
        return [2**i for i in range(self.cycle)] * self.cycles

    @property
    def reach(self) -> int:
        """How many samples before a sample it hears."""
        return 2 + sum(self.dilations)


def quantise(waveform: Tensor) -> Tensor:
    """Mu-law classes [.], 0 to 255, of samples in [-1, 1]; section 2.2.

    Zero has a class of its own, 128, so that silence stays silence.
    """
    mu = CLASSES - 1
    curved = waveform.sign() * torch.log1p(mu * waveform.abs()) / math.log1p(mu)
    return (torch.round(curved * SILENCE) + SILENCE).clamp(0, mu).long()


def expand(classes: Tensor) -> Tensor:
    """Samples [.] in [-1, 1] of mu-law classes."""
    mu = CLASSES - 1
    curved = (classes.float() - SILENCE) / SILENCE
    return curved.sign() * torch.expm1(curved.abs() * math.log1p(mu)) / mu


def earlier(x: Tensor, steps: int) -> Tensor:
    """What x [B, T, C] held ``steps`` columns before each column; before the first there is more of the first."""
    steps = min(steps, x.shape[1])
    return torch.cat([x[:, :1].expand(-1, steps, -1), x[:, : x.shape[1] - steps]], dim=1)


class Layer(nn.Module):
    """A gated dilated convolution with kernel 2, a residual and a skip; equation 2 and figure 4."""

    def __init__(self, channels: int, skip: int, dilation: int) -> None:
        super().__init__()
        self.channels, self.dilation = channels, dilation
        self.gates = nn.Linear(2 * channels, 2 * channels)  # of a column and the earlier one; filters, then gates
        self.outputs = nn.Linear(channels, channels + skip)  # residual, then skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        both = self.gates(torch.cat([x, earlier(x, self.dilation)], dim=2))
        filters, gates = both.chunk(2, dim=2)
        output = self.outputs(torch.tanh(filters) * torch.sigmoid(gates))
        return x + output[..., : self.channels], output[..., self.channels :]


class Network(nn.Module):
    """Classes [B, T], each that of the sample before, to logits [B, T, 256] of the sample's own."""

    def __init__(self, config: WaveNetConfig) -> None:
        super().__init__()
        self.config = config
        # The first causal convolution, with kernel 2, of one-hot columns is a sum of two rows of tables.
        self.latest = nn.Embedding(CLASSES, config.channels)
        self.second = nn.Embedding(CLASSES, config.channels)
        self.layers = nn.ModuleList(Layer(config.channels, config.skip, d) for d in config.dilations)
        self.mixed = nn.Linear(config.skip, config.skip)
        self.logits = nn.Linear(config.skip, CLASSES)
        self._start()

    @torch.no_grad()
    def _start(self) -> None:
        """Let near classes begin alike, as they are near in sound, and every class be as likely."""
        level = (torch.arange(CLASSES).unsqueeze(1) - SILENCE) / SILENCE
        for table in (self.latest, self.second):
            table.weight.mul_(0.05).add_(level * torch.randn(1, self.config.channels))
        nn.init.zeros_(self.logits.weight)
        nn.init.zeros_(self.logits.bias)

    def forward(self, before: Tensor) -> Tensor:
        return self._head(self._skips(before)[0])

    def _head(self, skips: Tensor) -> Tensor:
        return self.logits(relu(self.mixed(relu(skips))))

    def _skips(self, before: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The sum of the skips [B, T, S], and what each layer was given, [B, T, C]."""
        x = self.latest(before) + earlier(self.second(before), 1)
        skips: Tensor | float = 0.0
        given = []
        for layer in self.layers:
            given.append(x)
            x, skip = layer(x)
            skips = skips + skip
        return skips, given

    def in_silence(self) -> list[Tensor]:
        """What each layer is given, [C], after endless silence."""
        silence = torch.full((1, 1), SILENCE, device=self.latest.weight.device)
        return [x[0, 0] for x in self._skips(silence)[1]]


# Likelihood


@dataclass(frozen=True)
class Windows:
    """Columns of clips that decide their likelihood; those left out are silence after silence, all alike.

    Attributes:
        before: [B, W] classes of the samples before.
        targets: [B, W] classes of the samples.
        weights: [B, W] float32, for how many samples a column stands.
    """

    before: Tensor
    targets: Tensor
    weights: Tensor


def windows(classes: Tensor, reach: int) -> Windows:
    """The columns of clips [B, T] that a network with this reach must see: exact, and quicker than all.

    A sample whose whole reach is silence has one probability of being silence, wherever it is: one column stands for
    all of them, before and long after the sound.
    """
    parts = [_window(clip, reach) for clip in classes]
    fill = (SILENCE, SILENCE, 0.0)
    return Windows(*(pad_sequence(list(p), batch_first=True, padding_value=f) for p, f in zip(zip(*parts), fill)))


def _window(clip: Tensor, reach: int) -> tuple[Tensor, Tensor, Tensor]:
    length = len(clip)
    sounding = (clip != SILENCE).nonzero()[:, 0]
    first, last = (int(sounding[0]), int(sounding[-1])) if len(sounding) else (length, -1)
    start = min(max(first - 1, 0), length - 1)
    stop = min(length, max(last + reach, start) + 1) if first else length
    before = torch.cat([clip.new_full((1,), SILENCE), clip[:-1]])
    weights = torch.ones(stop - start, device=clip.device)
    weights[0] += start + length - stop
    return before[start:stop], clip[start:stop], weights


def surprise(network: Network, classes: Tensor) -> Tensor:
    """Bits a sample, [B], that clips [B, T] cost: the mean of -log2 of each sample's probability; equation 1."""
    seen = windows(classes, network.config.reach)
    logits = network(seen.before)
    nats = cross_entropy(logits.flatten(0, 1), seen.targets.flatten(), reduction="none").view_as(seen.weights)
    return (nats * seen.weights).sum(1) / classes.shape[1] / math.log(2)


# Generation


class Stepper:
    """A network that takes one sample at a time, for B clips side by side, and remembers what it needs.

    Each layer keeps a ring of as many columns as its dilation (Le Paine et al. 2016, "Fast Wavenet Generation
    Algorithm"): not what it was given but what that adds to its gates later. Residual and skip path lie in one array
    [B, C + S], so that a layer is three matrix products in place. Biases of the outputs are added once, to what the
    later layers and the head begin with; sigmoid(x) is (1 + tanh(x / 2)) / 2, its factors in the weights.
    """

    def __init__(self, network: Network, batch: int) -> None:
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
        for layer, silent in zip(network.layers, network.in_silence()):
            new, old = (layer.gates.weight * halves.unsqueeze(1)).t().split(channels)
            bias = layer.gates.bias * halves + offset[:channels] @ (new + old)
            added = (silent - offset[:channels]) @ old + bias
            ring = added.repeat(layer.dilation, batch, 1).unbind(0)
            outputs = layer.outputs.weight.t() / 2
            self.layers.append((ring, new.contiguous(), old.contiguous(), bias, outputs.contiguous()))
            offset = offset + layer.outputs.bias
        mixed, logits = network.mixed, network.logits
        self.mixed = (mixed.bias, mixed.weight.t().contiguous())
        self.logits = (logits.bias, logits.weight.t().contiguous())
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


class WaveNet(Rival):
    kind, name, family, config_type = "wavenet", "WaveNet", "autoregressive", WaveNetConfig
    what = "The network of van den Oord et al. (2016), on 8-bit mu-law samples:"
    network: Network

    @staticmethod
    def build(config: WaveNetConfig) -> Network:
        return Network(config)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.rand(count, self.length, generator=generator)

    def make(self, latent: Tensor) -> Tensor:
        """Clips [B, T] of numbers [B, T] in [0, 1): each sample is the class in whose share of 1 its number falls."""
        stepper = Stepper(self.network, len(latent))
        last = torch.full((len(latent),), SILENCE, device=latent.device)
        classes = []
        for number in latent.t().contiguous():
            reached = torch.softmax(stepper.step(last), dim=1).cumsum(1)
            last = torch.searchsorted(reached, number.unsqueeze(1), right=True)[:, 0].clamp_(max=CLASSES - 1)
            classes.append(last)
        return expand(torch.stack(classes, dim=1))
