"""Inference schedules for a trained vocoder, searched on recordings and checked on others.

From Python::

    vocoder = tts_diffvoc.load_vocoder("runs/mine")
    corpus = scan("recordings", vocoder.mel_config, listen=False)
    results = tune(vocoder, read_clips(vocoder, corpus), [3, 6])
    save_schedules("runs/mine", improvements(results))
"""

from __future__ import annotations

import importlib.util
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.diffusion.search import METHODS, Trials, denoising_errors, search_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import log_mel
from tts_diffvoc.training import compare
from tts_diffvoc.training.corpus import Corpus, Recording
from tts_diffvoc.training.crops import read_waveform
from tts_diffvoc.vocoder import Vocoder, parse_steps

# (generated [B, T], clean [B, T], mel [B, M, F]) -> a number that is better when lower.
Measure = Callable[[Tensor, Tensor, Tensor], float]
# Called after each trial with the number of steps and its trials.
Progress = Callable[[int, Trials], None]

MEASURES = ("log-mel", "pesq")
# Levels at which the network's errors are measured, and seeds of noise that a check averages over.
TABLE_LEVELS, CHECK_SEEDS = 32, 2
# Schedules tried for each number of steps when only time limits them.
MOST_TRIALS = 2000


# Speech


@dataclass(frozen=True)
class Clips:
    """Excerpts of equal length: waveforms [B, F * hop] and their mels [B, M, F]."""

    waveform: Tensor
    mel: Tensor

    def __len__(self) -> int:
        return self.waveform.shape[0]


def read_clips(
    vocoder: Vocoder, corpus: Corpus, count: int = 4, seconds: float = 3.0, seed: int = 0
) -> tuple[Clips, Clips]:
    """Up to ``count`` clips to search on and as many others to check on, drawn at random.

    Args:
        corpus: what :func:`tts_diffvoc.training.corpus.scan` found.
        seconds: taken from the middle of each recording.

    Raises: DiffvocError for an unreadable file, fewer than two clips that are long enough, and sizes of no clip.
    """
    hop = vocoder.mel_config.hop_length
    length = round(seconds * vocoder.sample_rate / hop) * hop
    if length <= vocoder.mel_config.n_fft // 2:
        raise DiffvocError(f"--seconds {seconds:g} is shorter than the window of a mel; give more.")
    recordings = list(corpus.recordings)
    random.Random(seed).shuffle(recordings)
    chosen: list[Tensor] = []
    for recording in recordings:
        try:
            excerpt = read_excerpt(recording, vocoder.sample_rate, length)
        except DiffvocError as error:
            corpus.skipped.append((recording.name, str(error).removeprefix(f"{recording.path} ").partition(";")[0]))
            continue
        if excerpt is not None:
            chosen.append(excerpt)
        if len(chosen) == 2 * count:
            break
    if len(chosen) < 2:
        raise DiffvocError(
            f"{corpus.folder} has {len(chosen)} recordings of at least {seconds:g} s with sound in their middle; "
            "at least 2 are needed, one to search on and one to check on: add some or lower --seconds."
        )
    half = len(chosen) // 2
    return make_clips(vocoder, chosen[:half]), make_clips(vocoder, chosen[half:])


