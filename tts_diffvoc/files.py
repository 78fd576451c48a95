"""Files: those given are looked at first; those made are written beside and renamed, so that none is there by half."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tts_diffvoc.errors import DiffvocError, Failure


def check_readable(path: Path) -> int:
    """The bytes of a file; DiffvocError when it is not there, is no regular file, or may not be read.

    A pipe or a device would be read, or waited for, without end.
    """
    try:
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "is no file" if path.exists() else "is not there"
            raise DiffvocError(f"{path} {kind}; give the path of a file.")
        path.open("rb").close()
        return path.stat().st_size
    except OSError as error:
        raise DiffvocError(f"{str(path)[:80]!r} cannot be read ({reason(error)}); give another file.") from None


def check_writable(path: Path) -> None:
    """Raise DiffvocError when ``path`` cannot become a file, before any work is done for it."""
    try:
        os.lstat(path)  # says of a name that it is too long, or holds NUL
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise DiffvocError(f"{str(path)[:80]!r} cannot be written ({reason(error)}); give another name.") from None
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise DiffvocError(f"{path} cannot be written; give a file in a folder that exists and that you may write to.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside ``path`` to write to; it becomes ``path`` when all went well, and is gone otherwise.

    Raises: DiffvocError for whatever the system refuses, such as a full disk.
    """
    check_writable(path)
    beside = path.with_name(f".{path.name}.part")
    try:
        yield beside
        os.replace(beside, path)
    except (OSError, RuntimeError) as error:
        cause = error.__context__ if isinstance(error, RuntimeError) else error  # torch.save ends with one of its own
        if not isinstance(cause, OSError):
            raise
        raise Failure(f"{path} cannot be written ({reason(cause)}); make room or give another place.") from None
    finally:
        if os.path.lexists(beside):
            os.unlink(beside)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A place beside ``folder`` to make it in; it takes its place when all went well, and is gone otherwise.

    Raises: DiffvocError for whatever the system refuses.
    """
    make_folder(folder.parent)
    try:
        with TemporaryDirectory(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent) as place:
            new, old = Path(place, "new"), Path(place, "old")
            yield new
            if folder.is_dir():
                os.replace(folder, old)
            try:
                os.replace(new, folder)
            finally:
                if old.exists() and not folder.exists():
                    os.replace(old, folder)
    except OSError as error:
        raise Failure(f"{folder} cannot be written ({reason(error)}); make room or give another place.") from None


def make_folder(folder: Path) -> None:
    """Make ``folder`` where it is not there yet; DiffvocError when nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise DiffvocError(f"{str(folder)[:80]!r} cannot be written to ({reason(error)}); give another.") from None
    if not os.access(folder, os.W_OK):
        raise DiffvocError(f"{folder} cannot be written to; give a folder that you may write to.")


def write_beside(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def reason(error: Exception) -> str:
    """Why the system refused, in a few words."""
    return getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
