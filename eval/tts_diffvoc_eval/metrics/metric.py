"""What a metric is, and what every metric is spared: unlike lengths, silence, NaN, and libraries that are not there.

Nothing heavy is imported here; the module that computes a metric is imported when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from tts_diffvoc.errors import DiffvocError

if TYPE_CHECKING:
    import numpy as np


class MetricError(DiffvocError):
    """A metric has no value for these sounds; the message is one sentence that says why."""


@dataclass(frozen=True)
class Metric:
    """A quality metric of one sound beside its original.

    ``compute(degraded, reference, rate, *, text=None) -> float`` takes two waveforms [T] in [-1, 1] at ``rate`` Hz, a
    sample of one beside the same sample of the other, and the words that are said, which only some metrics need. It is
    a pure function, and raises MetricError where there is no value. ``needs`` names the modules that it imports beyond
    this package's own requirements; ``decimals`` is how many digits after the point mean something.
    """

    name: str
    label: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    meaning: str
    limits: str
    compute: Callable[..., float]
    needs: tuple[str, ...] = ()
    default: bool = True
    quick: bool = False
    decimals: int = 2

    @property
    def description(self) -> str:
        """What it means, and what it cannot tell."""
        return f"{self.meaning} {self.limits}".strip()


@dataclass(frozen=True)
class Lazy:
    """``compute`` of a bundled metric: ``module:function``, imported at the first call.

    The function takes a :class:`metrics.sound.Pair`, whose making checks the two waveforms.
    """

    place: str

    def __call__(self, degraded: np.ndarray, reference: np.ndarray, rate: int, *, text: str | None = None) -> float:
        module, function = self.place.split(":")
        try:
            from tts_diffvoc_eval.metrics.sound import make_pair

            pair = make_pair(degraded, reference, rate, text)
            return as_value(getattr(import_module(f"tts_diffvoc_eval.metrics.{module}"), function)(pair))
        except ModuleNotFoundError as error:
            raise MetricError(f"needs pip install {(error.name or 'a missing module').split('.')[0]}.") from error


def as_value(value: Any) -> float:
    """``value`` as a finite float; MetricError for anything else."""
    try:
        value = float(value)
    except (TypeError, ValueError) as error:
        raise MetricError(f"the metric gave a {type(value).__name__}, not a number.") from error
    if not abs(value) < float("inf"):
        raise MetricError(f"the metric gave {value} for these sounds.")
    return value
