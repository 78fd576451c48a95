"""The leaderboard as Markdown, CSV, JSON and LaTeX."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .failures import setting
from .leaderboard import Cell, Column, Leaderboard, Row

NONE = "–"
WIDEST = 7  # columns of a table
KINDS = {"quality": "Quality", "speed": "Speed", "size": "Size and work", "diversity": "Diversity over seeds"}
LATEX_TABLE = r"""\begin{table}
\centering\small
\caption{%s. Ranks with ties; ± is half of the 95 \%% interval over clips; bold: better than every other system by
corrected paired differences.}
\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%%
%s}
\end{table}"""


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
    if column.kind == "speed":  # an interval of ratios is not symmetric
        return value, f"[{shown(cell.low, column)}, {shown(cell.high, column)}]"
    half = (cell.high - cell.low) / 2
    return value, f"± {number(half / column.scale, digits(cell.value / column.scale, column))}"


def failed(row: Row) -> str:
    """How many of a system's sounds failed, and how many values are missing beyond these."""
    if not row.sounds:
        return "not run"
    sounds = f"{row.failed} of {row.sounds}" if row.failed else "0"
    return sounds + (f"; {row.missing} value{'s' * (row.missing > 1)}" if row.missing else "")


def heading(column: Column) -> str:
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.label}{unit}" + {"higher": " ↑", "lower": " ↓"}.get(column.better, "")


# Tables for people


def body(board: Leaderboard, columns: list[Column], overview: bool = False) -> tuple[pd.DataFrame, np.ndarray]:
    """The cells in words, and where they are bold."""
    rows = board.rows
    table = {"rank": [row.rank_text() for row in rows]}
    table["system"] = [row.label + " (untrained)" * (row.untrained and not overview) for row in rows]
    if overview:
        table["training"] = [row.training for row in rows]
    for column in columns:
        table[heading(column)] = [" ".join(filter(None, parts(row.cell(column.name), column))) for row in rows]
    if overview:
        table["failures"] = [failed(row) for row in rows]
    best = {heading(column): [row.cell(column.name).best for row in rows] for column in columns}
    frame = pd.DataFrame(table)
    return frame, pd.DataFrame(best).reindex(columns=frame.columns, fill_value=False).to_numpy(bool)


def sections(board: Leaderboard) -> list[tuple[str, list[Column]]]:
    """Tables narrow enough to read: title and columns, the overview first."""
    made = [("Overview", [column for column in board.columns if column.headline])]
    for kind, title in KINDS.items():
        columns = board.of(kind)
        for start in range(0, len(columns), WIDEST):
            part = f", part {start // WIDEST + 1}" if len(columns) > WIDEST else ""
            made.append((title + part, columns[start : start + WIDEST]))
    return made


def rates(board: Leaderboard) -> pd.DataFrame:
    """Real-time factors, systems x settings that were timed."""
    if board.speeds.empty:
        return pd.DataFrame()
    speeds = board.speeds.assign(
        setting=[setting(row) for row in board.speeds.itertuples()], rtf=pd.to_numeric(board.speeds["rtf"])
    )
    return speeds.pivot_table(index="system", columns="setting", values="rtf", sort=False)


# What a reader must know


def notes(board: Leaderboard) -> list[str]:
    """A sentence or two each."""
    said = [_rank_note(board)] if board.primary else ["Quality was not measured, so there are no ranks."]
    if board.of("quality"):
        said.append(
            "± is half of the 95 % interval over clips (bootstrap; Student's with fewer than 6); seeds of a clip are "
            "averaged first. Bold: better than every other system, by paired differences over clips, corrected for the "
            "number of comparisons."
        )
    said.append(f"Speed: {board.condition}." if board.condition else "Speed was not measured.")
    if board.reference:
        name = board.row(board.reference).label
        said.append(f"Time against {name}: 2 is twice as slow; in brackets the 95 % interval over repetitions.")
    said.append(_diversity_note(board))
    cells = [cell for row in board.rows for cell in row.cells.values() if cell.value is not None]
    if any(cell.partial for cell in cells):
        said.append("†: a mean over what could be measured; what could not is listed under the table.")
    if any(cell.shorter for cell in cells):
        said.append("‡: too slow for the whole clip; timed on a shorter one, and times scaled to the whole clip.")
    if any(row.untrained for row in board.rows):
        said.append("Untrained systems have random weights: their row shows that they run, not how good they could be.")
    return said


def _rank_note(board: Leaderboard) -> str:
    names = [column.label for column in board.main_metrics()]
    by = names[0] if len(names) == 1 else ", ".join(names[:-1]) + f" and {names[-1]}"
    said = (
        f"Rank: {by}{', in standard deviations and averaged,' * (len(names) > 1)} give each clip a score. One system "
        "stands before another only where the paired difference of their scores over clips excludes zero at 95 %, "
        "corrected for the number of pairs (Holm). A range such as 2–4 means that the system may hold any of these "
        "places. A clip that failed counts as the worst value on that clip. The original is the ceiling and "
        "has no rank."
    )
    if not board.ranked_clips:
        return f"{said} No clip has been given to every system yet, so there are no ranks."
    return f"{said} Ranks stand on {board.ranked_clips} clip{'s' if board.ranked_clips != 1 else ''}."


