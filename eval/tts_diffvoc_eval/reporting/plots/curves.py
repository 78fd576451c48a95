"""Quality as one thing grows: the steps of a sampler, or the minutes of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.ticker import NullFormatter

from tts_diffvoc_eval.reporting.leaderboard import Column, Leaderboard, Row
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
    new_axes,
)

DASHES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (5, 1.5, 1, 1.5, 1, 1.5)), (0, (2, 3)))


def lines_by(rows: Sequence[Row], group: Callable[[Row], Any], place: Callable[[Row], Any]) -> list[list[Row]]:
    """``rows`` of one ``group`` each, in order of their ``place``, the first of one place; where there are several."""
    lines: dict[Any, dict[Any, Row]] = {}
    for row in sorted(rows, key=lambda row: (len(row.name), row.name)):
        if group(row) and place(row):
            lines.setdefault(group(row), {}).setdefault(place(row), row)
    found = [[line[at] for at in sorted(line)] for _, line in sorted(lines.items())]
    return [line for line in found if len(line) > 1]


def steps(leaderboard: Leaderboard, column: Column) -> Plot | None:
    """Quality over network evaluations of one checkpoint, a line a sampler."""
    rows = [row for row in leaderboard.systems() if row.value(column.name) is not None]
    lines = lines_by(rows, lambda row: row.title if row.steps else None, lambda row: row.steps)
    label = "Steps of the sampler (network evaluations), fewer is faster"
    caption = f"Each line is one checkpoint with one sampler. {BARS_SAID}"
    return _curves(leaderboard, column, lines, lambda row: float(row.steps or 0), "steps", label, caption)


def training(leaderboard: Leaderboard, column: Column) -> Plot | None:
    """Quality over the minutes that a system was trained for, a line a training."""
    rows = [row for row in leaderboard.systems() if row.value(column.name) is not None]
    lines = lines_by(rows, lambda row: row.run, lambda row: row.minutes)
    devices = sorted({line[-1].trained_on or "" for line in lines})
    label = f"Training (minutes{', ' if any(devices) else ''}{' or '.join(devices)})"
    caption = f"Each line is one training, its marks are checkpoints on the way. {BARS_SAID}"
    if len(devices) > 1:
        caption += " Minutes of unlike devices are not the same amount of work."
    return _curves(leaderboard, column, lines, lambda row: row.minutes or 0.0, "minutes", label, caption)


def _curves(
    leaderboard: Leaderboard,
    column: Column,
    lines: list[list[Row]],
    place: Callable[[Row], float],
    unit: str,
    label: str,
    caption: str,
) -> Plot | None:
    if not lines:
        return None
    title = _change(column, lines, place, unit)
    figure, axes = new_axes(title)
    axes.set_xscale("log")
    families: list[str] = []
    ends = []
    for line in lines:
        color, marker, _ = family(line[0].family)
        dashes = DASHES[families.count(line[0].family) % len(DASHES)]
        families.append(line[0].family)
        x, y = [place(row) for row in line], [row.value(column.name) or 0.0 for row in line]
        axes.errorbar(x, y, error_bars(line, column.name), color=color, ls=dashes, marker=marker, ms=5, elinewidth=0.8)
        ends.append((line[0].title, x[-1], y[-1], color))
    places = sorted({place(row) for line in lines for row in line})
    kept = [at for i, at in enumerate(places) if i == 0 or at / places[i - 1] >= 1.18]
    axes.set_xticks(kept, [f"{tick:g}" for tick in kept])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.set_xlim(places[0] / 1.1, places[-1] * (places[-1] / places[0]) ** 0.4)
    rows = [row for line in lines for row in line]
    axes.set_ylim(limits(rows, column.name, leaderboard))
    draw_original(axes, leaderboard, column)
    axes.set_xlabel(folded(label, 11))
    axes.set_ylabel(axis_label(column))
    draw_legend(figure, rows)
    name_points(axes, ends)
    name = "training" if unit == "minutes" else unit
    return Plot(f"quality-{name}-{column.name}", figure, title, caption, metric=column.name)


def _change(column: Column, lines: list[list[Row]], place: Callable[[Row], float], unit: str) -> str:
    """The finding: how far the metric moves along the two lines that end best."""
    sign = -1 if column.better == "lower" else 1
    best = sorted(lines, key=lambda line: -sign * (line[-1].value(column.name) or 0.0))[:2]
    said = []
    for line in best:
        change = (line[-1].value(column.name) or 0.0) - (line[0].value(column.name) or 0.0)
        text = f"{change:+.2f}".replace("-", "−")
        said.append(f"{line[0].title} {text} from {place(line[0]):g} to {place(line[-1]):g} {unit}")
    return f"{column.label}: {', '.join(said)}"
