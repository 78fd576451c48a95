"""Means with intervals, and ranks, from records; the statistics themselves are in ``intervals``."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tts_diffvoc_eval import intervals

from .leaderboard import Column


@dataclass(frozen=True)
class Ranks:
    """``ranges``: {system: places from and to}; ``scores``: {system: its mean score}; ``clips``: how many they stand
    on."""

    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    clips: int = 0


def mean(values: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """Mean of ``values`` [clips] and its 95 % interval; None for what does not exist."""
    if len(values) == 0:
        return None, None, None
    low, high = intervals.interval(values) or (None, None)
    return float(np.mean(values)), low, high


def best(table: pd.DataFrame, better: str) -> str | None:
    """The system (a column of ``table`` [clips, systems]) that is surely better than each other one, or None."""
    if better == "neither" or table.shape[1] < 2:
        return None
    ranges = intervals.ranks(table, better)
    return next((str(name) for name, places in ranges.items() if places == (1, 1)), None)


def ranks(quality: pd.DataFrame, metrics: list[Column]) -> Ranks:
    """Places with ties by all of ``metrics`` together, over the clips that every system was given.

    What is combined, and what a failed clip counts, says ``intervals.combine``. Systems without any record have no
    place; neither has the original.
    """
    if quality.empty or not metrics:
        return Ranks()
    table = quality[quality["system"] != "original"]
    given = pd.crosstab(table["clip"], table["system"])
    clips = given.index[(given > 0).all(axis=1)]
    table = table[table["clip"].isin(clips)]
    if table.empty or given.shape[1] < 2:
        return Ranks()
    tables = {column.name: intervals.by_clip(table, column.name) for column in metrics}
    scores = intervals.combine(tables, {column.name: column.better for column in metrics})
    means = {str(name): float(value) for name, value in scores.mean().items()}
    return Ranks(intervals.ranks(scores), means, len(clips))
