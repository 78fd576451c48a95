"""From the records of a run to the numbers of its leaderboard."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import intervals, records, timing

from . import failures, ranking
from .columns import diversity_columns, primary, quality_columns, speed_columns
from .leaderboard import Cell, Column, Leaderboard, Row

REFERENCES = ("hifigan-v2", "griffin-lim")
KEYS = ["system", "clip", "seed"]


def load(run: Path) -> Leaderboard:
    """The leaderboard of the run in the folder ``run``.

    Raises: DiffvocError where the folder is not a run, or has no record.
    """
    if not (run / "systems.json").is_file():
        raise DiffvocError(f"{run} is not a run of the benchmark: give a folder that compare.py wrote.")
    try:
        entries, manifest = records.read(run, "systems"), records.read(run, "manifest")
    except json.JSONDecodeError as error:
        raise DiffvocError(f"{run} cannot be read: its systems.json or manifest.json is not JSON ({error}).") from None
    tables = {kind: records.table(run, kind) for kind in records.KINDS}
    if all(table.empty for table in tables.values()):
        raise DiffvocError(f"{run} has no records yet; run compare.py with --resume and this folder.")
    return _board(manifest, entries, Measured(run, tables, manifest.get("metrics") or {}))


class Measured:
    """The records of a run: tables, of a record written twice the last, and columns for all that is in them."""

    def __init__(self, run: Path, tables: dict[str, pd.DataFrame], more: dict[str, Any]) -> None:
        self.quality, metrics = _valued(tables["quality"], run, "quality", KEYS)
        self.spread, measures = _valued(tables["diversity"], run, "diversity", KEYS[:2])
        self.metrics, self.measures = quality_columns(metrics, more), diversity_columns(measures)
        self.speed = tables["speed"]

    def names(self) -> list[str]:
        """Systems with any record."""
        tables = [table for table in (self.quality, self.speed, self.spread) if not table.empty]
        return [str(name) for table in tables for name in table["system"].unique()]

    def known(self) -> list[Column]:
        """Metrics with any value."""
        return [column for column in self.metrics if self.quality[column.name].notna().any()]


def _valued(table: pd.DataFrame, run: Path, kind: str, keys: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """``table`` with numbers where values are, also in columns that have none, and the names of these columns."""
    if table.empty:
        return table, []
    names: dict[str, None] = {}
    for record in records.lines(run, kind):
        names |= dict.fromkeys([*(record.get("values") or {}), *(record.get("reasons") or {})])
    table = table.drop_duplicates(keys, keep="last").reset_index(drop=True)
    table = table.assign(**{name: pd.to_numeric(table[name]) if name in table else math.nan for name in names})
    return table, list(names)


def _board(manifest: dict[str, Any], entries: dict[str, Any], measured: Measured) -> Leaderboard:
    quality, names = measured.quality, list(dict.fromkeys([*entries, *measured.names()]))
    reference = next((name for name in REFERENCES if name in names), None)
    speeds = timing.summarise(measured.speed, reference)
    headline = _headline(speeds, manifest)
    ranked_by = primary(measured.known())
    ranks = ranking.ranks(quality, [column for column in measured.metrics if column.name in ranked_by])
    cells = _cells(measured, entries, headline)
    rows = [
        _row(name, entries.get(name) or {}, ranks.ranges.get(name), cells.get(name, {}), _counts(measured, name))
        for name in sorted(names, key=lambda name: (name != "original", -ranks.scores.get(name, -math.inf), name))
    ]
    title = (entries.get(reference) or {}).get("label") or reference
    filled = {name for row in rows for name, cell in row.cells.items() if cell.value is not None}
    columns = [c for c in [*measured.metrics, *speed_columns(title), *measured.measures] if c.name in filled]
    floors = {c.name: cells.get("original", {}).get(c.name, Cell(None)).value for c in measured.measures}
    return Leaderboard(
        manifest=manifest,
        columns=columns,
        rows=rows,
        primary=ranked_by,
        reference=reference if headline is not None and reference in headline.index else None,
        condition=_condition(headline, manifest),
        speeds=speeds,
        failures=failures.sentences(rows, measured.metrics, quality, speeds, measured.spread),
        sounds=_sounds(quality),
        ranked_clips=ranks.clips,
        floors={name: value for name, value in floors.items() if value is not None},
    )


def _row(
    name: str, entry: dict[str, Any], rank: tuple[int, int] | None, cells: dict[str, Cell], counts: dict[str, int]
) -> Row:
    stated = ("label", "title", "family", "steps", "sampler", "training", "minutes", "trained_on", "run")
    facts = {key: entry[key] for key in stated if entry.get(key) not in (None, "")}
    return Row(**{"name": name, "label": name, "title": name, **facts}, entry=entry, rank=rank, cells=cells, **counts)


def _cells(measured: Measured, entries: dict[str, Any], headline: pd.DataFrame | None) -> dict[str, dict[str, Cell]]:
    """All cells, by system and column."""
    cells: dict[str, dict[str, Cell]] = {}
    quality, diversity = _quality_cells(measured), _diversity_cells(measured)
    for part in (quality, _speed_cells(headline), _size_cells(entries, headline), diversity):
        for name, of_system in part.items():
            cells.setdefault(name, {}).update(of_system)
    return cells


# Quality


def _counts(measured: Measured, name: str) -> dict[str, int]:
    """Sounds, failed ones, and missing values of a system."""
    if measured.quality.empty:
        return {}
    own = measured.quality[measured.quality["system"] == name]
    whole = own[own["error"].isna()]
    missing = sum(int(whole[column.name].isna().sum()) for column in measured.metrics)
    return {"sounds": len(own), "failed": len(own) - len(whole), "missing": missing}


def _quality_cells(measured: Measured) -> dict[str, dict[str, Cell]]:
    """Means over clips, seeds averaged first."""
    cells: dict[str, dict[str, Cell]] = {}
    quality = measured.quality
    for column in measured.metrics:
        table = intervals.by_clip(quality, column.name)
        best = ranking.best(table.drop(columns="original", errors="ignore"), column.better)
        lacking = set(quality["system"][quality[column.name].isna()])
        for name in table:
            values = table[name].dropna().to_numpy()
            partial = len(values) < len(table) or name in lacking
            cell = Cell(*ranking.mean(values), len(values), partial, best=name == best)
            cells.setdefault(str(name), {})[column.name] = cell
    return cells


def _sounds(quality: pd.DataFrame) -> dict[str, dict[str, dict[int, dict[str, Any]]]]:
    sounds: dict[str, dict[str, dict[int, dict[str, Any]]]] = {}
    for record in quality.to_dict("records"):
        clean = {key: None if value != value else value for key, value in record.items()}
        sounds.setdefault(str(record["clip"]), {}).setdefault(record["system"], {})[int(record["seed"])] = clean
    return {clip: sounds[clip] for clip in sorted(sounds)}


# Speed, size, diversity


def _headline(speeds: pd.DataFrame, manifest: dict[str, Any]) -> pd.DataFrame | None:
    """The rows of the setting that the leaderboard shows: the run's device, fewest clips at once, longest clip."""
    if speeds.empty:
        return None
    devices = list(speeds["device"])
    device = manifest["device"] if manifest.get("device") in devices else devices[0]
    table = speeds[speeds["device"] == device]
    table = table[table["batch"] == table["batch"].min()]
    return table[table["asked"] == table["asked"].max()].set_index("system", drop=False)


