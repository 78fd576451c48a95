"""Do two runs agree in everything but timings?

    python eval/agree.py results/example results/mine

Prints what differs by more than --tolerance, as a share of the larger value, and ends with status 1 if anything does.
Another processor or library rounds differently, and samplers carry that on: 2 % is what was seen between machines.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import records

KEYS = {"quality": ("system", "clip", "seed"), "diversity": ("system", "clip")}
LEAST = 0.01  # near zero a share means nothing; this is far below what any metric's decimals show


def values(run: Path, kind: str) -> dict[str, dict[str, Any]]:
    """Values and failures of a run's records by system, clip and seed."""
    return {
        " ".join(str(record[name]) for name in KEYS[kind]): {**record["values"], "error": record["error"]}
        for record in records.lines(run, kind)
    }


def close(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=LEAST)
    return one == other


def compare(one: Path, other: Path, tolerance: float) -> list[str]:
    """What differs, a sentence each. Raises DiffvocError for a folder without records."""
    differences = []
    for kind in KEYS:
        first, second = values(one, kind), values(other, kind)
        if kind == "quality" and not (first and second):
            raise DiffvocError(f"{other if first else one} holds no records; give two folders that compare.py wrote.")
        differences += [f"{kind} of {key} is only in one run" for key in sorted(first.keys() ^ second.keys())]
        for key in sorted(first.keys() & second.keys()):
            for name in sorted(first[key].keys() | second[key].keys()):
                a, b = first[key].get(name), second[key].get(name)
                differences += [] if close(a, b, tolerance) else [f"{name} of {key}: {a} and {b}"]
    return differences


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--tolerance", type=float, default=0.02, help="share of the larger value (default: 0.02)")
    options = parser.parse_args(arguments)
    try:
        differences = compare(options.one, options.other, options.tolerance)
    except DiffvocError as error:
        print(f"agree.py: {error}", file=sys.stderr)
        return 2
    print("\n".join(differences) or "The runs agree in everything but timings.")
    return 1 if differences else 0
