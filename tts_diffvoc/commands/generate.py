"""``tts-diffvoc generate``: new clips from noise, of one class or of none."""

from __future__ import annotations

import argparse
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tts_diffvoc.arguments import MOST_STEPS, file_path, number, seed, whole
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import make_folder

if TYPE_CHECKING:
    from torch import Tensor

    from tts_diffvoc.generator import Generator

HELP = "make new clips from noise with a generator"
# Clips at a time.
BATCH = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--count", type=whole(1, 100_000), default=1, help="how many clips; default: 1")
    parser.add_argument("-o", "--output", type=file_path, required=True, help="folder for 000.wav, 001.wav and so on")
    parser.add_argument("--label", nargs="+", help="class to generate; several take turns. Without: no class")
    parser.add_argument("--steps", type=whole(1, MOST_STEPS), help="network evaluations")
    parser.add_argument("--guidance", help="how strongly the label guides; 0 for not beyond what was trained")
    parser.add_argument("--seconds", type=number(0, 60), help="length of a clip; default: that of training")
    add_common(parser)


def run(options: argparse.Namespace) -> None:
    """Generate the clips and say what was written."""
    from tts_diffvoc.audio import write_audio
    from tts_diffvoc.checkpoint import load_generator, parse_options

    generator = load_generator(options.model, options.device)
    rate = generator.sample_rate
    length = generator.length if options.seconds is None else max(1, round(options.seconds * rate))
    given = {name: getattr(options, name) for name in ("steps", "guidance", "sampler")}
    settings = parse_options(generator, {name: str(value) for name, value in given.items() if value is not None})
    if settings.get("guidance") and not options.label:
        raise DiffvocError("--guidance leads towards a label; give --label as well.")
    labels = [options.label[i % len(options.label)] for i in range(options.count)] if options.label else None
    generator.indices(labels, options.count)  # refuses labels before any work
    seed = seed_of(options, generator)
    make_folder(options.output)
    for first in range(0, options.count, BATCH):
        count = min(BATCH, options.count - first)
        batch = labels[first : first + count] if labels else None
        waveforms = generator.generate(count, batch, seed=seed + first, length=length, **settings)
        for i, waveform in enumerate(waveforms, first):
            write_audio(options.output / file_name(i, labels[i] if labels else None), waveform, rate)
    said = f" of {', '.join(dict.fromkeys(labels))}" if labels else ""
    print(
        f"{options.output}: {options.count} clip{'s' if options.count > 1 else ''}{said}, {length / rate:.2f} s each, "
        f"by {generator.name}, seed {seed}"
    )


def file_name(number: int, label: str | None) -> str:
    """000.wav, or 000-seven.wav of a label, whose characters that are no part of a name become "_"."""
    if label is None:
        return f"{number:03d}.wav"
    plain = re.sub(r"[^\w.-]", "_", label)
    return f"{number:03d}-{plain}.wav"


def add_common(parser: argparse.ArgumentParser) -> None:
    """Model, seed, sampler and device, of every command that uses a generator."""
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
