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


@dataclass(frozen=True)
class Metric:
    """A quality metric of one sound beside its original.

    Attributes:
        compute: (preds [T], target [T], sample_rate) -> float, with ``text``, what is said, where it has that argument.
            It raises DiffvocError where there is no value.
        label, unit: for people.
        better: the better end.
        meaning, limits: what it says, and what it cannot tell.
        quick: part of ``--quick``.
        decimals: digits after the point that mean something.
        alone: whether it needs no recording of the same words.
        package: what it needs that no extra of ours installs.
    """

    compute: Callable[..., float]
    label: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    meaning: str
    limits: str = ""
    quick: bool = False
    decimals: int = 2
    alone: bool = False
    package: str | None = None

    @property
    def needs_text(self) -> bool:
        return "text" in inspect.signature(self.compute).parameters

    @property
    def name(self) -> str:
        return self.compute.__name__

    @property
    def description(self) -> str:
        """What it means, and what it cannot tell."""
        return f"{self.meaning} {self.limits}".strip()


BUNDLED = (
    Metric(
        pesq_wb,
        "PESQ-WB",
        "MOS-LQO",
        "higher",
        "How near a listener would find the sound to the original, 1.02 to 4.644 (ITU-T P.862.2, up to 8 kHz).",
        "Made for telephony: it flatters Griffin-Lim, forgives shifts in time, and takes no clip above 20 s.",
        quick=True,
    ),
    Metric(
        stoi,
        "STOI",
        "",
        "higher",
        "How well words should be understood, up to 1: the correlation of short-time envelopes in one-third octaves.",
        "Near its ceiling for any working vocoder; it hears neither timbre, nor pitch, nor anything above 4.3 kHz.",
        quick=True,
        decimals=3,
    ),
    Metric(
        dnsmos,
        "DNSMOS",
        "MOS",
        "higher",
        "Overall quality that listeners would give, 1 to 5, predicted by a network from the sound alone (P.835).",
        "It never sees the original: a clean voice that says other words scores well, and the original is no ceiling.",
        quick=True,
        alone=True,
    ),
    Metric(
        distillmos,
        "DistillMOS",
        "MOS",
        "higher",
        "Overall quality that listeners would give, 1 to 5, predicted by a small network that learnt from a large one.",
        "Learnt on noise, codecs and calls more than on vocoders; it never sees the original.",
        alone=True,
    ),
    Metric(
        lsd,
        "LSD",
        "dB",
        "lower",
        "Log-spectral distance: by how many decibels the magnitude of a bin is off, up to 8 kHz.",
        "Deaf to phase; a quiet bin counts as much as a loud one, down to 80 dB below the peak. Two noises of one "
        "spectrum are about 8 dB apart, so that breath and fricatives never reach 0.",
        quick=True,
    ),
    Metric(
        mrstft,
        "MR-STFT",
        "",
        "lower",
        "Multi-resolution STFT distance: spectral convergence plus log-magnitude error at three window lengths.",
        "Many GANs are trained on it, which favours them; deaf to phase. It looks up to half the sample rate: a band "
        "that is empty in the original but not in the copy costs much.",
        quick=True,
        decimals=3,
    ),
    Metric(
        log_mel_l1,
        "Log-mel error",
        "ln",
        "lower",
        "Mean absolute error of the natural log-mel that the vocoder was given: does the sound say what the mel said?",
        "Zero for a robot with the right mel: neither phase, nor fine structure, nor anything above 8 kHz counts.",
        quick=True,
        decimals=3,
    ),
    Metric(
        mcd,
        "MCD",
        "dB",
        "lower",
        "Mel-cepstral distortion, coefficients 1 to 24 of WORLD's envelope: how far the timbre is off.",
        "Blind to loudness, pitch, hoarseness, phase and what lies above 8 kHz. Toolkits differ in envelope and order: "
        "compare only figures of one.",
        quick=True,
    ),
    Metric(
        f0_rmse,
        "F0 error",
        "cents",
        "lower",
        "Root mean square pitch error over frames voiced in both sounds (WORLD's Harvest); 100 cents are a semitone.",
        "A few octave slips of the tracker outweigh the rest; frames that lost their voice are skipped: read V/UV too.",
        decimals=1,
    ),
    Metric(
        vuv_f1,
        "V/UV F1",
        "",
        "higher",
        "Agreement with the original about which frames are voiced, F1 from 0 to 1 (WORLD's D4C LoveTrain).",
        "A yes or no for each frame: a slight buzz or hoarseness that does not flip the decision is not counted.",
        decimals=3,
    ),
    Metric(
        periodicity,
        "Periodicity error",
        "",
        "lower",
        "Root mean square error of how periodic each frame is, 0 to 1: the peak of the normalised autocorrelation "
        "(Boersma 1993) for pitches of 65 to 500 Hz.",
        "Does not know which pitch repeats; white noise has about 0.14, so that the worst error is near 0.85.",
        quick=True,
        decimals=3,
    ),
    Metric(
        speaker_similarity,
        "Speaker similarity",
        "",
        "higher",
        "Cosine of two d-vectors, 0 to 1 (Wan et al. 2018): is it the same voice?",
        "The same voice in other words has about 0.85, another about 0.6; it forgives hiss. Needs "
        "`pip install --no-deps resemblyzer`.",
        decimals=3,
        package="resemblyzer",
    ),
    Metric(
        wer,
        "Word error",
        "%",
        "lower",
        "Words of the transcript that an independent recogniser (pocketsphinx, English) gets wrong.",
        "The recogniser errs on originals too, and spells as Americans do; a few words a clip make it coarse. Needs a "
        "transcript.",
        decimals=1,
        alone=True,
    ),
)
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
    METRICS[name] = Metric(
        function,
        getattr(module, "LABEL", name),
        getattr(module, "UNIT", ""),
        better,
        getattr(module, "MEANING", (inspect.getdoc(function) or "A metric of your own.").split("\n")[0]),
        getattr(module, "LIMITS", ""),
        decimals=getattr(module, "DECIMALS", 3),
        alone=getattr(module, "ALONE", False),
    )
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
            values[metric.name] = _value(metric, preds, target, sample_rate, text)
        except DiffvocError as error:
            reasons[metric.name] = str(error)
        except ModuleNotFoundError as error:
            reasons[metric.name] = f"needs pip install {(error.name or 'a missing module').split('.')[0]}."
        except Exception as error:
            reasons[metric.name] = f"{type(error).__name__}: {error}"
    return values, reasons


def _value(metric: Metric, preds: np.ndarray, target: np.ndarray, sample_rate: int, text: str | None) -> float:
    preds, target = check_pair(preds, target, sample_rate)
    more = {"text": text} if metric.needs_text else {}
    value = float(metric.compute(preds, target, sample_rate, **more))
    if not np.isfinite(value):
        raise DiffvocError(f"the metric gave {value} for these sounds.")
    return value


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
