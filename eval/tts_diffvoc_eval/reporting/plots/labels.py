"""Names beside points and lines, moved until they cover neither these nor each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

GAP = 2.0  # points between a name and what is around it
RADII = (6.5, 12.0, 20.0, 30.0, 42.0, 56.0, 72.0)  # points from the dot to the name
DIRECTIONS = (0, 180, 90, 270, 45, 315, 135, 225, 20, 340, 160, 200)  # degrees, the best liked first
Point = tuple[float, float]


@dataclass(frozen=True)
class Name:
    """What is written beside the point ``at`` (data coordinates); left out, if ``optional``, where there is no room."""

    text: str
    at: Point
    color: str = "#222222"
    size: float = 7.5
    weight: str = "normal"
    optional: bool = False


def settle(figure: Figure) -> None:
    """Lay the figure out for good, so that what is measured in pixels stays where it is."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def place(axes: Axes, names: Sequence[Name], dots: Sequence[Point], lines: Sequence[Sequence[Point]] = ()) -> None:
    """Write each name near its point, with a thin line to it where it had to move far.

    Limits and scales of the axes must be final. A name takes the first free place around its point, nearest first;
    where none is free, the one that covers least. ``dots`` and ``lines`` (all in data coordinates), texts that are
    already there, and the frame must not be covered; a line is less sacred than a dot or a text.
    """
    settle(axes.figure)
    pixel, renderer = axes.figure.dpi / 72, axes.figure.canvas.get_renderer()
    frame = np.array(axes.get_window_extent(renderer).extents)
    solid = [_around(at, 4 * pixel) for at in axes.transData.transform(np.reshape(dots, (-1, 2)))]
    solid += [np.array(text.get_window_extent(renderer).extents) for text in axes.texts]
    thin = [_around(at, pixel) for line in lines for at in _along(axes.transData.transform(line), 3 * pixel)]
    centres = axes.transData.transform([name.at for name in names]) if names else np.zeros((0, 2))
    order = sorted(range(len(names)), key=lambda i: (names[i].optional, -_crowd(centres, i, 50 * pixel), *centres[i]))
    for i in order:
        width, height = _size(axes, renderer, names[i])
        options, radii = _options(centres[i], width + 2 * GAP * pixel, height + GAP * pixel, pixel)
        costs = _outside(options, frame) * 10 + _covered(options, solid) + 0.35 * _covered(options, thin)
        costs += 8 * pixel**2 * _crossed(centres[i], options, solid, 6 * pixel)
        best = int(np.argmin(costs.round(1) + 0.5 * np.arange(len(costs))))  # of equal ones the nearest
        if names[i].optional and (radii[best] > 20 or costs[best] > 0.3 * width * height):
            continue
        solid.append(options[best])
        if _write(axes, names[i], centres[i], options[best], radii[best]):
            leader = np.array([centres[i], (options[best][:2] + options[best][2:]) / 2])
            thin += [_around(at, 1.5 * pixel) for at in _along(leader, 3 * pixel)]


def beside(axes: Axes, names: Sequence[Name]) -> None:
    """Names of lines to the right of their ends, pushed apart within the frame; the axes need room there."""
    settle(axes.figure)
    pixel, renderer = axes.figure.dpi / 72, axes.figure.canvas.get_renderer()
    ends = axes.transData.transform([name.at for name in names])
    order = sorted(range(len(names)), key=lambda i: (ends[i][1], names[i].text))
    step = max(_size(axes, renderer, name)[1] for name in names) + GAP * pixel
    frame = axes.get_window_extent(renderer)
    heights = spread([ends[i][1] for i in order], step, frame.y0 + step / 2, frame.y1 - step / 2)
    right = max(end[0] for end in ends) + 16 * pixel
    for i, height in zip(order, heights):
        offset = (right - ends[i][0]) / pixel, (height - ends[i][1]) / pixel
        line = {"arrowstyle": "-", "color": names[i].color, "lw": 0.6, "shrinkA": 1, "shrinkB": 4, "relpos": (0, 0.5)}
        axes.annotate(names[i].text, names[i].at, offset, textcoords="offset points", ha="left", va="center",
                      fontsize=names[i].size, color=names[i].color, arrowprops=line, zorder=5)  # fmt: skip


