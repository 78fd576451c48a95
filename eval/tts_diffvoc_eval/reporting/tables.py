"""The leaderboard as Markdown, CSV, JSON and LaTeX."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .board import Board, Cell, Column, Row
from .failures import setting

NONE = "–"
WIDEST = 7  # columns of a table
KINDS = {"quality": "Quality", "speed": "Speed", "size": "Size and work", "diversity": "Diversity over seeds"}
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "†": r"\textsuperscript{\dag}", "‡": r"\textsuperscript{\ddag}", "±": r"$\pm$", "–": "--", "−": "$-$",
    "×": r"$\times$", "…": r"\dots{}", "²": r"\textsuperscript{2}", "°": r"\textdegree{}",
}  # fmt: skip


# Cells


def number(value: float, decimals: int) -> str:
    said = f"{value:.{decimals}f}"
    return said[1:] if float(said) == 0 and said.startswith("-") else said


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


def marks(cell: Cell) -> str:
    return "†" * cell.partial + "‡" * cell.shorter


def parts(cell: Cell, column: Column) -> tuple[str, str]:
    """What a cell says: the value with its marks, and its interval, or ""."""
    if cell.value is None:
        return NONE, ""
    value = shown(cell.value, column) + marks(cell)
    if cell.low is None or cell.high is None or cell.half is None:
        return value, ""
    if column.kind == "speed":  # an interval of ratios lies askew
        return value, f"[{shown(cell.low, column)}, {shown(cell.high, column)}]"
    return value, f"± {number(cell.half / column.scale, digits(cell.value / column.scale, column))}"


def text(cell: Cell, column: Column) -> str:
    return " ".join(part for part in parts(cell, column) if part)


def failed(row: Row) -> str:
    """How many of a system's sounds failed, and how many values are missing beyond these."""
    if not row.sounds:
        return "not run"
    said = f"{row.failed} of {row.sounds}" if row.failed else "0"
    return said + (f"; {row.missing} values" if row.missing > 1 else "; 1 value" if row.missing else "")


def heading(column: Column, arrows: bool = True) -> str:
    unit = f" ({column.unit})" if column.unit else ""
    arrow = {"higher": " ↑", "lower": " ↓"}.get(column.better, "") if arrows else ""
    return f"{column.label}{unit}{arrow}"


# Which columns stand together


def sections(board: Board) -> list[tuple[str, list[Column]]]:
    """Tables narrow enough to read: title and columns, the overview first."""
    made = [("Overview", [column for column in board.columns if column.headline])]
    for kind, title in KINDS.items():
        columns = board.of(kind)
        for start in range(0, len(columns), WIDEST):
            part = f", part {start // WIDEST + 1}" if len(columns) > WIDEST else ""
            made.append((title + part, columns[start : start + WIDEST]))
    return made


def notes(board: Board) -> list[str]:
    """What a reader of the table must know, a sentence or two each."""
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
    said += _diversity_note(board)
    cells = [cell for row in board.rows for cell in row.cells.values() if cell.value is not None]
    if any(cell.partial for cell in cells):
        said.append("†: a mean over what could be measured; what could not is listed under the table.")
    if any(cell.shorter for cell in cells):
        said.append("‡: too slow for the whole clip; timed on a shorter one, and times scaled to the whole clip.")
    if any(row.untrained for row in board.rows):
        said.append("Untrained systems have random weights: their row shows that they run, not how good they could be.")
    return said


def _rank_note(board: Board) -> str:
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


def _diversity_note(board: Board) -> list[str]:
    column = board.main_diversity()
    if column is None:
        return ["Diversity was not measured."]
    said = f"{column.label}: {column.description}"
    floor = board.floors.get(column.name)
    if floor is not None:
        said += f" Noise floor: {shown(floor, column)} {column.unit}".rstrip() + (
            ", the original against itself shifted by one sample."
        )
    return [said]


# Markdown


