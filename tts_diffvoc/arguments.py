"""Command lines: the types of arguments, whose ranges are checked here alone, and errors in one line."""

from __future__ import annotations

import argparse
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

from tts_diffvoc.errors import DiffvocError, Failure, shown

T = TypeVar("T")
MOST_SEED = 2**63 - 1
MOST_STEPS = 10_000  # network evaluations, or iterations of anything
MOST_THREADS = 1024
THREADS = "TTS_DIFFVOC_THREADS"  # in the environment: how many threads share a model's work on a CPU


class Parser(argparse.ArgumentParser):
    """A parser whose errors are :class:`DiffvocError`, and which completes no abbreviated flags."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Raises: DiffvocError, in place of printing the usage and ending the program."""
        message = " ".join(message.split())
        raise DiffvocError(f"{message[:400].rstrip('.')}; `{self.prog} --help` tells what it takes.")


def whole(least: int, most: int) -> Callable[[str], int]:
    """The type of a whole number from ``least`` to ``most``."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{shown(text)} is not a whole number from {least} to {most}")
        return number

    return parse


def number(least: float, most: float, zero: bool = False) -> Callable[[str], float]:
    """The type of a number from ``least`` to ``most``, or above 0 where ``least`` is 0, unless ``zero`` is one, too."""
    above = least == 0 and not zero

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (value > 0 if above else least <= value) or not value <= most:
            low = "above 0 and up to" if above else f"from {least:g} to"
            raise argparse.ArgumentTypeError(f"{shown(text)} is not a number {low} {most:g}")
        return value

    return parse


def choice(*names: str) -> Callable[[str], str]:
    """The type of one of ``names``."""

    def parse(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"{shown(text)} is none of {', '.join(names)}")
        return text

    return parse


def checked(name: str, value: object, kind: Callable[[str], T]) -> T:
    """``value`` as the type ``kind`` of arguments makes it; DiffvocError, with its ``name``, for what it refuses."""
    try:
        return kind(str(value))
    except argparse.ArgumentTypeError as error:
        raise DiffvocError(f"{name}={error}.") from None


seed = whole(0, MOST_SEED)


def file_path(text: str) -> Path:
    """The type of a path: "~" is the home folder, and names that no file can have are refused."""
    try:
        given = Path(text).expanduser()
        os.lstat(given)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RuntimeError) as error:  # too long, NUL, a home that nobody has
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise argparse.ArgumentTypeError(f"{shown(text, 200)} is no path that can be used ({reason})") from None
    return given


def out_of_memory(error: Exception) -> bool:
    """Whether an error is Python's, or torch's on any device, about memory."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "allocate" in str(error))


@contextmanager
def spoken() -> Iterator[None]:
    """Inside a program: errors and warnings are one line on stderr each.

    Raises: SystemExit with status 2 for bad use, 1 for a failure on the way.
    """
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
        try:
            yield
        except DiffvocError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1 if isinstance(error, Failure) else 2)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            print("error: the memory does not suffice; give less at a time, or smaller batches.", file=sys.stderr)
            sys.exit(1)
        except BrokenPipeError:  # what reads our output has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except KeyboardInterrupt:
            print("stopped.", file=sys.stderr)
            sys.exit(130)