def _condition(headline: pd.DataFrame | None, manifest: dict[str, Any]) -> str:
    if headline is None:
        return ""
    first, threads = headline.iloc[0], manifest.get("threads")
    clips = "one clip" if first["batch"] == 1 else f"{first['batch']} clips"
    return f"{clips} of {first['asked']:.3g} s on {first['device']}" + (
        f", {threads} thread{'s' if threads != 1 else ''}" if threads and str(first["device"]) == "cpu" else ""
    )


def _known(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _speed_cells(headline: pd.DataFrame | None) -> dict[str, dict[str, Cell]]:
    cells: dict[str, dict[str, Cell]] = {}
    for row in [] if headline is None else headline.to_dict("records"):
        rtf, p95, short = _known(row["rtf"]), _known(row["p95"]), bool(row["shortened"])
        stretched = p95 * row["asked"] / row["seconds"] if short and p95 is not None else p95
        cells[row["system"]] = {
            "speed": Cell(1 / rtf if rtf else None, shorter=short),
            "rtf": Cell(rtf, shorter=short),
            "ratio": _ratio(row, short),
            "p50": Cell(_known(row["latency"]), shorter=short),
            "p95": Cell(stretched, shorter=short),
            "repetitions": Cell(_known(row["repetitions"])),
        }
    return cells


def _ratio(row: dict[str, Any], short: bool) -> Cell:
    """The reference itself is 1 without an interval."""
    ratio, low, high = (_known(row[key]) for key in ("ratio", "ratio_low", "ratio_high"))
    return Cell(ratio, shorter=short) if low == high == 1 else Cell(ratio, low, high, shorter=short)


def _size_cells(entries: dict[str, Any], headline: pd.DataFrame | None) -> dict[str, dict[str, Cell]]:
    cells = {
        name: {key: Cell(_known((entry or {}).get(key))) for key in ("parameters",)}
        for name, entry in entries.items()
        if name != "original"
    }
    for row in [] if headline is None else headline.to_dict("records"):
        for key in ("process_memory", "device_memory"):
            cells.setdefault(row["system"], {})[key] = Cell(_known(row[key]), shorter=bool(row["shortened"]))
    return cells


def _diversity_cells(measured: Measured) -> dict[str, dict[str, Cell]]:
    cells: dict[str, dict[str, Cell]] = {}
    for column in measured.measures:
        table = intervals.by_clip(measured.spread, column.name)
        for name in table:
            values = table[name].dropna().to_numpy()
            cells.setdefault(str(name), {})[column.name] = Cell(
                *ranking.mean(values), len(values), len(values) < len(table)
            )
    return cells
