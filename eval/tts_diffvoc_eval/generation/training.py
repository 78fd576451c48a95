"""What the recipes of digits share: their options, batches of clips, and the run from a corpus to a model's folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tts_diffvoc.errors import DiffvocError
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


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all recipes have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, required=True, help="folder of FSDD, or of Speech Commands")
    made.add_argument("--output", type=Path, required=True, help="the run's folder")
    made.add_argument("--minutes", type=float, help="budget in all, over every call")
    made.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    made.add_argument("--threads", type=int, default=1, help="of the CPU (default: 1)")
    made.add_argument("--seed", type=int, default=0, help="of weights, order and noise")
    return made


def run(
    model: nn.Module,
    corpus: DigitCorpus,
    config: LoopConfig,
    options: argparse.Namespace,
    batch: int,
    save: Callable[[nn.Module, str], dict[str, float]],
) -> None:
    """Train ``model`` on batches of ``batch`` clips in ``options.output``, or continue.

    ``save`` is given the moving average and how it was trained, in words, at every quarter of the budget and every few
    minutes; it writes the model's folder and returns figures of held-out clips for the log.
    """
    config = replace(config, checks=(0.25, 0.5, 0.75))
    loop = Loop(model, config, options.output)

    def report(average: nn.Module) -> dict[str, float]:
        torch.manual_seed(options.seed)
        where = torch.cuda.get_device_name(config.device) if config.device.startswith("cuda") else "CPU"
        return save(average, f"{loop.seconds / 60:.3g} {where} minutes, {loop.step:,} steps of {batch} clips")

    source = batches(corpus.train, batch, options.seed, config.device)
    loop.run(source(loop.step), report)


def take_vocoder_options(config: Any, conditions: dict[str, str], published: dict[str, Any]) -> None:
    """Read --condition and --size from the command line into a Coqui ``config``; the rest is left for Coqui's parser.

    Args:
        conditions: patterns of ``global_condition`` by name.
        published: what --size published changes.
    """
    made = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    made.add_argument("--condition", choices=[*conditions, "none"])
    made.add_argument("--size", choices=("small", "published"))
    found, sys.argv[1:] = made.parse_known_args()
    continues = any(word.split("=")[0] == "--continue_path" for word in sys.argv[1:])
    if continues and (found.condition or found.size):
        sys.exit("error: --condition and --size are for a new run; a continued run keeps its own.")
    if found.condition:
        config.global_condition = conditions.get(found.condition, "")
    for name, value in published.items() if found.size == "published" else ():
        setattr(config, name, value)


def main(recipe: Callable[[], None], threads: int) -> None:
    """Run a recipe; what the user did wrong becomes one line."""
    try:
        if threads < 1:
            raise DiffvocError(f"--threads is {threads}; give at least 1.")
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision("high")  # on a GPU
        recipe()
    except DiffvocError as error:
        sys.exit(f"error: {error}")
