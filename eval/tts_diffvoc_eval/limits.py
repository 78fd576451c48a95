"""Calls that may take only so long."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tts_diffvoc.errors import DiffvocError


class TooSlow(DiffvocError):
    """A call took longer than it may."""


@contextmanager
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
