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
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.diffusion.search import Trials, denoising_errors, search_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.jobs import bar
from tts_diffvoc.mel import log_mel
from tts_diffvoc.training import compare
from tts_diffvoc.training.corpus import Corpus
from tts_diffvoc.training.crops import read_waveform
from tts_diffvoc.vocoder import Vocoder

MEASURES = {"log-mel": "log-mel L1", "pesq": "PESQ-WB"}
# Levels at which the network's errors are measured, and seeds of noise that a check averages over.
TABLE_LEVELS, CHECK_SEEDS = 32, 2
# Schedules tried for each number of steps when only time limits them.
MOST_TRIALS = 2000


class Clips(NamedTuple):
    """Excerpts of equal length: waveforms [B, F * hop] and their mels [B, M, F]."""

    waveform: Tensor
    mel: Tensor


def read_clips(
    vocoder: Vocoder, corpus: Corpus, count: int = 4, seconds: float = 3.0, seed: int = 0
) -> tuple[Clips, Clips]:
    """Up to ``count`` clips to search on and as many others to check on, drawn at random.

    Args:
        corpus: what :func:`tts_diffvoc.training.corpus.scan` found; what cannot be read is added to what it skipped.
        seconds: taken from the middle of each recording; those that are shorter, or silent there, are left out.

    Raises: DiffvocError for fewer than two clips that are long enough, and sizes of no clip.
    """
    hop, rate = vocoder.mel_config.hop_length, vocoder.sample_rate
    length = round(seconds * rate / hop) * hop
    if length <= vocoder.mel_config.n_fft // 2:
        raise DiffvocError(f"--seconds {seconds:g} is shorter than the window of a mel; give more.")
    recordings = [one for one in corpus.recordings if one.length(rate) >= length]
    random.Random(seed).shuffle(recordings)
    chosen: list[Tensor] = []
    for recording in recordings:
        start = (recording.length(rate) - length) // 2
        try:
            waveform = read_waveform(recording, start, start + length, rate)
        except DiffvocError as error:
            corpus.skipped.append((recording.name, str(error).removeprefix(f"{recording.path} ").partition(";")[0]))
            continue
        if float(waveform.abs().max()) > 1e-3:
            chosen.append(waveform)
        if len(chosen) == 2 * count:
            break
    if len(chosen) < 2:
        raise DiffvocError(
            f"{corpus.folder} has {len(chosen)} recordings of at least {seconds:g} s with sound in their middle; "
            "at least 2 are needed, one to search on and one to check on: add some or lower --seconds."
        )
    half = len(chosen) // 2
    waveforms = torch.stack(chosen[: 2 * half]).to(vocoder.device)
    mels = vocoder.mel(waveforms)[..., : length // hop]  # ending where they do, as those of generated speech
    searched, checked = (Clips(*pair) for pair in zip(waveforms.split(half), mels.split(half)))
    return searched, checked


def log_mel_l1(vocoder: Vocoder, speech: Tensor, clips: Clips) -> float:
    """Mean absolute difference of the log-mels of speech [B, F * hop] and of clips, in the unit of the mel contract."""
    return float((log_mel(speech, vocoder.mel_config)[..., : clips.mel.shape[-1]] - clips.mel).abs().mean())


def pesq_wb(vocoder: Vocoder, speech: Tensor, clips: Clips) -> float:
    """Mean PESQ-WB (ITU-T P.862.2) of speech [B, F * hop] over the clips; NaN where it cannot be had of any."""
    pairs = zip(clips.waveform.cpu(), speech.cpu(), strict=True)
    scores = [compare.pesq_wb(one, other, vocoder.sample_rate) for one, other in pairs]
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else math.nan


def has_pesq() -> bool:
    """Whether the optional package ``pesq`` is there."""
    return importlib.util.find_spec("pesq") is not None


def generate(vocoder: Vocoder, schedule: NoiseSchedule, mel: Tensor, seed: int) -> Tensor:
    """Speech [B, F * hop] for ``mel`` along ``schedule``, with the vocoder's own settings."""
    before = vocoder.config
    vocoder.config = replace(before, inference={**before.inference, schedule.num_steps: schedule.betas})
    try:
        return vocoder.sample(mel, range(seed, seed + 1000 * len(mel), 1000), steps=schedule.num_steps)
    finally:
        vocoder.config = before


class Checked(NamedTuple):
    """A schedule and what its speech is worth on the check clips; PESQ-WB is NaN without the package."""

    schedule: NoiseSchedule
    log_mel_l1: float
    pesq_wb: float


def check_schedule(vocoder: Vocoder, schedule: NoiseSchedule, clips: Clips, seed: int) -> Checked:
    """Measure ``schedule`` on ``clips`` with noise that the search did not use, averaged over CHECK_SEEDS."""
    speech = [generate(vocoder, schedule, clips.mel, seed + offset) for offset in range(1, CHECK_SEEDS + 1)]
    measures = log_mel_l1, pesq_wb
    return Checked(schedule, *(sum(one(vocoder, s, clips) for s in speech) / CHECK_SEEDS for one in measures))


class Result(NamedTuple):
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
) -> list[Result]:
    """Search a schedule for each number of steps, and check it on clips that the search did not see.

    Speech is generated with the vocoder's own sampler. Bars on stderr show how far each search is.

    Args:
        vocoder: left as it is; its own schedules are what the search begins with.
        clips: those to search on and those to check on, of :func:`read_clips`.
        steps: numbers of network evaluations, each within the training schedule.
        method: "grid", "dp" or "both", see :func:`tts_diffvoc.diffusion.search.search_schedule`.
        measure: "log-mel", or "pesq" with that package.
        max_minutes: for all numbers of steps; they share it in proportion to what a trial of each takes.
        trials: most schedules to try for each number of steps, None for as many as the time allows.
        seed: of the grid and the noise.

    Raises: DiffvocError for steps beyond the training schedule, an unknown method or measure, and PESQ without its
        package.
    """
    if measure not in MEASURES:
        raise DiffvocError(f"the measure {measure!r} is unknown; choose one of {', '.join(MEASURES)}.")
    if measure == "pesq" and not has_pesq():
        raise DiffvocError("--measure pesq needs the package pesq; install it, or use --measure log-mel.")
    starts = {number: vocoder.inference_schedule(number) for number in sorted(set(steps))}
    end = time.monotonic() + 60 * max_minutes
    table = None if method == "grid" else error_table(vocoder, clips[0], seed)
    results = []
    for number, start in starts.items():
        started = time.monotonic()
        seconds = (end - started) * number / sum(other for other in starts if other >= number)
        before = check_schedule(vocoder, start, clips[1], seed)
        took = time.monotonic() - started
        with bar(None, f"steps={number}", trials) as shown:

            def objective(schedule: NoiseSchedule) -> float:
                speech = generate(vocoder, schedule, clips[0].mel, seed)
                score = (pesq_wb if measure == "pesq" else log_mel_l1)(vocoder, speech, clips[0])
                shown.update()
                return -score if measure == "pesq" else score

            tried = Trials(objective, trials or MOST_TRIALS, max(seconds - 2 * took, took))
            best = search_schedule(tried, vocoder.config.schedule, start, method, table, seed)
            shown.set_postfix_str(f"{MEASURES[measure]} {abs(tried.scores[best]):.4f}")
        after = before if best == start else check_schedule(vocoder, best, clips[1], seed)
        results.append(Result(number, before, after, len(tried.scores), measure))
    return results


@torch.inference_mode()
def error_table(vocoder: Vocoder, clips: Clips, seed: int) -> tuple[Tensor, Tensor]:
    """TABLE_LEVELS noise levels [T] over the range of training, and the network's errors on ``clips`` there [T]."""
    levels = vocoder.config.schedule.noise_levels
    if len(levels) > 1:
        levels = NoiseSchedule.log_snr(float(levels[0]), float(levels[-1]), TABLE_LEVELS).noise_levels
    noise = torch.Generator().manual_seed(seed)
    return levels, denoising_errors(vocoder.denoiser(clips.mel), clips.waveform, levels, noise)
