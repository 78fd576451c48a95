"""From systems and clips to records: synthesis here, metrics in processes beside it, timing alone at the end."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed, parallel_config
from torch import Tensor

from tts_diffvoc.audio import write_audio
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import make_folder
from tts_diffvoc.jobs import bar, end_with_parent
from tts_diffvoc.mel import log_mel
from tts_diffvoc_eval import diversity, metrics, records, speed
from tts_diffvoc_eval.mels import MEL
from tts_diffvoc_eval.records import reason
from tts_diffvoc_eval.speech import Clip
from tts_diffvoc_eval.speed import TooSlow, time_limit
from tts_diffvoc_eval.systems import System

RATE = MEL.sample_rate


# Synthesis


def mel_for(system: System, clip: Clip, device: str) -> Tensor:
    """The mel that a system is given and may change: the benchmark's, or of its own kind when it takes no other."""
    if system.mel == MEL:
        return clip.mel.to(device, copy=True)
    if clip.samples is None:
        raise DiffvocError("it takes mels of another kind, which can only be made of a recording.")
    return log_mel(torch.from_numpy(clip.samples)[None], system.mel)[..., : clip.mel.shape[-1]].to(device)


def rounded(waveform: np.ndarray) -> np.ndarray:
    """``waveform`` as a 16-bit file holds it: what is measured is what can be heard."""
    return (np.round(np.clip(waveform, -1, 1) * 32767) / 32767).astype(np.float32)


def synthesise(system: System, clip: Clip, seed: int, device: str) -> np.ndarray:
    """One waveform [T], T = F * hop_length, float32.

    Raises: DiffvocError for another length or values that are not finite, and whatever the system raises.
    """
    if system.family == "original" and clip.samples is not None:
        return rounded(clip.samples)
    with torch.inference_mode():
        made = system.synthesise(mel_for(system, clip, device), seed)[0].float().cpu().numpy()
    wanted = clip.mel.shape[-1] * MEL.hop_length
    if abs(len(made) - wanted) >= MEL.hop_length:
        raise DiffvocError(f"it made {len(made)} samples for a mel of {wanted}.")
    if not np.isfinite(made).all():
        raise DiffvocError("it made NaN or infinite samples.")
    return rounded(np.pad(made, (0, max(0, wanted - len(made))))[:wanted])


def keep_audio(run: Path, system: System, clip: Clip, seed: int, waveform: np.ndarray) -> str:
    """Write an MP3 file, a quarter of FLAC's size and of the same length, and give its path in the run."""
    path = Path("audio") / system.name / f"{clip.name}-{seed}.mp3"
    make_folder((run / path).parent)
    write_audio(run / path, torch.from_numpy(waveform), RATE)
    return path.as_posix()


# Metrics, in processes of their own

Job = Callable[[], dict[str, Any]]  # makes a part of a record


def score(names: Sequence[str], made: np.ndarray, original: np.ndarray | None, text: str | None) -> dict[str, Any]:
    """``values`` and ``reasons`` of a quality record: those of ``names`` that apply."""
    names = metrics.applicable(names, original is not None, text is not None)
    values, reasons = metrics.measure(names, made, made if original is None else original, RATE, text=text)
    return {"values": values, "reasons": reasons}


def work(jobs: Sequence[Job], options: argparse.Namespace) -> list[dict[str, Any]]:
    """What each job makes, or how it failed. A worker's death fails all jobs at hand: each is tried again, alone."""
    calls = (delayed(_do)(job, options.plugins, options.timeout) for job in jobs)
    count = options.workers  # with fewer than two, joblib would work in this process
    try:
        with parallel_config("loky", inner_max_num_threads=1):  # there are as many workers as cores
            return Parallel(max(2, count), batch_size=1, pre_dispatch=count, max_nbytes=None)(calls)
    except BrokenProcessPool as error:
        return [_failed(error)] if len(jobs) == 1 else [made for job in jobs for made in work([job], options)]


def _do(job: Job, plugins: tuple[str, ...], timeout: float) -> dict[str, Any]:
    _begin(plugins)
    try:
        with time_limit(timeout):
            return job()
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> dict[str, Any]:
    return {"error": f"its metrics failed: {reason(error)}", "values": {}, "reasons": {}}


@cache
def _begin(plugins: Sequence[str]) -> None:
    """A worker knows the metrics of the run, and does not outlive it."""
    end_with_parent()
    for place in plugins:
        metrics.from_file(place)


# The measurements of a run