def spread(wanted: Sequence[float], step: float, low: float, high: float) -> np.ndarray:
    """Ascending heights between ``low`` and ``high`` that lie ``step`` apart, nearest to ``wanted`` (ascending).

    From ``low`` up if there are too many.
    """
    offsets = step * np.arange(len(wanted))
    first = isotonic_regression(np.asarray(wanted) - offsets).x
    return np.clip(first, low, max(low, high - offsets[-1])) + offsets


def _around(at: np.ndarray, reach: float) -> np.ndarray:
    return np.array([at[0] - reach, at[1] - reach, at[0] + reach, at[1] + reach])


def _along(points: np.ndarray, step: float) -> np.ndarray:
    """Points [N, 2] on a line through ``points``, about ``step`` pixels apart."""
    pieces = [points[:1]]
    for a, b in zip(points, points[1:]):
        count = max(1, math.ceil(float(np.hypot(*(b - a))) / step))
        pieces.append(a + (b - a) * np.linspace(0, 1, count + 1)[1:, None])
    return np.concatenate(pieces)


def _crowd(centres: np.ndarray, i: int, reach: float) -> int:
    return int((np.hypot(*(centres - centres[i]).T) < reach).sum())


def _size(axes: Axes, renderer, name: Name) -> tuple[float, float]:
    """Width and height of a name in pixels."""
    probe = axes.text(0, 0, name.text, fontsize=name.size, fontweight=name.weight)
    extent = probe.get_window_extent(renderer)
    probe.remove()
    return extent.width, extent.height


def _options(centre: np.ndarray, width: float, height: float, pixel: float) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [N, 4] (left, bottom, right, top) around ``centre``, the best liked first, and how far off [N]."""
    radius, angle = (grid.ravel() for grid in np.meshgrid(RADII, np.radians(DIRECTIONS), indexing="ij"))
    dx, dy = np.cos(angle), np.sin(angle)
    left = centre[0] + radius * pixel * dx - width * (1 - dx) / 2
    bottom = centre[1] + radius * pixel * dy - height * (1 - dy) / 2
    return np.stack([left, bottom, left + width, bottom + height], axis=1), radius


def _crossed(centre: np.ndarray, boxes: np.ndarray, taken: list[np.ndarray], near: float) -> np.ndarray:
    """How often [N] the way from ``centre`` to each box lies on something of ``taken``, beyond ``near`` pixels."""
    if not taken:
        return np.zeros(len(boxes))
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    ways = centre + np.linspace(0, 1, 9)[1:-1, None, None] * (middle - centre)  # [7, N, 2]
    others = np.array(taken)
    inside = ((ways[..., None, :] > others[:, :2]) & (ways[..., None, :] < others[:, 2:])).all(-1).any(-1)
    return (inside & (np.hypot(*(ways - centre).transpose(2, 0, 1)) > near)).sum(0)


def _covered(boxes: np.ndarray, taken: list[np.ndarray]) -> np.ndarray:
    """Pixels [N] of each box that lie on something of ``taken``."""
    if not taken:
        return np.zeros(len(boxes))
    others = np.array(taken)[None]
    low, high = np.maximum(boxes[:, None, :2], others[..., :2]), np.minimum(boxes[:, None, 2:], others[..., 2:])
    return (high - low).clip(0).prod(-1).sum(-1)


def _outside(boxes: np.ndarray, frame: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1) - _covered(boxes, [frame])


def _write(axes: Axes, name: Name, dot: np.ndarray, box: np.ndarray, radius: float) -> bool:
    """Write a name into its box; returns whether a line leads to it."""
    pixel, far = axes.figure.dpi / 72, radius > 10
    middle = ((box[:2] + box[2:]) / 2 - dot) / pixel
    line = {"arrowstyle": "-", "color": "#999999", "lw": 0.6, "shrinkA": 1, "shrinkB": 3} if far else None
    axes.annotate(name.text, name.at, middle, textcoords="offset points", ha="center", va="center", fontsize=name.size,
                  fontweight=name.weight, color=name.color, arrowprops=line, zorder=5)  # fmt: skip
    return far
