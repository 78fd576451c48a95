"""Plots of a run: readable in print and for the colour-blind, each with the finding as its title.

A family of systems has one colour (Okabe and Ito's palette) and one marker, here and on the page. Systems of one
checkpoint and sampler are a line with their steps as numbers, so that a name is written once.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from scipy import stats

from tts_diffvoc.mel import MelConfig, mel_filters
from tts_diffvoc_eval import intervals

from . import spectrograms
from .board import Board, Column, Row
from .labels import Name, beside, place, settle

# family: colour, marker of matplotlib, name
FAMILIES = {
    "original": ("#000000", "*", "original"),
    "diffusion": ("#0072B2", "o", "diffusion"),
    "flow": ("#009E73", "D", "flow"),
    "gan": ("#D55E00", "s", "GAN"),
    "autoregressive": ("#CC79A7", "^", "autoregressive"),
    "signal": ("#E69F00", "X", "signal processing"),
}
OTHER = ("#56B4E9", "P", "other")
GROUP_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")
MORE_DASHES = (*DASHES, (0, (8, 2)), (0, (5, 1.5, 1, 1.5, 1, 1.5)), (0, (2, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE = {
    "font.size": 9, "font.family": "DejaVu Sans", "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": "#e3e3e3", "grid.linewidth": 0.7, "axes.axisbelow": True,
    "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.edgecolor": "#555555",
    "legend.frameon": False, "legend.fontsize": 8, "savefig.dpi": 150, "figure.dpi": 150,
    "text.parse_math": False, "xtick.color": "#333333", "ytick.color": "#333333",
}  # fmt: skip
SIZE = (7.6, 5.2)  # inches: the width of a page in print
TITLE_WIDTH = 11.0  # characters an inch
MOST_PANELS = 12
LOG_FROM = 30  # times the shortest training that the longest is from which on an axis of minutes is logarithmic
BARS_SAID = "Bars are 95 % intervals over clips; one that meets the frame goes on beyond it."
WITH_STEPS = re.compile(r"(.+?), \d+ steps?(?:, (.+))?")  # a label: its title, steps, and perhaps the sampler
STEPS_SAID = "Numbers along a line, where there is room, are the steps of one checkpoint."


@dataclass(frozen=True)
class Picture:
    """A plot that was drawn: its path in the run without ending, what it shows, whether it is a wide one, and the
    metric that it is about, if one alone."""

    path: str
    title: str
    caption: str
    wide: bool = False
    metric: str = ""


@contextmanager
def style() -> Iterator[None]:
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE, "backend": "agg"}):
        yield


def family(name: str) -> tuple[str, str, str]:
    """Colour, marker and name of a family."""
    return FAMILIES.get(name, OTHER)


def draw(run: Path, board: Board) -> list[Picture]:
    """All plots that the records allow, as PNG in ``plots/``; those of a former drawing go."""
    folder = run / "plots"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    with style():
        pictures = [forest(run, board)]
        for picture in (quality_speed, quality_steps, quality_training, diversity_quality):
            pictures += [picture(run, board, column) for column in board.main_metrics()]
        pictures.append(mel_errors(run, board))
    return [picture for picture in pictures if picture]


# What plots share


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    return figure, figure.add_subplot()


def _save(
    run: Path, name: str, figure: Figure, title: str, caption: str, wide: bool = False, metric: str = ""
) -> Picture:
    settle(figure)
    figure.savefig(run / "plots" / f"{name}.png", metadata={"Software": None})
    return Picture(f"plots/{name}", title, caption, wide, metric)


def _titled(figure: Figure, title: str, axes: Axes | None = None) -> None:
    """The finding above a figure, in as many lines as it needs."""
    if axes is not None:
        width = int(TITLE_WIDTH * (figure.get_figwidth() - 0.6))
        axes.set_title(textwrap.fill(title, width, break_on_hyphens=False))
        return
    wrapped = textwrap.fill(title, int(TITLE_WIDTH * figure.get_figwidth()), break_on_hyphens=False)
    figure.suptitle(wrapped, fontsize=10.5, fontweight="bold", x=0.01, ha="left")


def _short(label: str, longest: int) -> str:
    return label if len(label) <= longest else label[: longest - 1] + "…"


def _axis(column: Column) -> str:
    """Name, unit and the better direction of a column."""
    arrow = {"higher": "higher is better", "lower": "lower is better"}.get(column.better)
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.label}{unit}" + (f", {arrow}" if arrow else "")


def bars(rows: list[Row], column: str) -> np.ndarray:
    """Lengths [2, systems] of the 95 % intervals below and above the values; zero where there is none."""
    cells = [row.cell(column) for row in rows]
    pairs = [(c.value - c.low, c.high - c.value) if c.low is not None else (0.0, 0.0) for c in cells]
    return np.maximum(np.array(pairs).T, 0.0)


def _dot(axes: Axes, row: Row, x: float, y: float, size: float = 7) -> None:
    """A system's mark, hollow when it is untrained."""
    color, marker, _ = family(row.family)
    face = "white" if row.untrained else color
    axes.plot(x, y, marker, ms=size, mfc=face, mec=color, mew=1.2, zorder=3)


