"""``tts-diffvoc tune``: search inference schedules for a trained checkpoint.

Each number of steps gets the schedule whose speech is best by the measure, by default has the mel nearest to the one
asked for, and keeps the old one when the new one is no better on clips that the search did not see. The checkpoint
then finds it under that number.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tts_diffvoc.arguments import MOST_STEPS, file_path, number, seed, whole
from tts_diffvoc.errors import DiffvocError

if TYPE_CHECKING:
    from tts_diffvoc.diffusion.search import Trials
    from tts_diffvoc.tuning import Result
    from tts_diffvoc.vocoder import Vocoder

HELP = "search inference schedules for a trained checkpoint"
# Measures of the search, and how they are called in print.
MEASURES = {"log-mel": "log-mel L1", "pesq": "PESQ-WB"}


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
    parser.add_argument("--measure", choices=tuple(MEASURES), default="log-mel", help="default: log-mel")
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
    parser.add_argument("--dry-run", action="store_true", help="print the table and write nothing")


def run(options: argparse.Namespace) -> None:
    """Search, print the table and save."""
    from tts_diffvoc import tuning
    from tts_diffvoc.checkpoint import copy_checkpoint, save_schedules
    from tts_diffvoc.training.corpus import scan

    settings = {name: getattr(options, name) for name in ("method", "measure", "max_minutes", "trials")}
    tuning.check_settings(**settings)
    folder, target = find_target(options)
    vocoder = load(options)
    steps = tuning.check_steps(vocoder, options.steps)
    corpus = scan(options.data, vocoder.mel_config, listen=False)
    clips = tuning.read_clips(vocoder, corpus, options.clips, options.seconds, options.seed)
    say(corpus.report())
    say(f"searching on {len(clips[0])} clips, checking on {len(clips[1])} others, {options.seconds:g} s each")
    results = tuning.tune(vocoder, clips, steps, **settings, seed=options.seed, progress=teller(options.measure))
    say("")
    print(table(results, tuning.has_pesq()))
    for remark in filter(None, map(remark_on, results)):
        print(remark)
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
        output = options.output
        if output.exists():
            raise DiffvocError(f"{output} exists already; give -o a folder that does not.")
        parent = next(p for p in output.absolute().parents if p.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise DiffvocError(f"{output} cannot be made in {parent}; give -o a place that you may write to.")
        return folder, output
    if options.dry_run:
        return folder, folder
    if folder.resolve().is_relative_to(Path(voices.__file__).resolve().parent):
        raise DiffvocError(f"{name} is bundled with the package, which tune leaves alone; give -o NEWDIR for a copy.")
    if not os.access(folder, os.W_OK):
        raise DiffvocError(f"{folder} cannot be written to; give -o NEWDIR for a copy.")
    return folder, folder


def load(options: argparse.Namespace) -> Vocoder:
    """The vocoder, with the sampler that was given."""
    from tts_diffvoc.checkpoint import load_vocoder, parse_options
    from tts_diffvoc.vocoder import Vocoder

    vocoder = load_vocoder(options.vocoder, options.device)
    if not isinstance(vocoder, Vocoder):
        raise DiffvocError(f"{vocoder.name} has no noise schedule to tune; give a published DiffWave or WaveGrad.")
    if options.sampler is not None:
        vocoder.defaults.update(parse_options(vocoder, {"sampler": options.sampler}))
    return vocoder


def teller(measure: str) -> Callable[[int, Trials], None]:
    """A function that tells of the search in one line on stderr for each number of steps, written over."""
    last = None

    def tell(steps: int, trials: Trials) -> None:
        nonlocal last
        if last not in (None, steps):
            say("")
        last = steps
        best = -trials.best_score if measure == "pesq" else trials.best_score
        left = max(trials.seconds_left, 0)
        say(
            f"\rsteps={steps}: {len(trials.scores)} schedules tried, {MEASURES[measure]} {best:.4f}, "
            f"at most {int(left) // 60}:{int(left) % 60:02d} left ",
            end="",
        )

    return tell


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


def table(results: list[Result], with_pesq: bool) -> str:
    """The results in columns; a schedule is shown by its betas, cleanest first."""
    rows = [["steps", "tried", "log-mel L1", *(["PESQ-WB"] if with_pesq else []), "schedule found (betas)"]]
    for r in results:
        row = [str(r.steps), str(r.trials), f"{r.before.log_mel_l1:.4f} -> {r.after.log_mel_l1:.4f}"]
        if with_pesq:
            row.append(f"{r.before.pesq_wb:.3f} -> {r.after.pesq_wb:.3f}")
        rows.append([*row, "old" if r.after is r.before else " ".join(f"{b:.3g}" for b in r.after.schedule.betas)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(" | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def remark_on(result: Result) -> str:
    """What a table does not say: that the old schedule is kept, or that the other measure got worse."""
    before, after = result.before, result.after
    if after is before:
        return f"steps={result.steps} keeps its old schedule: no better one was found on the search clips."
    if not result.better:
        return f"steps={result.steps} keeps its old schedule: the best one found is no better on the check clips."
    if after.pesq_wb < before.pesq_wb:
        return f"steps={result.steps}: PESQ-WB fell by {before.pesq_wb - after.pesq_wb:.3f}; listen, or --measure pesq."
    if after.log_mel_l1 > before.log_mel_l1:
        return f"steps={result.steps}: log-mel L1 rose by {after.log_mel_l1 - before.log_mel_l1:.4f}; listen."
    return ""