def _diversity_note(board: Leaderboard) -> str:
    column = board.main_diversity()
    if column is None:
        return "Diversity was not measured."
    said, floor = f"{column.label}: {column.description}", board.floors.get(column.name)
    if floor is None:
        return said
    value = f"{shown(floor, column)} {column.unit}".rstrip()
    return f"{said} Noise floor: {value}, the original against itself shifted by one sample."


def summary(board: Leaderboard) -> str:
    """The run in a line."""
    manifest, clips = board.manifest, len(board.sounds)
    threads, seeds = manifest.get("threads"), manifest.get("seeds") or []
    pieces = [
        f"{len(board.systems())} systems",
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


def _markdown_table(table: pd.DataFrame, bold: np.ndarray | None = None, words: int = 2) -> str:
    """A table whose first ``words`` columns are aligned to the left, the others to the right."""
    escaped = table.map(_escape).rename(columns=_escape)
    if bold is not None:
        escaped = escaped.mask(bold, "**" + escaped + "**")
    align = ["left"] * words + ["right"] * (table.shape[1] - words)
    return escaped.to_markdown(index=False, colalign=align, disable_numparse=True)


def overview(board: Leaderboard) -> str:
    """The short table in Markdown, for a README."""
    return _markdown_table(*body(board, sections(board)[0][1], overview=True), words=3)


def markdown(board: Leaderboard) -> str:
    pieces = ["# Leaderboard", _escape(summary(board)), overview(board)]
    pieces.append("\n".join(f"- {_escape(note)}" for note in notes(board)))
    failures = "\n".join(f"- {_escape(failure)}" for failure in board.failures)
    pieces.append(f"## Failures\n\n{failures}" if failures else "Nothing failed.")
    pieces += [f"## {title}\n\n{_markdown_table(*body(board, columns))}" for title, columns in sections(board)[1:]]
    found = rates(board)
    if found.shape[1] > 1:
        known = [row for row in board.rows if row.name in found.index]
        table = found.loc[[row.name for row in known]].map(lambda value: NONE if pd.isna(value) else shown(value))
        table.insert(0, "rank", [row.rank_text() for row in known])
        table.insert(1, "system", [row.label for row in known])
        pieces.append(f"## Real-time factor by setting\n\n{_markdown_table(table)}")
    pieces.append("To hear and see the systems, open index.html; it says what each column means, too.")
    return "\n\n".join(pieces) + "\n"


def flat(board: Leaderboard) -> pd.DataFrame:
    """Every value, unrounded and unscaled: a row a system."""
    made = []
    for row in board.rows:
        first, last = row.rank or (None, None)
        line: dict[str, Any] = {"system": row.name, "label": row.label, "rank": first, "rank_last": last}
        line |= {name: getattr(row, name) for name in ("family", "title", "steps", "sampler", "training", "untrained")}
        for column in board.columns:
            cell, averaged = row.cell(column.name), column.kind in ("quality", "diversity")
            line[column.name] = cell.value
            if averaged or column.name == "ratio":
                line |= {f"{column.name}_low": cell.low, f"{column.name}_high": cell.high}
            if averaged:
                line[f"{column.name}_clips"] = cell.count
        made.append({**line, "sounds": row.sounds, "sounds_failed": row.failed, "values_missing": row.missing})
    return pd.DataFrame(made, dtype=object)


def as_json(board: Leaderboard) -> str:
    """The same with what the columns mean, the failures, the notes and the manifest."""
    kept = ("label", "unit", "better", "kind", "description")
    systems = [
        {"system": row.name, **row.entry, "rank": row.rank, "untrained": row.untrained, "sounds": row.sounds,
         "sounds_failed": row.failed, "values_missing": row.missing,
         "cells": {column.name: asdict(row.cell(column.name)) for column in board.columns}}
        for row in board.rows
    ]  # fmt: skip
    whole = {
        "primary": board.primary, "reference": board.reference, "speed": board.condition,
        "columns": {column.name: {name: getattr(column, name) for name in kept} for column in board.columns},
        "systems": systems, "settings": json.loads(board.speeds.to_json(orient="records", double_precision=15)),
        "noise_floors": board.floors, "failures": board.failures, "notes": notes(board), "manifest": board.manifest,
    }  # fmt: skip
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def latex(board: Leaderboard) -> str:
    """Tables for ``\\input``."""
    pieces = ["% Made by eval/report.py; needs \\usepackage{booktabs,graphicx}."]
    for title, columns in sections(board):
        if columns:
            table, bold = body(board, columns)
            styled = table.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
            styled = styled.apply(lambda _, bold=bold: np.where(bold, "textbf:--rwrap", ""), axis=None)
            layout = f"@{{}}ll{'r' * len(columns)}@{{}}"
            pieces.append(LATEX_TABLE % (title, styled.to_latex(hrules=True, column_format=layout)))
    return "\n\n".join(pieces) + "\n"


def write(run: Path, board: Leaderboard) -> None:
    """``leaderboard.md``, ``.csv``, ``.json`` and ``.tex`` of a run."""
    plain = flat(board).to_csv(index=False, lineterminator="\n")
    made = {"md": markdown(board), "csv": plain, "json": as_json(board), "tex": latex(board)}
    for ending, content in made.items():
        (run / f"leaderboard.{ending}").write_text(content, encoding="utf-8", newline="\n")
