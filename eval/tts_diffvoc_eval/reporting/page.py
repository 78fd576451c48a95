"""The page of a run: one static index.html that works from ``file://``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from . import plots, spectrograms, tables
from .board import Board, Cell, Column, Row
from .plots import Picture

HERE = Path(__file__).parent
TITLE = "Vocoder benchmark"
VIEWS = {
    "overview": "Overview",
    "quality": "Quality",
    "speed": "Speed and size",
    "diversity": "Diversity",
    "all": "All",
}
SHAPES = {  # the markers of the plots, in a box of 16
    "*": '<path d="M8 1l2 4.7 5 .4-3.8 3.3 1.2 5L8 11.7 3.6 14.4l1.2-5L1 6.1l5-.4z"/>',
    "o": '<circle cx="8" cy="8" r="6"/>',
    "D": '<path d="M8 1l7 7-7 7-7-7z"/>',
    "s": '<path d="M2 2h12v12H2z"/>',
    "^": '<path d="M8 1.5L15 14H1z"/>',
    "X": '<path d="M1.5 4.5l3-3L8 5l3.5-3.5 3 3L11 8l3.5 3.5-3 3L8 11l-3.5 3.5-3-3L5 8z"/>',
    "P": '<path d="M5.5 1.5h5v4h4v5h-4v4h-5v-4h-4v-5h4z"/>',
}


def write(run: Path, board: Board, pictures: list[Picture], drawn: set[str]) -> None:
    """``index.html`` of a run; ``drawn``: the spectrograms that exist."""
    parts = {
        "title": escape(TITLE),
        "css": (HERE / "page.css").read_text(encoding="utf-8"),
        "script": (HERE / "page.js").read_text(encoding="utf-8"),
        "summary": escape(tables.summary(board)),
        "families": _families(board),
        "views": _views(board),
        "table": _table(board),
        "notes": "".join(f"<p>{escape(note)}</p>" for note in tables.notes(board)),
        "failures": _failures(board),
        "metrics": _metrics(board, pictures),
        "figures": "\n".join(_figure(picture) for picture in pictures) or "<p>The records allow no plot yet.</p>",
        "meaning": "".join(_meaning(column) for column in board.columns),
        "systems": "".join(_system(row) for row in board.rows),
        "manifest": _manifest(board.manifest),
        "data": _json(_data(run, board, drawn)),
    }
    template = (HERE / "page.html").read_text(encoding="utf-8")
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)
    (run / "index.html").write_text(page, encoding="utf-8", newline="\n")


def _json(value: Any) -> str:
    """JSON for a script element, which no text in it can end."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def mark(name: str) -> str:
    """The marker of a family as an SVG of its own."""
    color, shape, label = plots.family(name)
    fill = "currentColor" if name == "original" else color
    attributes = f'class="mark" viewBox="0 0 16 16" role="img" aria-label="{escape(label)}" fill="{fill}"'
    return f"<svg {attributes}>{SHAPES[shape]}</svg>"


# The table


def _families(board: Board) -> str:
    names = list(dict.fromkeys(row.family for row in board.rows))
    order = [name for name in plots.FAMILIES if name in names] + [name for name in names if name not in plots.FAMILIES]
    return "".join(
        f'<label><input type="checkbox" value="{escape(name)}" checked>{mark(name)} '
        f"{escape(plots.family(name)[2])}</label>"
        for name in order
    )


def _views(board: Board) -> str:
    empty = {kind for kind in ("quality", "diversity") if not board.of(kind)}
    return "".join(
        f'<label><input type="radio" name="view" value="{name}"{" checked" * (name == "overview")}> {label}</label>'
        for name, label in VIEWS.items()
        if name not in empty
    )


def _heading(classes: str, label: str, first: str, below: Sequence[str] = (), tip: str = "", sort: str = "") -> str:
    """A heading that sorts; ``first``: the direction of its first click."""
    below = "".join(f"<small>{escape(line)}</small>" for line in below)
    sort = f' aria-sort="{sort}"' if sort else ""
    return (
        f'<th scope="col" class="{classes}" data-first="{first}" data-label="{escape(label)}"{sort}>'
        f'<button type="button" title="{escape(tip)}">{escape(label)}<span class="arrow"></span>{below}</button></th>'
    )


def _table(board: Board) -> str:
    headings = [
        _heading("name", "System", "ascending"),
        _heading("column always", "Rank", "ascending", ["↓ better"], "Place, with ties", sort="ascending"),
        *(_column_heading(column) for column in board.columns),
        _heading("column headline", "Failures", "descending", tip="Sounds that failed, and values that are missing"),
        _heading("column headline text", "Training", "ascending"),
    ]
    rows = "\n".join(_row(board, row) for row in board.rows)
    return (
        '<table data-view="overview"><caption class="hidden">Systems by rank; click a heading to sort.</caption>\n'
        f"<thead><tr>{''.join(headings)}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>"
    )


def _classes(column: Column) -> str:
    kind = "speed" if column.kind == "size" else column.kind
    return f"column {kind}" + " headline" * column.headline


def _column_heading(column: Column) -> str:
    direction = {"higher": "↑ better", "lower": "↓ better"}.get(column.better, "")
    below = [part for part in (column.unit, direction) if part]
    first = "descending" if column.better == "higher" else "ascending"
    return _heading(_classes(column), column.label, first, below, column.description)


