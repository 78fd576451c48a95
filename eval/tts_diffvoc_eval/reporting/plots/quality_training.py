"""Quality over the minutes of training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from tts_diffvoc_eval import intervals

from ..leaderboard import Column, Leaderboard, Row
from .labels import Name, beside
from .style import (
    BARS_SAID,
    LOG_FROM,
    MORE_DASHES,
    Plot,
    axis_label,
    draw_legend,
    draw_original,
    error_bars,
    family,
    limits,
    name_room,
    new_axes,
    plain_number,
    set_title,
    shorten,
)


def lines_of_training(rows: list[Row]) -> list[list[Row]]:
    """Systems of one training, in order of its minutes; only where there are several.

    Of one checkpoint it is the system with the shortest name, which is the one with the checkpoint's own steps and
    sampler.
    """
    runs: dict[str, dict[float, Row]] = {}
    for row in sorted(rows, key=lambda row: (len(row.name), row.name)):
        if row.run and row.minutes is not None:
            runs.setdefault(row.run, {}).setdefault(row.minutes, row)
    lines = [[found[minutes] for minutes in sorted(found)] for _, found in sorted(runs.items())]
    return [line for line in lines if len(line) > 1]


def plot(board: Leaderboard, column: Column) -> Plot | None:
    """Quality over the minutes that a system was trained for, a line a training."""
    lines = [[row for row in line if row.value(column.name) is not None] for line in lines_of_training(board.systems())]
    lines = [line for line in lines if len(line) > 1]
    if not lines:
        return None
    devices = sorted({line[-1].trained_on or "" for line in lines})
    titles = names_of_lines(lines, len(devices) > 1)
    figure, axes = new_axes()
    longest = max(map(len, titles))
    move = minutes_axis(axes, [row.minutes for line in lines for row in line], longest)
    apart = min(0.004, 0.03 / len(lines))  # of the width, so that bars lie side by side
    names, drawn = [], Counter()
    for number, (line, title) in enumerate(zip(lines, titles)):
        color, marker, _ = family(line[0].family)
        dashes = MORE_DASHES[drawn[line[0].family] % len(MORE_DASHES)]
        drawn[line[0].family] += 1
        x = [move(row.minutes, apart * (number - (len(lines) - 1) / 2)) for row in line]
        y = [row.value(column.name) for row in line]
        axes.plot(x, y, color=color, ls=dashes, lw=1.4, zorder=2)
        heights = error_bars(line, column.name)
        axes.errorbar(x, y, heights, color=color, ls="", marker=marker, ms=5, mec="white", mew=0.6, elinewidth=0.8)
        names.append(Name(title, (x[-1], y[-1]), color, 8))
    axes.set_ylim(limits([row for line in lines for row in line], column.name, board))
    draw_original(axes, board, column, until=1.02 - name_room(longest))
    title = leader(board, column, lines, titles)
    set_title(figure, title, axes)
    device = "each on its device" if len(devices) > 1 else devices[0]
    axes.set_xlabel(f"Training of each system (minutes{', ' * bool(device)}{device})")
    axes.set_ylabel(axis_label(column))
    draw_legend(figure, [row for line in lines for row in line])
    beside(axes, names)
    caption = (
        "Each line is one training, its marks are checkpoints on the way, each with its own steps and sampler. "
        "Checkpoints of the same minutes are drawn side by side. Systems share the lead where paired differences over "
        f"clips do not tell them from the best. {BARS_SAID}"
    )
    if len(devices) > 1:
        caption += " Minutes of unlike devices are not the same amount of work."
    return Plot(f"quality-training-{column.name}", figure, title, caption, metric=column.name)


def names_of_lines(lines: list[list[Row]], with_device: bool) -> list[str]:
    """Labels of the last checkpoints without steps; where two are the same, with the name of the training."""
    titles = [line[-1].title for line in lines]
    on = [f" on {line[-1].trained_on}" if with_device and line[-1].trained_on else "" for line in lines]
    titles = [title + device for title, device in zip(titles, on)]
    again = {title for title, count in Counter(titles).items() if count > 1}
    return [shorten(f"{title} ({line[-1].run})" if title in again else title, 40) for title, line in zip(titles, lines)]


def minutes_axis(axes: Axes, minutes: list[float], longest: int) -> Callable[[float, float], float]:
    """Limits and ticks of x, with room for names of ``longest`` characters; returns how minutes move by a share of the
    width."""
    first, last, share = min(minutes), max(minutes), name_room(longest)
    if first > 0 and last / first > LOG_FROM:
        span = math.log(last / first)
        axes.set_xscale("log")
        axes.set_xlim(first * math.exp(-0.05 * span), last * math.exp(span * share / (1 - share)))
        locator = LogLocator(subs=(1.0,) if span > math.log(1000) else (1.0, 2.0, 5.0))
        _ticks_until(axes, locator.tick_values(first, last), last)
        return lambda at, by: at * math.exp(span * by)
    axes.set_xlim(0.0 if first > 0.05 * last else -0.05 * last, last / (1 - share))
    _ticks_until(axes, MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(0, last), last)
    return lambda at, by: at + last * by


def _ticks_until(axes: Axes, ticks: Sequence[float], last: float) -> None:
    """Those of ``ticks`` that lie in the axes and not under the names."""
    axes.set_xticks([tick for tick in ticks if axes.get_xlim()[0] <= tick <= 1.02 * last])
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.minorticks_off()


def leader(board: Leaderboard, column: Column, lines: list[list[Row]], titles: list[str]) -> str:
    """The finding: who is ahead at the end of training, and who may be as good by paired differences."""
    last = {line[-1].name: (line[-1].value(column.name), title) for line, title in zip(lines, titles)}
    on = {line[-1].trained_on for line in lines}
    device = f"{on.pop()} training" if len(on) == 1 and None not in on else "training"
    if len(lines) == 1:
        first, end = lines[0][0], lines[0][-1]
        change = f"{end.value(column.name) - first.value(column.name):+.2f}".replace("-", "−")
        return f"{column.label}: {titles[0]} {change} from {_some(first.minutes, end.minutes)} of {device}"
    sign = -1 if column.better == "lower" else 1
    order = sorted(last, key=lambda name: -sign * last[name][0])
    pairs = intervals.compare_all(_by_clip(board, column)[order])
    pairs = pairs[pairs["a"] == order[0]]
    behind = set(pairs["b"][pairs["sure"] & (sign * pairs["mean"] > 0)])
    found = [last[name][1] for name in order if name not in behind]
    least, most = (pick(line[-1].minutes for line in lines) for pick in (min, max))
    alike = most < 1.05 * least
    after = f"After {_some(least)} of {device} each" if alike else f"After {_some(least, most)} of {device}"
    if len(found) == 1:
        return f"{after}, {found[0]} leads in {column.label}"
    said = f"{len(found)} of {len(lines)} systems" if len(found) < len(lines) else f"all {len(lines)} systems"
    said = f"{', '.join(found[:-1])} and {found[-1]}" if len(found) < 4 else said
    return f"{after}, {said} share the lead in {column.label}: they cannot be told apart"


def _by_clip(board: Leaderboard, column: Column) -> pd.DataFrame:
    """Values of a metric, clips x systems, seeds averaged."""
    values = [
        {"clip": clip, "system": system, column.name: record.get(column.name)}
        for clip, systems in board.sounds.items()
        for system, takes in systems.items()
        for record in takes.values()
    ]
    return intervals.by_clip(pd.DataFrame(values), column.name)


def _some(*minutes: float) -> str:
    """How many minutes, in words: "1 minute", "5 to 20 minutes"."""
    said = [f"{value:.0f}" if value >= 10 else f"{value:.2g}" for value in minutes]
    return " to ".join(dict.fromkeys(said)) + (" minute" if set(said) == {"1"} else " minutes")
