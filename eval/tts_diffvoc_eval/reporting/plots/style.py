"""What plots share: colours and markers, systems as points and lines, and their names.

A family of systems has one colour (Okabe and Ito's palette) and one marker, here and on the page. Systems of one
checkpoint and sampler are a line with their steps as numbers, so that a name is written once.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..leaderboard import Column, Leaderboard, Row
from .labels import Name, place

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
STEPS_SAID = "Numbers along a line, where there is room, are the steps of one checkpoint."


@dataclass(frozen=True)
class Plot:
    """A figure, the name of its file, what it shows, whether it is a wide one, and the metric that it is about, if one
    alone."""

    name: str
    figure: Figure
    title: str
    caption: str
    wide: bool = False
    metric: str = ""

    @property
    def path(self) -> str:
        """Of the file in the run, without ending."""
        return f"plots/{self.name}"


@contextmanager
def plot_style() -> Iterator[None]:
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE, "backend": "agg"}):
        yield


def family(name: str) -> tuple[str, str, str]:
    """Colour, marker and name of a family."""
    return FAMILIES.get(name, OTHER)


def new_axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    return figure, figure.add_subplot()


def set_title(figure: Figure, title: str, axes: Axes | None = None) -> None:
    """The finding above a figure, in as many lines as it needs."""
    if axes is not None:
        width = int(TITLE_WIDTH * (figure.get_figwidth() - 0.6))
        axes.set_title(textwrap.fill(title, width, break_on_hyphens=False))
        return
    wrapped = textwrap.fill(title, int(TITLE_WIDTH * figure.get_figwidth()), break_on_hyphens=False)
    figure.suptitle(wrapped, fontsize=10.5, fontweight="bold", x=0.01, ha="left")


def shorten(label: str, longest: int) -> str:
    return label if len(label) <= longest else label[: longest - 1] + "…"


def axis_label(column: Column) -> str:
    """Name, unit and the better direction of a column."""
    arrow = {"higher": "higher is better", "lower": "lower is better"}.get(column.better)
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.label}{unit}" + (f", {arrow}" if arrow else "")


def error_bars(rows: list[Row], column: str) -> np.ndarray:
    """Lengths [2, systems] of the 95 % intervals below and above the values; zero where there is none."""
    cells = [row.cell(column) for row in rows]
    pairs = [(c.value - c.low, c.high - c.value) if c.low is not None else (0.0, 0.0) for c in cells]
    return np.maximum(np.array(pairs).T, 0.0)


def draw_mark(axes: Axes, row: Row, x: float, y: float, size: float = 7) -> None:
    """A system's mark, hollow when it is untrained."""
    color, marker, _ = family(row.family)
    face = "white" if row.untrained else color
    axes.plot(x, y, marker, ms=size, mfc=face, mec=color, mew=1.2, zorder=3)


def draw_legend(figure: Figure, rows: list[Row], extra: Sequence[Line2D] = ()) -> None:
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


def draw_original(axes: Axes, board: Leaderboard, column: Column, upright: bool = False, until: float = 1.0) -> None:
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


def limits(rows: list[Row], column: str, board: Leaderboard, room: float = 0.1) -> tuple[float, float]:
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


def log_axis(axes: Axes, rows: list[Row], column: str, room: float = 0.12) -> None:
    """A logarithmic axis of x with plain numbers, and room for names."""
    axes.set_xscale("log")
    values = [row.value(column) for row in rows]
    span = math.log(max(values) / min(values)) or 1.0
    axes.set_xlim(min(values) * math.exp(-room * span), max(values) * math.exp(room * span))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if span > math.log(100) else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.xaxis.set_minor_formatter(NullFormatter())


def plain_number(value: float, _: object = None) -> str:
    return f"{value:g}"


def name_room(longest: int) -> float:
    """Share of the width that names of ``longest`` characters need on the right."""
    return min(0.45, 0.05 + 0.0115 * longest)


def lines_of_steps(rows: list[Row]) -> list[list[Row]]:
    """Systems of one checkpoint and sampler, in order of their steps; only where there are several."""
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in sorted((row for row in rows if row.steps), key=lambda row: (row.steps, row.name)):
        lines.setdefault((row.title, row.sampler or ""), []).append(row)
    return [found for _, found in sorted(lines.items()) if len(found) > 1]


def draw_points(axes: Axes, rows: list[Row], across: str, up: str, *, bars_across: bool = False) -> None:
    """Draw systems at (column ``across``, column ``up``) with intervals, and the lines of one checkpoint."""
    for row in rows:
        x, y, color = row.value(across), row.value(up), family(row.family)[0]
        wide = error_bars([row], across) if bars_across else None
        axes.errorbar(x, y, error_bars([row], up), wide, color=color, lw=0.9, alpha=0.55, zorder=2)
        draw_mark(axes, row, x, y)
    for number, line in enumerate(lines_of_steps(rows)):
        color = family(line[0].family)[0]
        axes.plot([row.value(across) for row in line], [row.value(up) for row in line], color=color, lw=1, alpha=0.7,
                  ls=DASHES[number % len(DASHES)], zorder=2)  # fmt: skip


def name_points(axes: Axes, rows: list[Row], across: str, up: str, lines: Sequence[Sequence] = ()) -> None:
    """Names of what :func:`draw_points` drew; the steps along a line are numbers, its name stands where it is alone."""
    at = {row.name: (row.value(across), row.value(up)) for row in rows}
    names, numbered, joined = [], set(), []
    for line in lines_of_steps(rows):
        color, of_line = family(line[0].family)[0], [at[row.name] for row in line]
        joined.append(of_line)
        numbered |= {row.name for row in line}
        lonely = _most_alone(axes, of_line, [at[row.name] for row in rows if row not in line])
        names.append(Name(line[0].title, lonely, color, 8, "bold"))
        names += [Name(str(row.steps), at[row.name], color, 7, optional=True) for row in line]
    names += [Name(row.label, at[row.name]) for row in rows if row.name not in numbered]
    intervals = [[(x, y - low), (x, y + high)]
                 for row in rows for (x, y) in [at[row.name]] for low, high in error_bars([row], up).T]  # fmt: skip
    place(axes, names, list(at.values()), [*intervals, *joined, *lines])


def _most_alone(axes: Axes, line: list[tuple[float, float]], others: list[tuple[float, float]]) -> tuple[float, float]:
    """The point of ``line`` that is farthest from ``others`` on the page."""
    if not others:
        return line[-1]
    here, there = (axes.transData.transform(points) for points in (line, others))
    nearest = np.hypot(*(here[:, None] - there[None]).transpose(2, 0, 1)).min(1)
    return line[int(nearest.argmax())]
