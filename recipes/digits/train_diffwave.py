"""Train a DiffWave without a mel on spoken digits (Kong et al. 2021, sections 5.2 and 5.3).

    python recipes/digits/train_diffwave.py conditional --data FSDD --output runs/digits --minutes 45
    python recipes/digits/train_diffwave.py unconditional --data SPEECH_COMMANDS --output runs/sc09 --size published \\
        --minutes 600 --device cuda

The data are the Free Spoken Digit Dataset, or Speech Commands; the same command continues a run. OUTPUT/generator is
the result, written at every checkpoint, for `tts-diffvoc generate --model OUTPUT/generator`. On a CPU the minutes are
those of the process's own computing.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tts_diffvoc.checkpoint import save_checkpoint
from tts_diffvoc.diffusion.objectives import DrawLevels, discrete_levels, focused_levels
from tts_diffvoc.diffusion.schedules import NoiseSchedule, published_schedule
from tts_diffvoc.generator import Generator, GeneratorConfig
from tts_diffvoc.networks.diffwave import SC09, SC09_DEEP_THIN, DiffWaveConfig
from tts_diffvoc_eval.generation import datasets, training
from tts_diffvoc_eval.generation.datasets import LABELS, DigitCorpus, Digits

NETWORKS = {"small": DiffWaveConfig(192, 12, 6, n_mels=0), "published": SC09, "deep-thin": SC09_DEEP_THIN}
BATCH = 16
SMALL = {"learning_rate": 1e-3, "final_share": 0.1, "ema_decay": 0.999}
PUBLISHED = {"learning_rate": 2e-4, "final_share": 1.0, "ema_decay": 0.9999}  # a constant rate
SCORED = 256  # held-out clips
CARD = """---
license: MIT
author: the tts-diffvoc authors
training: {training}
data: {data}
---
DiffWave that speaks digits{labels}, without a mel, at {rate:,} Hz.

# DiffWave, {kind}, {size}
{parameters:,} parameters, averaged over training and kept as float16; clips of {length:,} samples. {how}
"""

parser = training.make_parser(__doc__)
parser.add_argument("kind", choices=("unconditional", "conditional"))
parser.add_argument("--size", choices=NETWORKS, default="small", help="default: small, for a CPU")
parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, help="bfloat16; default: on a GPU")


def configure(size: str, corpus: DigitCorpus, labels: tuple[str, ...]) -> GeneratorConfig:
    """The published networks work on samples, the small one on short-time spectra, a frame each 4 ms."""
    network = replace(NETWORKS[size], labels=len(labels))
    shared: dict[str, Any] = {"sample_rate": corpus.sample_rate, "length": corpus.length, "labels": labels}
    if size != "small":
        return GeneratorConfig(network, published_schedule("diffwave-200"), **shared)
    hop = corpus.sample_rate // 250
    return GeneratorConfig(
        replace(network, in_channels=6 * hop + 3),
        # At unit deviation: the levels end where a clip is a fiftieth of the state.
        NoiseSchedule.log_snr(0.9999, 0.02, 200),
        scale=round(1 / float(corpus.train.waveforms.std()), 3),
        hop=hop,
        defaults={"steps": 50, "sampler": "ddim"},
        **shared,
    )


class DiffWaveTraining(nn.Module):
    """A generator's own loss, at noise levels that ``draw`` draws."""

    def __init__(self, generator: Generator, draw: DrawLevels) -> None:
        super().__init__()
        self.generator, self.draw = generator, draw

    def loss(self, batch: training.Batch) -> dict[str, Tensor]:
        labels = batch.labels if self.generator.labels else None
        return {"loss": self.generator.loss(batch.waveform, labels, batch.seeds, self.draw)}

    @torch.no_grad()
    def held_out(self, digits: Digits) -> dict[str, float]:
        """Mean loss on clips spread over the held-out ones, each with a noise level and noise of its own."""
        losses = []
        for place in range(0, len(digits), max(1, len(digits) // SCORED)):
            labels = digits.labels[place : place + 1] if self.generator.labels else None
            losses.append(self.generator.loss(digits.waveforms[place : place + 1], labels, [place], self.draw))
        return {"held_loss": float(torch.stack(losses).mean())}


def train(options: argparse.Namespace) -> None:
    """Train a generator in ``options.output``, or continue."""
    corpus, small = datasets.load(options.data), options.size == "small"
    config = configure(options.size, corpus, LABELS if options.kind == "conditional" else ())
    torch.manual_seed(options.seed)
    generator = Generator(config, options.kind)
    if small:
        generator.measure(corpus.train.waveforms)
    on_gpu = options.device.startswith("cuda")
    generator.autocast = torch.bfloat16 if options.bf16 or (options.bf16 is None and on_gpu) else None
    # Which digit it is, and its formants, are decided at signal-to-noise ratios of about -30 to 5 dB.
    model = DiffWaveTraining(generator, focused_levels(1.4, 1.2) if small else discrete_levels)

    def save(average: Any, trained: str) -> dict[str, float]:
        card = CARD.format(
            training=trained,
            data=f"{corpus.credit}; {len(corpus.train)} clips",
            labels=" on demand" if config.labels else "",
            rate=config.sample_rate,
            kind=options.kind,
            size=options.size,
            parameters=sum(p.numel() for p in generator.parameters()),
            length=config.length,
            how="It works on short-time spectra." if small else "It works on samples, as published.",
        )
        save_checkpoint(average.generator, options.output / "generator", card)
        return average.held_out(corpus.held)

    training.run(model, corpus, options, BATCH, save, **(SMALL if small else PUBLISHED))


if __name__ == "__main__":
    training.main(parser, train)