def _legend(figure: Figure, rows: list[Row], extra: Sequence[Line2D] = ()) -> None:
    found = {row.family if row.family in FAMILIES else "other" for row in rows}
    handles = [
        Line2D([], [], color=color, marker=marker, ls="", label=label)
        for name, (color, marker, label) in {**FAMILIES, "other": OTHER}.items()
        if name in found
    ]
    if any(row.untrained for row in rows):
        handles.append(Line2D([], [], color="#555555", marker="o", ls="", mfc="white", label="hollow: untrained"))
    handles += extra
    figure.legend(handles=handles, loc="outside lower center", columnspacing=1.4,
                  ncols=math.ceil(len(handles) / math.ceil(len(handles) / 5)))  # fmt: skip


def _ceiling(axes: Axes, board: Board, column: Column, upright: bool = False, until: float = 1.0) -> None:
    """A line for the original, which no system need pass; one that ends early, at ``until`` of the width, is named on
    the left."""
    row = board.row("original")
    value = row.value(column.name) if row else None
    if value is None:
        return
    line = {"color": "#000000", "lw": 0.9, "ls": (0, (1, 2)), "zorder": 1}
    if upright:
        axes.axvline(value, **line)
        return
    axes.axhline(value, xmax=until, **line)
    at, gap, side = (0, 3, "left") if until < 1 else (1, 0, "right")
    axes.annotate("original recording", (at, value), xycoords=("axes fraction", "data"), xytext=(gap, 3),
                  textcoords="offset points", ha=side, va="bottom", fontsize=7.5, color="#333333")  # fmt: skip


def _limits(rows: list[Row], column: str, board: Board, room: float = 0.1) -> tuple[float, float]:
    """Limits of an axis from the values; an interval far wider than all values together does not set them."""
    original = board.row("original")
    cells = [row.cell(column) for row in [*rows, *([original] if original else [])]]
    cells = [cell for cell in cells if cell.value is not None]
    values = [cell.value for cell in cells]
    low, high = min(values), max(values)
    reach = 0.35 * (high - low) or 0.1 * abs(high) or 1.0
    lowest = min(value if cell.low is None else cell.low for cell, value in zip(cells, values))
    highest = max(value if cell.high is None else cell.high for cell, value in zip(cells, values))
    low, high = max(lowest, low - reach), min(highest, high + reach)
    span = (high - low) or reach
    return low - room * span, high + room * span


def _log_axis(axes: Axes, rows: list[Row], column: str, room: float = 0.12) -> None:
    """A logarithmic axis of x with plain numbers, and room for names."""
    axes.set_xscale("log")
    values = [row.value(column) for row in rows]
    span = math.log(max(values) / min(values)) or 1.0
    axes.set_xlim(min(values) * math.exp(-room * span), max(values) * math.exp(room * span))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if span > math.log(100) else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _plain(value: float, _: object = None) -> str:
    return f"{value:g}"


# Systems as points, those of one checkpoint as a line


def families_of_steps(rows: list[Row]) -> list[list[Row]]:
    """Systems of one checkpoint and sampler, in order of their steps; only where there are several."""
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in sorted((row for row in rows if row.steps), key=lambda row: (row.steps, row.name)):
        lines.setdefault((row.group, row.sampler or ""), []).append(row)
    return [found for _, found in sorted(lines.items()) if len(found) > 1]


