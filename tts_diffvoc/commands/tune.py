"""``tts-diffvoc tune``: search inference schedules for a trained checkpoint.

Each number of steps gets the schedule whose speech is best by the measure, by default has the mel nearest to the one
asked for, and keeps the old one when the new one is no better on clips that the search did not see. The checkpoint
then finds it under that number.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_diffvoc.errors import DiffvocError

if TYPE_CHECKING:
    from torch import Tensor

    from tts_diffvoc.diffusion.schedules import NoiseSchedule
    from tts_diffvoc.diffusion.search import Trials
    from tts_diffvoc.vocoder import Vocoder

    # (generated [B, T], clean [B, T], mel [B, M, F]) -> a number that is better when lower.
    Measure = Callable[[Tensor, Tensor, Tensor], float]

HELP = "search inference schedules for a trained checkpoint"
AUDIO = (".wav", ".flac")
CHECKPOINT_FILES = ("config.json", "model.safetensors", "README.md")
# Levels at which the network's errors are measured, and seeds of noise that a check averages over.
TABLE_LEVELS, CHECK_SEEDS = 32, 2
# Schedules tried for each number of steps when only time limits them.
MOST_TRIALS = 2000
MEASURES = {"log-mel": "log-mel L1", "pesq": "PESQ-WB"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("vocoder", metavar="DIR", help="checkpoint folder, options after '?'; a name needs -o")
    parser.add_argument("--steps", nargs="+", required=True, metavar="N", help="numbers of steps, for example 3 6 12")
    parser.add_argument("--data", type=Path, required=True, help="folder of recordings (wav, flac), of any rate")
    parser.add_argument("-o", "--output", type=Path, help="copy the checkpoint to this new folder and tune the copy")
    parser.add_argument("--method", choices=("grid", "dp", "both"), default="both", help="default: both")
    parser.add_argument("--measure", choices=tuple(MEASURES), default="log-mel", help="default: log-mel")
    parser.add_argument("--max-minutes", type=float, default=10.0, help="time for all numbers of steps; default: 10")
    parser.add_argument("--trials", type=int, help="most schedules to try for each number of steps")
    parser.add_argument("--clips", type=int, default=4, help="recordings to search on, and to check on; default: 4")
    parser.add_argument("--seconds", type=float, default=3.0, help="taken from each recording; default: 3")
    parser.add_argument("--seed", default="0", help="of the choice of clips, the grid and the noise; default: 0")
    parser.add_argument("--sampler", help="instead of the vocoder's own")
    parser.add_argument("--project", help="Griffin-Lim iterations a step, instead of the vocoder's own")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dry-run", action="store_true", help="print the table and write nothing")


def run(options: argparse.Namespace) -> None:
    """Search, print the table and save."""
    from tts_diffvoc.vocoder import parse_seed

    check_numbers(options)
    folder, target = find_target(options)
    vocoder = load(options)
    steps = parse_all_steps(vocoder, options.steps)
    seed = parse_seed(options.seed)
    search, check = read_clips(vocoder, options.data, options.clips, options.seconds, seed)
    say(f"searching on {len(search)} clips, checking on {len(check)} others, {options.seconds:g} s each")
    results = tune(vocoder, steps, search, check, options, seed)
    print(table(results, has_pesq()))
    for remark in filter(None, map(remark_on, results)):
        print(remark)
    if options.dry_run:
        print("nothing was written (--dry-run).")
        return
    if target != folder:
        copy_checkpoint(folder, target)
    better = {result.steps: result.after.schedule for result in results if result.better}
    save_schedules(target, better)
    print(f"{target}: {len(better)} new schedules for steps={', '.join(map(str, better))}." if better else str(target))


def check_numbers(options: argparse.Namespace) -> None:
    """Refuse budgets and sizes that make no search."""
    for name, least in (("max_minutes", 0.0), ("seconds", 0.0)):
        value = getattr(options, name)
        if not (value > least and math.isfinite(value)):
            raise DiffvocError(f"--{name.replace('_', '-')} {value:g} was given; give a number above 0.")
    for name in ("trials", "clips"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise DiffvocError(f"--{name} {value} was given; give at least 1.")
    if options.measure == "pesq" and not has_pesq():
        raise DiffvocError("--measure pesq needs the package pesq; install it, or use --measure log-mel.")


def find_target(options: argparse.Namespace) -> tuple[Path, Path]:
    """The checkpoint's folder and the one to write to, both checked before any work is done."""
    from tts_diffvoc import voices

    name, _ = voices.parse(options.vocoder)
    folder = voices.resolve(name)
    if options.output is not None:
        output = options.output.expanduser()
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
    """The vocoder, with the sampler and projection that were given; one that starts from noise."""
    import torch

    from tts_diffvoc.checkpoint import load_vocoder, parse_options

    try:
        torch.empty(0, device=options.device)
    except (RuntimeError, AssertionError):
        raise DiffvocError(f"there is no device {options.device!r} here; give cpu, cuda or cuda:N.") from None
    vocoder = load_vocoder(options.vocoder, options.device)
    given = {name: getattr(options, name) for name in ("sampler", "project")}
    vocoder.defaults.update(parse_options(vocoder, {name: text for name, text in given.items() if text is not None}))
    if vocoder.defaults.get("start") == "estimate":
        raise DiffvocError(
            f"{vocoder.name} starts from an estimate, where tuned schedules do not serve; "
            f"give '{options.vocoder}{'&' if '?' in options.vocoder else '?'}start=noise' to tune its way from noise."
        )
    return vocoder


