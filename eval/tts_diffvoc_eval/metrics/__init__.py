"""Quality metrics of one sound beside its original: ``METRICS`` by name, and :func:`measure`.

    from tts_diffvoc_eval.metrics import METRICS, measure
    values, reasons = measure(["pesq_wb", "wer"], degraded, reference, 22050, text="What is said.")

Importing this imports neither numpy nor any library that measures; a metric imports what it needs when first used.
``python -m tts_diffvoc_eval.metrics``  prints the table that results/README.md shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.metrics.metric import Lazy, Metric, MetricError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["METRICS", "Metric", "MetricError", "measure", "plug_in", "select"]

BUNDLED = (
    Metric(
        "pesq_wb",
        "PESQ-WB",
        "MOS-LQO",
        "higher",
        "How near a listener would find the sound to the original, 1.02 to 4.644 (ITU-T P.862.2, up to 8 kHz).",
        "Made for telephony: it flatters Griffin-Lim, forgives shifts in time, and knows no clip above 20 s.",
        Lazy("listeners:pesq_wb"),
        ("pesq", "soxr"),
        quick=True,
    ),
    Metric(
        "stoi",
        "STOI",
        "",
        "higher",
        "How well words should be understood, up to 1: the correlation of short-time envelopes in one-third octaves.",
        "Near its ceiling for any working vocoder; it hears neither timbre, nor pitch, nor anything above 4.3 kHz.",
        Lazy("listeners:stoi"),
        ("pystoi",),
        quick=True,
        decimals=3,
    ),
    Metric(
        "estoi",
        "ESTOI",
        "",
        "higher",
        "STOI that also compares the shape over frequency, up to 1; it falls faster when noise comes and goes.",
        "Intelligibility only, and nothing above 4.3 kHz.",
        Lazy("listeners:estoi"),
        ("pystoi",),
        decimals=3,
    ),
    Metric(
        "dnsmos",
        "DNSMOS",
        "MOS",
        "higher",
        "Overall quality that listeners would give, 1 to 5, guessed by a network from the sound alone (DNSMOS P.835).",
        "It never sees the original: a clean voice that says other words scores well, and the original is no ceiling.",
        Lazy("listeners:dnsmos"),
        ("speechmos", "onnxruntime", "soxr"),
        quick=True,
    ),
    Metric(
        "dnsmos_sig",
        "DNSMOS speech",
        "MOS",
        "higher",
        "The same network's guess at the quality of the voice, apart from the background.",
        "Trained on calls with noise removed, not on vocoders; it never sees the original.",
        Lazy("listeners:dnsmos_sig"),
        ("speechmos", "onnxruntime", "soxr"),
        quick=True,
    ),
    Metric(
        "dnsmos_bak",
        "DNSMOS background",
        "MOS",
        "higher",
        "The same network's guess at how little the background disturbs; low where a vocoder leaves hiss or hum.",
        "A recording's own noise, faithfully kept, lowers it too.",
        Lazy("listeners:dnsmos_bak"),
        ("speechmos", "onnxruntime", "soxr"),
        quick=True,
    ),
    Metric(
        "lsd",
        "LSD",
        "dB",
        "lower",
        "Log-spectral distance: by how many decibels the magnitude of a bin is off, up to 8 kHz.",
        "Deaf to phase; a quiet bin counts as much as a loud one, down to 80 dB below the peak. Two noises of one "
        "spectrum are about 8 dB apart, so that breath and fricatives never reach 0.",
        Lazy("spectral:lsd"),
        quick=True,
    ),
    Metric(
        "mrstft",
        "MR-STFT",
        "",
        "lower",
        "Multi-resolution STFT distance: spectral convergence plus log-magnitude error at three window lengths.",
        "Many GANs are trained on it, which favours them; deaf to phase. It looks up to half the sample rate: a band "
        "that is empty in the original but not in the copy costs much.",
        Lazy("spectral:mrstft"),
        ("auraloss",),
        quick=True,
        decimals=3,
    ),
    Metric(
        "log_mel_l1",
        "Log-mel error",
        "ln",
        "lower",
        "Mean absolute error of the natural log-mel that the vocoder was given: does the sound say what the mel said?",
        "Zero for a robot with the right mel: neither phase, nor fine structure, nor anything above 8 kHz counts.",
        Lazy("spectral:log_mel_l1"),
        quick=True,
        decimals=3,
    ),
    Metric(
        "mcd",
        "MCD",
        "dB",
        "lower",
        "Mel-cepstral distortion, coefficients 1 to 24 of WORLD's envelope: how far the timbre is off.",
        "Blind to loudness, pitch, hoarseness, phase and what lies above 8 kHz. Toolkits differ in envelope and order: "
        "compare only figures of one.",
        Lazy("voice:mcd"),
        ("pyworld", "soxr"),
        quick=True,
    ),
    Metric(
        "f0_rmse",
        "F0 error",
        "cents",
        "lower",
        "Root mean square pitch error over frames voiced in both sounds (WORLD's Harvest); 100 cents are a semitone.",
        "A few octave slips of the tracker outweigh the rest; frames that lost their voice are skipped: read V/UV too.",
        Lazy("voice:f0_rmse"),
        ("pyworld",),
        decimals=1,
    ),
    Metric(
        "vuv_f1",
        "V/UV F1",
        "",
        "higher",
        "Agreement with the original about which frames are voiced, F1 from 0 to 1 (WORLD's D4C LoveTrain).",
        "A yes or no for each frame: a slight buzz or hoarseness that does not flip the decision is not counted.",
        Lazy("voice:vuv_f1"),
        ("pyworld",),
        decimals=3,
    ),
    Metric(
        "periodicity",
        "Periodicity error",
        "",
        "lower",
        "Root mean square error of how periodic each frame is, 0 to 1: the peak of the normalised autocorrelation "
        "(Boersma 1993) for pitches of 65 to 500 Hz.",
        "Does not know which pitch repeats; white noise has about 0.14, so that the worst error is near 0.85.",
        Lazy("periodicity:periodicity"),
        quick=True,
        decimals=3,
    ),
    Metric(
        "wer",
        "Word error",
        "%",
        "lower",
        "Words of the transcript that an independent recogniser (pocketsphinx, English) gets wrong.",
        "The recogniser errs on originals too, and spells as Americans do; a few words a clip make it coarse. Needs a "
        "transcript.",
        Lazy("recogniser:wer"),
        ("pocketsphinx", "jiwer"),
        decimals=1,
    ),
    Metric(
        "wer_original",
        "Word error, original",
        "%",
        "lower",
        "Words that the recogniser reads differently than in the original; needs no transcript.",
        "Clearer speech than the original's counts as an error where it leads to another reading.",
        Lazy("recogniser:wer_original"),
        ("pocketsphinx", "jiwer"),
        decimals=1,
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in BUNDLED}


def plug_in(metric: Metric | str) -> Metric:
    """Let a metric join the registry: a :class:`Metric`, or ``file.py:function`` (:func:`metrics.plugins.from_file`).

    Raises: DiffvocError if its name is taken or no plain name.
    """
    if isinstance(metric, str):
        from tts_diffvoc_eval.metrics.plugins import from_file

        metric = from_file(metric)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", metric.name):
        raise DiffvocError(f"a metric cannot be named {metric.name!r}; use small letters, digits and underscores.")
    if metric.name in METRICS:
        raise DiffvocError(f"there is a metric {metric.name!r} already; give yours another name.")
    METRICS[metric.name] = metric
    return metric


def select(wanted: Iterable[str]) -> list[str]:
    """Names of metrics, in the registry's order, for "quick", "default", "all", names and ``file.py:function``.

    A function of a file is plugged in. Raises: DiffvocError for a word that stands for nothing.
    """
    chosen = set()
    for word in wanted:
        if word in ("quick", "default", "all"):
            chosen |= {m.name for m in METRICS.values() if word == "all" or getattr(m, word)}
        elif ".py:" in word:
            chosen.add(plug_in(word).name)
        else:
            chosen.add(_known(word).name)
    return [name for name in METRICS if name in chosen]


def _known(name: str) -> Metric:
    if name not in METRICS:
        raise DiffvocError(f"there is no metric {name!r}; known are {', '.join(METRICS)}, and FILE.py:FUNCTION.")
    return METRICS[name]


def measure(
    names: Iterable[str], degraded: np.ndarray, reference: np.ndarray, rate: int, text: str | None = None
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Each metric of ``names`` for ``degraded`` [T] beside ``reference`` [T] at ``rate`` Hz; ``text`` is what is said.

    Returns the values, None where there is none, and for those the reasons in words. What a metric raises, whatever it
    is, becomes its reason: a clip with one score missing is still a record.

    Raises: DiffvocError only for a name that is not in the registry.
    """
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for metric in [_known(name) for name in names]:
        values[metric.name] = None
        lacking = [module for module in metric.needs if find_spec(module) is None]
        if lacking:
            reasons[metric.name] = f"needs pip install {' '.join(lacking)}."
            continue
        try:
            values[metric.name] = metric.compute(degraded, reference, rate, text=text)
        except DiffvocError as error:
            reasons[metric.name] = str(error)
        except Exception as error:
            reasons[metric.name] = f"{type(error).__name__}: {error}"
    return values, reasons
