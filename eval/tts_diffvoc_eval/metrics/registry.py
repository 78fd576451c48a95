"""The metrics of the benchmark by name, those of a user's own file among them, and their values for one sound.

``python -m tts_diffvoc_eval.metrics.registry`` prints the table that results/README.md shows.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import numpy as np
import pandas as pd

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import functions
from tts_diffvoc_eval.metrics.perceptual import distillmos, dnsmos, pesq_wb, stoi
from tts_diffvoc_eval.metrics.recognition import wer
from tts_diffvoc_eval.metrics.speaker import speaker_similarity
from tts_diffvoc_eval.metrics.spectral import log_mel_l1, lsd, mrstft
from tts_diffvoc_eval.metrics.voice import f0_rmse, mcd, periodicity, vuv_f1
from tts_diffvoc_eval.metrics.waveforms import check_pair


@dataclass
class Metric:
    """A quality metric of one sound beside its original.

    Attributes:
        compute: (preds [T], target [T], sample_rate) -> float, with ``text``, what is said, where it has that argument.
            It raises DiffvocError where there is no value.
        label, unit: for people.
        better: the better end.
        quick: part of ``--quick``.
        decimals: digits after the point that mean something.
        alone: whether it needs no recording of the same words.
        package: what it needs that no extra of ours installs.
        meaning, limits: what it says, and what it cannot tell: where they are not given, how the docstring begins, and
            its section "Limits".
    """

    compute: Callable[..., float]
    label: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    quick: bool = False
    decimals: int = 2
    alone: bool = False
    package: str | None = None
    meaning: str = ""
    limits: str = ""

    def __post_init__(self) -> None:
        text = inspect.getdoc(self.compute) or ""
        meaning, limits = (part.partition("\n\n")[0].split() for part in (text, text.partition("Limits:\n")[2]))
        self.meaning, self.limits = self.meaning or " ".join(meaning), self.limits or " ".join(limits)

    @property
    def needs_text(self) -> bool:
        return "text" in inspect.signature(self.compute).parameters

    @property
    def name(self) -> str:
        return self.compute.__name__

    @property
    def description(self) -> str:
        return f"{self.meaning} {self.limits}".strip()


BUNDLED = (
    Metric(pesq_wb, "PESQ-WB", "MOS-LQO", "higher", quick=True),
    Metric(stoi, "STOI", "", "higher", quick=True, decimals=3),
    Metric(dnsmos, "DNSMOS", "MOS", "higher", quick=True, alone=True),
    Metric(distillmos, "DistillMOS", "MOS", "higher", alone=True),
    Metric(lsd, "LSD", "dB", "lower", quick=True),
    Metric(mrstft, "MR-STFT", "", "lower", quick=True, decimals=3),
    Metric(log_mel_l1, "Log-mel error", "ln", "lower", quick=True, decimals=3),
    Metric(mcd, "MCD", "dB", "lower", quick=True),
    Metric(f0_rmse, "F0 error", "cents", "lower", decimals=1),
    Metric(vuv_f1, "V/UV F1", "", "higher", decimals=3),
    Metric(periodicity, "Periodicity error", "", "lower", quick=True, decimals=3),
    Metric(speaker_similarity, "Speaker similarity", "", "higher", decimals=3, package="resemblyzer"),
    Metric(wer, "Word error", "%", "lower", decimals=1, alone=True),
)
# What the file of a user's metric may say of it, in capitals.
OWN = ("label", "unit", "decimals", "alone", "meaning", "limits")
METRICS: dict[str, Metric] = {metric.name: metric for metric in BUNDLED}


def from_file(place: str) -> Metric:
    """The metric ``FILE.py:FUNCTION``, which joins ``METRICS`` under the function's name.

    ``function(preds, target, sample_rate)``, or with a fourth argument named ``text``, takes waveforms [T] float32 and
    returns a number, or raises for a reason that the report shows. The file says ``BETTER = "higher"`` (or "lower",
    "neither"), and may give LABEL, UNIT, MEANING, LIMITS, DECIMALS, and ALONE where it needs no recording.

    Raises: DiffvocError for a file, function or setting that is not there or not usable, and for a name that is taken.
    """
    module, function = functions.load(place, "scores a waveform")
    path, _, name = place.rpartition(":")
    better = getattr(module, "BETTER", None)
    if better not in ("higher", "lower", "neither"):
        raise DiffvocError(f"{path} says BETTER = {better!r}; it must be 'higher', 'lower' or 'neither'.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise DiffvocError(f"a metric cannot be named {name!r}; use small letters, digits and underscores.")
    if name in METRICS:
        raise DiffvocError(f"there is a metric {name!r} already; give yours another name.")
    given = {field: getattr(module, field.upper()) for field in OWN if hasattr(module, field.upper())}
    METRICS[name] = Metric(function, better=better, **{"label": name, "unit": "", "decimals": 3, **given})
    return METRICS[name]


def select(wanted: Iterable[str]) -> list[str]:
    """Names of metrics, in the registry's order, for "quick", "all" that can be had, names and ``file.py:function``.

    Raises: DiffvocError for a word that stands for nothing.
    """
    chosen: set[str] = set()
    for word in wanted:
        if word in ("quick", "all"):
            chosen |= {one.name for one in METRICS.values() if one.quick or word == "all"} - set(lacking())
        else:
            chosen.add((from_file(word) if functions.is_function(word) else _known(word)).name)
    return [name for name in METRICS if name in chosen]


def lacking() -> dict[str, str]:
    """The metrics whose own package is not installed, and its name."""
    needed = {metric.name: metric.package for metric in METRICS.values() if metric.package}
    return {name: package for name, package in needed.items() if find_spec(package) is None}


def applicable(names: Iterable[str], recording: bool, text: bool) -> list[str]:
    """Those of ``names`` that a sound can have, with or without a recording of its words, and a transcript."""
    metrics = [_known(name) for name in names]
    return [one.name for one in metrics if (recording or one.alone) and (text or not one.needs_text)]


def _known(name: str) -> Metric:
    if name not in METRICS:
        raise DiffvocError(f"there is no metric {name!r}; known are {', '.join(METRICS)}, and FILE.py:FUNCTION.")
    return METRICS[name]


def measure(
    names: Iterable[str], preds: np.ndarray, target: np.ndarray, sample_rate: int, text: str | None = None
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Each metric of ``names`` for ``preds`` [T] beside ``target`` [T]; ``text`` is what is said.

    Returns the values, None where there is none, and for those the reasons in words. What a metric raises, whatever it
    is, becomes its reason: a clip with one score missing is still a record.

    Raises: DiffvocError only for a name that is not in the registry.
    """
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for metric in [_known(name) for name in names]:
        values[metric.name] = None
        try:
            pair = check_pair(preds, target, sample_rate)
            value = float(metric.compute(*pair, sample_rate, **({"text": text} if metric.needs_text else {})))
            if not np.isfinite(value):
                raise DiffvocError(f"the metric gave {value} for these sounds.")
            values[metric.name] = value
        except DiffvocError as error:
            reasons[metric.name] = str(error)
        except ModuleNotFoundError as error:
            reasons[metric.name] = f"needs pip install {(error.name or 'a missing module').split('.')[0]}."
        except Exception as error:
            reasons[metric.name] = f"{type(error).__name__}: {error}"
    return values, reasons


def table() -> str:
    """The bundled metrics in Markdown, a row each."""
    rows = [
        {
            "metric": f"{metric.label} (`{metric.name}`)",
            "unit": metric.unit,
            "better": metric.better,
            "what it means": metric.meaning,
            "what it cannot tell": metric.limits,
            "quick": "yes" if metric.quick else "",
        }
        for metric in BUNDLED
    ]
    padded = pd.DataFrame(rows).to_markdown(index=False, tablefmt="github")
    return re.sub(r" {2,}", " ", re.sub(r"-{4,}", "---", padded))


if __name__ == "__main__":
    print(table())
