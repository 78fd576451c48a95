"""The tables of ``eval/unconditional.py`` and ``eval/denoising.py``, from the records of a run: Markdown, CSV, JSON."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from tts_diffvoc_eval import records
from tts_diffvoc_eval.generation.metrics import Estimate, mean_over_sets

NONE = "–"
NOTES = (
    "Arrows point to the better end. In brackets, a 95 % bootstrap interval of the metric's mean over sets of this "
    "many clips; Wilson's for accuracy. The sounds vary, the training set and the classifier do not.",
    "Every metric but accuracy depends on the number of clips, FID most of all, which is too high for few: compare "
    "rows of one number. Features and probabilities are this classifier's; values of other papers don't compare.",
    "A generator with labels is given all labels in turn; another one chooses what it says.",
    "The training set's row is a sample of it against the rest of it, and stands for what a perfect generator would "
    "get; the held-back set's is of clips that neither the generators nor the classifier have heard.",
)
SUMMARY = """# Generated digits: {corpus}

`{command}`

{clips_to_train:,} clips to train on, {clips_held_back:,} held back ({credit}). Classifier: {classifier[parameters]:,} \
parameters, {classifier[training]}; {classifier[right]} of {clips_held_back:,} held-back clips right, \
{classifier[accuracy]:.1%} ({classifier[low]:.1%} to {classifier[high]:.1%}). NDB has K = {bins} bins.

## Generation (DiffWave's table 3)

{table}"""
# Of each value: its heading and decimals.
HEADINGS = {
    "fid": ("FID ↓", 3),
    "is": ("IS ↑", 2),
    "mis": ("mIS ↑", 1),
    "am": ("AM ↓", 3),
    "ndb": ("NDB/K ↓", 2),
    "accuracy": ("accuracy ↑", 3),
    "fid_class": ("FID per class, mean ± deviation ↓", 3),
    "gain": ("SI-SDR gain, dB ↑", 2),
    "after": ("SI-SDR, dB ↑", 2),
}


def rows(run: Path) -> list[dict[str, Any]]:
    """One row a system, in the order of the run: its description, its metrics over all seeds, and its failures."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for record in records.lines(run, "quality"):
        found.setdefault(record["system"], {})[record["seed"]] = record  # the last of two, after a failure
    return [_row(name, facts, [*found.get(name, {}).values()]) for name, facts in records.read(run, "systems").items()]


def _row(name: str, facts: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, Any]:
    good = [record for record in found if not record.get("error")]
    first = good[0] if good else {"values": {}}
    keys = [key for key in first["values"] if all(key in one["values"] for one in good)]
    seconds = [one["seconds_per_clip"] for one in good if one.get("seconds_per_clip") is not None]
    return {
        "name": name,
        **facts,
        "clips": first.get("clips"),
        "sets": len(good),
        "against": first.get("against"),
        "seconds_per_clip": sum(seconds) / len(seconds) if seconds else None,
        "failed": [f"seed {one['seed']}: {one['error']}" for one in found if one.get("error")],
        "values": {key: mean_over_sets([_estimate(one["values"][key]) for one in good])._asdict() for key in keys},
    }


def _estimate(values: dict[str, float | None]) -> Estimate:
    """What a record holds; JSON has null for a value without bounds."""
    return Estimate(*(math.nan if (value := values.get(name)) is None else float(value) for name in Estimate._fields))


def cells(row: dict[str, Any], keys: list[str]) -> dict[str, str]:
    """ "1.23 [1.20, 1.26]", or what of it there is, by heading."""
    found = {}
    for key in keys:
        heading, decimals = HEADINGS[key]
        value, low, high = _estimate(row["values"].get(key, {}))
        text = NONE if math.isnan(value) else f"{value:.{decimals}f}"
        if f"{key}_deviation" in row["values"]:
            text += f" ± {row['values'][f'{key}_deviation']['value']:.{decimals}f}"
        found[heading] = text if math.isnan(low) else f"{text} [{low:.{decimals}f}, {high:.{decimals}f}]"
    return found


def generation(found: list[dict[str, Any]]) -> pd.DataFrame:
    """DiffWave's table 3."""
    return pd.DataFrame(
        {
            "system": row["label"] + (" (untrained)" if row.get("training") == "untrained" else ""),
            **cells(row, ["fid", "is", "mis", "am", "ndb"]),
            "clips": clips(row),
            "against": row["against"] or NONE,
            "parameters": NONE if row.get("parameters") is None else f"{row['parameters']:,}",
            "s per clip": NONE if row["seconds_per_clip"] is None else f"{row['seconds_per_clip']:.3g}",
        }
        for row in found
    )


def generation_by_label(found: list[dict[str, Any]]) -> pd.DataFrame:
    """DiffWave's table 4; empty without a labelled system."""
    labelled = [row for row in found if "accuracy" in row["values"]]
    if all(row["family"] == "data" for row in labelled):
        return pd.DataFrame()
    return pd.DataFrame(
        {"system": row["label"], **cells(row, ["accuracy", "fid_class", "is", "mis"]), "clips": clips(row)}
        for row in labelled
    )


def denoising(found: list[dict[str, Any]]) -> pd.DataFrame:
    """DiffWave's section 5.4, of the rows of ``denoising.json``."""
    keys = list(dict.fromkeys(key for row in found for key in row["values"]))
    return pd.DataFrame(
        {"method": row["label"], "noise": row["noise"], "clips": str(row["clips"]), **cells(row, keys)} for row in found
    )


def clips(row: dict[str, Any]) -> str:
    """How many, "3 x 500" for three sets."""
    return f"{row['sets']} x {row['clips']}" if row["sets"] > 1 else str(row["clips"] or NONE)


def markdown(table: pd.DataFrame) -> str:
    escaped = table.map(lambda text: text.replace("|", "\\|"))
    return escaped.to_markdown(index=False, disable_numparse=True, colalign=("left", *["right"] * (table.shape[1] - 1)))


def write(run: Path) -> str:
    """``summary.md``, ``summary.csv`` and ``summary.json`` of a run's records; returns the tables of the first."""
    manifest, found = records.read(run, "manifest"), rows(run)
    facts, labelled = manifest["options"], generation_by_label(found)
    failures = "\n".join(f"- {row['label']}, {text}" for row in found for text in row["failed"])
    text = SUMMARY.format(command=manifest["command"], table=markdown(generation(found)), **facts)
    if len(labelled):
        text += f"\n\n## Generation by label (DiffWave's table 4)\n\n{markdown(labelled)}"
    if failures:
        text += f"\n\n## What failed\n\n{failures}"
    notes = "\n".join(f"- {note}" for note in NOTES)
    (run / "summary.md").write_text(f"{text}\n\n## How to read it\n\n{notes}\n", encoding="utf-8")
    write_csv(run / "summary.csv", found)
    records.write(run, "summary", {"rows": found})
    return text


def write_csv(path: Path, found: list[dict[str, Any]]) -> None:
    """One line a row, each value with its bounds in columns of their own."""
    table = pd.json_normalize(found).drop(columns="failed", errors="ignore")
    names = table.columns.str.replace(r"^values\.|\.value$", "", regex=True)
    table.columns = names.str.replace(r"\.(low|high)$", r"_\1", regex=True)
    table.to_csv(path, index=False, lineterminator="\n")
