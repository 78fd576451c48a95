"""The page of a run: one static index.html that works from ``file://``, made of page.html, page.css and page.js."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from tts_diffvoc_eval.reporting import plots, spectrograms, tables
from tts_diffvoc_eval.reporting.plots import Plot
from tts_diffvoc_eval.reporting.rows import Leaderboard

HERE = Path(__file__).parent
VIEWS = {
    "overview": "Overview", "quality": "Quality", "speed": "Speed and size", "diversity": "Diversity", "all": "All",
}  # fmt: skip
SHAPES = {"*": "★", "o": "●", "D": "◆", "s": "■", "^": "▲", "X": "✖", "P": "✚"}  # the markers of the plots
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True,
    undefined=jinja2.StrictUndefined, keep_trailing_newline=True,
)  # fmt: skip
TEMPLATES.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "allow_nan": False}


def write(run: Path, leaderboard: Leaderboard, pictures: list[Plot], drawn: set[str]) -> None:
    """``index.html`` of a run; ``drawn``: the spectrograms that exist."""
    families = dict.fromkeys(row.family for row in leaderboard.rows)
    page = TEMPLATES.get_template("page.html").render(
        leaderboard=leaderboard,
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
        tables=tables,
        mark=mark,
        family=plots.family,
        families=sorted(families, key=lambda name: list(plots.FAMILIES).index(name) if name in plots.FAMILIES else 99),
        views={
            name: label for name, label in VIEWS.items() if name in ("overview", "speed", "all") or leaderboard.of(name)
        },
        pictures=pictures,
        manifest_json=json.dumps(leaderboard.manifest, indent=1, ensure_ascii=False),
        data=_data(run, leaderboard, drawn),
    )
    (run / "index.html").write_text(page, encoding="utf-8", newline="\n")


def mark(name: str) -> Markup:
    """The marker of a family."""
    color, shape, label = plots.family(name)
    span = Markup('<span class="mark" role="img" aria-label="{}" style="color: {}">{}</span>')
    return span.format(label, "inherit" if name == "original" else color, SHAPES[shape])


def _data(run: Path, leaderboard: Leaderboard, drawn: set[str]) -> dict[str, Any]:
    """What the script needs: systems, clips, seeds and sounds."""
    seeds = sorted({seed for systems in leaderboard.sounds.values() for takes in systems.values() for seed in takes})
    systems = [
        {"name": row.name, "label": row.label, "family": row.family,
         "deterministic": row.entry.get("deterministic", False)}
        for row in leaderboard.rows
    ]  # fmt: skip
    sounds: dict[str, dict[str, dict[str, Any]]] = {}
    for clip, of_clip in leaderboard.sounds.items():
        for system, takes in of_clip.items():
            made = {str(seed): _sound(run, leaderboard, record, drawn) for seed, record in sorted(takes.items())}
            sounds.setdefault(system, {})[clip] = made
    marks = {row.family: mark(row.family) for row in leaderboard.rows}
    return {
        "systems": systems, "clips": list(leaderboard.sounds), "seeds": seeds, "sounds": sounds, "marks": marks,
        "three": _three(leaderboard),
    }  # fmt: skip


def _three(leaderboard: Leaderboard) -> list[str]:
    """The original, the best system, and the best of another family that was trained; fewer where there are fewer."""
    learnt = [row for row in leaderboard.systems() if row.family != "signal" and row.training != "untrained"]
    best = learnt or leaderboard.systems()
    other = [row for row in best if row.family != best[0].family] or [row for row in best if row.name != best[0].name]
    return [row.name for row in [leaderboard.row("original"), *best[:1], *other[:1]] if row]


def _sound(run: Path, leaderboard: Leaderboard, record: dict[str, Any], drawn: set[str]) -> dict[str, Any]:
    audio = record.get("audio") or ""
    there = audio != "" and (run / audio).is_file()
    picture = spectrograms.where(audio) if there else ""
    scores = [
        f"{column.label} {tables.shown(record[column.name], column)}"
        for column in leaderboard.main_metrics()
        if record.get(column.name) is not None
    ]
    return {
        "audio": quote(audio) if there else None,
        "spectrogram": quote(picture) if picture in drawn else None,
        "seconds": record.get("seconds"),
        "error": record.get("error"),
        "scores": " · ".join(scores),
    }
