"""Metrics of your own: ``file.py:function``."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from metrics.metric import Metric, as_value
from tts_diffvoc.errors import DiffvocError


def from_file(place: str) -> Metric:
    """The metric ``FILE.py:FUNCTION``; its name is the function's.

    ``function(degraded, reference, rate)``, or with a fourth argument named ``text``, takes waveforms [T] float32 and
    returns a number, or raises for a reason that the report shows. The file says ``BETTER = "higher"`` (or "lower",
    "neither"), and may give LABEL, UNIT, MEANING, LIMITS, NEEDS (a tuple of modules) and DECIMALS.

    Raises: DiffvocError for a file, function or setting that is not there or not usable.
    """
    path, _, name = place.rpartition(":")
    module = _load(Path(path).expanduser())
    function = getattr(module, name, None)
    if not callable(function):
        raise DiffvocError(f"{path} has no function {name!r}; name the one that scores a waveform.")
    better = getattr(module, "BETTER", None)
    if better not in ("higher", "lower", "neither"):
        raise DiffvocError(f"{path} says BETTER = {better!r}; it must be 'higher', 'lower' or 'neither'.")
    return Metric(
        name,
        getattr(module, "LABEL", name),
        getattr(module, "UNIT", ""),
        better,
        getattr(module, "MEANING", (inspect.getdoc(function) or "A metric of your own.").split("\n")[0]),
        getattr(module, "LIMITS", ""),
        _Checked(function),
        tuple(getattr(module, "NEEDS", ())),
        decimals=getattr(module, "DECIMALS", 3),
    )


def _load(path: Path) -> ModuleType:
    if path.suffix != ".py" or not path.is_file():
        raise DiffvocError(f"there is no Python file {path} to take a metric from; give FILE.py:FUNCTION.")
    spec = importlib.util.spec_from_file_location("metric_" + re.sub(r"\W", "_", path.stem), path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


class _Checked:
    """A user's function behind the checks that bundled metrics have."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.takes_text = "text" in inspect.signature(function).parameters

    def __call__(self, degraded: Any, reference: Any, rate: int, *, text: str | None = None) -> float:
        from metrics.sound import make_pair

        pair = make_pair(degraded, reference, rate, text)
        more = {"text": text} if self.takes_text else {}
        return as_value(self.function(pair.degraded.samples, pair.reference.samples, rate, **more))
