"""Do two runs agree in everything but timings?

    python eval/agreement.py results/one results/other

Prints, for each metric, how many values were compared, and the largest difference as a share of the larger value, with
where it is. Ends with status 1 if one is above --tolerance, or if a value or a failure is in one run alone. Another
processor or library rounds differently, and samplers carry that on: 2 % is what was seen between machines.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from tts_diffvoc.errors import DiffvocError, Failure
from tts_diffvoc_eval import records

KINDS = ("quality", "diversity")
LEAST = 0.01  # near zero a share means nothing; this is far below what any metric's decimals show


def values(run: Path) -> pd.DataFrame:
    """Every value of a run as ``metric``, ``where`` it was measured, and ``value``, NaN where there is none."""
    found = [
        (metric, " ".join(str(record.get(name, "")) for name in ("system", "clip", "seed")).strip(), value)
        for kind in KINDS
        for record in records.lines(run, kind)
        for metric, value in {**record["values"], "failures": float(record["error"] is not None)}.items()
    ]
    if not found:
        raise DiffvocError(f"{run} holds no records; give two folders that compare.py wrote.")
    return pd.DataFrame(found, columns=["metric", "where", "value"]).astype({"value": float})


def compare(one: Path, other: Path) -> pd.DataFrame:
    """By metric: how many ``values`` were compared, how many are in ``one_run_alone``, the ``largest`` difference as a
    share of the larger value (of 0.01 at least), and ``where`` it is.

    Raises: DiffvocError for a folder without records.
    """
    pair = values(one).merge(values(other), "outer", ["metric", "where"])
    a, b = pair["value_x"], pair["value_y"]
    share = (a - b).abs() / pair[["value_x", "value_y"]].abs().max(axis=1).clip(lower=LEAST)
    pair = pair.assign(largest=share.fillna(0.0), alone=a.isna() != b.isna())
    groups = pair.groupby("metric", sort=False)
    worst = pair.loc[groups["largest"].idxmax()].set_index("metric")[["largest", "where"]]
    return groups["alone"].agg(values="size", one_run_alone="sum").join(worst)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--tolerance", type=float, default=0.02, help="share of the larger value (default: 0.02)")


def run(options: argparse.Namespace) -> None:
    """Raises: Failure where the runs do not agree."""
    found = compare(options.one, options.other)
    print(found.to_markdown(floatfmt=".2%"))
    if found["one_run_alone"].any() or (found["largest"] > options.tolerance).any():
        raise Failure(f"the runs do not agree within {options.tolerance:.0%}, timings left out.")
    print(f"\nThe runs agree within {options.tolerance:.0%}, timings left out.")