def _escape(said: str) -> str:
    for character in "\\|*_[]":
        said = said.replace(character, f"\\{character}")
    return said.replace("<", "&lt;")


def _markdown_cell(cell: Cell, column: Column) -> str:
    said = _escape(text(cell, column))
    return f"**{said}**" if cell.best else said


def _markdown_table(header: list[str], rows: list[list[str]], words: int) -> str:
    """A table whose first ``words`` columns stand to the left, the others to the right."""
    rule = ["---" if i < words else "---:" for i in range(len(header))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *rows])


def _label(row: Row) -> str:
    return row.label + (" (untrained)" if row.untrained else "")


def overview(board: Board) -> str:
    """The short table in Markdown, for a README."""
    columns = [column for column in board.columns if column.headline]
    header = ["rank", "system", "training", *(_escape(heading(column)) for column in columns), "failures"]
    rows = [
        [row.rank_text(), _escape(row.label), _escape(row.training)]
        + [_markdown_cell(row.cell(column.name), column) for column in columns]
        + [failed(row)]
        for row in board.rows
    ]
    return _markdown_table(header, rows, 3)


def _full(board: Board, columns: list[Column]) -> str:
    header = ["rank", "system", *(_escape(heading(column)) for column in columns)]
    rows = [
        [row.rank_text(), _escape(_label(row)), *(_markdown_cell(row.cell(c.name), c) for c in columns)]
        for row in board.rows
    ]
    return _markdown_table(header, rows, 2)


def markdown(board: Board) -> str:
    pieces = ["# Leaderboard", _escape(summary(board)), overview(board)]
    pieces.append("\n".join(f"- {_escape(note)}" for note in notes(board)))
    pieces.append(_markdown_failures(board))
    for title, columns in sections(board)[1:]:
        pieces.append(f"## {title}\n\n{_full(board, columns)}")
    pieces.append(_settings(board))
    pieces.append("To hear and see the systems, open index.html; it says what each column means, too.")
    return "\n\n".join(piece for piece in pieces if piece) + "\n"


def _markdown_failures(board: Board) -> str:
    if not board.failures:
        return "Nothing failed."
    return "## Failures\n\n" + "\n".join(f"- {_escape(failure)}" for failure in board.failures)


def _settings(board: Board) -> str:
    """Real-time factors in every setting that was timed."""
    found, order = rates(board)
    if len(order) < 2:
        return ""
    rows = []
    for row in board.rows:
        values = [found.get((row.name, one)) for one in order]
        if any(value is not None for value in values):
            said = [NONE if value is None else shown(value) for value in values]
            rows.append([row.rank_text(), _escape(_label(row)), *said])
    return f"## Real-time factor by setting\n\n{_markdown_table(['rank', 'system', *order], rows, 2)}"


def rates(board: Board) -> tuple[dict[tuple[str, str], float], list[str]]:
    """Real-time factors by (system, setting in words), and the settings."""
    if board.speeds.empty:
        return {}, []
    table = [(row.system, setting(row), row.rtf) for row in board.speeds.itertuples()]
    known = {(name, one): float(rtf) for name, one, rtf in table if rtf is not None and math.isfinite(rtf)}
    return known, list(dict.fromkeys(one for _, one, _ in table))


def summary(board: Board) -> str:
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


# CSV and JSON: every value, unrounded and unscaled


def flat(board: Board) -> list[dict[str, Any]]:
    """One plain dictionary a system."""
    made = []
    for row in board.rows:
        first, last = row.rank or (None, None)
        line: dict[str, Any] = {"system": row.name, "label": row.label, "rank": first, "rank_last": last,
                                "family": row.family, "group": row.group, "steps": row.steps, "sampler": row.sampler,
                                "training": row.training, "untrained": row.untrained}  # fmt: skip
        for column in board.columns:
            cell = row.cell(column.name)
            line[column.name] = cell.value
            if column.kind in ("quality", "diversity") or column.name == "ratio":
                line |= {f"{column.name}_low": cell.low, f"{column.name}_high": cell.high}
            if column.kind in ("quality", "diversity"):
                line[f"{column.name}_clips"] = cell.count
        made.append({**line, "sounds": row.sounds, "sounds_failed": row.failed, "values_missing": row.missing})
    return made


