"""What plots share: colours and markers, axes, and names beside points.

A family of systems has one colour (Okabe and Ito's palette) and one marker, here and on the page.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from adjustText import adjust_text
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tts_diffvoc_eval.reporting.leaderboard import Column, Leaderboard, Row

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
STYLE: dict[str, Any] = {
    "font.size": 9, "font.family": "DejaVu Sans", "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": "#e3e3e3", "grid.linewidth": 0.7, "axes.axisbelow": True,
    "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.edgecolor": "#555555",
    "legend.frameon": False, "legend.fontsize": 8, "savefig.dpi": 150, "figure.dpi": 150,
    "text.parse_math": False, "xtick.color": "#333333", "ytick.color": "#333333",
}  # fmt: skip
SIZES = {"": (7.6, 5.2), "-narrow": (3.9, 3.5)}  # inches: of a page in print and of a telephone, by the file's ending
BARS_SAID = "Bars are 95 % intervals over clips; one that meets the frame goes on beyond it."


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
def plot_style(size: tuple[float, float] = SIZES[""]) -> Iterator[None]:
    """The look of all plots; a figure has ``size`` inches unless it says otherwise."""
    settings: Any = {**matplotlib.rcParamsDefault, **STYLE, "backend": "agg", "figure.figsize": size}
    with matplotlib.rc_context(settings):
        yield


def narrow() -> bool:
    """Whether the plot is for a telephone."""
    return matplotlib.rcParams["figure.figsize"][0] < 5


def folded(text: str, letters: float = 9) -> str:
    """``text`` in as many lines as the figure's width asks for, at so many letters an inch."""
    return textwrap.fill(text, round(letters * matplotlib.rcParams["figure.figsize"][0]), break_on_hyphens=False)


def family(name: str) -> tuple[str, str, str]:
    """Colour, marker and name of a family."""
    return FAMILIES.get(name, OTHER)


def new_axes(title: str) -> tuple[Figure, Axes]:
    """A figure with one system of axes, under the finding in as many lines as it needs."""
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(folded(title))
    return figure, axes


def axis_label(column: Column) -> str:
    """Name, unit and the better direction of a column."""
    arrow = {"higher": "higher is better", "lower": "lower is better"}.get(column.better)
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.label}{unit}" + (f",{chr(10) if narrow() else ' '}{arrow}" if arrow else "")


def error_bars(rows: Sequence[Row], column: str) -> np.ndarray:
    """Lengths [2, systems] of the 95 % intervals below and above the values; zero where there is none."""
    pairs = []
    for cell in (row.cell(column) for row in rows):
        known = cell.value is not None and cell.low is not None and cell.high is not None
        pairs.append((cell.value - cell.low, cell.high - cell.value) if known else (0.0, 0.0))  # type: ignore[operator]
    return np.maximum(np.array(pairs).T, 0.0)


def draw_legend(figure: Figure, rows: Sequence[Row], extra: Sequence[Line2D] = ()) -> None:
    found = [family(name) for name in [*FAMILIES, "other"] if any(family(row.family) == family(name) for row in rows)]
    handles = [Line2D([], [], color=color, marker=marker, ls="", label=label) for color, marker, label in found]
    handles += extra
    figure.legend(handles=handles, loc="outside lower center", columnspacing=1.4,
                  ncols=math.ceil(len(handles) / math.ceil(len(handles) / (0.65 * figure.get_figwidth()))))  # fmt: skip


def draw_original(axes: Axes, leaderboard: Leaderboard, column: Column, upright: bool = False) -> None:
    """A line for the original, which no system need pass."""
    row = leaderboard.row("original")
    value = row.value(column.name) if row else None
    if value is None:
        return
    line: dict[str, Any] = {"color": "#000000", "lw": 0.9, "ls": (0, (1, 2)), "zorder": 1}
    if upright:
        axes.axvline(value, **line)
        return
    axes.axhline(value, **line)
    axes.annotate("original recording", (0, value), xycoords=("axes fraction", "data"), xytext=(3, 3),
                  textcoords="offset points", va="bottom", fontsize=7.5, color="#333333")  # fmt: skip


def limits(rows: Sequence[Row], column: str, leaderboard: Leaderboard, room: float = 0.1) -> tuple[float, float]:
    """Limits of an axis from the values; an interval far wider than all values together does not set them."""
    original = leaderboard.row("original")
    cells = [row.cell(column) for row in [*rows, *([original] if original else [])]]
    known = [(cell.value, cell.low, cell.high) for cell in cells if cell.value is not None]
    low, high = min(value for value, _, _ in known), max(value for value, _, _ in known)
    reach = 0.35 * (high - low) or 0.1 * abs(high) or 1.0
    lowest = min(value if end is None else end for value, end, _ in known)
    highest = max(value if end is None else end for value, _, end in known)
    low, high = max(lowest, low - reach), min(highest, high + reach)
    span = (high - low) or reach
    return low - room * span, high + room * span


def name_points(axes: Axes, names: Sequence[tuple[str, float, float, str]]) -> None:
    """Write (text, x, y, colour) beside each point, moved until names cover neither points nor each other."""
    figure: Any = axes.figure
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # what was measured in pixels stays where it is
    texts = [axes.text(x, y, text, fontsize=7.5, color=color) for text, x, y, color in names]
    line = {"arrowstyle": "-", "color": "#999999", "lw": 0.6}
    adjust_text(texts, [x for _, x, _, _ in names], [y for _, _, y, _ in names], ax=axes, arrowprops=line,
                expand=(1.1, 1.3), iter_lim=400)  # fmt: skip
