"""Speed of systems that turn a mel into a waveform.

All systems are measured in one process, repetition by repetition in turn, so that a machine that slows down hits all
alike. A timed repetition is a call of ``synthesise(mel [B, M, F], seed) -> waveform [B, T]`` between two waits for the
device. What is not timed: the mel's way to the device, and each system's first calls.

Every system has ``cap`` seconds for all its calls, the first ones included, shared out over the settings (a batch size
and a clip's length). One that is slow gets fewer repetitions, at least one. One that could not make two calls in its
share gets a shorter clip, down to ``shortest`` seconds; a call of the shortest clip is made even when it outlasts the
cap. Records tell: ``repeats`` is how many repetitions the system was given, ``seconds`` the clip that it was given, and
``asked`` the clip that was asked for. The memory of the process is measured once a setting, in the warm-up call.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from tts_diffvoc.errors import DiffvocError

from .memory import DeviceMemory, ProcessMemory

Synthesise = Callable[[Tensor, int], Tensor]
Record = dict[str, Any]


class Setting(NamedTuple):
    """How many clips at once, and the seconds of each."""

    batch: int
    seconds: float


def settings(batch_sizes: Sequence[int], seconds: Sequence[float]) -> list[Setting]:
    """Every batch size with every clip length, the least audio first."""
    made = [Setting(batch, length) for batch in batch_sizes for length in seconds]
    if not made or any(setting.batch < 1 or setting.seconds <= 0 for setting in made):
        raise DiffvocError("speed needs at least one batch size from 1 up and one clip length above 0 seconds.")
    return sorted(set(made), key=lambda setting: (setting.batch * setting.seconds, setting.batch))


def synchroniser(device: str) -> Callable[[], None]:
    """The function that waits until ``device`` has done all that it was given; nothing to wait for on a CPU."""
    waits = {"cpu": lambda: None, "cuda": lambda: torch.cuda.synchronize(device), "mps": torch.mps.synchronize}
    kind = device.partition(":")[0]
    if kind not in waits:
        raise DiffvocError(f"speed cannot be measured on {device!r}; use cpu, cuda or mps, or give synchronise.")
    return waits[kind]


@contextlib.contextmanager
def fixed_threads(count: int | None) -> Iterator[None]:
    """``count`` threads for PyTorch and for the BLAS that numpy and scipy call; afterwards as before. None: as is."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """No run of Python's garbage collector inside, as in timeit."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def fit_mel(mel: Tensor, batch: int, frames: int) -> Tensor:
    """``mel`` [1, M, F], repeated in time and cut to ``frames``, ``batch`` times over: [batch, M, frames]."""
    if mel.dim() != 3 or mel.shape[0] != 1 or mel.shape[2] == 0:
        raise DiffvocError(f"a mel of shape {list(mel.shape)} was given to be timed on; it must be [1, M, F].")
    places = torch.arange(frames, device=mel.device) % mel.shape[2]
    return mel[:, :, places].repeat(batch, 1, 1).contiguous()


def reason(error: Exception) -> str:
    """One line for a record."""
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@dataclass(frozen=True)
class Bench:
    """What all calls of one measurement share."""

    mel: Tensor  # [1, M, F] on the device
    device: str
    frame_seconds: float
    synchronise: Callable[[], None]
    clock: Callable[[], float]

    def seconds(self, asked: float) -> float:
        """``asked`` as whole frames."""
        return max(1, round(asked / self.frame_seconds)) * self.frame_seconds

    def call(self, synthesise: Synthesise, setting: Setting, seed: int) -> tuple[float, int | None]:
        """Seconds that one call took, and the device memory that it needed.

        Raises: whatever the system raises, and DiffvocError when it returns no [B, T].
        """
        mel = fit_mel(self.mel, setting.batch, round(self.seconds(setting.seconds) / self.frame_seconds))
        with no_collection(), torch.inference_mode():
            self.synchronise()
            with DeviceMemory(self.device) as memory:
                start = self.clock()
                waveform = synthesise(mel, seed)
                self.synchronise()
                took = self.clock() - start
        if not isinstance(waveform, Tensor) or waveform.dim() != 2 or waveform.shape[0] != setting.batch:
            shape = list(waveform.shape) if isinstance(waveform, Tensor) else type(waveform).__name__
            raise DiffvocError(f"the system returned {shape} for {setting.batch} mels; it must be a tensor [B, T].")
        return took, memory.growth


@dataclass
class Timed:
    """A system, the time that it has left, and the seconds that a second of audio last cost it at a batch size."""

    name: str
    synthesise: Synthesise
    bench: Bench
    left: float
    paces: dict[int, float] = field(default_factory=dict)

    def expect(self, setting: Setting) -> float:
        """Seconds that a call will take, 0 when nothing is known.

        From the nearest smaller batch: a larger one costs less a second of audio, so its pace could mislead.
        """
        known = [batch for batch in self.paces if batch <= setting.batch]
        return self.paces[max(known)] * setting.batch * setting.seconds if known else 0.0

    def call(self, setting: Setting, seed: int) -> tuple[float, int | None]:
        took, memory = self.bench.call(self.synthesise, setting, seed)
        self.left -= took
        self.paces[setting.batch] = took / (setting.batch * self.bench.seconds(setting.seconds))
        return took, memory

    def start_up(self, seconds: float) -> None:
        """Two calls of a short clip: whatever a system sets up when it is first called, and then its pace."""
        with contextlib.suppress(Exception):  # what fails here fails in its setting, and is recorded there
            allowed = self.left / 4
            if self.call(Setting(1, seconds), 0)[0] < allowed:
                self.call(Setting(1, seconds), 0)

    def fit(self, asked: Setting, share: float, shortest: float) -> Setting:
        """``asked``, or a clip short enough for a warm-up and one repetition within ``share`` seconds."""
        expected = 2 * self.expect(asked)
        if expected <= share:
            return asked
        return Setting(asked.batch, min(asked.seconds, max(shortest, asked.seconds * share / expected)))


