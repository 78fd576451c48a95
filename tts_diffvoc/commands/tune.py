"""``tts-diffvoc tune``: search inference schedules for a trained checkpoint.

Each number of steps gets the schedule whose speech is best by the measure, by default has the mel nearest to the one
asked for, and keeps the old one when the new one is no better on clips that the search did not see. The checkpoint
then finds it under that number.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tts_diffvoc.arguments import MOST_STEPS, file_path, number, seed, whole
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import make_folder

if TYPE_CHECKING:
    from tts_diffvoc.tuning import Result
    from tts_diffvoc.vocoder import Vocoder

HELP = "search inference schedules for a trained checkpoint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("vocoder", metavar="DIR", help="checkpoint folder, options after '?'; a name needs -o")
    parser.add_argument(
        "--steps",
        nargs="+",
        type=whole(1, MOST_STEPS),
        required=True,
        metavar="N",
        help="numbers of steps, for example 3 6 12",
    )
    parser.add_argument("--data", type=file_path, required=True, help="folder of recordings, of any rate")
    parser.add_argument(
        "-o", "--output", type=file_path, help="copy the checkpoint to this new folder and tune the copy"
    )
    parser.add_argument("--method", choices=("grid", "dp", "both"), default="both", help="default: both")
    parser.add_argument("--measure", choices=("log-mel", "pesq"), default="log-mel", help="default: log-mel")
    parser.add_argument(
        "--max-minutes", type=number(0, 100_000), default=10.0, help="time for all numbers of steps; default: 10"
    )
    parser.add_argument("--trials", type=whole(1, 1_000_000), help="most schedules to try for each number of steps")
    parser.add_argument(
        "--clips", type=whole(1, 10_000), default=4, help="recordings to search on, and to check on; default: 4"
    )
    parser.add_argument("--seconds", type=number(0, 60), default=3.0, help="taken from each recording; default: 3")
    parser.add_argument(
        "--seed", type=seed, default=0, help="of the choice of clips, the grid and the noise; default: 0"
    )
    parser.add_argument("--sampler", help="instead of the vocoder's own")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dry-run", action="store_true", help="print the results and write nothing")


def run(options: argparse.Namespace) -> None:
    """Search, print the results and save."""
    from tts_diffvoc import tuning
    from tts_diffvoc.checkpoint import copy_checkpoint, save_schedules
    from tts_diffvoc.training.corpus import scan

    folder, target = find_target(options)
    vocoder = load(options)
    corpus = scan(options.data, vocoder.mel_config, listen=False)
    clips = tuning.read_clips(vocoder, corpus, options.clips, options.seconds, options.seed)
    print(corpus.report(), file=sys.stderr)
    counts = [len(part.waveform) for part in clips]
    print(
        f"searching on {counts[0]} clips, checking on {counts[1]} others, {options.seconds:g} s each", file=sys.stderr
    )
    settings = {name: getattr(options, name) for name in ("method", "measure", "max_minutes", "trials", "seed")}
    results = tuning.tune(vocoder, clips, options.steps, **settings)
    for result in results:
        print(told(result))
    if options.dry_run:
        print("nothing was written (--dry-run).")
        return
    if target != folder:
        copy_checkpoint(folder, target)
    better = tuning.improvements(results)
    save_schedules(target, better)
    print(f"{target}: {len(better)} new schedules for steps={', '.join(map(str, better))}." if better else str(target))


def find_target(options: argparse.Namespace) -> tuple[Path, Path]:
    """The checkpoint's folder and the one to write to, both checked before any work is done."""
    from tts_diffvoc import voices

    name, _ = voices.parse(options.vocoder)
    folder = voices.resolve(name)
    if options.output is not None:
        if options.output.exists():
            raise DiffvocError(f"{options.output} exists already; give -o a folder that does not.")
        make_folder(options.output.parent)
        return folder, options.output
    bundled = folder.resolve().is_relative_to(Path(voices.__file__).resolve().parent)
    if not options.dry_run and (bundled or not os.access(folder, os.W_OK)):
        raise DiffvocError(f"{name} is bundled with the package, or may not be written to; give -o NEWDIR for a copy.")
    return folder, folder


def load(options: argparse.Namespace) -> Vocoder:
    """The vocoder, which can take so many steps, with the sampler that was given."""
    from tts_diffvoc.checkpoint import load_vocoder, parse_options
    from tts_diffvoc.vocoder import Vocoder

    vocoder = load_vocoder(options.vocoder, options.device)
    if not isinstance(vocoder, Vocoder):
        raise DiffvocError(f"{vocoder.name} has no noise schedule to tune; give a published DiffWave or WaveGrad.")
    if options.sampler is not None:
        vocoder.defaults.update(parse_options(vocoder, {"sampler": options.sampler}))
    for steps in options.steps:
        vocoder.inference_schedule(steps)
    return vocoder


def told(result: Result) -> str:
    """A result in one line; a schedule is shown by its betas, cleanest first."""
    before, after = result.before, result.after
    said = f"steps={result.steps}: {result.trials} schedules tried; "
    if after is before:
        return f"{said}keeps its old schedule: no better one was found on the search clips."
    said += f"log-mel L1 {before.log_mel_l1:.4f} -> {after.log_mel_l1:.4f}"
    if before.pesq_wb == before.pesq_wb:  # NaN without the package
        said += f", PESQ-WB {before.pesq_wb:.3f} -> {after.pesq_wb:.3f}"
    if not result.better:
        return f"{said}; keeps its old schedule: the best one found is no better on the check clips."
    said += f"; betas {' '.join(f'{beta:.3g}' for beta in after.schedule.betas)}"
    worse = after.pesq_wb < before.pesq_wb or after.log_mel_l1 > before.log_mel_l1
    return f"{said}; one measure got worse: listen, or try the other --measure." if worse else f"{said}."