def title_of(line: list[Row], others: Sequence[Row] = ()) -> str:
    """Name of a checkpoint with a sampler, from the labels: "DiffWave, DPM-Solver++"."""
    found = [match for row in line if (match := WITH_STEPS.fullmatch(row.label))]
    titles = {match[1] for match in found}
    title = titles.pop() if len(titles) == 1 and len(found) == len(line) else line[0].group
    same = [row for row in others if row.sampler == line[0].sampler]
    named = [match[2] for row in same if (match := WITH_STEPS.fullmatch(row.label)) and match[2]]
    sampler = named[0] if named else line[0].sampler
    return f"{title}, {sampler}" if sampler else title


def _points(axes: Axes, rows: list[Row], across: str, up: str, *, bars_across: bool = False) -> None:
    """Draw systems at (column ``across``, column ``up``) with intervals, and the lines of one checkpoint."""
    for row in rows:
        x, y, color = row.value(across), row.value(up), family(row.family)[0]
        wide = bars([row], across) if bars_across else None
        axes.errorbar(x, y, bars([row], up), wide, color=color, lw=0.9, alpha=0.55, zorder=2)
        _dot(axes, row, x, y)
    for number, line in enumerate(families_of_steps(rows)):
        color = family(line[0].family)[0]
        axes.plot([row.value(across) for row in line], [row.value(up) for row in line], color=color, lw=1, alpha=0.7,
                  ls=DASHES[number % len(DASHES)], zorder=2)  # fmt: skip


def _name_points(axes: Axes, rows: list[Row], across: str, up: str, lines: Sequence[Sequence] = ()) -> None:
    """Names of what :func:`_points` drew: steps as numbers along a line, whose name stands where it is most alone."""
    at = {row.name: (row.value(across), row.value(up)) for row in rows}
    names, numbered, joined = [], set(), []
    for line in families_of_steps(rows):
        color = family(line[0].family)[0]
        of_line = [at[row.name] for row in line]
        joined.append(of_line)
        numbered |= {row.name for row in line}
        lonely = _most_alone(axes, of_line, [at[row.name] for row in rows if row not in line])
        names.append(Name(title_of(line, rows), lonely, color, 8, "bold"))
        names += [Name(str(row.steps), at[row.name], color, 7, optional=True) for row in line]
    names += [Name(row.label, at[row.name]) for row in rows if row.name not in numbered]
    spans = [[(x, y - low), (x, y + high)]
             for row in rows for (x, y) in [at[row.name]] for low, high in bars([row], up).T]  # fmt: skip
    place(axes, names, list(at.values()), [*spans, *joined, *lines])


def _most_alone(axes: Axes, line: list[tuple[float, float]], others: list[tuple[float, float]]) -> tuple[float, float]:
    """The point of ``line`` that is farthest from ``others`` on the page."""
    if not others:
        return line[-1]
    here, there = (axes.transData.transform(points) for points in (line, others))
    nearest = np.hypot(*(here[:, None] - there[None]).transpose(2, 0, 1)).min(1)
    return line[int(nearest.argmax())]


# Quality against speed


def front(points: list[tuple[float, float]], higher: bool) -> list[int]:
    """Which points (cost, quality) no other point beats in one and equals or beats in the other, cheapest first."""
    sign = 1 if higher else -1
    kept, best = [], -math.inf
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -sign * points[i][1])):
        if sign * points[i][1] > best:
            kept.append(i)
            best = sign * points[i][1]
    return kept


