"""Training of a DiffWave without a mel on digits: what the recipes of FSDD and SC09 share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tts_diffvoc.checkpoint import save_generator
from tts_diffvoc.diffusion.objectives import DrawLevels
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import Generator, GeneratorConfig
from tts_diffvoc.training.loop import LoopConfig
from tts_diffvoc_eval.generation import datasets, training
from tts_diffvoc_eval.generation.datasets import LABELS, Digits
from tts_diffvoc_eval.generation.training import Batch

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


class DiffWaveTraining(nn.Module):
    """A generator's own loss, at noise levels that ``draw`` draws."""

    def __init__(self, generator: Generator, draw: DrawLevels) -> None:
        super().__init__()
        self.generator, self.draw = generator, draw

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        labels = batch.labels if self.generator.labels else None
        return {"loss": self.generator.loss(batch.waveform, labels, batch.seeds, self.draw)}

    @torch.no_grad()
    def held_out(self, digits: Digits) -> dict[str, float]:
        """Mean loss on clips spread over the held-out ones, each with a noise level and noise of its own."""
        chosen, losses = range(0, len(digits), max(1, len(digits) // SCORED)), []
        for place in chosen:
            labels = digits.labels[place : place + 1] if self.generator.labels else None
            losses.append(self.generator.loss(digits.waveforms[place : place + 1], labels, [place], self.draw))
        return {"held_loss": float(torch.stack(losses).mean())}


def parse(description: str | None, sizes: Sequence[str], arguments: list[str] | None = None) -> argparse.Namespace:
    parser = training.parser(description)
    parser.add_argument("kind", choices=("unconditional", "conditional"))
    parser.add_argument("--steps", type=int, help="budget in steps instead of minutes")
    parser.add_argument("--size", choices=sizes, default="small", help="default: small, for a CPU")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, help="bfloat16; default: on a GPU")
    return parser.parse_args(arguments)


def train(options: argparse.Namespace, config: GeneratorConfig, loop: LoopConfig, batch: int, draw: DrawLevels) -> None:
    """Train a generator in ``options.output``, or continue.

    Args:
        config: for unconditional generation; labels, and the scale of a folded generator, are put in here.
        batch: clips of a step. draw: how noise levels are drawn in training.

    Raises: DiffvocError for a corpus at another rate than the configuration's.
    """
    corpus = datasets.load(options.data)
    if (corpus.sample_rate, corpus.length) != (config.sample_rate, config.length):
        raise DiffvocError(
            f"{options.data} has {corpus.name} at {corpus.sample_rate:,} Hz, and this recipe is for "
            f"{config.sample_rate:,} Hz; use recipes/{corpus.name.lower()}/train_diffwave.py."
        )
    if options.kind == "conditional":
        config = replace(config, sizes=replace(config.sizes, labels=len(LABELS)), labels=LABELS)
    if config.hop:
        config = replace(config, scale=round(1 / float(corpus.train.waveforms.std()), 3))
    torch.manual_seed(options.seed)
    generator = Generator(config, options.kind)
    if config.hop:
        generator.measure(corpus.train.waveforms)
    on_gpu = options.device.startswith("cuda")
    generator.autocast = torch.bfloat16 if options.bf16 or (options.bf16 is None and on_gpu) else None
    loop = replace(loop, minutes=options.minutes, steps=options.steps, device=options.device)

    def finish(average: Any, trained: str) -> dict[str, float]:
        card = CARD.format(
            training=trained,
            data=f"{corpus.credit}; {len(corpus.train)} clips",
            labels=" on demand" if config.labels else "",
            rate=config.sample_rate,
            kind=options.kind,
            size=options.size,
            parameters=sum(p.numel() for p in generator.parameters()),
            length=config.length,
            how="Folded: it works on short-time spectra." if config.hop else "It works on samples, as published.",
        )
        save_generator(average.generator, options.output / "generator", card)
        return average.held_out(corpus.held)

    training.run(DiffWaveTraining(generator, draw), corpus, loop, options, batch, finish)