def _row(board: Board, row: Row) -> str:
    classes = " ".join(["untrained"] * row.untrained + ["ceiling"] * (row.name == "original"))
    tag = ' <span class="tag">untrained</span>' if row.untrained else ""
    rank = row.rank[0] + row.rank[1] / 1000 if row.rank else "0" * (row.name == "original")
    lost = row.failed + row.missing
    return (
        f'<tr data-system="{escape(row.name)}" data-family="{escape(row.family)}" class="{classes}">'
        f'<th scope="row" class="name" data-key="{escape(row.label)}">'
        f"<span>{mark(row.family)}<span>{escape(row.label)}{tag}</span></span></th>"
        f'<td class="column always" data-key="{rank}">{row.rank_text()}</td>'
        + "".join(_cell(row.cell(column.name), column) for column in board.columns)
        + f'<td class="column headline{" failed" * bool(lost)}" data-key="{lost}">{escape(tables.failed(row))}</td>'
        f'<td class="column headline text training" data-key="{escape(row.training)}">{escape(row.training)}</td></tr>'
    )


def _cell(cell: Cell, column: Column) -> str:
    value, spread = tables.parts(cell, column)
    spread = f'<span class="half">{escape(spread)}</span>' if spread else ""
    key = "" if cell.value is None else repr(cell.value)
    classes = _classes(column) + " best" * cell.best
    return f'<td class="{classes}" data-key="{key}"><span class="value">{value}</span>{spread}</td>'


def _failures(board: Board) -> str:
    if not board.failures:
        return ""
    said = "".join(f"<li>{escape(failure)}</li>" for failure in board.failures)
    return f'<div class="failures"><h3>What failed</h3><ul>{said}</ul></div>'


# Pictures and words


def _metrics(board: Board, pictures: list[Picture]) -> str:
    """Which metric the pictures show, where there is a choice."""
    drawn = {picture.metric for picture in pictures}
    columns = [column for column in board.main_metrics() if column.name in drawn]
    if len(columns) < 2:
        return ""
    choices = "".join(
        f'<label><input type="radio" name="metric" value="{escape(column.name)}"{" checked" * (column is columns[0])}> '
        f"{escape(column.label)}</label>"
        for column in columns
    )
    return f'<fieldset id="metrics"><legend>Metric</legend>{choices}</fieldset>'


def _figure(picture: Picture) -> str:
    """A plot that opens as a file of its own when it is clicked."""
    path, title = escape(picture.path), escape(picture.title)
    attributes = ' class="wide"' * picture.wide + f' data-metric="{escape(picture.metric)}"' * bool(picture.metric)
    return (
        f'<figure{attributes}><a class="plot" href="{path}.png"><img src="{path}.png" alt="{title}" loading="lazy"></a>'
        f"<figcaption><strong>{title}.</strong> {escape(picture.caption)}</figcaption></figure>"
    )


def _meaning(column: Column) -> str:
    better = {"higher": "higher is better", "lower": "lower is better"}.get(column.better, "neither way is better")
    unit = f"{escape(column.unit)}, " if column.unit else ""
    return f"<dt>{escape(column.label)}<small>{unit}{better}</small></dt><dd>{escape(column.description)}</dd>"


def _system(row: Row) -> str:
    said = [f"Training: {row.training}.".replace("..", ".")]
    said += [row.entry["note"]] if row.entry.get("note") else []
    term = f"{mark(row.family)} {escape(row.label)}<small>{escape(row.name)}</small>"
    return f"<dt>{term}</dt><dd>{escape(' '.join(said))}</dd>"


def _manifest(manifest: dict[str, Any]) -> str:
    short = ("date", "commit", "device", "processor", "threads", "sample_rate")
    names = {"sample_rate": "sample rate"}
    facts = [(names.get(key, key), str(manifest[key])) for key in short if manifest.get(key) is not None]
    versions = manifest.get("versions") or {}
    facts += [("versions", ", ".join(f"{name} {version}" for name, version in versions.items()))] if versions else []
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(said)}</dd>" for name, said in facts)
    command = f"<pre>{escape(str(manifest['command']))}</pre>" if manifest.get("command") else ""
    whole = escape(json.dumps(manifest, indent=1, ensure_ascii=False))
    details = f"<details><summary>The whole manifest</summary><pre>{whole}</pre></details>"
    return f'{command}<dl class="facts">{listed}</dl>{details}'


# What the script needs


def _data(run: Path, board: Board, drawn: set[str]) -> dict[str, Any]:
    seeds = sorted({seed for systems in board.sounds.values() for takes in systems.values() for seed in takes})
    systems = [
        {"name": row.name, "label": row.label, "family": row.family, "untrained": row.untrained,
         "deterministic": row.entry.get("deterministic", False)}
        for row in board.rows
    ]  # fmt: skip
    sounds: dict[str, dict[str, dict[str, Any]]] = {}
    for clip, of_clip in board.sounds.items():
        for system, takes in of_clip.items():
            made = {str(seed): _sound(run, board, record, drawn) for seed, record in sorted(takes.items())}
            sounds.setdefault(system, {})[clip] = made
    marks = {row.family: mark(row.family) for row in board.rows}
    return {"systems": systems, "clips": list(board.sounds), "seeds": seeds, "sounds": sounds, "marks": marks}


def _sound(run: Path, board: Board, record: dict[str, Any], drawn: set[str]) -> dict[str, Any]:
    audio = record.get("audio")
    there = bool(audio) and (run / audio).is_file()
    picture = spectrograms.where(audio) if there else None
    scores = [
        f"{column.label} {tables.shown(record[column.name], column)}"
        for column in board.main_metrics()
        if record.get(column.name) is not None
    ]
    return {
        "audio": quote(audio) if there else None,
        "spectrogram": quote(picture) if picture in drawn else None,
        "seconds": record.get("seconds"),
        "error": record.get("error"),
        "scores": " · ".join(scores),
    }