@dataclass
class Trial:
    """One system in one setting."""

    system: Timed
    asked: Setting
    given: Setting
    repeats: int
    process_memory: int | None = None
    error: str | None = None

    def _call(self, seed: int) -> tuple[float | None, int | None]:
        """A call whose failure is kept; the first also measures the memory of the process."""
        watch = ProcessMemory() if self.process_memory is None else contextlib.nullcontext()
        try:
            with watch:
                measured = self.system.call(self.given, seed)
        except Exception as error:  # any system may fail in any way; the record says how
            self.error = reason(error)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return None, None
        self.process_memory = watch.growth if isinstance(watch, ProcessMemory) else self.process_memory
        return measured

    def warm_up(self, share: float) -> None:
        """A call that is not timed, for memory and for how many repetitions there is time."""
        if self.system.expect(self.given) > share:
            self.repeats = 1
            return
        took, _ = self._call(0)
        if took:
            self.repeats = int(min(self.repeats, max(1, (share - took) // took)))

    def record(self, repeat: int) -> Record:
        """Measure repetition ``repeat``, or say why not."""
        took, memory = (None, None) if self.error else self._call(repeat)
        return {
            "system": self.system.name,
            "device": self.system.bench.device,
            "batch": self.given.batch,
            "seconds": self.system.bench.seconds(self.given.seconds),
            "asked": self.asked.seconds,
            "repeat": repeat,
            "repeats": self.repeats,
            "took": took,
            "device_memory": memory,
            "process_memory": self.process_memory,
            "error": self.error,
        }


def _begin(system: Timed, asked: Setting, repeats: int, share: float, shortest: float) -> Trial:
    """A trial with the clip that the share of time allows, warmed up.

    What is expected of a clip grows with its length. A system that turns out to cost less (a GPU takes little longer
    for more) gets a longer clip, until it is the one asked for.
    """
    given = system.fit(asked, share, shortest)
    while True:
        before, trial = system.left, Trial(system, asked, given, repeats)
        trial.warm_up(share)
        share -= before - system.left
        longer = system.fit(asked, share, shortest)
        if trial.error is not None or longer.seconds < 1.5 * given.seconds:
            return trial
        given = longer


def measure(
    systems: Mapping[str, Synthesise],
    mel: Tensor,
    chosen: Sequence[Setting],
    *,
    device: str = "cpu",
    repeats: int = 5,
    cap: float = 30.0,
    shortest: float = 0.25,
    threads: int | None = None,
    hop_length: int = 256,
    sample_rate: int = 22050,
    write: Callable[[Record], None] = lambda record: None,
    synchronise: Callable[[], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Record]:
    """Time every system in every setting; returns the records of ``speed.jsonl``, one a repetition.

    Args:
        systems: by name, ``synthesise(mel [B, M, F] on device, seed) -> waveform [B, T]``.
        mel: [1, M, F] of real speech; repeated or cut to the clip lengths.
        chosen: from :func:`settings`. To go on after a crash, leave out those whose records are complete and measure
            the others anew, all systems together: only repetitions taken side by side can be compared.
        repeats: timed repetitions of a system in a setting.
        cap: seconds of a system for all its calls in all of ``chosen``.
        shortest: seconds of the clip of the first calls, and of the shortest that a slow system is given.
        threads: of PyTorch and BLAS while measuring; None leaves them.
        write: called with each record as soon as it is measured.
        synchronise, clock: stand-ins for the device's wait and the clock.

    A system that raises gets one record with ``error`` and ``took`` None in that setting, and goes on in the next.
    """
    if repeats < 1 or cap <= 0 or shortest <= 0:
        raise DiffvocError(f"repeats={repeats}, cap={cap}, shortest={shortest}: each must be above zero.")
    bench = Bench(mel.to(device), device, hop_length / sample_rate, synchronise or synchroniser(device), clock)
    timed = [Timed(name, synthesise, bench, cap) for name, synthesise in systems.items()]
    made: list[Record] = []
    with fixed_threads(threads):
        for system in timed:
            system.start_up(shortest)
        for number, asked in enumerate(chosen):
            shares = [max(0.0, system.left) / (len(chosen) - number) for system in timed]
            trials = [_begin(system, asked, repeats, share, shortest) for system, share in zip(timed, shares)]
            for repeat in range(repeats):  # each round begins one system further on: none is always the first
                first = repeat % max(1, len(trials))
                for trial in trials[first:] + trials[:first]:
                    made.append(trial.record(repeat))
                    write(made[-1])
                trials = [trial for trial in trials if trial.error is None and trial.repeats > repeat + 1]
    return made
