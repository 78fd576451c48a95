"""What a leaderboard consists of: columns, rows and their cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

UNINTELLIGIBLE = 90.0  # percent of words wrong


def listed(names: list[str]) -> str:
    """ "A, B and C"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


@dataclass(frozen=True)
class Column:
    """What a column shows.

    Attributes:
        kind: quality, speed or diversity.
        better: "higher", "lower" or "neither".
        headline: part of the overview.
        scale: what values are divided by when people read them.
        decimals: None for three significant digits.
    """

    name: str
    label: str
    unit: str
    better: str
    kind: str
    description: str
    headline: bool = False
    scale: float = 1.0
    decimals: int | None = None


@dataclass(frozen=True)
class Cell:
    """A value with its 95 % interval (None where there is none).

    Attributes:
        count: clips that the mean stands on.
        partial: whether clips are missing in the mean that another system has.
        shorter: whether it was timed on a shorter clip than the one asked for.
        best: whether it is better than that of every other system, by paired differences.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    count: int | None = None
    partial: bool = False
    shorter: bool = False
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One system: what ``systems.json`` says of it, its places from and to, and its cells by column.

    Attributes:
        title: the label without steps and sampler, which systems of one checkpoint share.
        minutes: of training that the weights have had, on the device ``trained_on``.
        entry: all of its entry in ``systems.json``.
        sounds, failed: its sounds, and those of them that failed.
    """

    name: str
    label: str
    title: str
    family: str = "other"
    steps: int | None = None
    sampler: str | None = None
    training: str = "not stated"
    minutes: float | None = None
    trained_on: str | None = None
    entry: dict[str, Any] = field(default_factory=dict)
    rank: tuple[int, int] | None = None
    cells: dict[str, Cell] = field(default_factory=dict)
    sounds: int = 0
    failed: int = 0

    def cell(self, column: str) -> Cell:
        return self.cells.get(column) or Cell(None)

    def value(self, column: str) -> float | None:
        return self.cell(column).value

    @property
    def intelligible(self) -> bool:
        """Whether its words could be told, where they were looked for: what has not learnt to speak is not ranked."""
        return (self.value("wer") or 0.0) < UNINTELLIGIBLE

    def rank_text(self) -> str:
        if self.rank is None:
            return "–"
        first, last = self.rank
        return str(first) if first == last else f"{first}–{last}"


@dataclass(frozen=True)
class Leaderboard:
    """All that is shown.

    Attributes:
        primary: names of the columns that the rank stands on.
        condition: of the headline speeds, in words.
        speeds: every timed setting, from ``speed.summarise``.
        answer, failures: one sentence each.
        sounds: {clip: {system: {seed: record}}}.
        ranked_clips: how many clips the ranks stand on.
        data_sets: {name: rows} with the cells of one data set alone, where a run has several.
    """

    manifest: dict[str, Any]
    columns: list[Column]
    rows: list[Row]
    primary: list[str]
    condition: str
    speeds: pd.DataFrame
    answer: list[str]
    failures: list[str]
    sounds: dict[str, dict[str, dict[int, dict[str, Any]]]]
    ranked_clips: int
    data_sets: dict[str, list[Row]]

    @cached_property
    def by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    def row(self, name: str) -> Row | None:
        return next((row for row in self.rows if row.name == name), None)

    def systems(self) -> list[Row]:
        """Those that compete: all but the original."""
        return [row for row in self.rows if row.name != "original"]

    def of(self, kind: str) -> list[Column]:
        return [column for column in self.columns if column.kind == kind]

    def main_metrics(self) -> list[Column]:
        return [self.by_name[name] for name in self.primary]
