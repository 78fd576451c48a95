"""From systems and clips to records: synthesis here, metrics in processes beside it, timing alone at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import log_mel
from tts_diffvoc_eval import diversity, metrics, records, speed
from tts_diffvoc_eval.mels import MEL
from tts_diffvoc_eval.progress import Progress
from tts_diffvoc_eval.speech import Clip
from tts_diffvoc_eval.systems import System

RATE = MEL.sample_rate


@dataclass(frozen=True)
class BenchmarkConfig:
    """What is measured.

    Attributes:
        metrics: names, of ``metrics.METRICS``.
        seeds: of the systems that have a choice.
        listen: how many clips are kept as audio files.
        workers: processes that compute metrics.
        device: of synthesis.
        batch_sizes, lengths: clips at once, and seconds of each, that are timed.
        repeats: timed calls of each.
        cap: seconds that one system may take in a setting.
        threads: of PyTorch while timing.
        plugins: ``file.py:function`` of each metric that is not bundled.
    """

    metrics: tuple[str, ...]
    seeds: tuple[int, ...]
    listen: int
    workers: int
    device: str
    batch_sizes: tuple[int, ...]
    lengths: tuple[float, ...]
    repeats: int
    cap: float
    threads: int
    plugins: tuple[str, ...] = ()


# Synthesis


def reason(error: BaseException) -> str:
    """What a record says of a failure: our own sentences as they are, others with their kind."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
    return text if isinstance(error, DiffvocError) else f"{type(error).__name__}: {text}"


def mel_for(system: System, clip: Clip, device: str) -> Tensor:
    """The mel that a system is given: the benchmark's, or of its own kind when it takes no other."""
    if system.mel == MEL:
        return clip.mel.to(device)
    if clip.samples is None or not clip.aligned:
        raise DiffvocError("it takes mels of another kind, which can only be made of a recording.")
    return log_mel(torch.from_numpy(clip.samples)[None], system.mel)[..., : clip.mel.shape[-1]].to(device)


def rounded(waveform: np.ndarray) -> np.ndarray:
    """``waveform`` as a 16-bit file holds it: what is measured is what can be heard."""
    return (np.round(np.clip(waveform, -1, 1) * 32767) / 32767).astype(np.float32)


def synthesise(system: System, clip: Clip, seed: int, device: str) -> np.ndarray:
    """One waveform [T], T = F * hop_length, float32.

    Raises: DiffvocError for another length or values that are not finite, and whatever the system raises.
    """
    if system.family == "original":
        if clip.samples is None:
            raise DiffvocError("there is no recording of this text.")
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
    (run / path).parent.mkdir(parents=True, exist_ok=True)
    beside = (run / path).with_suffix(".part")
    soundfile.write(beside, waveform, RATE, format="MP3")
    os.replace(beside, run / path)
    return path.as_posix()


# Metrics, in processes of their own


def _begin(plugins: Sequence[str]) -> None:
    """A worker knows the metrics of the run, and keeps to one thread: there are as many workers as cores."""
    torch.set_num_threads(1)
    for place in plugins:
        metrics.from_file(place)


def score(names: Sequence[str], made: np.ndarray, original: np.ndarray | None, text: str | None) -> dict[str, Any]:
    """``values`` and ``reasons`` of a quality record; without an original, ``names`` are metrics that need none."""
    values, reasons = metrics.measure(names, made, made if original is None else original, RATE, text=text)
    return {"values": values, "reasons": reasons}


