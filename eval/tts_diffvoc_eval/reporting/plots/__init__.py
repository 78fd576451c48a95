"""Plots of a run: readable in print and for the colour-blind, each with the finding as its title."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image

from tts_diffvoc_eval.reporting.leaderboard import Leaderboard
from tts_diffvoc_eval.reporting.plots import curves, quality_speed, scores
from tts_diffvoc_eval.reporting.plots.style import FAMILIES, SIZES, Plot, family, plot_style

__all__ = ["FAMILIES", "Plot", "draw", "family"]


def draw(run: Path, leaderboard: Leaderboard) -> list[Plot]:
    """All plots that the records allow, as PNG in ``plots/``, for wide and narrow screens; former ones go."""
    folder = run / "plots"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    plots: list[Plot] = []
    for ending, size in reversed(SIZES.items()):
        with plot_style(size):
            made = [scores.plot(leaderboard)]
            for kind in (quality_speed.plot, curves.steps, curves.training):
                made += [kind(leaderboard, column) for column in leaderboard.main_metrics()]
            plots = [plot for plot in made if plot]
            for plot in plots:
                plot.figure.savefig(held := BytesIO())
                picture = Image.open(held).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
                picture.save(run / f"{plot.path}{ending}.png", optimize=True)
    return plots
