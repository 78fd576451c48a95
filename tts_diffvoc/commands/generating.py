"""What the commands that use a generator share: their options, its recordings and its seed."""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import TYPE_CHECKING

from tts_diffvoc.arguments import seed
from tts_diffvoc.errors import DiffvocError

if TYPE_CHECKING:
    from torch import Tensor

    from tts_diffvoc.generator import Generator


def add_common(parser: argparse.ArgumentParser) -> None:
    """Model, seed, sampler and device."""
    parser.add_argument("--model", default="digits", help="name or checkpoint folder of a generator, options after '?'")
    parser.add_argument("--seed", type=seed, help="the same seed gives the same samples")
    parser.add_argument("--sampler", help="ddpm, ddim, dpm_solver_pp_2m or langevin")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")


def seed_of(options: argparse.Namespace, generator: Generator) -> int:
    """The seed that was given, the model's own, or a new one, which the command tells."""
    own = generator.defaults.get("seed") if options.seed is None else options.seed
    return random.randrange(2**31) if own is None else own


def read_clip(path: Path, generator: Generator, told: bool = True) -> Tensor:
    """The recording [T] at the generator's rate; a sentence says so where it had another, if that is to be told."""
    from tts_diffvoc.audio import read_audio, resample

    samples, rate = read_audio(path, highpass=False)
    if not len(samples):
        raise DiffvocError(f"{path} holds no samples; give a recording of some length.")
    if told and rate != generator.sample_rate:
        print(f"{path} has {rate} samples a second and was resampled to the {generator.sample_rate} of the model.")
    return resample(samples, rate, generator.sample_rate)
