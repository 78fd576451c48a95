"""What the recipes of digits share: their options, batches of clips, and the run from a corpus to a model's folder."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tts_diffvoc.arguments import Parser, spoken, whole
from tts_diffvoc.training.loop import Loop, LoopConfig
from tts_diffvoc_eval.generation.datasets import DigitCorpus, Digits


@dataclass(frozen=True)
class Batch:
    """Clips [B, T] on the device that trains, their labels [B], and a seed for everything that is drawn."""

    waveform: Tensor
    labels: Tensor
    seed: int

    @property
    def seeds(self) -> list[int]:
        """One for each row."""
        return [self.seed + 10 * row for row in range(len(self.labels))]


def batches(digits: Digits, size: int, seed: int, device: str = "cpu") -> Callable[[int], Iterator[Batch]]:
    """Batches from a step on, in an order that is drawn anew for each pass; a resumed training sees what it would have.

    A pass ends where fewer than ``size`` clips are left; with fewer clips than that, they are repeated.
    """
    waveforms, repeats = digits.waveforms.to(device), -(-size // len(digits))

    def start(step: int) -> Iterator[Batch]:
        per_pass = len(digits) * repeats // size
        for number in count(step):
            passed, place = divmod(number, per_pass)
            draw = torch.Generator().manual_seed(seed * 1_000_003 + passed)
            order = torch.randperm(len(digits) * repeats, generator=draw) % len(digits)
            chosen = order[place * size :][:size]
            yield Batch(waveforms[chosen], digits.labels[chosen], (seed * 1_000_003 + number) * 10 * size)

    return start


def make_parser(description: str | None) -> Parser:
    """The options that all recipes have."""
    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of FSDD, or of Speech Commands")
    parser.add_argument("--output", type=Path, required=True, help="the run's folder")
    parser.add_argument("--minutes", type=float, help="budget in all, over every call")
    parser.add_argument("--steps", type=int, help="budget in steps instead of minutes")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=whole(1, 1024), default=1, help="of the CPU (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and noise")
    return parser


def main(parser: Parser, train: Callable[[argparse.Namespace], None]) -> None:
    """Run a recipe; what the user did wrong becomes one line."""
    with spoken():
        options = parser.parse_args()
        torch.set_num_threads(options.threads)
        torch.set_float32_matmul_precision("high")  # on a GPU
        train(options)


def run(
    model: nn.Module,
    corpus: DigitCorpus,
    options: argparse.Namespace,
    batch: int,
    save: Callable[[Any, str], dict[str, float]],
    **settings: Any,
) -> None:
    """Train ``model`` on batches of ``batch`` clips in ``options.output``, or continue.

    Args:
        save: is given the moving average and how it was trained, in words, at every quarter of the budget and every few
            minutes; it writes the model's folder and returns figures of held-out clips for the log.
        settings: of :class:`LoopConfig`.
    """
    budget = {"minutes": options.minutes, "steps": options.steps, "checks": (0.25, 0.5, 0.75)}
    defaults = {"warmup_steps": 50, "betas": (0.9, 0.999), "weight_decay": 0.0}
    loop = Loop(model, LoopConfig(device=options.device, **budget, **{**defaults, **settings}), options.output)

    def report(average: nn.Module) -> dict[str, float]:
        torch.manual_seed(options.seed)
        where = torch.cuda.get_device_name(options.device) if options.device.startswith("cuda") else "CPU"
        return save(average, f"{loop.seconds / 60:.3g} {where} minutes, {loop.step:,} steps of {batch} clips")

    loop.run(batches(corpus.train, batch, options.seed, options.device)(loop.step), report)
