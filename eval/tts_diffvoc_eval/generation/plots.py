"""Plots of short sounds: spectrograms without axes, waveforms above spectrograms, and a film of states.

All have a Hann window of 32 ms, a linear frequency axis, and ``RANGE`` dB from black to white.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

RANGE = 80.0
DPI = 110
QUALITY = {"quality": 78, "method": 6}  # of WebP
FILM_QUALITIES = (75, 45, 15)


def levels(samples: np.ndarray, rate: int) -> np.ndarray:
    """Levels [bins, frames] of ``samples`` [T], in dB of a full-scale sine."""
    size = max(8, round(0.032 * rate / 8) * 8)
    signal = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    found = torch.stft(
        signal, size, size // 8, window=torch.hann_window(size), pad_mode="constant", return_complex=True
    )
    return (20 * (found.abs() / (size / 4)).clamp_min(1e-6).log10()).numpy()


def top_level(sounds: Sequence[np.ndarray], rate: int) -> float:
    """The loudest level of several sounds."""
    return max(float(levels(one, rate).max()) for one in sounds)


def thumbnail(samples: np.ndarray, rate: int, path: Path, top: float | None = None) -> None:
    """Write a spectrogram without axes at half the resolution; ``top`` dB is white, by default the loudest level."""
    level = levels(samples, rate)
    rows, columns = (size // 2 * 2 for size in level.shape)
    level = level[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean((1, 3))
    share = (level - (level.max() if top is None else top)) / RANGE + 1
    pixels = matplotlib.colormaps["magma"](share[::-1].clip(0, 1), bytes=True)[..., :3]
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, **QUALITY)


class WaveformPlot:
    """A waveform above its spectrogram, with axes, drawn again and again in one layout.

    Args:
        rate: Hz. length: samples of each sound.
        limit: the amplitude at which the upper axis ends. top: dB that is white.
        size: inches. heading: whether there is room for a line above.
    """

    def __init__(
        self, rate: int, length: int, limit: float, top: float, size: tuple[float, float], heading: bool = False
    ) -> None:
        self.rate = rate
        figure = Figure(size, dpi=DPI, facecolor="white", layout="constrained")
        self.canvas = FigureCanvasAgg(figure)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2.4))
        end, edge = length / rate, max(limit, 1e-3)
        (self.curve,) = upper.plot(np.arange(length) / rate, np.zeros(length), color="#00598c", linewidth=0.6)
        upper.set(xlim=(0, end), ylim=(-1.3 * edge, 1.3 * edge))
        upper.set_yticks([-edge, 0, edge], [f"−{edge:.2g}", "0", f"{edge:.2g}"])
        upper.grid(True, color="#dfe2e6", linewidth=0.5)
        self.image = lower.imshow(
            np.zeros((2, 2)),
            cmap="magma",
            vmin=top - RANGE,
            vmax=top,
            origin="lower",
            aspect="auto",
            extent=(0, end, 0, rate / 2),
            interpolation="nearest",
        )
        lower.set_yticks(np.linspace(0, rate / 2, 5))
        lower.set_xlabel("seconds", fontsize=8)
        lower.set_ylabel("Hz", fontsize=8)
        for axes in (upper, lower):
            axes.tick_params(labelsize=7.5)
        self.heading = upper.set_title(" ", loc="left", fontsize=9, family="monospace") if heading else None
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # the layout is kept from here on

    def draw(self, samples: np.ndarray, heading: str = "") -> Image.Image:
        self.curve.set_ydata(samples)
        self.image.set_data(levels(samples, self.rate))
        if self.heading:
            self.heading.set_text(heading)
        self.canvas.draw()
        return Image.fromarray(np.asarray(self.canvas.buffer_rgba())).convert("RGB")


def with_shared_axes(sounds: Sequence[np.ndarray], rate: int, size: tuple[float, float]) -> list[Image.Image]:
    """A plot of each of ``sounds`` [T]; the loudest of all just fits."""
    limit = max(float(np.abs(one).max()) for one in sounds)
    plot = WaveformPlot(rate, len(sounds[0]), limit, top_level(sounds, rate), size)
    return [plot.draw(one) for one in sounds]


def save_film(frames: Sequence[Image.Image], path: Path, most: int) -> None:
    """An endless animated WebP of at most ``most`` bytes, at the best quality that fits, or the lowest."""
    times = [130] * (len(frames) - 1) + [2500]
    for quality in FILM_QUALITIES:
        file = io.BytesIO()
        options = {"save_all": True, "append_images": frames[1:], "duration": times, "loop": 0, "method": 3}
        frames[0].save(file, "WEBP", quality=quality, **options)
        if len(file.getvalue()) <= most:
            break
    path.write_bytes(file.getvalue())
