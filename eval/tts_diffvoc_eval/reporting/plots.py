"""Quality against speed, a plot a metric: readable in print and for the colour-blind, its finding as its title.

A family of systems has one colour (Okabe and Ito's palette) and one marker, here and on the page.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from adjustText import adjust_text
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image

from tts_diffvoc_eval.reporting.rows import Column, Leaderboard, Row

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
    "backend": "agg", "font.size": 9, "font.family": "DejaVu Sans", "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#e3e3e3", "grid.linewidth": 0.7,
    "axes.axisbelow": True, "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.edgecolor": "#555555", "legend.frameon": False, "legend.fontsize": 8, "savefig.dpi": 150, "figure.dpi": 150,
    "text.parse_math": False, "xtick.color": "#333333", "ytick.color": "#333333",
}  # fmt: skip
SIZES = {"-narrow": (3.9, 2.95), "": (7.6, 5.2)}  # inches: of a telephone and of a page, by the file's ending


@dataclass(frozen=True)
class Plot:
    """A figure, what it shows, and the metric that it is about."""

    figure: Figure
    title: str
    caption: str
    metric: str

    @property
    def path(self) -> str:
        """Of the file in the run, without ending."""
        return f"plots/quality-speed-{self.metric}"


def draw(run: Path, leaderboard: Leaderboard) -> list[Plot]:
    """All plots that the records allow, as PNG in ``plots/``, for wide and narrow screens; former ones go."""
    folder = run / "plots"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    plots: list[Plot] = []
    for ending, size in SIZES.items():
        settings: Any = {**matplotlib.rcParamsDefault, **STYLE, "figure.figsize": size}
        with matplotlib.rc_context(settings):
            plots = [plot for one in leaderboard.main_metrics() if (plot := quality_speed(leaderboard, one))]
            for plot in plots:
                plot.figure.savefig(held := BytesIO())
                picture = Image.open(held).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
                picture.save(run / f"{plot.path}{ending}.png", optimize=True)
    return plots


def front(points: list[tuple[float, float]], higher: bool) -> list[int]:
    """Which points (cost, quality) no other point beats in one and equals or beats in the other, cheapest first."""
    sign = 1 if higher else -1
    kept, best = [], -math.inf
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -sign * points[i][1])):
        if sign * points[i][1] > best:
            kept.append(i)
            best = sign * points[i][1]
    return kept


def quality_speed(leaderboard: Leaderboard, column: Column) -> Plot | None:
    """Quality over speed, with the Pareto front: the systems that none beats in both."""
    points = [
        (row, speed, value)
        for row in leaderboard.systems()
        if (speed := row.value("speed")) and (value := row.value(column.name)) is not None
    ]
    if not points:
        return None
    rows = [row for row, _, _ in points]
    ahead = front([(1 / speed, value) for _, speed, value in points], column.better != "lower")
    kept = [points[i] for i in ahead]
    title = f"{column.label} against speed: {len(kept)} of {len(points)} systems are beaten by none in both"
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(folded(title))
    axes.set_xscale("log")
    axes.margins(x=0.3, y=0.2)
    draw_systems(axes, points, leaderboard, column.name)
    for name in dict.fromkeys(row.title for row in rows):
        _, *line = zip(*sorted((row.steps or 0, speed, value) for row, speed, value in points if row.title == name))
        axes.plot(*line, color="#bbbbbb", lw=0.9, zorder=1)
    best = zip(*((speed, value) for _, speed, value in kept))
    axes.step(*best, where="post", color="#555555", lw=1.1, ls="--", zorder=1)
    if axes.get_xlim()[0] < 1 < axes.get_xlim()[1]:
        axes.axvline(1, color="#888888", lw=0.8, zorder=1)
        axes.annotate(" real time", (1, 0), xycoords=("data", "axes fraction"), xytext=(1, 3),
                      textcoords="offset points", fontsize=7.5, color="#555555")  # fmt: skip
    wide = max(speed for _, speed, _ in points) > 100 * min(speed for _, speed, _ in points)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(folded(f"Speed (× real time), higher is faster: {leaderboard.condition}", 11))
    unit = f" ({column.unit})" if column.unit else ""
    axes.set_ylabel(f"{column.label}{unit},\n{column.better} is better")
    corner = "right and down" if column.better == "lower" else "right and up"
    draw_legend(figure, rows, Line2D([], [], color="#555555", lw=1.1, ls="--", label=f"front; {corner} is better"))
    narrow = figure.get_figwidth() < 5
    first = {row.family if narrow else row.title: row.name for row in reversed(rows)}.values()
    named = [i for i, row in enumerate(rows) if row.name in first or (i in ahead and not narrow)]
    name_points(axes, [(points[i][0].label, *points[i][1:]) for i in named])
    caption = (
        "Each mark is a system; names stand at the best of each kind and, where there is room, at the front, and a "
        "grey line joins one checkpoint's counts of steps. No other system is both faster and better than one on the "
        "front, by the means: "
        f"{'; '.join(row.label for row, _, _ in kept)}. Bars are 95 % intervals over clips; one that meets the frame "
        "goes on beyond it."
    )
    return Plot(figure, title, caption, column.name)


def folded(text: str, letters: float = 9) -> str:
    """``text`` in as many lines as the figure's width asks for, at so many letters an inch."""
    return textwrap.fill(text, round(letters * matplotlib.rcParams["figure.figsize"][0]), break_on_hyphens=False)


