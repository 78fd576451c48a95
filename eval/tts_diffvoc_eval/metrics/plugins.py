"""Metrics of your own: ``file.py:function``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import functions
from tts_diffvoc_eval.metrics.metric import Metric, as_value


def from_file(place: str) -> Metric:
    """The metric ``FILE.py:FUNCTION``; its name is the function's.

    ``function(degraded, reference, rate)``, or with a fourth argument named ``text``, takes waveforms [T] float32 and
    returns a number, or raises for a reason that the report shows. The file says ``BETTER = "higher"`` (or "lower",
    "neither"), and may give LABEL, UNIT, MEANING, LIMITS, NEEDS (a tuple of modules) and DECIMALS.

    Raises: DiffvocError for a file, function or setting that is not there or not usable.
    """
    module, function = functions.load(place, "scores a waveform")
    path, _, name = place.rpartition(":")
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


class _Checked:
    """A user's function behind the checks that bundled metrics have."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.takes_text = "text" in inspect.signature(function).parameters

    def __call__(self, degraded: Any, reference: Any, rate: int, *, text: str | None = None) -> float:
        from tts_diffvoc_eval.metrics.sound import make_pair

        pair = make_pair(degraded, reference, rate, text)
        more = {"text": text} if self.takes_text else {}
        return as_value(self.function(pair.degraded.samples, pair.reference.samples, rate, **more))
