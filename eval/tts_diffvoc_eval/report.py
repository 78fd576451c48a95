"""Draw the report of a run again, from its records; no model is run.

    python eval/report.py results/<run>

Writes README.md, leaderboard.csv and .json, index.html, plots/ and spectrograms/ into the folder of the run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tts_diffvoc_eval.reporting import page, plots, spectrograms, tables
from tts_diffvoc_eval.reporting.leaderboard import load
from tts_diffvoc_eval.reporting.rows import Leaderboard


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="the folder of a run, as compare.py wrote it")


def run(options: argparse.Namespace) -> None:
    """Draw, and print the overview."""
    leaderboard = redraw(options.run)
    print(tables.overview(leaderboard))
    print(f"\nDrawn in {options.run}: open {options.run / 'index.html'}")
