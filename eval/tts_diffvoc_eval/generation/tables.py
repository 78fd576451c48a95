"""The tables of ``eval/unconditional.py``, from the records of a run: Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_diffvoc_eval import records
from tts_diffvoc_eval.generation.judging import together
from tts_diffvoc_eval.generation.metrics import Estimate

NONE = "–"
NOTES = """\
- Arrows point to the better end. In brackets, a 95 % bootstrap interval of what the metric is on average for sets of
  this many clips; Wilson's for accuracy. The sounds vary, the training set and the classifier do not.
- Every metric but accuracy depends on the number of clips, FID most of all, which is too high for few: compare rows of
  one number. Features and probabilities are this classifier's, so that no value can be set beside another paper's.
- A generator with labels is given all labels in turn; another one chooses what it says.
- The training set's row is a sample of it against the rest of it, and stands for what a perfect generator would get;
  the held-back set's is of clips that neither the generators nor the classifier have heard.
"""


@dataclass(frozen=True)
class Column:
    """A metric in a table: its key in the records, its heading, and how many decimals mean something."""

    key: str
    heading: str
    decimals: int
    deviation: str | None = None  # the key of a second number, after ±


UNCONDITIONAL = (
    Column("fid", "FID ↓", 3),
    Column("is", "IS ↑", 2),
    Column("mis", "mIS ↑", 1),
    Column("am", "AM ↓", 3),
    Column("ndb", "NDB/K ↓", 2),
)
CONDITIONAL = (
    Column("accuracy", "accuracy ↑", 3),
    Column("fid_class", "FID per class, mean ± deviation ↓", 3, "fid_class_deviation"),
    Column("is", "IS ↑", 2),
    Column("mis", "mIS ↑", 1),
)


# Rows


def rows(run: Path) -> list[dict[str, Any]]:
    """One row a system, in the order of the run: its description, its metrics over all seeds, and its failures."""
    described, order = records.read(run, "systems"), {}
    for record in records.lines(run, "quality"):
        order.setdefault(record["system"], {})[record["seed"]] = record  # the last of two, after a failure
    return [_row(name, facts, list(order.get(name, {}).values())) for name, facts in described.items()]


def _row(name: str, facts: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, Any]:
    good = [record for record in found if not record.get("error")]
    keys = [key for key in (good[0]["values"] if good else {}) if all(key in one["values"] for one in good)]
    values = {key: together([estimate_of(one["values"][key]) for one in good]) for key in keys}
    spent = [one["seconds_per_clip"] for one in good if one.get("seconds_per_clip") is not None]
    return {
        "name": name,
        **facts,
        "clips": good[0]["clips"] if good else None,
        "sets": len(good),
        "against": good[0]["against"] if good else None,
        "seconds_per_clip": sum(spent) / len(spent) if spent else None,
        "failed": [f"seed {one['seed']}: {one['error']}" for one in found if one.get("error")],
        "values": values,
    }


def estimate_of(values: dict[str, float | None]) -> Estimate:
    """What a record holds; JSON has null for a value without bounds."""
    return Estimate(*(math.nan if values[name] is None else values[name] for name in Estimate._fields))


# Cells


def cell(row: dict[str, Any], column: Column) -> str:
    """ "1.23 [1.20, 1.26]", or what of it there is."""
    found = row["values"].get(column.key)
    if found is None or math.isnan(found.value):
        return NONE
    text = f"{found.value:.{column.decimals}f}"
    if column.deviation and column.deviation in row["values"]:
        text += f" ± {row['values'][column.deviation].value:.{column.decimals}f}"
    if not math.isnan(found.low):
        text += f" [{found.low:.{column.decimals}f}, {found.high:.{column.decimals}f}]"
    return text


def clips(row: dict[str, Any]) -> str:
    """How many, "3 x 500" for three sets."""
    if row["clips"] is None:
        return NONE
    return f"{row['sets']} x {row['clips']}" if row["sets"] > 1 else str(row["clips"])


def markdown(heading: list[str], lines: list[list[str]]) -> str:
    escaped = [[text.replace("|", "\\|") for text in line] for line in lines]
    rule = ["---", *["---:" for _ in heading[1:]]]
    return "".join(f"| {' | '.join(line)} |\n" for line in [heading, rule, *escaped])


def unconditional(found: list[dict[str, Any]]) -> str:
    """DiffWave's table 3."""
    heading = ["system", *(column.heading for column in UNCONDITIONAL), "clips", "against", "parameters", "s per clip"]
    return markdown(
        heading,
        [
            [
                row["label"] + ("" if row.get("training") != "untrained" else " (untrained)"),
                *(cell(row, column) for column in UNCONDITIONAL),
                clips(row),
                row["against"] or NONE,
                NONE if row.get("parameters") is None else f"{row['parameters']:,}",
                NONE if row["seconds_per_clip"] is None else f"{row['seconds_per_clip']:.3g}",
            ]
            for row in found
        ],
    )


