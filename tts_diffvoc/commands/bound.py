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
from pathlib import Path
from typing import TYPE_CHECKING

from tts_diffvoc.arguments import MOST_STEPS, file_path, seed, whole
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.jobs import bar

if TYPE_CHECKING:
    from torch import Tensor

    from tts_diffvoc.diffusion.bound import Bound
    from tts_diffvoc.generator import Generator

HELP = "measure how many bits recordings take under a generator"
BATCH = 8
NAMES = {"prior": "prior, L_T", "denoising": "denoising, L_1 to L_T-1", "decoder": "decoder, L_0"}


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
    from tts_diffvoc.commands.generating import load

    generator = load(options)
    waveforms, labels = read(options, generator)
    counted = waveforms[: options.clips]
    bound = measure(
        options, generator, counted, labels[: options.clips], decoder_variance(options, generator, waveforms)
    )
    named = sum(label is not None for label in labels[: options.clips])
    print(
        f"{generator.name}: {len(counted)} clips of {generator.length} samples at {generator.sample_rate:,} Hz"
        + (f", {named} with a label" if generator.labels else "")
    )
    print(f"at most {bound.bits:.4f} ± {bound.standard_error:.4f} bits a dimension, of {options.bits}")
    for part, bits in bound.parts.items():
        print(f"  {NAMES[part]}: {bits:.4f}")


def read(options: argparse.Namespace, generator: Generator) -> tuple[Tensor, list[str | None]]:
    """Clips [N, T] of the generator's length, and their labels; twice as many where half are to fit the decoder."""
    import torch

    from tts_diffvoc.training.corpus import list_audio

    folder = options.data
    paths = list_audio(folder)
    if not paths:
        raise DiffvocError(f"{folder} holds no recordings; give a folder with some in it.")
    random.Random(options.seed).shuffle(paths)
    wanted = options.clips * (2 if options.decoder == "fitted" else 1)
    clips, labels = [], []
    for path, clip in usable(paths, generator):
        clips.append(clip)
        labels.append(None if options.without_labels else label_of(path, generator.labels))
        if len(clips) == wanted:
            break
    if not clips:
        raise DiffvocError(f"{folder} holds nothing that can be used; the lines above say why.")
    if options.decoder == "fitted" and len(clips) < wanted:
        raise DiffvocError(
            f"{folder} holds {len(clips)} usable clips; --decoder fitted needs {wanted} for --clips {options.clips}, "
            "half of them not counted."
        )
    return torch.stack(clips), labels


def usable(paths: Sequence[Path], generator: Generator) -> Iterator[tuple[Path, Tensor]]:
    """Each recording that can be read and its clip [T]; a line on stderr for each other."""
    from tts_diffvoc.audio import read_audio, resample

    for path in paths:
        try:
            samples, rate = read_audio(path, highpass=False)
        except DiffvocError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        if not len(samples):
            print(f"left out: {path} holds no samples.", file=sys.stderr)
            continue
        yield path, centred(resample(samples, rate, generator.sample_rate), generator.length)


def centred(waveform: Tensor, length: int) -> Tensor:
    """``waveform`` [T] with silence at both sides, or its middle, as ``length`` samples."""
    import torch.nn.functional as F

    missing = length - len(waveform)
    before = int(missing / 2)  # towards zero, for what is too long too
    return F.pad(waveform, (before, missing - before))


def label_of(path: Path, labels: Sequence[str]) -> str | None:
    """The label at the start of a file's name, up to "_" or "-", or its folder's name; None where neither is one."""
    words = (re.split("[_-]", path.stem)[0], path.parent.name)
    return next((word for word in words if word in labels), None)


def decoder_variance(options: argparse.Namespace, generator: Generator, waveforms: Tensor) -> float | None:
    """The last step's variance from the clips that are not counted; None for the schedule's first beta."""
    import torch

    from tts_diffvoc.diffusion.bound import fitted_variance

    if options.decoder == "beta":
        return None
    noise = torch.Generator().manual_seed(options.seed)
    x0 = generator.encode(waveforms[options.clips :]).to(generator.device)
    denoiser, schedule = generator.denoiser(), generator.config.schedule
    parts = [fitted_variance(denoiser, part, schedule, noise) * len(part) for part in x0.split(BATCH)]
    return sum(parts) / len(x0)


def measure(
    options: argparse.Namespace,
    generator: Generator,
    waveforms: Tensor,
    labels: Sequence[str | None],
    decoder_variance: float | None,
) -> Bound:
    """The bound of all clips, batch by batch."""
    import torch

    from tts_diffvoc.diffusion.bound import Bound, variational_bound

    noise, bounds = torch.Generator().manual_seed(options.seed), []
    for first in (shown := bar(range(0, len(waveforms), BATCH), "measuring")):
        x0 = generator.encode(waveforms[first : first + BATCH]).to(generator.device)
        said = list(labels[first : first + BATCH])
        indices = generator.indices(said, len(x0)) if generator.labels else None
        bounds.append(
            variational_bound(
                generator.denoiser(indices),
                x0,
                generator.config.schedule,
                bits=options.bits,
                scale=generator.config.scale,
                variance=options.variance,
                decoder_variance=decoder_variance,
                steps=options.terms,
                generator=noise,
            )
        )
        shown.set_postfix(bits=f"{Bound.cat(bounds).bits:.3f}", refresh=False)
    return Bound.cat(bounds)