def quality_speed(run: Path, board: Board, column: Column) -> Picture | None:
    """Quality over speed, with the systems that none beats in both."""
    rows = [row for row in board.systems() if row.value("speed") and row.value(column.name) is not None]
    if not rows:
        return None
    figure, axes = _figure()
    _log_axis(axes, rows, "speed")
    axes.set_ylim(_limits(rows, column.name, board))
    _points(axes, rows, "speed", column.name)
    _ceiling(axes, board, column)
    _real_time(axes)
    able = [row for row in rows if not row.untrained] or rows
    costs = [(1 / row.value("speed"), row.value(column.name)) for row in able]
    kept = [able[i] for i in front(costs, column.better != "lower")]
    stairs = _stairs([(row.value("speed"), row.value(column.name)) for row in kept])
    axes.plot(*zip(*stairs), color="#555555", lw=1.1, ls="--", zorder=1)
    title = f"Pareto front of speed and {column.label}: {len(kept)} of {len(able)} systems"
    _titled(figure, title, axes)
    axes.set_xlabel(f"Speed (× real time), higher is faster: {board.condition}")
    axes.set_ylabel(_axis(column))
    corner = "right and down" if column.better == "lower" else "right and up"
    _legend(figure, rows, [Line2D([], [], color="#555555", ls="--", lw=1.1, label=f"front; {corner} is better")])
    _name_points(axes, rows, "speed", column.name, [stairs])
    best = "; ".join(row.label for row in kept)
    caption = (
        f"Each mark is a system. No trained one is both faster and better than one on the front, by the means: {best}. "
        f"{STEPS_SAID} {BARS_SAID}"
    )
    return _save(run, f"quality-speed-{column.name}", figure, title, caption, metric=column.name)


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


# Quality against steps


def quality_steps(run: Path, board: Board, column: Column) -> Picture | None:
    """Quality over network evaluations of one checkpoint, a line a sampler."""
    rows = [row for row in board.systems() if row.value(column.name) is not None]
    lines = families_of_steps(rows)
    if not lines:
        return None
    figure, axes = _figure()
    axes.set_xscale("log")
    groups = list(dict.fromkeys(line[0].group for line in lines))
    samplers = list(dict.fromkeys(line[0].sampler for line in lines))
    names = []
    for number, line in enumerate(lines):
        color = GROUP_COLORS[groups.index(line[0].group) % len(GROUP_COLORS)]
        which = samplers.index(line[0].sampler)
        x = [row.steps * 1.012 ** (number - (len(lines) - 1) / 2) for row in line]  # so that bars lie side by side
        y = [row.value(column.name) for row in line]
        axes.errorbar(x, y, yerr=bars(line, column.name), color=color, ls=DASHES[which % len(DASHES)],
                      marker=MARKERS[which % len(MARKERS)], ms=6, lw=1.5, elinewidth=0.9)  # fmt: skip
        names.append(Name(title_of(line, rows), (x[-1], y[-1]), color, 8))
    _ceiling(axes, board, column)
    axes.set_ylim(_limits([row for line in lines for row in line], column.name, board))
    _step_ticks(axes, sorted({row.steps for line in lines for row in line}), max(len(name.text) for name in names))
    title = _change(column, lines)
    _titled(figure, title, axes)
    axes.set_xlabel("Steps of the sampler (network evaluations), fewer is faster")
    axes.set_ylabel(_axis(column))
    beside(axes, names)
    caption = f"Each line is one checkpoint with one sampler. {BARS_SAID}"
    return _save(run, f"quality-steps-{column.name}", figure, title, caption, metric=column.name)


def _step_ticks(axes: Axes, steps: list[int], longest: int) -> None:
    """Ticks at the steps, where they do not touch, and room for names of ``longest`` characters on the right."""
    kept: list[int] = []
    for step in steps:
        if not kept or step / kept[-1] >= 1.18:
            kept.append(step)
    axes.set_xticks(kept, [str(tick) for tick in kept])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    share = _room(longest)
    span = math.log(max(steps) / min(steps)) or 1.0
    axes.set_xlim(min(steps) * math.exp(-0.05 * span), max(steps) * math.exp(span * share / (1 - share)))


def _room(longest: int) -> float:
    """Share of the width that names of ``longest`` characters need on the right."""
    return min(0.45, 0.05 + 0.0115 * longest)


def _change(column: Column, lines: list[list[Row]]) -> str:
    """The finding: how far the metric moves from the fewest to the most steps."""
    said: dict[str, str] = {}
    for line in sorted(lines, key=lambda line: (-len(line), line[0].group)):
        change = line[-1].value(column.name) - line[0].value(column.name)
        text = f"{title_of(line).split(',')[0]} {change:+.2f} from {line[0].steps} to {line[-1].steps} steps"
        said.setdefault(line[0].group, text.replace("-", "−", 1) if change < 0 else text)
    return f"{column.label}: " + ", ".join(list(said.values())[:2])


