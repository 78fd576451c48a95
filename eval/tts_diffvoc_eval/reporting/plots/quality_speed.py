"""Quality over speed, with the Pareto front."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..leaderboard import Column, Leaderboard
from .style import (
    BARS_SAID,
    STEPS_SAID,
    Plot,
    axis_label,
    draw_legend,
    draw_original,
    draw_points,
    limits,
    log_axis,
    name_points,
    new_axes,
    set_title,
)


def front(points: list[tuple[float, float]], higher: bool) -> list[int]:
    """Which points (cost, quality) no other point beats in one and equals or beats in the other, cheapest first."""
    sign = 1 if higher else -1
    kept, best = [], -math.inf
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -sign * points[i][1])):
        if sign * points[i][1] > best:
            kept.append(i)
            best = sign * points[i][1]
    return kept


def plot(board: Leaderboard, column: Column) -> Plot | None:
    """Quality over speed, with the systems that none beats in both."""
    rows = [row for row in board.systems() if row.value("speed") and row.value(column.name) is not None]
    if not rows:
        return None
    figure, axes = new_axes()
    log_axis(axes, rows, "speed")
    axes.set_ylim(limits(rows, column.name, board))
    draw_points(axes, rows, "speed", column.name)
    draw_original(axes, board, column)
    _real_time(axes)
    able = [row for row in rows if not row.untrained] or rows
    costs = [(1 / row.value("speed"), row.value(column.name)) for row in able]
    kept = [able[i] for i in front(costs, column.better != "lower")]
    stairs = _stairs([(row.value("speed"), row.value(column.name)) for row in kept])
    axes.plot(*zip(*stairs), color="#555555", lw=1.1, ls="--", zorder=1)
    title = f"Pareto front of speed and {column.label}: {len(kept)} of {len(able)} systems"
    set_title(figure, title, axes)
    axes.set_xlabel(f"Speed (× real time), higher is faster: {board.condition}")
    axes.set_ylabel(axis_label(column))
    corner = "right and down" if column.better == "lower" else "right and up"
    draw_legend(figure, rows, [Line2D([], [], color="#555555", ls="--", lw=1.1, label=f"front; {corner} is better")])
    name_points(axes, rows, "speed", column.name, [stairs])
    best = "; ".join(row.label for row in kept)
    caption = (
        f"Each mark is a system. No trained one is both faster and better than one on the front, by the means: {best}. "
        f"{STEPS_SAID} {BARS_SAID}"
    )
    return Plot(f"quality-speed-{column.name}", figure, title, caption, metric=column.name)


def _stairs(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The border of what points of a front beat, these in order from the fastest."""
    corners = [(x, y) for (x, _), (_, y) in zip(points[1:], points)]
    return [at for pair in zip(points, [*corners, points[-1]]) for at in pair]


def _real_time(axes: Axes) -> None:
    """A line where sound is made as fast as it plays."""
    if axes.get_xlim()[0] < 1 < axes.get_xlim()[1]:
        axes.axvline(1, color="#888888", lw=0.8, zorder=1)
        axes.annotate(" real time", (1, 0), xycoords=("data", "axes fraction"), xytext=(1, 3),
                      textcoords="offset points", fontsize=7.5, color="#555555")  # fmt: skip
