"""Which columns the records of a run fill, and what they are called."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tts_diffvoc_eval.diversity import MEASURES
from tts_diffvoc_eval.metrics import METRICS

from .leaderboard import Column

# What the rank stands on: nearness to the recording, what a listener without it may say, and the words.
PRIMARY = ("pesq_wb", "dnsmos", "wer", "wer_original")
UNSAID = {"unit": "", "better": "neither", "description": "", "decimals": None}
MEBIBYTE = 2.0**20


def _ordered(names: list[str], registry: dict[str, Any]) -> list[str]:
    """Those of ``registry`` in its order, then what it does not know."""
    return [name for name in registry if name in names] + [name for name in names if name not in registry]


def _column(name: str, registry: dict[str, Any], kind: str, headline: bool) -> Column:
    """From the registry's entry; a part of an entry's result ("dnsmos_sig" of "dnsmos") takes after it."""
    entry = registry.get(name)
    if entry is None:
        whole = max((known for known in registry if name.startswith(f"{known}_")), key=len, default=None)
        if whole is None:
            return Column(name, name, "", "neither", kind, "A value that this version has no description of.", headline)
        entry, part = registry[whole], name.removeprefix(f"{whole}_")
        label = f"{entry.label}, {part}"
    else:
        label = entry.label
    decimals = getattr(entry, "decimals", None)
    return Column(name, label, entry.unit, entry.better, kind, entry.description, headline, decimals=decimals)


def quality_columns(names: list[str], more: dict[str, dict[str, Any]]) -> list[Column]:
    """Columns of the metrics ``names``; ``more``: what the manifest says of metrics that were plugged in."""
    known = {**METRICS, **{name: SimpleNamespace(**{**UNSAID, "label": name, **about}) for name, about in more.items()}}
    return [_column(name, known, "quality", name in PRIMARY) for name in _ordered(names, known)]


def primary(metrics: list[Column]) -> list[str]:
    """Names of those that the rank stands on: of ``PRIMARY``, or else the first three that have a better direction."""
    found = [column.name for column in metrics if column.name in PRIMARY]
    if {"wer", "wer_original"} <= set(found):  # words count once
        found.remove("wer_original")
    return found or [column.name for column in metrics if column.better != "neither"][:3]


def diversity_columns(names: list[str]) -> list[Column]:
    """Columns of the measures ``names``."""
    main = next((name for name, measure in MEASURES.items() if measure.headline), None)
    return [_column(name, MEASURES, "diversity", name == main) for name in _ordered(names, MEASURES)]


def speed_columns(reference: str | None) -> list[Column]:
    """What is measured beside the sound; ``reference`` is the label of the system that the ratio refers to."""
    whole = "Seconds from the mel to the whole clip"
    return [
        Column("speed", "Speed", "× real time", "higher", "speed", "Seconds of audio made in a second, the inverse of "
               "the real-time factor. Above 1, a system makes sound faster than it plays.", headline=True),
        Column("rtf", "Real-time factor", "", "lower", "speed",
               "Seconds of work for one second of audio, the median over repetitions."),
        Column("ratio", f"Time against {reference}", "×", "lower", "speed", "Real-time factor over that of "
               f"{reference}, repetition by repetition, so that a slower machine hits both; 2 is twice as slow.",
               headline=True),
        Column("p50", "Whole clip, p50", "s", "lower", "speed", f"{whole}: half of the repetitions took less."),
        Column("p95", "Whole clip, p95", "s", "lower", "speed", f"{whole}: 95 % of the repetitions took less. With "
               "fewer than 20 repetitions it is little more than the longest."),
        Column("repetitions", "Repetitions", "", "neither", "speed", "Timed calls; slow systems get fewer."),
        Column("parameters", "Parameters", "M", "lower", "size", "Millions of numbers that training sets.", True, 1e6),
        Column("process_memory", "Process memory", "MiB", "lower", "size",
               "How far the process grew in a call, at its peak; weights not counted.", scale=MEBIBYTE),
        Column("device_memory", "Device memory", "MiB", "lower", "size",
               "How far memory on the accelerator grew in a call, at its peak; weights not counted.", scale=MEBIBYTE),
    ]  # fmt: skip
