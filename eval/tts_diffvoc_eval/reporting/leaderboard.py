"""From the records of a run to the numbers of its leaderboard; tables, plots and the page only show them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import intervals, records, speed
from tts_diffvoc_eval.diversity import SPREADS
from tts_diffvoc_eval.metrics import METRICS
from tts_diffvoc_eval.reporting import answer, failures
from tts_diffvoc_eval.reporting.rows import Cell, Column, Leaderboard, Row

# What the rank stands on: nearness to the recording, what a listener without it may say, and the words.
PRIMARY = ("pesq_wb", "dnsmos", "wer")
SPREAD = "spread_lsd"  # what an overview shows of diversity


def load(run: Path) -> Leaderboard:
    """The leaderboard of the run in the folder ``run``.

    Raises: DiffvocError where the folder is not a run, or has no record.
    """
    if not (run / "systems.json").is_file():
        raise DiffvocError(f"{run} is not a run of the benchmark: give a folder that compare.py wrote.")
    entries, manifest = records.read(run, "systems"), records.read(run, "manifest")
    quality, calls, diversity = (records.table(run, kind) for kind in records.KINDS)
    if quality.empty and calls.empty and diversity.empty:
        raise DiffvocError(f"{run} has no records yet; run compare.py with --resume and this folder.")
    speeds = speed.summarise(calls)
    metrics = quality_columns(records.value_names(run, "quality"), manifest.get("metrics") or {})
    spreads = diversity_columns(records.value_names(run, "diversity"))
    shown = headline_calls(calls, manifest.get("device"))
    headline = speed.summarise(shown)
    sizes = {name: {"parameters": Cell((entry or {}).get("parameters") or None)} for name, entry in entries.items()}
    cells: dict[str, dict[str, Cell]] = defaultdict(dict)
    for part in (mean_cells(quality, metrics), mean_cells(diversity, spreads), speed_cells(headline), sizes):
        for name, of_system in part.items():
            cells[name] |= of_system
    filled = {name for of_system in cells.values() for name, cell in of_system.items() if cell.value is not None}
    columns = [column for column in [*metrics, *SPEED_COLUMNS, *spreads] if column.name in filled]
    primary = primary_names([column for column in columns if column.kind == "quality"])
    columns = [replace(column, headline=column.headline or column.name in primary) for column in columns]
    main = [column for column in columns if column.name in primary]
    names = dict.fromkeys([*entries, *quality["system"], *calls["system"], *diversity["system"]])
    rows = [make_row(name, entries.get(name) or {}, quality, cells=cells[name]) for name in names]
    ranges, scores, clips = rank(quality, main, [row.name for row in rows if row.intelligible])
    rows = [replace(row, rank=ranges.get(row.name)) for row in rows]
    rows.sort(key=lambda row: (row.name != "original", -scores.get(row.name, -math.inf), row.name))
    data_sets = {}
    for name, of_set in quality.groupby("data_set", sort=False) if "data_set" in quality else ():
        found = mean_cells(of_set, main)
        data_sets[str(name)] = [replace(row, cells=found[row.name]) for row in rows if row.name in found]
    labels = {row.name: row.label for row in rows}
    return Leaderboard(
        manifest=manifest,
        columns=columns,
        rows=rows,
        primary=primary,
        condition=condition(headline, manifest.get("threads")),
        speeds=speeds,
        answer=answer.sentences(rows, metrics, quality, speed.by_repeat(shown)),
        failures=failures.sentences(labels, metrics, quality, speeds, diversity),
        sounds=sounds(quality),
        ranked_clips=clips,
        data_sets=data_sets if len(data_sets) > 1 else {},
    )


# Columns


def quality_columns(names: list[str], more: dict[str, dict[str, Any]]) -> list[Column]:
    """Columns of the metrics ``names``; ``more``: what the manifest says of metrics that are not bundled."""
    plain = {"unit": "", "better": "neither", "description": "", "decimals": None}
    made = []
    for name in sorted(names, key=[*METRICS, *names].index):
        known = {key: getattr(METRICS[name], key) for key in ("label", *plain)} if name in METRICS else more.get(name)
        made.append(Column(name, kind="quality", **{"label": name, **plain, **(known or {})}))
    return made


def primary_names(metrics: list[Column]) -> list[str]:
    """Names of those that the rank stands on: of ``PRIMARY``, or else the first three that have a better direction."""
    found = [column.name for column in metrics if column.name in PRIMARY]
    return found or [column.name for column in metrics if column.better != "neither"][:3]


def diversity_columns(names: list[str]) -> list[Column]:
    return [
        Column(name, one.label, METRICS[one.metric].unit, "neither", "diversity", one.description, name == SPREAD,
               decimals=METRICS[one.metric].decimals)
        for name, one in SPREADS.items()
        if name in names
    ]  # fmt: skip


SPEED_COLUMNS = (
    Column("speed", "Speed", "× real time", "higher", "speed", "Seconds of audio made in a second, the inverse of "
           "the real-time factor. Above 1, a system makes sound faster than it plays.", headline=True),
    Column("rtf", "Real-time factor", "", "lower", "speed",
           "Seconds of work for one second of audio, the median over repetitions."),
    Column("latency", "Whole clip", "s", "lower", "speed", "Seconds from the mel to the whole clip, the median."),
    Column("repetitions", "Repetitions", "", "neither", "speed", "Timed calls; slow systems get fewer."),
    Column("memory", "Memory", "MiB", "lower", "speed", "How far memory on the device, or the process, grew in a "
           "call, at its peak; weights not counted.", scale=2.0**20),
    Column("parameters", "Parameters", "M", "lower", "speed", "Millions of numbers that training sets.", True, 1e6),
)  # fmt: skip


# Cells


def mean_cells(table: pd.DataFrame, columns: list[Column]) -> dict[str, dict[str, Cell]]:
    """Cells by system and column: means over clips, seeds averaged first."""
    cells: dict[str, dict[str, Cell]] = defaultdict(dict)
    for column in columns:
        by_clip = intervals.by_clip(table, column.name)
        by_clip = by_clip[by_clip.notna().any(axis=1)]
        systems = by_clip.drop(columns="original", errors="ignore")
        best = intervals.best(systems, column.better) if column.better != "neither" else None
        for name, values in by_clip.items():
            known = values.dropna()
            low, high = intervals.interval(known.to_list()) or (None, None)
            mean = float(known.mean()) if len(known) else None
            cell = Cell(mean, low, high, len(known), len(known) < len(values), best=name == best)
            cells[str(name)][column.name] = cell
    return cells


def headline_calls(calls: pd.DataFrame, device: str | None) -> pd.DataFrame:
    """The timed calls in the setting that is shown: the run's device, fewest clips at once, longest clip."""
    if calls.empty:
        return calls
    table = calls[calls["device"] == (device if device in set(calls["device"]) else calls["device"].iloc[0])]
    table = table[table["batch"] == table["batch"].min()]
    return table[table["asked"] == table["asked"].max()]


