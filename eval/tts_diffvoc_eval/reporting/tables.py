"""The leaderboard as Markdown, CSV and JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from tts_diffvoc_eval.reporting.answer import NOTE
from tts_diffvoc_eval.reporting.leaderboard import SPREAD
from tts_diffvoc_eval.reporting.rows import UNINTELLIGIBLE, Cell, Column, Leaderboard, Row, listed

NONE = "–"
KINDS = {"quality": "Quality", "speed": "Speed and size", "diversity": "Diversity over seeds"}


# Cells


def number(value: float, decimals: int) -> str:
    shown = f"{value:.{decimals}f}"
    return shown[1:] if float(shown) == 0 and shown.startswith("-") else shown


def digits(value: float, column: Column | None = None) -> int:
    """Decimals of ``value``: the column's own, or so many that three significant digits show."""
    if column is not None and column.decimals is not None:
        return column.decimals
    if value == 0 or (float(value).is_integer() and abs(value) < 1e6):
        return 0
    return min(6, max(0, 2 - math.floor(math.log10(abs(value)))))


def shown(value: float, column: Column | None = None) -> str:
    """``value`` as people read it."""
    scaled = value / column.scale if column is not None else value
    return number(scaled, digits(scaled, column))


def parts(cell: Cell, column: Column) -> tuple[str, str]:
    """What a cell says: the value with its marks, and its interval, or ""."""
    if cell.value is None:
        return NONE, ""
    value = shown(cell.value, column) + "†" * cell.partial + "‡" * cell.shorter
    if cell.low is None or cell.high is None:
        return value, ""
    half = (cell.high - cell.low) / 2
    return value, f"± {number(half / column.scale, digits(cell.value / column.scale, column))}"


def failed(row: Row) -> str:
    """How many of a system's sounds failed."""
    if not row.sounds:
        return "not run"
    return f"{row.failed} of {row.sounds}" if row.failed else "0"


def heading(column: Column) -> str:
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.label}{unit}" + {"higher": " ↑", "lower": " ↓"}.get(column.better, "")


# What a reader must know


def notes(leaderboard: Leaderboard) -> list[str]:
    """A sentence or two each."""
    said = [_rank_note(leaderboard)] if leaderboard.primary else ["Quality was not measured, so there are no ranks."]
    if lost := [row.label for row in leaderboard.systems() if not row.intelligible]:
        said.append(
            f"Not ranked, as they have not learnt to speak ({UNINTELLIGIBLE:g} % of the words or more are wrong): "
            f"{'; '.join(lost)}."
        )
    if leaderboard.of("quality"):
        said.append(
            "± is half of the 95 % interval over clips (bootstrap; Student's with fewer than 6); seeds of a clip are "
            "averaged first. Bold: better than every other system, by paired differences over clips, corrected for the "
            "number of comparisons."
        )
    said.append(f"Speed: {leaderboard.condition}." if leaderboard.condition else "Speed was not measured.")
    spread = leaderboard.by_name.get(SPREAD)
    original = leaderboard.row("original")
    floor = original.value(SPREAD) if original and spread else None
    if spread:
        said.append(f"{spread.label}: {spread.description}")
    if spread and floor is not None:
        said[-1] += f" Noise floor: {shown(floor, spread)} {spread.unit}, the original one sample later."
    cells = [cell for row in leaderboard.rows for cell in row.cells.values() if cell.value is not None]
    if any(cell.partial for cell in cells):
        said.append("†: a mean over what could be measured; what could not is listed under the table.")
    if any(cell.shorter for cell in cells):
        said.append("‡: too slow for the whole clip; timed on a shorter one, and times scaled to the whole clip.")
    return said


def _rank_note(leaderboard: Leaderboard) -> str:
    names = [column.label for column in leaderboard.main_metrics()]
    said = (
        f"Rank: {listed(names)}{', in standard deviations and averaged,' * (len(names) > 1)} give each clip a score. "
        "One system stands before another only where the paired difference of their scores over clips excludes zero at "
        "95 %, corrected for the number of pairs (Holm). A range such as 2–4 means that the system may hold any of "
        "these places. A clip that failed counts as the worst value on that clip. The original is the ceiling and has "
        "no rank."
    )
    if not leaderboard.ranked_clips:
        return f"{said} No clip has been given to every system yet, so there are no ranks."
    return f"{said} Ranks stand on {leaderboard.ranked_clips} clip{'s' if leaderboard.ranked_clips != 1 else ''}."


def summary(leaderboard: Leaderboard) -> str:
    """The run in a line."""
    manifest, clips = leaderboard.manifest, len(leaderboard.sounds)
    threads, seeds = manifest.get("threads"), manifest.get("seeds") or []
    pieces = [
        f"{len(leaderboard.systems())} system" + "s" * (len(leaderboard.systems()) != 1),
        f"{clips} clip" + ("s" if clips != 1 else ""),
        f"seed{'s' if len(seeds) != 1 else ''} {', '.join(str(seed) for seed in seeds)}" if seeds else "",
        f"{manifest.get('device') or ''}" + (f", {threads} thread" + ("s" if threads != 1 else "") if threads else ""),
        str(manifest.get("processor") or ""),
        str(manifest.get("date") or "")[:10],
        f"commit {str(manifest['commit'])[:10]}" if manifest.get("commit") else "",
    ]
    return " · ".join(piece for piece in pieces if piece)


# Files


def _escape(text: str) -> str:
    return re.sub(r"([\\|*_\[\]])", r"\\\1", text).replace("<", "&lt;")