def read_excerpt(recording: Recording, rate: int, length: int) -> Tensor | None:
    """The middle ``length`` samples of a recording at ``rate``, mono; None when it is shorter, or silent there."""
    spare = recording.length(rate) - length
    if spare < 0:
        return None
    waveform = read_waveform(recording, spare // 2, spare // 2 + length, rate)
    return waveform if float(waveform.abs().max()) > 1e-3 else None


def make_clips(vocoder: Vocoder, waveforms: list[Tensor]) -> Clips:
    """Clips of waveforms [F * hop]; their mels end where they do, as those of generated speech, to compare the two."""
    waveform = torch.stack(waveforms).to(vocoder.device)
    return Clips(waveform, vocoder.mel(waveform)[..., : waveform.shape[1] // vocoder.mel_config.hop_length])


# Measuring


def log_mel_l1(vocoder: Vocoder) -> Measure:
    """The measure of the search: mean absolute difference of log-mels, in the unit of the vocoder's mel contract."""

    def measure(generated: Tensor, clean: Tensor, mel: Tensor) -> float:
        made = log_mel(generated, vocoder.mel_config)[..., : mel.shape[-1]]
        return float((made - mel).abs().mean())

    return measure


def has_pesq() -> bool:
    """Whether the optional package ``pesq`` is there."""
    return importlib.util.find_spec("pesq") is not None


def pesq_wb(vocoder: Vocoder) -> Measure:
    """Mean PESQ-WB (ITU-T P.862.2) over the clips, better when higher; NaN where it cannot be had of any."""

    def measure(generated: Tensor, clean: Tensor, mel: Tensor) -> float:
        pairs = zip(clean.cpu(), generated.cpu(), strict=True)
        found = [compare.pesq_wb(one, other, vocoder.sample_rate) for one, other in pairs]
        scores = [score for score in found if score is not None]
        return sum(scores) / len(scores) if scores else math.nan

    return measure


def make_measure(vocoder: Vocoder, name: str) -> Measure:
    """What the search minimises, one of MEASURES: the distance of log-mels, or PESQ-WB with its sign turned."""
    if name == "log-mel":
        return log_mel_l1(vocoder)
    pesq = pesq_wb(vocoder)
    return lambda generated, clean, mel: -pesq(generated, clean, mel)


def generate(vocoder: Vocoder, schedule: NoiseSchedule, mel: Tensor, seed: int) -> Tensor:
    """Speech [B, F * hop] for ``mel`` along ``schedule``, with the vocoder's own settings."""
    before = vocoder.config
    vocoder.config = replace(before, inference={**before.inference, schedule.num_steps: schedule.betas})
    try:
        return vocoder.sample(mel, range(seed, seed + 1000 * len(mel), 1000), steps=schedule.num_steps)
    finally:
        vocoder.config = before


@dataclass(frozen=True)
class Checked:
    """A schedule and what its speech is worth on the check clips; PESQ-WB is NaN without the package."""

    schedule: NoiseSchedule
    log_mel_l1: float
    pesq_wb: float


def check_schedule(vocoder: Vocoder, schedule: NoiseSchedule, clips: Clips, seed: int) -> Checked:
    """Measure ``schedule`` on ``clips`` with noise that the search did not use, averaged over CHECK_SEEDS."""
    speech = [generate(vocoder, schedule, clips.mel, seed + offset) for offset in range(1, CHECK_SEEDS + 1)]
    means = [
        sum(measure(one, clips.waveform, clips.mel) for one in speech) / CHECK_SEEDS
        for measure in (log_mel_l1(vocoder), pesq_wb(vocoder))
    ]
    return Checked(schedule, *means)


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


def improvements(results: Sequence[Result]) -> dict[int, NoiseSchedule]:
    """The schedules worth keeping, by number of steps."""
    return {result.steps: result.after.schedule for result in results if result.better}


def check_steps(vocoder: Vocoder, steps: Sequence[int | str]) -> list[int]:
    """Numbers of steps in rising order; DiffvocError for one outside of the vocoder's training schedule."""
    numbers = sorted({parse_steps(str(number)) for number in steps})
    for number in numbers:
        vocoder.inference_schedule(number)
    return numbers


def check_settings(method: str, measure: str, max_minutes: float, trials: int | None) -> None:
    """Raise DiffvocError for settings that make no search."""
    for name, value, choices in (("--method", method, METHODS), ("--measure", measure, MEASURES)):
        if value not in choices:
            raise DiffvocError(f"{name} {value} is unknown; choose one of {', '.join(choices)}.")
    if not 0 < max_minutes < math.inf:
        raise DiffvocError(f"--max-minutes {max_minutes:g} was given; give a number above 0.")
    if trials is not None and trials < 1:
        raise DiffvocError(f"--trials {trials} was given; give at least 1.")
    if measure == "pesq" and not has_pesq():
        raise DiffvocError("--measure pesq needs the package pesq; install it, or use --measure log-mel.")


def tune(
    vocoder: Vocoder,
    clips: tuple[Clips, Clips],
    steps: Sequence[int],
    *,
    method: str = "both",
    measure: str = "log-mel",
    max_minutes: float = 10.0,
    trials: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Result]:
    """Search a schedule for each number of steps, and check it on clips that the search did not see.

    Speech is generated with the vocoder's own sampler.

    Args:
        vocoder: left as it is; its own schedules are what the search begins with.
        clips: those to search on and those to check on, of :func:`read_clips`.
        steps: numbers of network evaluations, each within the training schedule.
        method: "grid", "dp" or "both", see :func:`tts_diffvoc.diffusion.search.search_schedule`.
        measure: "log-mel", or "pesq" with that package.
        max_minutes: for all numbers of steps; they share it in proportion to what a trial of each takes.
        trials: most schedules to try for each number of steps, None for as many as the time allows.
        seed: of the grid and the noise.
        progress: called after each trial.

    Raises: DiffvocError for steps beyond the training schedule, and for settings that make no search.
    """
    check_settings(method, measure, max_minutes, trials)
    steps = check_steps(vocoder, steps)
    end = time.monotonic() + 60 * max_minutes
    errors = None
    if method != "grid":
        levels = vocoder.config.schedule.noise_levels
        if len(levels) > 1:
            levels = NoiseSchedule.log_snr(float(levels[0]), float(levels[-1]), TABLE_LEVELS).noise_levels
        with torch.inference_mode():
            denoiser, noise = vocoder.denoiser(clips[0].mel), torch.Generator().manual_seed(seed)
            errors = levels, denoising_errors(denoiser, clips[0].waveform, levels, noise)
    score = make_measure(vocoder, measure)
    results = []
    for i, number in enumerate(steps):
        started, start = time.monotonic(), vocoder.inference_schedule(number)
        seconds = (end - started) * number / sum(steps[i:])
        before = check_schedule(vocoder, start, clips[1], seed)
        took = time.monotonic() - started

        def objective(schedule: NoiseSchedule) -> float:
            return score(generate(vocoder, schedule, clips[0].mel, seed), clips[0].waveform, clips[0].mel)

        report = None if progress is None else partial(progress, number)
        tried = Trials(objective, trials or MOST_TRIALS, max(seconds - 2 * took, took), report)
        best = search_schedule(tried, vocoder.config.schedule, start, method, errors, seed)
        after = before if best == start else check_schedule(vocoder, best, clips[1], seed)
        results.append(Result(number, before, after, len(tried.scores), measure))
    return results