def condition(headline: pd.DataFrame, threads: int | None) -> str:
    """The setting in words."""
    if headline.empty:
        return ""
    first = headline.iloc[0]
    counted = f", {threads} thread{'s' if threads != 1 else ''}" if threads and str(first["device"]) == "cpu" else ""
    return failures.setting(first) + counted


def speed_cells(headline: pd.DataFrame) -> dict[str, dict[str, Cell]]:
    names = ("speed", "rtf", "latency", "repetitions", "memory")
    return {
        row["system"]: {
            name: Cell(None if pd.isna(row[name]) else float(row[name]), shorter=row["shortened"]) for name in names
        }
        for row in headline.assign(speed=1 / headline["rtf"]).to_dict("records")
    }


# Rows


def rank(
    quality: pd.DataFrame, metrics: list[Column], names: list[str]
) -> tuple[dict[str, tuple[int, int]], dict[str, float], int]:
    """Places with ties and mean scores by all of ``metrics``, and the number of clips that every system was given.

    What is combined, and what a failed clip counts, says ``intervals.combine``. Systems without any record, and those
    that are not among ``names``, have no place; neither has the original.
    """
    table = quality[quality["system"].isin(names) & (quality["system"] != "original")]
    if not metrics:
        return {}, {}, 0
    given = pd.crosstab(table["clip"], table["system"])
    clips = given.index[(given > 0).all(axis=1)]
    table = table[table["clip"].isin(clips)]
    if table.empty or given.shape[1] < 2:
        return {}, {}, 0
    tables = {column.name: intervals.by_clip(table, column.name) for column in metrics}
    scores = intervals.combine(tables, {column.name: column.better for column in metrics})
    means = {str(name): float(value) for name, value in scores.mean().items()}
    return intervals.ranks(scores), means, len(clips)


def make_row(name: str, entry: dict[str, Any], quality: pd.DataFrame, **found: Any) -> Row:
    known = {one.name for one in fields(Row)}
    facts = {key: value for key, value in entry.items() if key in known and value not in (None, "")}
    own = quality.loc[quality["system"] == name, "error"]
    about = {"name": name, "label": name, "title": name, "sounds": len(own), "failed": int(own.count())}
    return Row(**{**about, **facts}, entry=entry, **found)


def sounds(quality: pd.DataFrame) -> dict[str, dict[str, dict[int, dict[str, Any]]]]:
    """Records by clip, system and seed."""
    found: dict[str, dict[str, dict[int, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for record in quality.astype(object).where(quality.notna(), None).to_dict("records"):
        found[str(record["clip"])][record["system"]][int(record["seed"])] = record
    return dict(sorted(found.items()))