# Quality against training


def families_of_training(rows: list[Row]) -> list[list[Row]]:
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


def quality_training(run: Path, board: Board, column: Column) -> Picture | None:
    """Quality over the minutes that a system was trained for, a line a training."""
    lines = [
        [row for row in line if row.value(column.name) is not None] for line in families_of_training(board.systems())
    ]
    lines = [line for line in lines if len(line) > 1]
    if not lines:
        return None
    devices = sorted({line[-1].trained_on or "" for line in lines})
    titles = _names_of_training(lines, len(devices) > 1)
    figure, axes = _figure()
    longest = max(map(len, titles))
    move = _minutes_axis(axes, [row.minutes for line in lines for row in line], longest)
    apart = min(0.004, 0.03 / len(lines))  # of the width, so that bars lie side by side
    names, drawn = [], Counter()
    for number, (line, title) in enumerate(zip(lines, titles)):
        color, marker, _ = family(line[0].family)
        dashes = MORE_DASHES[drawn[line[0].family] % len(MORE_DASHES)]
        drawn[line[0].family] += 1
        x = [move(row.minutes, apart * (number - (len(lines) - 1) / 2)) for row in line]
        y = [row.value(column.name) for row in line]
        axes.plot(x, y, color=color, ls=dashes, lw=1.4, zorder=2)
        axes.errorbar(x, y, bars(line, column.name), color=color, ls="", marker=marker, ms=5, mec="white", mew=0.6,
                      elinewidth=0.8, zorder=3)  # fmt: skip
        names.append(Name(title, (x[-1], y[-1]), color, 8))
    axes.set_ylim(_limits([row for line in lines for row in line], column.name, board))
    _ceiling(axes, board, column, until=1.02 - _room(longest))
    title = _lead(board, column, lines, titles)
    _titled(figure, title, axes)
    device = "each on its device" if len(devices) > 1 else devices[0]
    axes.set_xlabel(f"Training of each system (minutes{', ' * bool(device)}{device})")
    axes.set_ylabel(_axis(column))
    _legend(figure, [row for line in lines for row in line])
    beside(axes, names)
    caption = (
        "Each line is one training, its marks are checkpoints on the way, each with its own steps and sampler. "
        "Checkpoints of the same minutes are drawn side by side. Systems share the lead where paired differences over "
        f"clips do not tell them from the best. {BARS_SAID}"
    )
    if len(devices) > 1:
        caption += " Minutes of unlike devices are not the same amount of work."
    return _save(run, f"quality-training-{column.name}", figure, title, caption, metric=column.name)


def _names_of_training(lines: list[list[Row]], with_device: bool) -> list[str]:
    """Labels of the last checkpoints without steps; where two are the same, with the name of the training."""
    labels = [line[-1].label for line in lines]
    titles = [match[1] if (match := WITH_STEPS.fullmatch(label)) else label for label in labels]
    on = [f" on {line[-1].trained_on}" if with_device and line[-1].trained_on else "" for line in lines]
    titles = [title + device for title, device in zip(titles, on)]
    again = {title for title, count in Counter(titles).items() if count > 1}
    return [_short(f"{title} ({line[-1].run})" if title in again else title, 40) for title, line in zip(titles, lines)]


def _minutes_axis(axes: Axes, minutes: list[float], longest: int) -> Callable[[float, float], float]:
    """Limits and ticks of x, with room for names of ``longest`` characters; returns how minutes move by a share of the
    width."""
    first, last, share = min(minutes), max(minutes), _room(longest)
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
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.minorticks_off()


def _lead(board: Board, column: Column, lines: list[list[Row]], titles: list[str]) -> str:
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


def _by_clip(board: Board, column: Column) -> pd.DataFrame:
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


# Diversity against quality


