"""What failed in a run, as sentences: nothing that failed is left out of a report."""

from __future__ import annotations

from typing import Any

import pandas as pd

from .leaderboard import Column, Row

MOST = 6  # sounds named in one sentence


def sentences(
    rows: list[Row], metrics: list[Column], quality: pd.DataFrame, speeds: pd.DataFrame, spread: pd.DataFrame
) -> list[str]:
    """One sentence for each system and reason; what concerns every system is said once."""
    labels = {row.name: row.label for row in rows}
    said = _sounds(labels, quality) + _values(labels, metrics, quality) + _speeds(labels, speeds)
    said += _spread(labels, spread)
    measured = set(quality["system"]) if len(quality) else set()
    said += [f"{row.label} has no quality record in this run." for row in rows if row.name not in measured]
    return said


def _plain(reason: Any) -> str:
    """A reason in one line without the full stop."""
    return " ".join(str(reason).split()).rstrip(".")


def _which(sounds: list[tuple[str, int]]) -> str:
    """Clips and seeds in words."""
    seeds: dict[str, list[int]] = {}
    for clip, seed in sounds:
        seeds.setdefault(str(clip), []).append(int(seed))
    named = [f"{clip} (seed {', '.join(map(str, sorted(found)))})" for clip, found in sorted(seeds.items())]
    more = len(named) - MOST
    return ", ".join(named[:MOST]) + (f" and {more} more clips" if more > 0 else "")


def _sounds(labels: dict[str, str], quality: pd.DataFrame) -> list[str]:
    if quality.empty:
        return []
    said, totals = [], quality["system"].value_counts()
    bad = quality[quality["error"].notna()]
    for (name, reason), table in bad.groupby(["system", "error"], sort=False):
        which = _which(list(zip(table["clip"], table["seed"])))
        said.append(f"{labels[name]} failed on {len(table)} of {totals[name]} sounds, {which}: {_plain(reason)}.")
    return said


def _values(labels: dict[str, str], metrics: list[Column], quality: pd.DataFrame) -> list[str]:
    """Values without a number, with their reasons."""
    if quality.empty:
        return []
    said, whole = [], quality[quality["error"].isna()]
    for column in metrics:
        lost = whole[whole[column.name].isna()].copy()
        lost["why"] = [_plain(_why(reasons, column.name)) for reasons in lost.get("reasons", [None] * len(lost))]
        for why, of_reason in lost.groupby("why", sort=False):
            if len(of_reason) == len(whole):
                said.append(f"{column.label} has no value for any system: {why}.")
                continue
            for name, table in of_reason.groupby("system", sort=False):
                which = _which(list(zip(table["clip"], table["seed"])))
                said.append(f"{labels[name]} has no {column.label} on {which}: {why}.")
    return said


def _why(reasons: Any, metric: str) -> str:
    """Why ``metric`` is null; parts of a metric's result share its reason."""
    known = reasons if isinstance(reasons, dict) else {}
    whole = [name for name in known if metric == name or metric.startswith(f"{name}_")]
    return known[max(whole, key=len)] if whole else "no reason is recorded"


def _speeds(labels: dict[str, str], speeds: pd.DataFrame) -> list[str]:
    if speeds.empty:
        return []
    said = []
    bad = speeds[speeds["error"].notna()]
    for (name, reason), table in bad.groupby(["system", "error"], sort=False):
        which = "; ".join(setting(row) for row in table.itertuples())
        said.append(f"{labels[name]} was not timed, or not to the end, with {which}: {_plain(reason)}.")
    return said


def setting(row: Any) -> str:
    """A timed setting in words, from a row of ``board.speeds``."""
    clips = "1 clip" if row.batch == 1 else f"{row.batch} clips"
    return f"{clips} of {row.asked:.3g} s on {row.device}"


def _spread(labels: dict[str, str], spread: pd.DataFrame) -> list[str]:
    if spread.empty or "error" not in spread:
        return []
    said = []
    for (name, reason), table in spread[spread["error"].notna()].groupby(["system", "error"], sort=False):
        clips = ", ".join(sorted(map(str, table["clip"])))
        said.append(f"{labels[name]} has no diversity on {clips}: {_plain(reason)}.")
    return said