def family(name: str) -> tuple[str, str, str]:
    """Colour, marker and name of a family."""
    return FAMILIES.get(name, OTHER)


def draw_systems(axes: Axes, points: Sequence[tuple[Row, float, float]], leaderboard: Leaderboard, column: str) -> None:
    """A mark for each (system, x, y), a line for the original, and 95 % intervals, which do not widen the axes."""
    for row, x, y in points:
        color, marker, _ = family(row.family)
        axes.plot(x, y, color=color, marker=marker, ls="")
    original = leaderboard.row("original")
    if original and (value := original.value(column)) is not None:
        axes.axhline(value, color="#000000", lw=0.9, ls=":", zorder=1)
        axes.annotate("original recording", (0, value), xycoords=("axes fraction", "data"), xytext=(3, 3),
                      textcoords="offset points", fontsize=7.5, color="#333333")  # fmt: skip
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    for row, x, _ in points:
        cell = row.cell(column)
        if cell.low is not None and cell.high is not None:
            axes.plot((x, x), (cell.low, cell.high), color=family(row.family)[0], lw=0.9)


def draw_legend(figure: Figure, rows: Sequence[Row], extra: Line2D) -> None:
    """The families of ``rows``, and what a line means."""
    found = [about for about in [*FAMILIES.values(), OTHER] if about in {family(r.family) for r in rows}]
    handles = [Line2D([], [], color=color, marker=marker, ls="", label=label) for color, marker, label in found]
    handles.append(extra)
    lines = math.ceil(len(handles) / (0.45 * figure.get_figwidth()))
    figure.legend(handles=handles, loc="outside lower center", columnspacing=1.4, ncols=math.ceil(len(handles) / lines))


def name_points(axes: Axes, names: Sequence[tuple[str, float, float]]) -> None:
    """Write (text, x, y) beside each point, moved until names cover neither points nor each other."""
    figure: Any = axes.figure
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # what was measured in pixels stays where it is
    texts = [axes.text(x, y, text, fontsize=7.5, color="#222222") for text, x, y in names]
    line = {"arrowstyle": "-", "color": "#999999", "lw": 0.6}
    adjust_text(texts, [x for _, x, _ in names], [y for _, _, y in names], ax=axes, arrowprops=line,
                expand=(1.1, 1.3), iter_lim=400)  # fmt: skip
