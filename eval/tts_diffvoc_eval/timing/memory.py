"""How much memory a call needs beyond what lay there before it; weights do not count.

Of the process: the peak of the resident set, read every 2 ms after freed memory was handed back to the system. On a
CUDA device: the peak of PyTorch's allocator.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import threading

import psutil
import torch


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


class DeviceMemory:
    """Growth of PyTorch's memory on ``device`` inside a ``with``, in bytes; None on what is no CUDA device."""

    def __init__(self, device: str) -> None:
        self.device = device if torch.device(device).type == "cuda" else None
        self.growth: int | None = None

    def __enter__(self) -> DeviceMemory:
        if self.device:
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        return self

    def __exit__(self, *_: object) -> None:
        if self.device:
            self.growth = torch.cuda.max_memory_allocated(self.device) - self._before
