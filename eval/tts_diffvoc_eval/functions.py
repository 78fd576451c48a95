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


def is_function(word: str) -> bool:
    """Whether a word is ``FILE.py:FUNCTION``."""
    return re.fullmatch(r".+\.py:\w+", word) is not None


def load(place: str, purpose: str) -> tuple[ModuleType, Callable[..., Any]]:
    """The module in ``FILE.py`` and its function. The file can import others beside it: ``from .other import name``.

    Args: purpose: what the function is for, such as "scores a waveform".

    Raises: DiffvocError for a file or function that is not there, or a file that does not load.
    """
    path, _, name = place.rpartition(":")
    file = Path(path).expanduser().resolve()
    if file.suffix != ".py" or not file.is_file():
        raise DiffvocError(f"there is no Python file {path} with a function that {purpose}; give FILE.py:FUNCTION.")
    own = "given_" + re.sub(r"\W", "_", str(file))
    spec = importlib.util.spec_from_file_location(own, file, submodule_search_locations=[str(file.parent)])
    assert spec is not None and spec.loader is not None
    module = sys.modules[own] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's file may raise
        del sys.modules[own]
        beside = getattr(error, "name", None) or ""
        hint = f", write `from .{beside} import`" if file.with_name(f"{beside}.py").is_file() else ""
        raise DiffvocError(f"{path} does not load ({type(error).__name__}: {error}){hint}.") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise DiffvocError(f"{path} has no function {name!r}; name the one that {purpose}.")
    return module, function
