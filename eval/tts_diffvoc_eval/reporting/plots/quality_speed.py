"""Quality over speed, with the Pareto front."""

from __future__ import annotations

import math

from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from tts_diffvoc_eval.reporting.leaderboard import Column, Leaderboard
from tts_diffvoc_eval.reporting.plots.style import (
    BARS_SAID,
    Plot,
    axis_label,
    draw_legend,
    draw_original,
    error_bars,
    family,
    folded,
    limits,
    name_points,
    narrow,
    new_axes,
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


def plot(leaderboard: Leaderboard, column: Column) -> Plot | None:
    """Quality over speed, with the systems that none beats in both."""
    points = [
        (row, speed, value)
        for row in leaderboard.systems()
        if (speed := row.value("speed")) and (value := row.value(column.name)) is not None
    ]
    if not points:
        return None
    ahead = front([(1 / speed, value) for _, speed, value in points], column.better != "lower")
    kept = [points[i] for i in ahead]
    title = f"{column.label} against speed: {len(kept)} of {len(points)} systems are beaten by none in both"
    figure, axes = new_axes(title)
    rows, speeds = [row for row, _, _ in points], [speed for _, speed, _ in points]
    axes.set_xscale("log")
    span = math.log(max(speeds) / min(speeds)) or 1.0
    axes.set_xlim(min(speeds) * math.exp(-0.12 * span), max(speeds) * math.exp(0.3 * span))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if span > math.log(100) else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(limits(rows, column.name, leaderboard))
    for row, speed, value in points:
        color, marker, _ = family(row.family)
        axes.errorbar(speed, value, error_bars([row], column.name), color=color, fmt=marker, elinewidth=0.9, ms=7)
    line = [(speed, value) for _, speed, value in kept]
    axes.step(*zip(*line), where="post", color="#555555", lw=1.1, ls="--", zorder=1)
    draw_original(axes, leaderboard, column)
    if axes.get_xlim()[0] < 1 < axes.get_xlim()[1]:
        axes.axvline(1, color="#888888", lw=0.8, zorder=1)
        axes.annotate(" real time", (1, 0), xycoords=("data", "axes fraction"), xytext=(1, 3),
                      textcoords="offset points", fontsize=7.5, color="#555555")  # fmt: skip
    axes.set_xlabel(folded(f"Speed (× real time), higher is faster: {leaderboard.condition}", 11))
    axes.set_ylabel(axis_label(column))
    corner = "right and down" if column.better == "lower" else "right and up"
    draw_legend(figure, rows, [Line2D([], [], color="#555555", ls="--", lw=1.1, label=f"front; {corner} is better")])
    first = {row.family if narrow() else row.title: row.name for row in reversed(rows)}.values()
    named = [points[i] for i, row in enumerate(rows) if i in ahead or row.name in first]
    name_points(axes, [(row.label, speed, value, "#222222") for row, speed, value in named])
    best = "; ".join(row.label for row, _, _ in kept)
    caption = (
        "Each mark is a system; names stand at the front and at the best of each kind. No other is both faster and "
        f"better than one on the front, by the means: {best}. {BARS_SAID}"
    )
    return Plot(f"quality-speed-{column.name}", figure, title, caption, metric=column.name)