@contextmanager
def workers(config: BenchmarkConfig) -> Iterator[ProcessPoolExecutor]:
    """Processes that compute metrics."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    context = get_context("spawn")
    with ProcessPoolExecutor(config.workers, context, initializer=_begin, initargs=(config.plugins,)) as pool:
        yield pool


# The measurements of a run


class Benchmark:
    """Quality, diversity and speed of every system on every clip, whatever of it a run does not hold yet.

    Args:
        run: the folder of the run, whose records are appended to.
    """

    def __init__(self, run: Path, systems: Sequence[System], clips: Sequence[Clip], config: BenchmarkConfig) -> None:
        self.run, self.systems, self.clips, self.config = run, systems, clips, config
        self.scored = {(r["system"], r["clip"], r["seed"]) for r in records.lines(run, "quality")}
        self.compared = {(r["system"], r["clip"]) for r in records.lines(run, "diversity")}
        self.heard = {clip.name for clip in clips[: config.listen]}
        self.pending: list[tuple[str, dict[str, Any], Future[Any]]] = []

    def _missing(self, system: System, clip: Clip) -> tuple[list[int], bool]:
        """Seeds without a record, and whether the spread over all has none."""
        wanted = self.config.seeds[:1] if system.deterministic else self.config.seeds
        seeds = [seed for seed in wanted if (system.name, clip.name, seed) not in self.scored]
        several = len(self.config.seeds) > 1 and clip.aligned and clip.samples is not None
        return seeds, several and (system.name, clip.name) not in self.compared

    def measure_quality(self) -> None:
        """Append a record for each sound, and one for the spread of each clip's; a failure is a record too."""
        todo = [(clip, system, *self._missing(system, clip)) for clip in self.clips for system in self.systems]
        todo = [item for item in todo if item[2] or item[3]]
        if not todo:
            return
        progress = Progress("quality", len(todo))
        with workers(self.config) as pool:
            for clip, system, seeds, spread in todo:
                self._measure(pool, clip, system, seeds, spread)
                self._collect(4 * self.config.workers)
                progress.step(system.label)
            self._collect(0)

    def _measure(self, pool: ProcessPoolExecutor, clip: Clip, system: System, seeds: list[int], spread: bool) -> None:
        """One system on one clip; a system that calls itself deterministic proves it with all seeds."""
        made: dict[int, np.ndarray | str] = {}
        all_seeds = self.config.seeds[:1] if system.family == "original" else self.config.seeds
        for seed in all_seeds if spread else seeds:
            try:
                made[seed] = synthesise(system, clip, seed, self.config.device)
            except Exception as error:  # any system may fail in any way; the record says how
                made[seed] = reason(error)
            if seed in seeds:
                self._score(pool, clip, system, seed, made[seed])
        if spread:
            job = pool.submit(diversity.record, system.name, clip.name, made, clip.samples, RATE)
            self.pending.append(("diversity", {}, job))

    def _score(self, pool: ProcessPoolExecutor, clip: Clip, system: System, seed: int, made: np.ndarray | str) -> None:
        record = {"system": system.name, "clip": clip.name, "seed": seed, "seconds": clip.seconds}
        if isinstance(made, str):
            records.append(self.run, "quality", {**record, "error": made, "audio": None, "values": {}, "reasons": {}})
            return
        heard = clip.name in self.heard and seed == self.config.seeds[0]
        audio = keep_audio(self.run, system, clip, seed, made) if heard else None
        original = rounded(clip.samples) if clip.samples is not None and clip.aligned else None
        job = pool.submit(score, self.config.metrics, made, original, clip.text)
        self.pending.append(("quality", {**record, "error": None, "audio": audio}, job))

    def _collect(self, leave: int) -> None:
        """Write what is done, waiting until ``leave`` are left."""
        while len(self.pending) > leave:
            kind, record, job = self.pending.pop(0)
            try:
                record = {**record, **job.result()}
            except Exception as error:
                record = {**record, "error": f"its metrics failed: {reason(error)}", "values": {}, "reasons": {}}
            records.append(self.run, kind, record)

    def _timed(self, system: System) -> speed.Synthesise:
        """A system as it is timed; one with mels of its own kind gets as many frames of those."""
        if system.mel == MEL:
            return system.synthesise
        own = torch.cat([mel_for(system, clip, self.config.device) for clip in self.clips], dim=-1)

        def call(mel: Tensor, seed: int) -> Tensor:
            batch, _, frames = mel.shape
            repeated = own.repeat(1, 1, -(-frames // own.shape[-1]))[..., :frames]
            return system.synthesise(repeated.expand(batch, -1, -1), seed)

        return call

    def measure_speed(self) -> None:
        """Append the records of every setting; they must be taken side by side, so all are taken anew or none."""
        config = self.config
        calls = {system.name: self._timed(system) for system in self.systems if system.family != "original"}
        settings = speed.settings(config.batch_sizes, config.lengths)
        found = {
            (r["system"], r["batch"], r["asked"])
            for r in records.lines(self.run, "speed")
            if r["error"] is not None or r["repeat"] + 1 == r["repeats"]
        }
        if all((name, *setting) in found for name in calls for setting in settings):
            return
        (self.run / "speed.jsonl").unlink(missing_ok=True)
        progress = Progress("speed", len(calls) * len(settings) * config.repeats)

        def write(record: dict[str, Any]) -> None:
            records.append(self.run, "speed", record)
            progress.step(record["system"])

        mel = torch.cat([clip.mel for clip in self.clips], dim=-1)
        speed.measure(
            calls,
            mel,
            settings,
            device=config.device,
            repeats=config.repeats,
            cap=config.cap,
            threads=config.threads,
            write=write,
        )