def diversity_quality(run: Path, board: Board, column: Column) -> Picture | None:
    """Is diversity over seeds bought with error?"""
    spread = board.main_diversity()
    if spread is None:
        return None
    rows = [row for row in board.systems() if None not in (row.value(spread.name), row.value(column.name))]
    if not any(row.value(spread.name) for row in rows):
        return None
    figure, axes = _figure()
    axes.set_xlim(_limits(rows, spread.name, board, 0.12))
    axes.set_ylim(_limits(rows, column.name, board))
    _points(axes, rows, spread.name, column.name, bars_across=True)
    _ceiling(axes, board, column)
    title = _relation(spread, column, [(row.value(spread.name), row.value(column.name)) for row in rows])
    _titled(figure, title, axes)
    axes.set_xlabel(_axis(spread))
    axes.set_ylabel(_axis(column))
    _floor(axes, board.floors.get(spread.name))
    _legend(figure, rows)
    lines = [[(x, y) for y in axes.get_ylim()] for x in (0.0, board.floors.get(spread.name)) if x is not None]
    for row, (low, high) in zip(rows, bars(rows, spread.name).T):
        x, y = row.value(spread.name), row.value(column.name)
        lines.append([(x - low, y), (x + high, y)])
    _name_points(axes, rows, spread.name, column.name, lines)
    caption = (
        f"{spread.description} Deterministic systems lie at zero. The dash-dotted line is the noise floor: the "
        f"original beside itself one sample later. {STEPS_SAID} {BARS_SAID}"
    )
    return _save(run, f"diversity-{column.name}", figure, title, caption, metric=column.name)


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


# Scores with intervals