class Benchmark:
    """Quality, diversity and speed of every system on every clip, whatever of it a run does not hold yet.

    Args:
        run: the folder of the run, whose records are appended to.
        options: of ``compare``, :func:`tts_diffvoc_eval.compare.complete`.
    """

    def __init__(
        self, run: Path, systems: Sequence[System], clips: Sequence[Clip], options: argparse.Namespace
    ) -> None:
        self.run, self.systems, self.clips, self.options = run, systems, clips, options
        self.scored = {(r["system"], r["clip"], r["seed"]) for r in records.lines(run, "quality")}
        self.compared = {(r["system"], r["clip"]) for r in records.lines(run, "diversity")}
        self.heard = {clip.name for clip in clips[: options.listen]}
        self.slow: set[str] = set()

    def _missing(self, system: System, clip: Clip) -> tuple[list[int], bool]:
        """Seeds without a record, and whether the spread over all has none. A sentence has no original."""
        if system.family == "original" and clip.samples is None:
            return [], False
        wanted = self.options.seeds[:1] if system.deterministic else self.options.seeds
        seeds = [seed for seed in wanted if (system.name, clip.name, seed) not in self.scored]
        several = len(self.options.seeds) > 1 and clip.samples is not None
        return seeds, several and (system.name, clip.name) not in self.compared

    def measure_quality(self) -> None:
        """Append a record for each sound, and one for the spread of each clip's; a failure is a record too."""
        todo = [(clip, system, *self._missing(system, clip)) for clip in self.clips for system in self.systems]
        todo = [item for item in todo if item[2] or item[3]]
        jobs: list[tuple[str, dict[str, Any], Job]] = []
        for clip, system, seeds, spread in (progress := bar(todo, "quality")):
            progress.set_postfix_str(system.label, refresh=False)
            jobs += self._sounds(clip, system, seeds, spread)
            if len(jobs) >= 4 * self.options.workers:
                self._finish(jobs)
                jobs = []
        self._finish(jobs)

    def _finish(self, jobs: Sequence[tuple[str, dict[str, Any], Job]]) -> None:
        """Append the records of (kind, what is known, the job that makes the rest)."""
        for (kind, record, _), made in zip(jobs, work([job for _, _, job in jobs], self.options)):
            records.append(self.run, kind, {**record, **made})

    def _synthesise(self, system: System, clip: Clip, seed: int) -> np.ndarray | str:
        """A waveform, or in words why there is none: a system may fail in any way."""
        if system.name in self.slow:
            return f"it took more than {self.options.timeout:g} s before, and was not tried again."
        try:
            with time_limit(self.options.timeout):
                return synthesise(system, clip, seed, self.options.device)
        except TooSlow as error:
            self.slow.add(system.name)
            return reason(error)
        except (Exception, SystemExit) as error:
            return reason(error)

    def _sounds(
        self, clip: Clip, system: System, seeds: list[int], spread: bool
    ) -> Iterator[tuple[str, dict[str, Any], Job]]:
        """One system on one clip: what is to be recorded; a system that calls itself deterministic proves it with all
        seeds."""
        all_seeds = self.options.seeds[:1] if system.family == "original" else self.options.seeds
        original = rounded(clip.samples) if clip.samples is not None else None
        made = {seed: self._synthesise(system, clip, seed) for seed in (all_seeds if spread else seeds)}
        for seed in seeds:
            record = {
                "system": system.name, "clip": clip.name, "data_set": clip.data_set, "seed": seed,
                "seconds": clip.seconds, "error": None, "audio": None,
            }  # fmt: skip
            sound = made[seed]
            if isinstance(sound, str):
                records.append(self.run, "quality", {**record, "error": sound, "values": {}, "reasons": {}})
                continue
            if clip.name in self.heard and seed == self.options.seeds[0]:
                record["audio"] = keep_audio(self.run, system, clip, seed, sound)
            yield "quality", record, partial(score, self.options.metrics, sound, original, clip.text)
        if spread:
            job = partial(diversity.record, made, RATE, system.family == "original")
            yield "diversity", {"system": system.name, "clip": clip.name}, job

    def _timed(self, system: System) -> speed.Synthesise:
        """A system as it is timed; one with mels of its own kind gets as many frames of those."""
        if system.mel == MEL:
            return system.synthesise
        recorded = [clip for clip in self.clips if clip.samples is not None]
        own = torch.cat([mel_for(system, clip, self.options.device) for clip in recorded], dim=-1)
        return lambda mel, seed: system.synthesise(speed.fit_mel(own, len(mel), mel.shape[-1] * speed.FRAME), seed)

    def measure_speed(self) -> None:
        """Append the records of every setting; they must be taken side by side, so all are taken anew or none."""
        options = self.options
        recorded = any(clip.samples is not None for clip in self.clips)
        timed = [one for one in self.systems if one.family != "original" and (recorded or one.mel == MEL)]
        calls = {system.name: self._timed(system) for system in timed}
        settings = speed.settings(options.batch_sizes, options.lengths)
        found = {
            (r["system"], r["batch"], r["asked"])
            for r in records.lines(self.run, "speed")
            if r["error"] is not None or r["repeat"] + 1 == r["repeats"]
        }
        if all((name, *setting) in found for name in calls for setting in settings):
            return
        (self.run / "speed.jsonl").unlink(missing_ok=True)
        mel = torch.cat([clip.mel for clip in self.clips], dim=-1)
        limits = {name: getattr(options, name) for name in ("device", "repeats", "cap", "threads", "timeout")}
        measured = speed.measure(calls, mel, settings, **limits)
        for record in bar(measured, "speed", len(calls) * len(settings) * options.repeats):
            records.append(self.run, "speed", record)
