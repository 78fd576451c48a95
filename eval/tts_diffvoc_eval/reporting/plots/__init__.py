"""Plots of a run: readable in print and for the colour-blind, each with the finding as its title."""

from __future__ import annotations

from pathlib import Path

from ..leaderboard import Leaderboard
from . import diversity, mel_error, quality_speed, quality_steps, quality_training, scores
from .labels import settle
from .style import FAMILIES, Plot, family, plot_style

__all__ = ["FAMILIES", "Plot", "draw", "family"]


def draw(run: Path, board: Leaderboard) -> list[Plot]:
    """All plots that the records allow, as PNG in ``plots/``; those of a former drawing go."""
    folder = run / "plots"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    with plot_style():
        made = [scores.plot(board)]
        for kind in (quality_speed, quality_steps, quality_training, diversity):
            made += [kind.plot(board, column) for column in board.main_metrics()]
        plots = [plot for plot in [*made, mel_error.plot(run, board)] if plot]
        for plot in plots:
            settle(plot.figure)
            plot.figure.savefig(run / f"{plot.path}.png", metadata={"Software": None})
    return plots