def conditional(found: list[dict[str, Any]]) -> str:
    """DiffWave's table 4; empty without a labelled system."""
    labelled = [row for row in found if "accuracy" in row["values"]]
    if all(row["family"] == "data" for row in labelled):
        return ""
    lines = [[row["label"], *(cell(row, column) for column in CONDITIONAL), clips(row)] for row in labelled]
    return markdown(["system", *(column.heading for column in CONDITIONAL), "clips"], lines)


# Files


def write(run: Path) -> None:
    """``summary.md``, ``summary.csv`` and ``summary.json`` of a run's records."""
    manifest, found = records.read(run, "manifest"), rows(run)
    (run / "summary.md").write_text(page(manifest, found), encoding="utf-8")
    _write_csv(run / "summary.csv", found)
    plain = [{**row, "values": {k: _finite(v) for k, v in row["values"].items()}} for row in found]
    records.write(run, "summary", {"rows": plain})


def page(manifest: dict[str, Any], found: list[dict[str, Any]]) -> str:
    """The text of ``summary.md``."""
    facts = manifest["options"]
    judge = facts["classifier"]
    parts = [
        f"# Generated digits: {facts['corpus']}\n",
        f"`{manifest['command']}`\n",
        f"{facts['clips_to_train']:,} clips to train on, {facts['clips_held_back']:,} held back "
        f"({facts['credit']}). Classifier: {judge['parameters']:,} numbers, {judge['training']}; "
        f"{judge['right']} of {facts['clips_held_back']:,} held-back clips right, {judge['accuracy']:.1%} "
        f"({judge['low']:.1%} to {judge['high']:.1%}). NDB has K = {facts['bins']} bins.\n",
        "## Generation (DiffWave's table 3)\n\n" + unconditional(found),
    ]
    labelled = conditional(found)
    if labelled:
        parts.append("## Generation by label (DiffWave's table 4)\n\n" + labelled)
    failures = [f"- {row['label']}, {text}\n" for row in found for text in row["failed"]]
    if failures:
        parts.append("## What failed\n\n" + "".join(failures))
    return "\n".join([*parts, "## How to read it\n\n" + NOTES])


def _write_csv(path: Path, found: list[dict[str, Any]]) -> None:
    facts = ("name", "label", "family", "labelled", "steps", "sampler", "guidance", "parameters", "training")
    facts += ("clips", "sets", "against", "seconds_per_clip")
    keys = list(dict.fromkeys(key for row in found for key in row["values"]))
    heading = [*facts, *(f"{key}{end}" for key in keys for end in ("", "_low", "_high"))]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heading)
        for row in found:
            numbers = [row["values"].get(key, Estimate(*[math.nan] * 3)) for key in keys]
            writer.writerow(
                [
                    *(row.get(name) for name in facts),
                    *("" if math.isnan(x) else repr(x) for one in numbers for x in one),
                ]
            )


def _finite(found: Estimate) -> dict[str, float | None]:
    return json.loads(json.dumps({k: v if math.isfinite(v) else None for k, v in found._asdict().items()}))
