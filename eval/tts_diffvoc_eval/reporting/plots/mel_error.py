"""Where each system's mel departs from the original's."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tts_diffvoc.mel import MelConfig, mel_filters

from .. import spectrograms
from ..leaderboard import Leaderboard, Row
from .style import MOST_PANELS, Plot, plain_number, set_title, shorten


def plot(run: Path, board: Leaderboard) -> Plot | None:
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
    return Plot("mel-error", _heat_maps(panels, title, config), title, caption, wide=True)


def _one_a_group(rows: list[Row]) -> list[Row]:
    """``rows`` with the first of each checkpoint in front."""
    first = {row.title: row.name for row in reversed(rows)}
    return sorted(rows, key=lambda row: first[row.title] != row.name)


def _clip_for_errors(run: Path, board: Leaderboard) -> tuple[str | None, dict[str, str]]:
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
        axes.set_title(f"{shorten(row.label, 30)}\n{size:.1f} dB", fontsize=7.5, fontweight="normal")
        axes.tick_params(labelsize=7)
    for axes in grid.ravel()[max(0, len(panels) - columns) : len(panels)]:
        axes.tick_params(labelbottom=True)
    bands, names = _frequency_ticks(config)
    grid[0, 0].set_yticks(bands, names)
    figure.supxlabel("Time (s)", fontsize=8.5)
    figure.supylabel("Frequency (kHz, mel scale)", fontsize=8.5)
    set_title(figure, title)
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
    places = [float(np.interp(f, centres, np.arange(len(centres)))) for f in wanted]
    return places, [plain_number(f / 1000) for f in wanted]
