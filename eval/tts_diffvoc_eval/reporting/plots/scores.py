"""The metrics that ranks stand on, with intervals."""

from __future__ import annotations

import textwrap

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tts_diffvoc_eval.reporting.leaderboard import Leaderboard
from tts_diffvoc_eval.reporting.plots.style import (
    Plot,
    axis_label,
    draw_legend,
    draw_original,
    error_bars,
    family,
    folded,
    limits,
    narrow,
)


def plot(leaderboard: Leaderboard) -> Plot | None:
    """The metrics that ranks stand on, systems in order of rank, with intervals."""
    metrics = leaderboard.main_metrics()
    rows = [row for row in leaderboard.systems() if any(row.value(column.name) is not None for column in metrics)]
    if not rows:
        return None
    width = matplotlib.rcParams["figure.figsize"][0]
    across, down = (1, len(metrics)) if narrow() else (len(metrics), 1)
    size = (width if narrow() else 1.16 * width, 0.9 + down * (0.6 + 0.21 * len(rows)))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(down, across, sharey=True, squeeze=False).flatten()
    heights = np.arange(len(rows))[::-1]
    for axes, column in zip(panels, metrics):
        known = [(row, y) for row, y in zip(rows, heights) if row.value(column.name) is not None]
        for row, y in known:
            color, marker, _ = family(row.family)
            axes.errorbar(row.value(column.name), y, xerr=error_bars([row], column.name), color=color, fmt=marker, ms=5)
        axes.set_xlim(limits([row for row, _ in known], column.name, leaderboard, 0.06))
        draw_original(axes, leaderboard, column, upright=True)
        axes.set_xlabel(axis_label(column).replace(", ", ",\n"), fontsize=8)
        axes.tick_params(labelsize=7.5)
    longest = 28 if narrow() else 44
    names = [f"{textwrap.shorten(row.label, longest, placeholder='…')}  {row.rank_text():>5}" for row in rows]
    panels[0].set_yticks(heights, names)
    panels[0].set_ylim(-0.7, len(rows) - 0.3)
    title = _leaders(leaderboard)
    figure.suptitle(folded(title), fontsize=10.5, fontweight="bold", x=0.01, ha="left")
    dotted = Line2D([], [], color="#000000", lw=0.9, ls=(0, (1, 2)), label="original recording")
    draw_legend(figure, rows, [dotted] if leaderboard.row("original") else [])
    caption = (
        "Means with 95 % intervals over clips, systems in order of rank, the range of places beside the name. "
        "Intervals may overlap though their paired difference is significant: ranks stand on paired differences."
    )
    return Plot("scores", figure, title, caption, wide=True)


def _leaders(leaderboard: Leaderboard) -> str:
    first = [row for row in leaderboard.systems() if row.rank and row.rank[0] == 1]
    if len(first) == 1:
        return f"{first[0].label} ranks first"
    if not first:
        return "Scores of the systems"
    ranked = sum(row.rank is not None for row in leaderboard.systems())
    clips = f"{leaderboard.ranked_clips} clip{'s' if leaderboard.ranked_clips != 1 else ''}"
    if len(first) == ranked:
        return f"{clips} cannot tell the {ranked} systems apart"
    return f"{len(first)} of {ranked} systems may hold the first place: {clips} cannot tell them apart"
