"""Functions of a user's own files: ``FILE.py:FUNCTION``."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tts_diffvoc.errors import DiffvocError


def load(place: str, purpose: str) -> tuple[ModuleType, Callable[..., Any]]:
    """The module in ``FILE.py`` and its function; its folder can be imported from while it loads.

    Args: purpose: what the function is for, such as "scores a waveform".

    Raises: DiffvocError for a file or function that is not there, or a file that does not load.
    """
    path, _, name = place.rpartition(":")
    file = Path(path).expanduser()
    if file.suffix != ".py" or not file.is_file():
        raise DiffvocError(f"there is no Python file {file} with a function that {purpose}; give FILE.py:FUNCTION.")
    spec = importlib.util.spec_from_file_location("given_" + re.sub(r"\W", "_", file.stem), file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file may raise
        raise DiffvocError(f"{file} does not load ({type(error).__name__}: {error}).") from error
    finally:
        sys.path.pop(0)
    function = getattr(module, name, None)
    if not callable(function):
        raise DiffvocError(f"{file} has no function {name!r}; name the one that {purpose}.")
    return module, function
