"""``tts-diffvoc bound``: how many bits a value of your recordings takes at most under a generator.

The variational bound of Ho et al. (2020, equation 5) on the recordings as whole numbers of so many bits, in its three
parts. Lower is better, PCM itself takes as many bits as it has. Clips are padded with silence or cut, centred, to the
generator's length, and the silence counts. A word that is one of the generator's labels, at the start of a file's
name or as its folder's, is the clip's label: the bound is then that of a clip given its label.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tts_diffvoc.arguments import MOST_STEPS, file_path, seed, whole
from tts_diffvoc.commands.generate import read_clip
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.jobs import bar

if TYPE_CHECKING:
    from torch import Tensor

    from tts_diffvoc.generator import Generator

HELP = "measure how many bits recordings take under a generator"
BATCH = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--model", required=True, help="name or checkpoint folder of a generator")
    parser.add_argument("--data", type=file_path, required=True, help="folder of recordings, of any rate")
    parser.add_argument(
        "--clips", type=whole(1, 100_000), default=16, help="recordings to take, at random; default: 16"
    )
    parser.add_argument("--bits", type=whole(1, 16), default=16, help="of each value of a recording; default: 16")
    parser.add_argument(
        "--terms", type=whole(1, MOST_STEPS), help="steps drawn for each clip, unbiased; default: every step"
    )
    parser.add_argument("--variance", choices=("beta", "beta_tilde"), default="beta", help="default: beta")
    parser.add_argument(
        "--decoder", choices=("beta", "fitted"), default="beta",
        help="variance of the last step: the schedule's first beta, or the network's error on clips not counted",
    )  # fmt: skip
    parser.add_argument("--without-labels", action="store_true", help="leave labels out")
    parser.add_argument("--seed", type=seed, default=0, help="of the choice of clips and of the noise; default: 0")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")


def run(options: argparse.Namespace) -> None:
    """Measure the bound and print it, its standard error over clips, and its parts."""
    import torch

    from tts_diffvoc.checkpoint import load_generator
    from tts_diffvoc.diffusion.bound import Bound, decoder_error, variational_bound

    generator = load_generator(options.model, options.device)
    config, device = generator.config, generator.device
    waveforms, labels = read(options, generator)
    x0, labels = generator.encode(waveforms), labels[: options.clips]
    counted, others, fitted = x0[: options.clips], x0[options.clips :], None
    if len(others):
        denoiser, noise = generator.denoiser(), torch.Generator().manual_seed(options.seed)
        errors = [decoder_error(denoiser, part.to(device), config.schedule, noise) for part in others.split(BATCH)]
        fitted = float(torch.cat(errors).mean())
    noise, bounds = torch.Generator().manual_seed(options.seed), []
    for first in (shown := bar(range(0, len(counted), BATCH), "measuring")):
        part, said = counted[first : first + BATCH].to(device), labels[first : first + BATCH]
        found = variational_bound(
            generator.denoiser(generator.indices(said, len(part)) if generator.labels else None),
            part,
            config.schedule,
            bits=options.bits,
            scale=config.scale,
            variance=options.variance,
            decoder_variance=fitted,
            steps=options.terms,
            generator=noise,
        )
        bounds.append(found)
        bound = Bound(*map(torch.cat, zip(*bounds)))
        shown.set_postfix(bits=f"{bound.bits:.3f}", refresh=False)
    print(
        f"{generator.name}: {len(counted)} clips of {generator.length} samples at {generator.sample_rate:,} Hz"
        + (f", {sum(label is not None for label in labels)} with a label" if generator.labels else "")
    )
    print(f"at most {bound.bits:.4f} ± {bound.standard_error:.4f} bits a dimension, of {options.bits}")
    print(f"  prior, L_T: {bound.prior.mean():.4f}")
    print(f"  denoising, L_1 to L_T-1: {bound.denoising.sum(1).mean():.4f}")
    print(f"  decoder, L_0: {bound.decoder.mean():.4f}")


def read(options: argparse.Namespace, generator: Generator) -> tuple[Tensor, list[str | None]]:
    """Clips [N, T] of the generator's length, and their labels; twice as many where half are to fit the decoder."""
    import torch

    from tts_diffvoc.training.corpus import list_audio

    fitted = options.decoder == "fitted"
    wanted = options.clips * (2 if fitted else 1)
    paths = list_audio(options.data)
    random.Random(options.seed).shuffle(paths)
    found = list(islice(usable(paths, generator), wanted))
    if len(found) < (wanted if fitted else 1):
        fit = f"--decoder fitted needs {wanted} for --clips {options.clips}, half of them not counted"
        need = fit if fitted else "give a folder with some"
        raise DiffvocError(f"{options.data} holds {len(found)} usable recordings; {need}.")
    labels = [None if options.without_labels else label_of(path, generator.labels) for path, _ in found]
    return torch.stack([clip for _, clip in found]), labels


def usable(paths: Sequence[Path], generator: Generator) -> Iterator[tuple[Path, Tensor]]:
    """Each recording that can be read and its clip [T]; a line on stderr for each other."""
    from tts_diffvoc.generator import centred

    for path in paths:
        try:
            clip = read_clip(path, generator, told=False)
        except DiffvocError as error:
            print(f"left out: {error}", file=sys.stderr)
        else:
            yield path, centred(clip, generator.length)


def label_of(path: Path, labels: Sequence[str]) -> str | None:
    """The label at the start of a file's name, up to "_" or "-", or its folder's name; None where neither is one."""
    words = (re.split("[_-]", path.stem)[0], path.parent.name)
    return next((word for word in words if word in labels), None)
