"""Speed and memory of systems that turn a mel into a waveform.

Systems are timed in one process, repetition by repetition in turn, so that a machine that slows down hits all alike. A
repetition is a call of ``synthesise(mel [B, M, F], seed) -> waveform [B, T]`` between two waits for the device. Not
timed are each system's first calls. A system that could not make two calls of the clip within its time gets a shorter
one; records tell: ``asked`` is the clip that was asked for, ``seconds`` the one that was synthesised.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.mels import MEL
from tts_diffvoc_eval.records import reason

if TYPE_CHECKING:
    import pandas as pd

Synthesise = Callable[[Tensor, int], Tensor]
FRAME = MEL.hop_length / MEL.sample_rate  # seconds
SHORTEST = 0.25  # seconds of the first calls' clip, and of the shortest that a slow system is given
KEYS = ["system", "device", "batch", "asked"]
PEAK, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class TooSlow(DiffvocError):
    """A call took longer than it may."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TooSlow in what takes longer than ``seconds``; 0 is no limit.

    It works in the main thread, of systems with SIGALRM, and once a loop in C comes back to Python. A function that
    catches the error is told again each second.
    """
    usable = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
    if not seconds or not usable:
        yield
        return

    def stop(*_: Any) -> None:
        raise TooSlow(f"it took more than {seconds:g} s.")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Setting(NamedTuple):
    """How many clips at once, and the seconds of each."""

    batch: int
    seconds: float


def settings(batch_sizes: Sequence[int], lengths: Sequence[float]) -> list[Setting]:
    """Every batch size with every clip length, the least audio first."""
    made = {Setting(batch, length) for batch in batch_sizes for length in lengths}
    return sorted(made, key=lambda setting: (setting.batch * setting.seconds, setting.batch))


@contextlib.contextmanager
def fixed_threads(count: int | None) -> Iterator[None]:
    """``count`` threads for PyTorch and for the BLAS that numpy and scipy call; afterwards as before. None: as is."""
    if count is None:
        yield
        return
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def fit_mel(mel: Tensor, batch: int, seconds: float) -> Tensor:
    """``mel`` [1, M, F], repeated in time and cut to ``seconds`` in whole frames, ``batch`` times over."""
    places = torch.arange(max(1, round(seconds / FRAME)), device=mel.device) % mel.shape[2]
    return mel[:, :, places].repeat(batch, 1, 1).contiguous()


def memory(device: str, peak: bool = False) -> int | None:
    """Bytes in use by PyTorch on a CUDA device, else by this process; with ``peak`` the most since the last call
    without, which first gives freed memory back. None where the system does not tell: it takes Linux."""
    if device.startswith("cuda"):
        if peak:
            return torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    try:
        if not peak:
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)
            RESET.write_text("5")
        line = next(line for line in PEAK.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    except (OSError, AttributeError, TypeError, StopIteration):
        return None


@dataclass
class TimedSystem:
    """One system in one setting; ``seconds`` of the clip and ``repeats`` are what its time allows."""

    system: str
    synthesise: Synthesise
    mel: Tensor
    device: str
    asked: Setting
    seconds: float
    repeats: int
    timeout: float
    memory: int | None = None
    error: str | None = None

    def call(self, seed: int) -> float | None:
        """Seconds that one call took; None where it failed, which is kept as ``error``."""
        mel = fit_mel(self.mel, self.asked.batch, self.seconds)
        wait: Callable[[], None] = torch.cuda.synchronize if self.device.startswith("cuda") else lambda: None
        try:
            with time_limit(self.timeout), torch.inference_mode():
                wait()
                start = time.perf_counter()
                waveform = self.synthesise(mel, seed)
                wait()
                took = time.perf_counter() - start
            if waveform.dim() != 2 or len(waveform) != self.asked.batch:
                raise DiffvocError(
                    f"the system returned {list(waveform.shape)} for {len(mel)} mels; it must be a tensor [B, T]."
                )
        except (Exception, SystemExit) as error:  # any system may fail in any way; the record says how
            self.error = reason(error)
            return None
        return took

    def warm_up(self, cap: float) -> None:
        """Calls that are not timed, for memory, and for the length and number of repetitions that ``cap`` allows."""
        self.call(0)  # whatever a system sets up when it is first called
        while self.error is None:
            before = memory(self.device)
            took = self.call(0)
            after = memory(self.device, peak=True)
            if took is None:
                return
            self.memory = None if before is None or after is None else after - before
            longer = min(self.asked.seconds, self.seconds * cap / 2 / took)
            if longer <= self.seconds or longer < min(self.asked.seconds, 1.5 * self.seconds):
                self.repeats = max(1, min(self.repeats, int(cap / took) - 1))
                return  # otherwise once more: a GPU takes little longer for more
            self.seconds = longer

    def record(self, repeat: int) -> dict[str, Any]:
        """Time repetition ``repeat``, or say why not."""
        return {
            "system": self.system,
            "device": self.device,
            "batch": self.asked.batch,
            "asked": self.asked.seconds,
            "seconds": max(1, round(self.seconds / FRAME)) * FRAME,
            "repeat": repeat,
            "repeats": self.repeats,
            "took": None if self.error else self.call(repeat),
            "memory": self.memory,
            "error": self.error,
        }


def measure(
    systems: Mapping[str, Synthesise],
    mel: Tensor,
    chosen: Sequence[Setting],
    *,
    device: str = "cpu",
    repeats: int = 5,
    cap: float = 2.0,
    threads: int | None = None,
    timeout: float = 0.0,
    shortest: float = SHORTEST,
) -> Iterator[dict[str, Any]]:
    """Time every system in every setting; the records of ``speed.jsonl``, one a repetition, as they are measured.

    Args:
        systems: by name, ``synthesise(mel [B, M, F] on device, seed) -> waveform [B, T]``.
        mel: [1, M, F] of real speech; repeated or cut to the clip lengths.
        chosen: from :func:`settings`.
        repeats: timed repetitions of a system in a setting, at most.
        cap: seconds of a system in a setting; it may take longer only with the shortest clip.
        threads: of PyTorch and BLAS while measuring; None leaves them.
        timeout: seconds that one call may take; 0 for no limit.
        shortest: seconds of the first calls' clip, at most the one asked for.

    A system that raises gets one record with ``error`` and ``took`` None in that setting, and is tried in the next.
    """
    mel = mel.to(device)
    with fixed_threads(threads):
        for asked in chosen:
            runs = [
                TimedSystem(name, synthesise, mel, device, asked, min(shortest, asked.seconds), repeats, timeout)
                for name, synthesise in systems.items()
            ]
            for run in runs:
                run.warm_up(cap)
            for repeat in range(repeats):  # each round begins one system further on: none is always the first
                first = repeat % max(1, len(runs))
                for run in runs[first:] + runs[:first]:
                    yield run.record(repeat)
                runs = [run for run in runs if run.error is None and run.repeats > repeat + 1]


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """One row a (system, device, batch, asked), from the records of ``speed.jsonl``; of repetitions the median.

    Columns beside these keys:
        repetitions: timed ones. error: why there are none or fewer, else None.
        seconds: of the clip that was synthesised; shortened: whether it is not the one asked for.
        rtf: real-time factor, seconds of work for one second of audio, all clips of the batch counted.
        latency: seconds to the whole clip that was asked for, with a shortened clip in proportion.
        memory: bytes that a call needed beyond what lay there before.
    """
    if records.empty:
        return records.reindex(
            columns=[*KEYS, "repetitions", "error", "seconds", "shortened", "rtf", "latency", "memory"]
        )
    found = (
        timed(records)
        .groupby(KEYS, sort=False, as_index=False)
        .agg(
            repetitions=("took", "count"),
            error=("error", "first"),
            seconds=("seconds", "last"),
            latency=("took", "median"),
            rtf=("rtf", "median"),
            memory=("memory", "max"),
        )
    )
    found["shortened"] = found["seconds"] < 0.98 * found["asked"]  # a clip is whole frames: 12 ms each
    found["latency"] *= (found["asked"] / found["seconds"]).where(found["shortened"], 1.0)
    return found


def by_repeat(records: pd.DataFrame) -> pd.DataFrame:
    """Real-time factors of one setting, repetitions x systems, from the records of ``speed.jsonl``."""
    return records if records.empty else timed(records).pivot_table(index="repeat", columns="system", values="rtf")


def timed(records: pd.DataFrame) -> pd.DataFrame:
    """The last record of each call, with its real-time factor as ``rtf``."""
    import pandas as pd

    table = records.drop_duplicates([*KEYS, "repeat"], keep="last")
    table = table.assign(took=pd.to_numeric(table["took"]), memory=pd.to_numeric(table["memory"]))
    return table.assign(rtf=table["took"] / (table["batch"] * table["seconds"]))