def forest(run: Path, board: Board) -> Picture | None:
    """The metrics that ranks stand on, systems in order of rank, with intervals."""
    metrics = board.main_metrics()
    rows = [row for row in board.systems() if any(row.value(column.name) is not None for column in metrics)]
    if not rows:
        return None
    figure = Figure(figsize=(SIZE[0] + 1.2, 1.5 + 0.21 * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    heights = np.arange(len(rows))[::-1]
    for axes, column in zip(panels, metrics):
        known = [(row, y) for row, y in zip(rows, heights) if row.value(column.name) is not None]
        for row, y in known:
            color = family(row.family)[0]
            axes.errorbar(row.value(column.name), y, xerr=bars([row], column.name), color=color, lw=1.3, zorder=2)
            _dot(axes, row, row.value(column.name), y, 5)
        axes.set_xlim(_limits([row for row, _ in known], column.name, board, 0.06))
        _ceiling(axes, board, column, upright=True)
        axes.set_xlabel(_axis(column).replace(", lower", "\nlower").replace(", higher", "\nhigher"), fontsize=8)
        axes.tick_params(labelsize=7.5)
    panels[0].set_yticks(heights, [f"{_short(row.label, 34)}  {row.rank_text():>5}" for row in rows])
    panels[0].set_ylim(-0.7, len(rows) - 0.3)
    title = _leaders(board)
    _titled(figure, title)
    dotted = Line2D([], [], color="#000000", lw=0.9, ls=(0, (1, 2)), label="original recording")
    _legend(figure, rows, [dotted] if board.row("original") else [])
    caption = (
        "Means with 95 % intervals over clips, systems in order of rank, the range of places beside the name. "
        "Intervals may overlap though their paired difference is sure: ranks stand on paired differences."
    )
    return _save(run, "scores", figure, title, caption, wide=True)


def _leaders(board: Board) -> str:
    first = [row for row in board.systems() if row.rank and row.rank[0] == 1]
    if len(first) == 1:
        return f"{first[0].label} ranks first"
    if not first:
        return "Scores of the systems"
    ranked = sum(row.rank is not None for row in board.systems())
    clips = f"{board.ranked_clips} clip{'s' if board.ranked_clips != 1 else ''}"
    if len(first) == ranked:
        return f"{clips} cannot tell the {ranked} systems apart"
    return f"{len(first)} of {ranked} systems may hold the first place: {clips} cannot tell them apart"


# Where mels are off


def mel_errors(run: Path, board: Board) -> Picture | None:
    """Where each system's mel departs from the original's, on one clip."""
    clip, sounds = _clip_for_errors(run, board)
    if clip is None:
        return None
    config = MelConfig(sample_rate=spectrograms.read_audio(run / sounds["original"])[1])
    reference = spectrograms.levels(spectrograms.read_audio(run / sounds["original"])[0], config)
    floor = reference.max() - spectrograms.RANGE
    panels = []
    for row in _one_a_group([row for row in board.systems() if row.name in sounds])[:MOST_PANELS]:
        level = spectrograms.levels(spectrograms.read_audio(run / sounds[row.name])[0], config)
        frames = min(level.shape[1], reference.shape[1])
        error = level[:, :frames].clip(floor) - reference[:, :frames].clip(floor)
        panels.append((float(np.abs(error).mean()), row, error))
    panels.sort(key=lambda panel: (panel[0], panel[1].name))
    title = f"{panels[0][1].label} comes nearest to the mel of {clip}: {panels[0][0]:.1f} dB off on average"
    more = len(sounds) - 1 - len(panels)
    left_out = f" {more} more systems are left out, of a checkpoint that is shown or of a lower rank." if more else ""
    caption = (
        "Mel level of each system less the original's, both no lower than 80 dB under the original's peak: red where "
        "there is too much energy, blue where there is too little, white where it is right. Figures are mean absolute "
        f"differences, the smallest first.{left_out}"
    )
    return _save(run, "mel-error", _heat_maps(panels, title, config), title, caption, wide=True)


def _one_a_group(rows: list[Row]) -> list[Row]:
    """``rows`` with the first of each checkpoint in front."""
    first = {row.group: row.name for row in reversed(rows)}
    return sorted(rows, key=lambda row: first[row.group] != row.name)


def _clip_for_errors(run: Path, board: Board) -> tuple[str | None, dict[str, str]]:
    """The first clip that most systems have audio of, and their files, first seed."""
    found: dict[str, dict[str, str]] = {}
    for clip, systems in board.sounds.items():
        files = {name: takes[min(takes)].get("audio") for name, takes in systems.items() if takes}
        found[clip] = {name: file for name, file in files.items() if file and (run / file).is_file()}
    usable = {clip: files for clip, files in found.items() if "original" in files and len(files) > 1}
    if not usable:
        return None, {}
    clip = max(usable, key=lambda clip: len(usable[clip]))
    return clip, usable[clip]


def _heat_maps(panels: list[tuple[float, Row, np.ndarray]], title: str, config: MelConfig) -> Figure:
    columns = min(4, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(max(2.5 * columns, 7.2), 0.9 + 1.6 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.ravel()[len(panels) :]:
        axes.set_visible(False)
    for axes, (size, row, error) in zip(grid.ravel(), panels):
        seconds = error.shape[1] * config.hop_length / config.sample_rate
        image = axes.imshow(error, origin="lower", aspect="auto", cmap="RdBu_r", vmin=-20, vmax=20,
                            extent=(0, seconds, -0.5, config.n_mels - 0.5), interpolation="nearest")  # fmt: skip
        axes.grid(False)
        axes.set_title(f"{_short(row.label, 30)}\n{size:.1f} dB", fontsize=7.5, fontweight="normal")
        axes.tick_params(labelsize=7)
    for axes in grid.ravel()[max(0, len(panels) - columns) : len(panels)]:
        axes.tick_params(labelbottom=True)
    bands, names = _frequency_ticks(config)
    grid[0, 0].set_yticks(bands, names)
    figure.supxlabel("Time (s)", fontsize=8.5)
    figure.supylabel("Frequency (kHz, mel scale)", fontsize=8.5)
    _titled(figure, title)
    bar = figure.colorbar(image, ax=grid, aspect=14 * lines, pad=0.01, extend="both")
    bar.set_label("Level less the original's (dB)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def _frequency_ticks(config: MelConfig) -> tuple[list[float], list[str]]:
    """Mel bands [ticks] of 0.5, 1, 2, 4 and 8 kHz as far as the bands go, and their names in kHz."""
    filters = mel_filters(config).numpy()
    hertz = np.linspace(0, config.sample_rate / 2, filters.shape[1])
    centres = (filters * hertz).sum(1) / np.maximum(filters.sum(1), 1e-12)
    wanted = [f for f in (500, 1000, 2000, 4000, 8000) if centres[0] < f <= config.fmax]
    return [float(np.interp(f, centres, np.arange(len(centres)))) for f in wanted], [_plain(f / 1000) for f in wanted]