def parse_all_steps(vocoder: Vocoder, texts: list[str]) -> list[int]:
    """Numbers of steps in rising order, each within the vocoder's training schedule."""
    from tts_diffvoc.vocoder import parse_steps

    steps = sorted({parse_steps(text) for text in texts})
    for number in steps:
        vocoder.inference_schedule(number)
    return steps


# Speech


@dataclass(frozen=True)
class Clips:
    """Excerpts of equal length: waveforms [B, F * hop] and their mels [B, M, F]."""

    waveform: Tensor
    mel: Tensor

    def __len__(self) -> int:
        return self.waveform.shape[0]


def read_clips(vocoder: Vocoder, folder: Path, count: int, seconds: float, seed: int) -> tuple[Clips, Clips]:
    """Up to ``count`` clips to search on and as many others to check on, drawn at random from ``folder``.

    Raises: DiffvocError for a folder without audio, an unreadable file, and fewer than two clips long enough.
    """
    if not folder.is_dir():
        raise DiffvocError(f"there is no folder {folder}; give a folder with recordings (wav, flac).")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO and p.is_file())
    if not paths:
        raise DiffvocError(f"{folder} holds no recordings; give a folder with wav or flac files.")
    random.Random(seed).shuffle(paths)
    length = round(seconds * vocoder.sample_rate / vocoder.mel_config.hop_length) * vocoder.mel_config.hop_length
    if length <= vocoder.mel_config.n_fft // 2:
        raise DiffvocError(f"--seconds {seconds:g} is shorter than the window of a mel; give more.")
    chosen: list[Tensor] = []
    for path in paths:
        excerpt = read_excerpt(path, vocoder.sample_rate, length)
        if excerpt is not None:
            chosen.append(excerpt)
        if len(chosen) == 2 * count:
            break
    if len(chosen) < 2:
        raise DiffvocError(
            f"{folder} has {len(chosen)} recordings of at least {seconds:g} s with sound in their middle; "
            "at least 2 are needed, one to search on and one to check on: add some or lower --seconds."
        )
    half = len(chosen) // 2
    return make_clips(vocoder, chosen[:half]), make_clips(vocoder, chosen[half:])