def comma_separated(board: Board) -> str:
    lines = flat(board)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def as_json(board: Board) -> str:
    columns = {
        c.name: {"label": c.label, "unit": c.unit, "better": c.better, "kind": c.kind, "description": c.description}
        for c in board.columns
    }
    systems = [
        {"system": row.name, **row.entry, "rank": row.rank, "untrained": row.untrained, "sounds": row.sounds,
         "sounds_failed": row.failed, "values_missing": row.missing,
         "cells": {column.name: asdict(row.cell(column.name)) for column in board.columns}}
        for row in board.rows
    ]  # fmt: skip
    whole = {
        "primary": board.primary, "reference": board.reference, "speed": board.condition, "columns": columns,
        "systems": systems, "settings": _plain_settings(board), "noise_floors": board.floors,
        "failures": board.failures, "notes": notes(board), "manifest": board.manifest,
    }  # fmt: skip
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain_settings(board: Board) -> list[dict[str, Any]]:
    return [] if board.speeds.empty else json.loads(board.speeds.to_json(orient="records", double_precision=15))


# LaTeX


def escape_latex(said: str) -> str:
    return "".join(LATEX.get(character, character) for character in said)


def _latex_cell(cell: Cell, column: Column) -> str:
    said = escape_latex(text(cell, column))
    return rf"\textbf{{{said}}}" if cell.best else said


def _latex_heading(column: Column) -> str:
    arrow = {"higher": r" $\uparrow$", "lower": r" $\downarrow$"}.get(column.better, "")
    return escape_latex(heading(column, arrows=False)) + arrow


def latex(board: Board) -> str:
    """Tables for ``\\input``."""
    pieces = ["% Made by eval/report.py; needs \\usepackage{booktabs,graphicx}."]
    for title, columns in sections(board):
        if columns:
            pieces.append(_latex_table(board, title, columns))
    return "\n\n".join(pieces) + "\n"


def _latex_table(board: Board, title: str, columns: list[Column]) -> str:
    ends = title == "Overview"
    header = ["Rank", "System", *(_latex_heading(column) for column in columns), *(["Failures"] if ends else [])]
    lines = [" & ".join(header) + r" \\", r"\midrule"]
    for row in board.rows:
        cells = [escape_latex(row.rank_text()), escape_latex(_label(row))]
        cells += [_latex_cell(row.cell(column.name), column) for column in columns]
        lines.append(" & ".join(cells + ([failed(row)] if ends else [])) + r" \\")
    body = "\n".join(lines)
    return (
        f"\\begin{{table}}\n\\centering\\small\n\\caption{{{escape_latex(f'{title}. {_caption(board)}')}}}\n"
        f"\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n"
        f"\\begin{{tabular}}{{@{{}}ll{'r' * (len(header) - 2)}@{{}}}}\n\\toprule\n{body}\n\\bottomrule\n"
        "\\end{tabular}}\n\\end{table}"
    )


def _caption(board: Board) -> str:
    primary = ", ".join(column.label for column in board.main_metrics()) or "no metric"
    said = (
        f"Ranks with ties, by {primary}; ± is half of the 95 % interval over clips; bold: better than every "
        "other system by corrected paired differences."
    )
    return f"{said} Speed: {board.condition}." if board.condition else said


def write(run: Path, board: Board) -> None:
    """``leaderboard.md``, ``.csv``, ``.json`` and ``.tex`` of a run."""
    made = {"md": markdown(board), "csv": comma_separated(board), "json": as_json(board), "tex": latex(board)}
    for ending, content in made.items():
        (run / f"leaderboard.{ending}").write_text(content, encoding="utf-8", newline="\n")