FACTS: dict[str, Callable[[Row], str]] = {
    "rank": Row.rank_text,
    "system": lambda row: row.label,
    "training": lambda row: row.training,
    "failures": failed,
}


def table(
    rows: list[Row],
    columns: list[Column],
    before: Sequence[str] = ("rank", "system"),
    after: Sequence[str] = (),
) -> str:
    """A line a system in Markdown: ``columns`` between some of ``FACTS``; bold is better than every other system."""
    made = {fact: [_escape(FACTS[fact](row)) for row in rows] for fact in before}
    for column in columns:
        cells = [row.cell(column.name) for row in rows]
        words = [" ".join(filter(None, parts(cell, column))) for cell in cells]
        made[_escape(heading(column))] = [f"**{word}**" if cell.best else word for cell, word in zip(cells, words)]
    made |= {fact: [_escape(FACTS[fact](row)) for row in rows] for fact in after}
    align = ["left"] * len(before) + ["right"] * (len(made) - len(before))
    return pd.DataFrame(made).to_markdown(index=False, colalign=align, disable_numparse=True)


def overview(leaderboard: Leaderboard) -> str:
    """The short table in Markdown, for a README."""
    columns = [column for column in leaderboard.columns if column.headline]
    return table(leaderboard.rows, columns, ("rank", "system", "training"), ("failures",))


def by_data_set(leaderboard: Leaderboard) -> list[tuple[str, list[Row], list[Column]]]:
    """Title, rows and columns of a table a data set: the metrics that the rank stands on, where they apply."""
    made = []
    for name, rows in leaderboard.data_sets.items():
        columns = [c for c in leaderboard.main_metrics() if any(row.value(c.name) is not None for row in rows)]
        clips = max(row.cell(column.name).count or 0 for row in rows for column in columns)
        made.append((f"{name}, {clips} clip{'s' * (clips > 1)}", rows, columns))
    return made


def markdown(leaderboard: Leaderboard) -> str:
    answer = "\n".join(f"- {_escape(sentence)}" for sentence in leaderboard.answer)
    pieces = ["# Leaderboard", *([answer, NOTE] if answer else [])]
    pieces += [_escape(summary(leaderboard)), overview(leaderboard)]
    pieces.append("\n".join(f"- {_escape(note)}" for note in notes(leaderboard)))
    failures = "\n".join(f"- {_escape(failure)}" for failure in leaderboard.failures)
    pieces.append(f"## Failures\n\n{failures}" if failures else "Nothing failed.")
    for kind, title in KINDS.items():
        if columns := leaderboard.of(kind):
            pieces.append(f"## {title}\n\n{table(leaderboard.rows, columns)}")
    if leaderboard.data_sets:
        pieces.append("## By data set")
    for title, rows, columns in by_data_set(leaderboard):
        pieces.append(f"**{_escape(title)}**\n\n{table(rows, columns, ('system',))}")
    pieces.append("To hear and see the systems, open index.html; it says what each column means, too.")
    return "\n\n".join(pieces) + "\n"


def flat(leaderboard: Leaderboard) -> pd.DataFrame:
    """Every value, unrounded and unscaled: a row a system."""
    made = []
    for row in leaderboard.rows:
        first, last = row.rank or (None, None)
        line: dict[str, Any] = {"system": row.name, "label": row.label, "rank": first, "rank_last": last}
        line |= {name: getattr(row, name) for name in ("family", "title", "steps", "sampler", "training")}
        for column in leaderboard.columns:
            cell = row.cell(column.name)
            line[column.name] = cell.value
            if column.kind in ("quality", "diversity"):
                line |= {f"{column.name}_{end}": getattr(cell, end) for end in ("low", "high")}
                line[f"{column.name}_clips"] = cell.count
        made.append({**line, "sounds": row.sounds, "sounds_failed": row.failed})
    return pd.DataFrame(made, dtype=object)


def as_json(leaderboard: Leaderboard) -> str:
    """The same with what the columns mean, the failures, the notes and the manifest."""
    kept = ("label", "unit", "better", "kind", "description")
    systems = [
        {"system": row.name, **row.entry, "rank": row.rank, "sounds": row.sounds, "sounds_failed": row.failed,
         "cells": {column.name: asdict(row.cell(column.name)) for column in leaderboard.columns}}
        for row in leaderboard.rows
    ]  # fmt: skip
    whole = {
        "primary": leaderboard.primary, "speed": leaderboard.condition,
        "columns": {column.name: {name: getattr(column, name) for name in kept} for column in leaderboard.columns},
        "systems": systems, "settings": json.loads(leaderboard.speeds.to_json(orient="records", double_precision=15)),
        "answer": leaderboard.answer, "failures": leaderboard.failures, "notes": notes(leaderboard),
        "data_sets": {name: [{"system": row.name, "cells": {k: asdict(cell) for k, cell in row.cells.items()}}
                             for row in rows] for name, rows in leaderboard.data_sets.items()},
        "manifest": leaderboard.manifest,
    }  # fmt: skip
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write(run: Path, leaderboard: Leaderboard) -> None:
    """``README.md``, ``leaderboard.csv`` and ``leaderboard.json`` of a run."""
    plain = flat(leaderboard).to_csv(index=False, lineterminator="\n")
    made = {"README.md": markdown(leaderboard), "leaderboard.csv": plain, "leaderboard.json": as_json(leaderboard)}
    for name, content in made.items():
        (run / name).write_text(content, encoding="utf-8", newline="\n")
