"""WaveNet: a clip sample by sample, each drawn given those before it.

Van den Oord et al., "WaveNet: A Generative Model for Raw Audio" (2016), sections 2.1 to 2.4, without conditioning. A
clip follows endless silence: every layer sees its first column also before it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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


def earlier(x: Tensor, steps: int) -> Tensor:
    """x [B, T, C] delayed by ``steps`` columns, the first one repeated."""
    steps = min(steps, x.shape[1])
    return torch.cat([x[:, :1].expand(-1, steps, -1), x[:, : x.shape[1] - steps]], dim=1)


class DelayLine:
    """:func:`earlier` column by column [B, C] (Le Paine et al. 2016, "Fast Wavenet Generation Algorithm")."""

    def __init__(self, steps: int) -> None:
        self.columns: deque[Tensor] = deque(maxlen=steps)

    def __call__(self, x: Tensor) -> Tensor:
        if not self.columns:
            self.columns.extend([x] * (self.columns.maxlen or 0))
        before = self.columns[0]
        self.columns.append(x)  # and the first one is gone
        return before


class GatedLayer(nn.Module):
    """A gated dilated convolution with kernel 2, a residual and a skip; equation 2 and figure 4."""

    def __init__(self, channels: int, skip: int) -> None:
        super().__init__()
        self.gates = nn.Linear(2 * channels, 2 * channels)  # of a column and the earlier one; filters, then gates
        self.outputs = nn.Linear(channels, channels + skip)  # residual, then skip

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Residual and skip of columns [..., C] and of those as much earlier as the layer is dilated."""
        filters, gates = self.gates(torch.cat([x, before], dim=-1)).chunk(2, dim=-1)
        output = self.outputs(torch.tanh(filters) * torch.sigmoid(gates))
        return x + output[..., : x.shape[-1]], output[..., x.shape[-1] :]


class WaveNet(UnconditionalModel):
    """Mu-law classes [B, T], each that of the sample before, to logits [B, T, 256] of the sample's own."""

    kind, title, family, config_type = "wavenet", "WaveNet", "autoregressive", WaveNetConfig
    what = "The network of van den Oord et al. (2016), on 8-bit mu-law samples:"

    def __init__(self, config: WaveNetConfig, size: str = "small", training: str = "untrained") -> None:
        super().__init__(config, size, training)
        # The first causal convolution, of kernel 2 on one-hot columns, is a sum of rows of two tables.
        self.latest = nn.Embedding(CLASSES, config.channels)
        self.second = nn.Embedding(CLASSES, config.channels)
        self.layers = nn.ModuleList(GatedLayer(config.channels, config.skip) for _ in config.dilations)
        self.mixed = nn.Linear(config.skip, config.skip)
        self.logits = nn.Linear(config.skip, CLASSES)
        # At first, near classes are alike, as they are near in sound, and all classes are as likely.
        level = (torch.arange(CLASSES).unsqueeze(1) - SILENCE) / SILENCE
        with torch.no_grad():
            for table in (self.latest, self.second):
                table.weight.mul_(0.05).add_(level * torch.randn(1, config.channels))
        nn.init.zeros_(self.logits.weight)
        nn.init.zeros_(self.logits.bias)

    def forward(self, classes: Tensor, delays: Sequence[Callable[[Tensor], Tensor]] = ()) -> Tensor:
        """With ``delays``, lines of 1 and of each dilation, the classes are [B], one sample after the other."""
        delays = delays or [partial(earlier, steps=steps) for steps in (1, *self.config.dilations)]
        x = self.latest(classes) + delays[0](self.second(classes))
        skips: Any = 0
        for layer, delay in zip(self.layers, delays[1:]):
            x, skip = layer(x, delay(x))
            skips = skips + skip
        return self.logits(relu(self.mixed(relu(skips))))

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
        delays = [DelayLine(steps) for steps in (1, *self.config.dilations)]
        last, classes = torch.full((len(latent),), SILENCE, device=latent.device), []
        for number in latent.t().contiguous():
            cumulated = torch.softmax(self(last, delays), dim=1).cumsum(1)
            last = torch.searchsorted(cumulated, number.unsqueeze(1), right=True)[:, 0].clamp_(max=CLASSES - 1)
            classes.append(last)
        return mu_law_decoding(torch.stack(classes, dim=1), CLASSES)