def read_excerpt(path: Path, rate: int, length: int) -> Tensor | None:
    """The middle ``length`` samples of a recording at ``rate``, mono; None when it is shorter, or silent there."""
    import soundfile
    import torch

    from tts_diffvoc.audio import resample

    try:
        samples, own_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError):
        raise DiffvocError(f"{path} cannot be read as audio; repair it or take it out of the folder.") from None
    waveform = resample(torch.from_numpy(samples.mean(axis=1)), own_rate, rate)
    if not bool(torch.isfinite(waveform).all()):
        raise DiffvocError(f"{path} holds NaN or infinite samples; repair it or take it out of the folder.")
    spare = waveform.shape[0] - length
    excerpt = waveform[spare // 2 : spare // 2 + length]
    return excerpt.clamp(-1, 1) if spare >= 0 and float(excerpt.abs().max()) > 1e-3 else None


def make_clips(vocoder: Vocoder, waveforms: list[Tensor]) -> Clips:
    import torch

    waveform = torch.stack(waveforms).to(vocoder.device)
    return Clips(waveform, vocoder.mel(waveform)[..., : waveform.shape[1] // vocoder.mel_config.hop_length])


# Measuring


def log_mel_l1(vocoder: Vocoder) -> Measure:
    """The measure of the search: mean absolute difference of log-mels, in the unit of the vocoder's mel contract."""

    def measure(generated: Tensor, clean: Tensor, mel: Tensor) -> float:
        return float((vocoder.mel(generated)[..., : mel.shape[-1]] - mel).abs().mean())

    return measure


def has_pesq() -> bool:
    """Whether the optional package ``pesq`` is there."""
    import importlib.util

    return importlib.util.find_spec("pesq") is not None


def pesq_wb(vocoder: Vocoder) -> Measure:
    """Mean PESQ-WB (ITU-T P.862.2) over the clips, better when higher; NaN when it fails on each."""
    from pesq import PesqError, pesq

    from tts_diffvoc.audio import resample

    def measure(generated: Tensor, clean: Tensor, mel: Tensor) -> float:
        scores = []
        for one, other in zip(clean, generated, strict=True):
            pair = [resample(x.cpu(), vocoder.sample_rate, 16000).clamp(-1, 1).numpy() for x in (one, other)]
            try:
                scores.append(float(pesq(16000, *pair, "wb")))
            except (PesqError, ValueError):
                continue
        return sum(scores) / len(scores) if scores else math.nan

    return measure


def make_measure(vocoder: Vocoder, name: str) -> Measure:
    """What the search minimises, one of MEASURES: the distance of log-mels, or PESQ-WB with its sign turned."""
    if name == "log-mel":
        return log_mel_l1(vocoder)
    pesq = pesq_wb(vocoder)
    return lambda generated, clean, mel: -pesq(generated, clean, mel)


def generate(vocoder: Vocoder, schedule: NoiseSchedule, mel: Tensor, seed: int) -> Tensor:
    """Speech [B, F * hop] for ``mel`` along ``schedule``, with the vocoder's own settings, from noise."""
    before = vocoder.config
    vocoder.config = replace(before, inference={**before.inference, schedule.num_steps: schedule.betas})
    try:
        return vocoder.generate(mel, steps=schedule.num_steps, seed=seed, start="noise")
    finally:
        vocoder.config = before


def measure_table(vocoder: Vocoder, clips: Clips, seed: int) -> tuple[Tensor, Tensor]:
    """Noise levels [T] over the training range and the network's errors on ``clips`` there, without projection."""
    import torch

    from tts_diffvoc.diffusion.schedules import NoiseSchedule
    from tts_diffvoc.diffusion.search import denoising_errors

    training = vocoder.config.schedule.noise_levels
    if len(training) > 1:
        training = NoiseSchedule.log_snr(float(training[0]), float(training[-1]), TABLE_LEVELS).noise_levels
    with torch.inference_mode():
        denoiser, x0 = vocoder.denoiser(clips.mel), vocoder.encode(clips.waveform)
        errors = denoising_errors(denoiser, x0, training, torch.Generator().manual_seed(seed))
    return training, errors


@dataclass(frozen=True)
class Checked:
    """A schedule and what its speech is worth on the check clips; PESQ-WB is NaN without the package."""

    schedule: NoiseSchedule
    log_mel_l1: float
    pesq_wb: float


def check_schedule(vocoder: Vocoder, schedule: NoiseSchedule, clips: Clips, seed: int) -> Checked:
    """Measure ``schedule`` on ``clips`` with noise that the search did not use, averaged over CHECK_SEEDS."""
    measures = [log_mel_l1(vocoder), *([pesq_wb(vocoder)] if has_pesq() else [])]
    totals = [0.0] * len(measures)
    for offset in range(1, CHECK_SEEDS + 1):
        speech = generate(vocoder, schedule, clips.mel, seed + offset)
        for i, measure in enumerate(measures):
            totals[i] += measure(speech, clips.waveform, clips.mel) / CHECK_SEEDS
    return Checked(schedule, totals[0], totals[1] if len(totals) > 1 else math.nan)


# Searching


@dataclass(frozen=True)
class Result:
    """What the search for one number of steps came to."""

    steps: int
    before: Checked
    after: Checked
    trials: int
    measure: str

    @property
    def better(self) -> bool:
        """Whether the schedule that was found is better on the check clips, by what it was searched with."""
        if self.measure == "pesq":
            return self.after.pesq_wb > self.before.pesq_wb
        return self.after.log_mel_l1 < self.before.log_mel_l1


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


def tune(
    vocoder: Vocoder, steps: list[int], search: Clips, check: Clips, options: argparse.Namespace, seed: int
) -> list[Result]:
    """Search and check each number of steps; they share the time in proportion to what a trial of each takes."""
    end = time.monotonic() + 60 * options.max_minutes
    errors = None if options.method == "grid" else measure_table(vocoder, search, seed)
    results = []
    for i, number in enumerate(steps):
        share = (end - time.monotonic()) * number / sum(steps[i:])
        results.append(tune_one(vocoder, number, search, check, share, options, errors, seed))
    return results


def tune_one(
    vocoder: Vocoder,
    steps: int,
    search: Clips,
    check: Clips,
    seconds: float,
    options: argparse.Namespace,
    errors: tuple[Tensor, Tensor] | None,
    seed: int,
) -> Result:
    """The search for one number of steps within ``seconds``, its checks included."""
    from tts_diffvoc.diffusion.search import Trials, search_schedule

    started, start = time.monotonic(), vocoder.inference_schedule(steps)
    before = check_schedule(vocoder, start, check, seed)
    took = time.monotonic() - started
    measure = make_measure(vocoder, options.measure)

    def objective(schedule: NoiseSchedule) -> float:
        return measure(generate(vocoder, schedule, search.mel, seed), search.waveform, search.mel)

    def report(trials: Trials) -> None:
        progress(steps, trials, options.measure)

    trials = Trials(objective, options.trials or MOST_TRIALS, max(seconds - 2 * took, took), report)
    best = search_schedule(trials, vocoder.config.schedule, start, options.method, errors, seed)
    say("", end="\n")
    after = before if best == start else check_schedule(vocoder, best, check, seed)
    return Result(steps, before, after, len(trials.scores), options.measure)


def progress(steps: int, trials: Trials, measure: str) -> None:
    """One line on stderr, written over."""
    best = -trials.best_score if measure == "pesq" else trials.best_score
    left = max(trials.seconds_left, 0)
    say(
        f"\rsteps={steps}: {len(trials.scores)} schedules tried, {MEASURES[measure]} {best:.4f}, "
        f"at most {int(left) // 60}:{int(left) % 60:02d} left ",
        end="",
    )


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


# Saving


def copy_checkpoint(folder: Path, target: Path) -> None:
    """Copy a checkpoint's own files to a new folder, which appears whole or not at all."""
    beside = target.with_name(f".{target.name}.part")
    try:
        beside.mkdir(parents=True)
        for name in CHECKPOINT_FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, beside / name)
        beside.rename(target)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise DiffvocError(f"{folder} cannot be copied to {target}: {error.strerror or error}.") from None


def save_schedules(folder: Path, schedules: dict[int, NoiseSchedule]) -> None:
    """Put ``schedules`` into the ``config.json`` of a checkpoint; the weights and all other entries stay.

    Raises: DiffvocError when it cannot be written.
    """
    import json

    from tts_diffvoc.checkpoint import read_config, write_beside

    if not schedules:
        return
    values: dict[str, Any] = read_config(folder)
    inference = {**values.get("inference", {}), **{str(n): list(s.betas) for n, s in schedules.items()}}
    values["inference"] = dict(sorted(inference.items(), key=lambda item: int(item[0])))
    try:
        write_beside(folder / "config.json", json.dumps(values, indent=1) + "\n")
    except OSError as error:
        raise DiffvocError(f"{folder}/config.json cannot be written: {error.strerror or error}.") from None
