"""Speed and memory of systems that turn a mel into a waveform.

All systems are measured in one process and take turns, repetition by repetition, so that a machine that slows down
hits all alike. A timed repetition is a call of ``synthesise(mel [B, M, F], seed) -> waveform [B, T]`` between two
waits for the device. What is not timed: the mel's way to the device, and each system's first calls.

Every system has ``cap`` seconds for all its calls, the first ones included, shared out over the settings (a batch size
and a clip's length). One that is slow gets fewer repetitions, at least one. One that could not make two calls in its
share gets a shorter clip, down to ``shortest`` seconds; a call of the shortest clip is made even when it outlasts the
cap. Records tell: ``repeats`` is how many repetitions the system was given, ``seconds`` the clip that it was given, and
``asked`` the clip that was asked for.

Memory is what a call needs beyond what lay there before it, so weights do not count (their size is a column of its
own). On the device it is the peak of PyTorch's allocator in that repetition. For the process it is the peak of the
resident set in the warm-up call, read every 2 ms after freed memory was handed back to the system; it is measured once
a setting and stands in each of its records.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import psutil
import torch
from scipy import stats
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from tts_diffvoc.errors import DiffvocError

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


# What a measurement stands on


def synchroniser(device: str) -> Callable[[], None]:
    """The function that waits until ``device`` has done all that it was given; nothing to wait for on a CPU."""
    kind = torch.device(device).type
    if kind == "cuda":
        return lambda: torch.cuda.synchronize(device)
    if kind == "mps":
        return torch.mps.synchronize
    if kind == "cpu":
        return lambda: None
    raise DiffvocError(f"speed on {device!r} is not known; use cpu, cuda or mps, or give synchronise.")


@contextlib.contextmanager
def fixed_threads(count: int | None) -> Iterator[None]:
    """``count`` threads for PyTorch and for the BLAS that numpy and scipy call; afterwards as before. None: as is."""
    if count is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """No run of Python's garbage collector inside, as in timeit."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class ProcessMemory:
    """Growth of this process's resident set inside a ``with``, in bytes: highest reading less the one before.

    ``ru_maxrss`` never falls, so it cannot tell one system from the one before; a thread reads the present size
    instead. Memory that was freed but is still held by the C library would hide growth: it is given back first, where
    the library can (glibc).
    """

    def __init__(self, interval: float = 0.002) -> None:
        self.interval = interval
        self.growth: int | None = None
        self._process = psutil.Process()
        self._done = threading.Event()

    def _read(self) -> None:
        self._peak = max(self._peak, self._process.memory_info().rss)

    def _watch(self) -> None:
        while not self._done.wait(self.interval):
            self._read()

    def __enter__(self) -> ProcessMemory:
        gc.collect()
        with contextlib.suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).malloc_trim(0)
        self._before = self._peak = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._read()
        self._done.set()
        self._thread.join()
        self.growth = self._peak - self._before


def fit_mel(mel: Tensor, batch: int, frames: int) -> Tensor:
    """``mel`` [1, M, F], repeated in time and cut to ``frames``, ``batch`` times over: [batch, M, frames]."""
    if mel.dim() != 3 or mel.shape[0] != 1 or mel.shape[2] == 0:
        raise DiffvocError(f"a mel of shape {list(mel.shape)} was given to be timed on; it must be [1, M, F].")
    places = torch.arange(frames, device=mel.device) % mel.shape[2]
    return mel[:, :, places].repeat(batch, 1, 1).contiguous()


# One call


@dataclass(frozen=True)
class Bench:
    """What all calls of one measurement share."""

    mel: Tensor  # [1, M, F] on the device
    device: str
    frame_seconds: float
    synchronise: Callable[[], None]
    clock: Callable[[], float]

    def frames(self, seconds: float) -> int:
        return max(1, round(seconds / self.frame_seconds))

    def call(self, synthesise: Synthesise, batch: int, seconds: float, seed: int) -> tuple[float, int | None]:
        """Seconds that one call took, and the device memory that it needed.

        Raises: whatever the system raises, and DiffvocError when it returns no [B, T].
        """
        mel = fit_mel(self.mel, batch, self.frames(seconds))
        on_cuda = torch.device(self.device).type == "cuda"
        before = 0
        with no_collection(), torch.inference_mode():
            self.synchronise()
            if on_cuda:
                torch.cuda.reset_peak_memory_stats(self.device)
                before = torch.cuda.memory_allocated(self.device)
            start = self.clock()
            waveform = synthesise(mel, seed)
            self.synchronise()
            took = self.clock() - start
        if not isinstance(waveform, Tensor) or waveform.dim() != 2 or waveform.shape[0] != batch:
            shape = list(waveform.shape) if isinstance(waveform, Tensor) else type(waveform).__name__
            raise DiffvocError(f"the system returned {shape} for a batch of {batch}; it must be a tensor [B, T].")
        return took, torch.cuda.max_memory_allocated(self.device) - before if on_cuda else None


