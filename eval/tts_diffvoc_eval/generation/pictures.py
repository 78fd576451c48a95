"""Pictures of short sounds: spectrograms for players, larger ones with axes, and a film of states that become speech.

All spectrograms of a page are alike: a Hann window of 32 ms, frequency upwards on a linear scale, and ``RANGE`` dB from
black to white.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from tts_diffvoc_eval.reporting.spectrograms import RANGE
from tts_diffvoc_eval.reporting.spectrograms import save as save_levels

WINDOW = 0.032  # seconds
SILENCE = 1e-6  # of full scale, -120 dB
DPI = 110
QUALITY = 78  # of WebP
FILM_QUALITIES = (75, 60, 45, 30, 15, 5)
INK, GRID = "#1b1d21", "#dfe2e6"
WAVE, CURVE = "#00598c", 0.6


def levels(samples: np.ndarray, rate: int) -> np.ndarray:
    """Levels [bins, frames] of ``samples`` [T], in dB of a sine of full scale."""
    window = torch.hann_window(max(8, round(WINDOW * rate / 8) * 8))
    size = len(window)
    signal = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    found = torch.stft(signal, size, size // 8, window=window, pad_mode="constant", return_complex=True)
    return (20 * (found.abs() / (size / 4)).clamp_min(SILENCE).log10()).numpy()


def thumbnail(samples: np.ndarray, rate: int, path: Path, top: float | None = None) -> None:
    """A spectrogram without axes, half as fine; ``top`` dB is white, by default the sound's own loudest point."""
    level = levels(samples, rate)
    rows, columns = (size // 2 * 2 for size in level.shape)
    level = level[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean((1, 3))
    save_levels(level, float(level.max()) if top is None else top, path)


class Canvas:
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
        width, height = size
        figure = Figure(size, dpi=DPI, facecolor="white")
        self.canvas = FigureCanvasAgg(figure)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2.4))
        figure.subplots_adjust(
            left=0.58 / width, right=1 - 0.12 / width, bottom=0.42 / height, hspace=0.1,
            top=1 - (0.36 if heading else 0.1) / height,
        )  # fmt: skip
        end, edge = length / rate, max(limit, 1e-3)
        (self.curve,) = upper.plot(np.arange(length) / rate, np.zeros(length), color=WAVE, linewidth=CURVE)
        upper.set(xlim=(0, end), ylim=(-1.3 * edge, 1.3 * edge))  # ticks clear of the frame
        upper.set_yticks([-edge, 0, edge], [f"−{edge:.2g}", "0", f"{edge:.2g}"])
        upper.grid(True, color=GRID, linewidth=0.5)
        self.image = lower.imshow(
            np.zeros((2, 2)), cmap="magma", vmin=top - RANGE, vmax=top, origin="lower", aspect="auto",
            extent=(0, end, 0, rate / 2), interpolation="nearest",
        )  # fmt: skip
        lower.set_yticks(np.linspace(0, rate / 2, 5))
        lower.set_xlabel("seconds", labelpad=1)
        lower.set_ylabel("Hz", labelpad=1)
        for axes in (upper, lower):
            axes.tick_params(labelsize=7.5, colors=INK, length=2.5)
            axes.xaxis.label.set_size(8)
            axes.yaxis.label.set_size(8)
        self.heading = figure.text(0.58 / width, 1 - 0.12 / height, "", fontsize=9, va="top", family="monospace")

    def draw(self, samples: np.ndarray, heading: str = "") -> Image.Image:
        """The picture of ``samples`` [length]."""
        self.curve.set_ydata(samples)
        self.image.set_data(levels(samples, self.rate))
        self.heading.set_text(heading)
        self.canvas.draw()
        return Image.fromarray(np.asarray(self.canvas.buffer_rgba())).convert("RGB")


def alike(sounds: Iterable[np.ndarray], rate: int, size: tuple[float, float]) -> list[Image.Image]:
    """A picture of each of ``sounds`` [T], all with the same axes: the loudest of all just fits."""
    sounds = list(sounds)
    limit = max(float(np.abs(one).max()) for one in sounds)
    top = max(float(levels(one, rate).max()) for one in sounds)
    canvas = Canvas(rate, len(sounds[0]), limit, top, size)
    return [canvas.draw(one) for one in sounds]


def save(picture: Image.Image, path: Path) -> None:
    picture.save(path, quality=QUALITY, method=6)


def save_film(frames: Sequence[Image.Image], path: Path, most: int, milliseconds: int = 130, rest: int = 2500) -> int:
    """``frames`` as an animated WebP of at most ``most`` bytes that goes on for ever, the last one kept for a ``rest``.

    The quality is the best that fits, or the lowest that is tried. Returns the size.
    """
    times = [milliseconds] * (len(frames) - 1) + [rest]
    data = b""
    for quality in FILM_QUALITIES:
        file = io.BytesIO()
        frames[0].save(
            file, "WEBP", save_all=True, append_images=frames[1:], duration=times, loop=0, quality=quality, method=3
        )
        data = file.getvalue()
        if len(data) <= most:
            break
    path.write_bytes(data)
    return len(data)
