"""The tables of a run as HTML, from its ``summary.json``, and from its ``denoising.json`` where there is one."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import records
from tts_diffvoc_eval.generation import tables
from tts_diffvoc_eval.generation.players import paragraph

# Of denoising.json: headings and decimals of what is known; whatever else it holds is shown by its own name.
MEASURES = {
    "before": ("SI-SDR before, dB ↑", 2),
    "gain": ("SI-SDR gain, dB ↑", 2),
    "after": ("SI-SDR, dB ↑", 2),
    "accuracy": ("digits known ↑", 3),
}


def section(run: Path) -> str:
    """The tables, the notes on how to read them, and what the generators were trained on."""
    manifest, found = records.read(run, "manifest"), rows_of(run)
    facts = manifest.get("options", {})
    judge = facts.get("classifier", {})
    parts = []
    if judge:
        text = paragraph(
            f"Every generator made {facts['count']:,} clips of each seed. A classifier judges them, with "
            f"{judge['parameters']:,} numbers ({judge['training']}), beside {facts['clips_to_train']:,} training clips "
            f"of {facts['corpus']}.",
            f"It is right about {judge['right']} of {facts['clips_held_back']:,} held-back recordings "
            f"({judge['accuracy']:.1%}); NDB has K = {facts['bins']} bins. The run was made by",
        )
        parts.append(f"{text}<pre>{escape(manifest['command'])}</pre>")
    parts.append("<h3>Generation (DiffWave’s table 3)</h3>" + table(tables.unconditional(found), "Generation"))
    labelled = tables.conditional(found)
    if labelled:
        title = "Generation by label"
        parts.append(f"<h3>{title} (DiffWave’s table 4)</h3>" + table(labelled, title))
    parts.append(_denoising(run))
    failed = [f"<li>{escape(row['label'])}, {escape(text)}</li>" for row in found for text in row["failed"]]
    if failed:
        parts.append(f'<div class="failures"><h3>What failed</h3><ul>{"".join(failed)}</ul></div>')
    notes = re.split(r"^- ", tables.NOTES, flags=re.MULTILINE)[1:]
    items = "".join(f"<li>{escape(' '.join(note.split()))}</li>" for note in notes)
    parts.append(f'<h3>How to read it</h3><div class="notes"><ul>{items}</ul></div>')
    systems = "".join(
        f"<dt>{escape(row['label'])}</dt><dd>Training: {escape(row['training'])}.</dd>"
        for row in found
        if row["family"] != "data"
    )
    if systems:
        parts.append(f'<h3>What the generators have seen</h3><dl class="meaning">{systems}</dl>')
    return "\n".join(part for part in parts if part)


def rows_of(run: Path) -> list[dict[str, Any]]:
    """The rows of ``summary.json``, as ``tables`` has them.

    Raises: DiffvocError where the folder holds no finished run.
    """
    try:
        found = records.read(run, "summary").get("rows")
        rows = [{**r, "values": {k: tables.estimate_of(v) for k, v in r["values"].items()}} for r in found or []]
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DiffvocError(f"{run / 'summary.json'} is not as unconditional.py writes it ({error!r}).") from None
    if not rows:
        raise DiffvocError(
            f"{run} holds no run to show: it has no summary.json; give the --output of eval/unconditional.py."
        )
    return rows


def table(markdown: str, caption: str) -> str:
    """HTML of one of our Markdown tables; intervals in brackets get a line of their own."""
    lines = [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in markdown.splitlines()
    ]
    heading, body = lines[0], lines[2:]
    first = ['<th scope="col" class="name">', *['<th scope="col">'] * (len(heading) - 1)]
    top = "".join(f"{tag}{escape(cell)}</th>" for tag, cell in zip(first, heading))
    rows = "".join(
        f'<tr><th scope="row" class="name">{escape(line[0])}</th>{"".join(map(_number, line[1:]))}</tr>\n'
        for line in body
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}, scrolls sideways">'
        f'<table class="numbers"><caption class="hidden">{escape(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>"
    )


def _number(cell: str) -> str:
    value, bracket, rest = cell.partition(" [")
    return f"<td>{escape(value)}" + (f' <span class="half">[{escape(rest)}</span></td>' if bracket else "</td>")


def _denoising(run: Path) -> str:
    """The table of ``denoising.json``, whatever it measured; nothing where there is none."""
    try:
        whole = records.read(run, "denoising")
        found = whole.get("rows") or []
        keys = list(dict.fromkeys(key for row in found for key in row["values"]))
        lines = [
            [str(row["label"]), str(row["noise"]), str(row["clips"]), *(_measured(row["values"], key) for key in keys)]
            for row in found
        ]
        command = (whole.get("manifest") or {}).get("command")
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DiffvocError(f"{run / 'denoising.json'} is not as denoising.py writes it ({error!r}).") from None
    if not lines:
        return ""
    heading = ["way", "noise", "clips", *(MEASURES.get(key, (key.replace("_", " "), 2))[0] for key in keys)]
    title = "Zero-shot denoising"
    made = f"<p>Made by</p><pre>{escape(command)}</pre>" if command else ""
    return f"<h3>{title} (DiffWave’s section 5.4)</h3>" + table(tables.markdown(heading, lines), title) + made


def _measured(values: dict[str, Any], key: str) -> str:
    """ "1.23 [1.20, 1.26]" of a value with bounds, or what of it there is."""
    found, decimals = values.get(key), MEASURES.get(key, ("", 2))[1]
    value, low, high = (found.get(name) for name in ("value", "low", "high")) if found else (None, None, None)
    if value is None:
        return tables.NONE
    bounds = f" [{low:.{decimals}f}, {high:.{decimals}f}]" if low is not None and high is not None else ""
    return f"{value:.{decimals}f}{bounds}"
