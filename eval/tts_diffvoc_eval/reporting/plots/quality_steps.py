"""Quality over the steps of a sampler."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from ..leaderboard import Column, Leaderboard, Row
from .labels import Name, beside
from .style import (
    BARS_SAID,
    DASHES,
    GROUP_COLORS,
    MARKERS,
    Plot,
    axis_label,
    draw_original,
    error_bars,
    limits,
    lines_of_steps,
    name_room,
    new_axes,
    set_title,
)


def plot(board: Leaderboard, column: Column) -> Plot | None:
    """Quality over network evaluations of one checkpoint, a line a sampler."""
    rows = [row for row in board.systems() if row.value(column.name) is not None]
    lines = lines_of_steps(rows)
    if not lines:
        return None
    figure, axes = new_axes()
    axes.set_xscale("log")
    groups = list(dict.fromkeys(line[0].title for line in lines))
    samplers = list(dict.fromkeys(line[0].sampler for line in lines))
    names = []
    for number, line in enumerate(lines):
        color = GROUP_COLORS[groups.index(line[0].title) % len(GROUP_COLORS)]
        which = samplers.index(line[0].sampler)
        x = [row.steps * 1.012 ** (number - (len(lines) - 1) / 2) for row in line]  # so that bars lie side by side
        y = [row.value(column.name) for row in line]
        axes.errorbar(x, y, yerr=error_bars(line, column.name), color=color, ls=DASHES[which % len(DASHES)],
                      marker=MARKERS[which % len(MARKERS)], ms=6, lw=1.5, elinewidth=0.9)  # fmt: skip
        names.append(Name(line[0].title, (x[-1], y[-1]), color, 8))
    draw_original(axes, board, column)
    axes.set_ylim(limits([row for line in lines for row in line], column.name, board))
    _step_ticks(axes, sorted({row.steps for line in lines for row in line}), max(len(name.text) for name in names))
    title = _change(column, lines)
    set_title(figure, title, axes)
    axes.set_xlabel("Steps of the sampler (network evaluations), fewer is faster")
    axes.set_ylabel(axis_label(column))
    beside(axes, names)
    caption = f"Each line is one checkpoint with one sampler. {BARS_SAID}"
    return Plot(f"quality-steps-{column.name}", figure, title, caption, metric=column.name)


def _step_ticks(axes: Axes, steps: list[int], longest: int) -> None:
    """Ticks at the steps, where they do not touch, and room for names of ``longest`` characters on the right."""
    kept: list[int] = []
    for step in steps:
        if not kept or step / kept[-1] >= 1.18:
            kept.append(step)
    axes.set_xticks(kept, [str(tick) for tick in kept])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    share = name_room(longest)
    span = math.log(max(steps) / min(steps)) or 1.0
    axes.set_xlim(min(steps) * math.exp(-0.05 * span), max(steps) * math.exp(span * share / (1 - share)))


def _change(column: Column, lines: list[list[Row]]) -> str:
    """The finding: how far the metric moves from the fewest to the most steps."""
    said: dict[str, str] = {}
    for line in sorted(lines, key=lambda line: (-len(line), line[0].title)):
        change = line[-1].value(column.name) - line[0].value(column.name)
        text = f"{line[0].title} {change:+.2f} from {line[0].steps} to {line[-1].steps} steps"
        said.setdefault(line[0].title, text.replace("-", "−", 1) if change < 0 else text)
    return f"{column.label}: " + ", ".join(list(said.values())[:2])