def _reason(error: Exception) -> str:
    """One line for a record; memory of a call that failed is given back."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# One system


@dataclass
class Contestant:
    """A system, the time that it has left, and the seconds that a second of audio last cost it at a batch size."""

    name: str
    synthesise: Synthesise
    left: float
    paces: dict[int, float] = field(default_factory=dict)

    def expect(self, setting: Setting) -> float:
        """Seconds that a call will take, 0 when nothing is known.

        From the nearest smaller batch: a larger one costs less a second of audio, so its pace could mislead.
        """
        known = [batch for batch in self.paces if batch <= setting.batch]
        return self.paces[max(known)] * setting.batch * setting.seconds if known else 0.0

    def call(self, bench: Bench, setting: Setting, seed: int) -> tuple[float, int | None]:
        took, memory = bench.call(self.synthesise, setting.batch, setting.seconds, seed)
        self.left -= took
        self.paces[setting.batch] = took / (setting.batch * bench.frames(setting.seconds) * bench.frame_seconds)
        return took, memory

    def probe(self, bench: Bench, seconds: float) -> None:
        """Two calls of a short clip: whatever a system sets up when it is first called, and then its pace."""
        with contextlib.suppress(Exception):  # what fails here fails in its setting, and is recorded there
            allowed = self.left / 4
            took, _ = self.call(bench, Setting(1, seconds), 0)
            if took < allowed:
                self.call(bench, Setting(1, seconds), 0)


@dataclass
class Turn:
    """One system in one setting."""

    contestant: Contestant
    bench: Bench
    asked: Setting
    given: Setting
    repeats: int
    process_memory: int | None = None
    error: str | None = None

    def warm_up(self, share: float) -> None:
        """A call that is not timed, for memory and for how many repetitions there is time."""
        if self.contestant.expect(self.given) > share:
            self.repeats = 1
            return
        try:
            with ProcessMemory() as memory:
                took, _ = self.contestant.call(self.bench, self.given, 0)
        except Exception as error:
            self.error = _reason(error)
            return
        self.process_memory = memory.growth
        if took > 0:
            self.repeats = int(min(self.repeats, max(1, (share - took) // took)))

    def _once(self, seed: int) -> tuple[float, int | None]:
        if self.process_memory is not None:
            return self.contestant.call(self.bench, self.given, seed)
        with ProcessMemory() as memory:  # no warm-up: a call so long does not feel the reading
            result = self.contestant.call(self.bench, self.given, seed)
        self.process_memory = memory.growth
        return result

    def record(self, repeat: int) -> Record:
        """Measure repetition ``repeat``, or say why not."""
        took = memory = None
        if self.error is None:
            try:
                took, memory = self._once(repeat)
            except Exception as error:
                self.error = _reason(error)
        return {
            "system": self.contestant.name,
            "device": self.bench.device,
            "batch": self.given.batch,
            "seconds": self.bench.frames(self.given.seconds) * self.bench.frame_seconds,
            "asked": self.asked.seconds,
            "repeat": repeat,
            "repeats": self.repeats,
            "took": took,
            "device_memory": memory,
            "process_memory": self.process_memory,
            "error": self.error,
        }


def _fitting(contestant: Contestant, asked: Setting, share: float, shortest: float) -> Setting:
    """``asked``, or a clip short enough for a warm-up and one repetition within ``share`` seconds."""
    expected = 2 * contestant.expect(asked)
    if expected <= share:
        return asked
    return Setting(asked.batch, min(asked.seconds, max(shortest, asked.seconds * share / expected)))


def _enter(contestant: Contestant, bench: Bench, asked: Setting, repeats: int, share: float, shortest: float) -> Turn:
    """A turn with the clip that the share of time allows, warmed up.

    What is expected of a clip grows with its length. A system that turns out to cost less (a GPU takes little longer
    for more) gets a longer clip, until it is the one asked for.
    """
    given = _fitting(contestant, asked, share, shortest)
    while True:
        before, turn = contestant.left, Turn(contestant, bench, asked, given, repeats)
        turn.warm_up(share)
        share -= before - contestant.left
        longer = _fitting(contestant, asked, share, shortest)
        if turn.error is not None or longer.seconds < 1.5 * given.seconds:
            return turn
        given = longer


def _take_turns(turns: list[Turn], repeats: int, write: Callable[[Record], None]) -> None:
    """Round after round, each begun one system further on, so that none is always the first."""
    open_turns = list(turns)
    for repeat in range(repeats):
        first = repeat % max(1, len(open_turns))
        for turn in open_turns[first:] + open_turns[:first]:
            write(turn.record(repeat))
        open_turns = [turn for turn in open_turns if turn.error is None and turn.repeats > repeat + 1]


# The measurement


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
    wait = synchronise or synchroniser(device)
    bench = Bench(mel.to(device), device, hop_length / sample_rate, wait, clock)
    made: list[Record] = []

    def keep(record: Record) -> None:
        made.append(record)
        write(record)

    with fixed_threads(threads):
        contestants = [Contestant(name, synthesise, cap) for name, synthesise in systems.items()]
        for contestant in contestants:
            contestant.probe(bench, shortest)
        for number, asked in enumerate(chosen):
            shares = [max(0.0, contestant.left) / (len(chosen) - number) for contestant in contestants]
            turns = [_enter(c, bench, asked, repeats, share, shortest) for c, share in zip(contestants, shares)]
            _take_turns(turns, repeats, keep)
    return made


# Reading the records


def summarise(records: pd.DataFrame, reference: str | None = None, confidence: float = 0.95) -> pd.DataFrame:
    """One row a (system, device, batch, asked), from the records of ``speed.jsonl``.

    Columns beside these keys:
        repetitions: timed ones. error: why there are none or fewer, else None.
        seconds: of the clip that was synthesised; shortened: whether it is not the one asked for.
        p50, p95: seconds that a repetition took (linear between repetitions: with fewer than 20 of them, p95 is little
            more than the longest).
        rtf: real-time factor, median seconds of work for one second of audio, all clips of the batch counted.
        latency: seconds to the whole clip that was asked for: p50, or with a shortened clip p50 in proportion.
        ratio, ratio_low, ratio_high: real-time factor over the reference's; 2 is twice as slow. The geometric mean over
            repetitions of one round, and Student's interval of its logarithm; ratio_reason says why there is none.
        device_memory, process_memory: bytes, the highest of the repetitions.
    """
    keys = ["system", "device", "batch", "asked"]
    if records.empty:
        return pd.DataFrame(columns=[*keys, "repetitions", "error", "p50", "p95", "rtf", "latency", "ratio"])
    table = _with_rates(records)
    rows = []
    for group, of_group in table.groupby(keys, sort=False):
        row = dict(zip(keys, group)) | _describe(of_group)
        same = (table["system"] == reference) & np.logical_and.reduce([table[k] == row[k] for k in keys[1:]])
        rows.append(row | _ratio(of_group, table[same], confidence))
    return pd.DataFrame(rows)


def _with_rates(records: pd.DataFrame) -> pd.DataFrame:
    """Records with their seconds of work a second of audio; of a repetition measured twice, the last."""
    table = records.copy()
    if "asked" not in table:
        table["asked"] = table["seconds"]
    table["took"] = pd.to_numeric(table["took"])
    table["rtf"] = table["took"] / (table["batch"] * table["seconds"])
    return table.drop_duplicates(["system", "device", "batch", "asked", "repeat"], keep="last")


def _highest(column: pd.Series) -> float | None:
    values = pd.to_numeric(column).dropna()
    return None if values.empty else float(values.max())


def _describe(table: pd.DataFrame) -> dict[str, Any]:
    """The columns of one system in one setting that need no other system."""
    timed = table[table["took"].notna()]
    errors = table["error"].dropna() if "error" in table else []
    row: dict[str, Any] = {
        "repetitions": len(timed),
        "error": str(errors.iloc[0]) if len(errors) else None,
        "device_memory": _highest(table["device_memory"]) if "device_memory" in table else None,
        "process_memory": _highest(table["process_memory"]) if "process_memory" in table else None,
    }
    used = timed if len(timed) else table
    seconds, asked = float(used["seconds"].iloc[-1]), float(table["asked"].iloc[0])
    shortened = seconds < 0.98 * asked  # a clip is whole frames: 12 ms each
    row |= {"seconds": seconds, "shortened": shortened}
    if timed.empty:
        return row | dict.fromkeys(["p50", "p95", "rtf", "latency"])
    p50, p95 = (float(value) for value in np.percentile(timed["took"], [50, 95]))
    latency = p50 * asked / seconds if shortened else p50
    return row | {"p50": p50, "p95": p95, "rtf": float(timed["rtf"].median()), "latency": latency}


def _ratio(table: pd.DataFrame, reference: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """Geometric mean of the ratios of repetitions of one round, with Student's interval of the logarithm."""
    row: dict[str, Any] = dict.fromkeys(["ratio", "ratio_low", "ratio_high", "ratio_reason"])
    pairs = table.merge(reference, on="repeat", suffixes=("", "_reference"))[["rtf", "rtf_reference"]].dropna()
    pairs = pairs[(pairs > 0).all(axis=1)]
    if pairs.empty:
        return row | {"ratio_reason": "no repetition beside one of the reference"}
    logs = np.log(pairs["rtf"].to_numpy(float) / pairs["rtf_reference"].to_numpy(float))
    row["ratio"] = float(np.exp(logs.mean()))
    if len(logs) < 2:
        return row | {"ratio_reason": "one repetition beside the reference; an interval needs two"}
    half = stats.t.ppf((1 + confidence) / 2, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    return row | {"ratio_low": float(np.exp(logs.mean() - half)), "ratio_high": float(np.exp(logs.mean() + half))}


# Parameters and operations


def count_parameters(*modules: nn.Module | None) -> int:
    """Numbers that training sets; one that several modules share counts once, buffers not at all."""
    unique = {id(p): p.numel() for module in modules if module is not None for p in module.parameters()}
    return sum(unique.values())


@contextlib.contextmanager
def plain_paths() -> Iterator[None]:
    """Vocoders of tts_diffvoc evaluate their networks layer by layer inside, so that operations can be counted.

    The fast path of an unfolded DiffWave calls oneDNN by name, which the counter does not know.
    """
    import tts_diffvoc.vocoder as module

    before = module.fast_inference
    module.fast_inference = lambda network: network
    try:
        yield
    finally:
        module.fast_inference = before


class Flops(NamedTuple):
    """Operations of one call, or None and why they cannot be counted."""

    total: int | None
    reason: str | None


class _Unseen(TorchDispatchMode):
    """Notes operators whose work the counter would take for none."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        space, operator = name.split("::")
        if space not in ("aten", "prim", "prims", "profiler") or "_rnn" in operator:
            self.names.add(name)
        return func(*args, **(kwargs or {}))


def _numel(shape: Sequence[int]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _fft(real: bool) -> Callable[..., int]:
    """5 N log2 N for each complex transform of N points, half for a real one (the convention of FFTW's benchmarks)."""

    def count(shape: Sequence[int], dims: Sequence[int], *_: Any, out_shape: Sequence[int], **__: Any) -> int:
        larger = shape if _numel(shape) > _numel(out_shape) else out_shape
        points = _numel([max(shape[dim], out_shape[dim]) for dim in dims])
        transforms = _numel(larger) // _numel([larger[dim] for dim in dims])
        return int(transforms * 5 * points * np.log2(max(points, 2)) / (2 if real else 1))

    return count


def _product(place: int) -> Callable[..., int]:
    """A multiply-add for each number of the argument at ``place``."""
    return lambda *shapes, **_: 2 * _numel(shapes[place])


# What PyTorch's own registry lacks.
_ALSO = {
    torch.ops.aten.mv: _product(0),
    torch.ops.aten.dot: _product(0),
    torch.ops.aten.addmv: _product(1),
    torch.ops.aten._fft_r2c: _fft(True),
    torch.ops.aten._fft_c2r: _fft(True),
    torch.ops.aten._fft_c2c: _fft(False),
}


def count_flops(synthesise: Synthesise, mel: Tensor, seed: int = 0) -> Flops:
    """Floating-point operations of ``synthesise(mel, seed)``, by PyTorch's counter; a multiply-add is two.

    Matrix products, convolutions and Fourier transforms count; what is done element by element (activations,
    normalisation, noise) does not, nor what runs outside PyTorch. Enter :func:`plain_paths` first for vocoders of
    tts_diffvoc. Counting slows each operator down: take a short mel, above all for an autoregressive system.
    """
    unseen, counter = _Unseen(), FlopCounterMode(display=False, custom_mapping=_ALSO)
    try:
        with torch.no_grad(), unseen, counter:
            synthesise(mel, seed)
    except Exception as error:
        return Flops(None, f"the system failed while it was counted: {_reason(error)}")
    if unseen.names:
        return Flops(None, f"the work of {', '.join(sorted(unseen.names))} is hidden from the counter")
    total = int(counter.get_total_flops())
    if total == 0:
        return Flops(None, "no operation was seen: the system computes outside PyTorch")
    return Flops(total, None)
