"""Diversity over seeds against quality."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from scipy import stats

from ..leaderboard import Column, Leaderboard
from .style import (
    BARS_SAID,
    STEPS_SAID,
    Plot,
    axis_label,
    draw_legend,
    draw_original,
    draw_points,
    error_bars,
    limits,
    name_points,
    new_axes,
    set_title,
)


def plot(board: Leaderboard, column: Column) -> Plot | None:
    """Is diversity over seeds bought with error?"""
    spread = board.main_diversity()
    if spread is None:
        return None
    rows = [row for row in board.systems() if None not in (row.value(spread.name), row.value(column.name))]
    if not any(row.value(spread.name) for row in rows):
        return None
    figure, axes = new_axes()
    axes.set_xlim(limits(rows, spread.name, board, 0.12))
    axes.set_ylim(limits(rows, column.name, board))
    draw_points(axes, rows, spread.name, column.name, bars_across=True)
    draw_original(axes, board, column)
    title = _relation(spread, column, [(row.value(spread.name), row.value(column.name)) for row in rows])
    set_title(figure, title, axes)
    axes.set_xlabel(axis_label(spread))
    axes.set_ylabel(axis_label(column))
    _floor(axes, board.floors.get(spread.name))
    draw_legend(figure, rows)
    lines = [[(x, y) for y in axes.get_ylim()] for x in (0.0, board.floors.get(spread.name)) if x is not None]
    for row, (low, high) in zip(rows, error_bars(rows, spread.name).T):
        x, y = row.value(spread.name), row.value(column.name)
        lines.append([(x - low, y), (x + high, y)])
    name_points(axes, rows, spread.name, column.name, lines)
    caption = (
        f"{spread.description} Deterministic systems lie at zero. The dash-dotted line is the noise floor: the "
        f"original beside itself one sample later. {STEPS_SAID} {BARS_SAID}"
    )
    return Plot(f"diversity-{column.name}", figure, title, caption, metric=column.name)


def _floor(axes: Axes, floor: float | None) -> None:
    if floor is None:
        return
    axes.axvline(floor, color="#888888", lw=0.9, ls="-.", zorder=1)
    axes.annotate("noise floor", (floor, 0), xycoords=("data", "axes fraction"), xytext=(3, 3),
                  textcoords="offset points", fontsize=7.5, color="#555555")  # fmt: skip


def _relation(spread: Column, column: Column, points: list[tuple[float, float]]) -> str:
    """The finding: the rank correlation over systems that differ between seeds, where it is surely not zero."""
    moving = np.array([point for point in points if point[0] > 0])
    plain = f"{spread.label} over seeds against {column.label}"
    if len(moving) < 4 or len(set(moving[:, 0])) < 3 or len(set(moving[:, 1])) < 3:
        return plain
    rho, p = stats.spearmanr(moving[:, 0], moving[:, 1])
    figures = f"(rank correlation {rho:.2f}, {len(moving)} systems)".replace("-", "−")
    if p > 0.05:
        return f"{plain}: no clear relation {figures}"
    return f"Wider {spread.label.lower()} goes with {'higher' if rho > 0 else 'lower'} {column.label} {figures}"
