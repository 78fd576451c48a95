"""Draw the report of a run again, from its records; no model is run.

    python eval/report.py results/<run>

Writes README.md, leaderboard.csv and .json, index.html, plots/ and spectrograms/ into the folder of the run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.reporting import page, plots, spectrograms, tables
from tts_diffvoc_eval.reporting.leaderboard import Leaderboard, load


def redraw(run: Path) -> Leaderboard:
    """Tables, plots, spectrograms and the page of the run in the folder ``run``; returns the numbers shown.

    Raises: DiffvocError where the folder is not a run, or has no record.
    """
    leaderboard = load(run)
    tables.write(run, leaderboard)
    pictures = plots.draw(run, leaderboard)
    made = spectrograms.draw(run, leaderboard)
    page.write(run, leaderboard, pictures, made)
    return leaderboard


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], prog="report.py")
    parser.add_argument("run", type=Path, help="the folder of a run, as compare.py wrote it")
    run = parser.parse_args(arguments).run
    try:
        leaderboard = redraw(run)
    except DiffvocError as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 1
    print(tables.overview(leaderboard))
    print(f"\nDrawn in {run}: open {run / 'index.html'}")
    return 0
