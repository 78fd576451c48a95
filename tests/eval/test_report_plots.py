"""Plots and pictures: the front, names that keep apart, and the mel errors."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from make_run import make, many
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from reporting import build, labels, plots, spectrograms
from reporting.labels import Name


@pytest.mark.parametrize("higher", [True, False])
def test_front_is_what_no_other_beats(higher):
    random = np.random.default_rng(3)
    points = [(float(x), float(y)) for x, y in random.integers(0, 12, (60, 2))]
    sign = 1 if higher else -1

    def beaten(i):
        x, y = points[i]
        return any((u <= x and sign * v >= sign * y) and (u < x or sign * v > sign * y) for u, v in points)

    found = plots.front(points, higher)
    assert {points[i] for i in found} == {points[i] for i in range(len(points)) if not beaten(i)}
    assert [points[i][0] for i in found] == sorted(points[i][0] for i in found)


def test_names_cover_neither_each_other_nor_points():
    random = np.random.default_rng(0)
    points = [(float(x), float(y)) for x, y in random.random((14, 2))]
    figure = Figure(figsize=(7, 5), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlim(-0.2, 1.2)
    axes.set_ylim(-0.2, 1.2)
    labels.place(axes, [Name(f"system {i}", point) for i, point in enumerate(points)], points)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == len(points)
    frame = axes.get_window_extent()
    for i, box in enumerate(boxes):
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
        assert not any(box.contains(x, y) for x, y in axes.transData.transform(points))


def test_optional_names_give_way():
    figure = Figure(figsize=(3, 2), dpi=100)
    axes = figure.add_subplot()
    points = [(0.5 + 0.001 * i, 0.5) for i in range(40)]
    labels.place(axes, [Name(f"{i}", point, optional=True) for i, point in enumerate(points)], points)
    assert 0 < len(axes.texts) < 40


def test_heights_apart():
    heights = labels._apart([0.0, 1.0, 1.5, 9.0], 2.0)
    assert np.diff(heights).min() >= 2.0 - 1e-9
    assert heights[-1] == 9.0 and np.mean(heights[:3]) == pytest.approx(np.mean([0.0, 1.0, 1.5]))
    assert labels._apart([0.0, 5.0], 2.0) == [0.0, 5.0]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    folder = make(tmp_path_factory.mktemp("crowd"), many(), ("bell-01", "bell-02"))
    return folder, build.load(folder)


def test_one_line_a_checkpoint_and_sampler(crowd):
    rows = crowd[1].systems()
    lines = plots.families_of_steps(rows)
    assert sorted((line[0].group, line[0].sampler) for line in lines) == [
        (group, sampler) for group in ("diffwave", "wavegrad") for sampler in ("ddpm", "dpm-solver")
    ]
    assert all([row.steps for row in line] == [3, 6, 12, 25, 50] for line in lines)
    assert {plots.title_of(line, rows) for line in lines} == {
        f"{name}, {sampler}" for name in ("DiffWave", "WaveGrad") for sampler in ("ddpm", "dpm-solver")
    }


def test_every_plot_is_drawn_in_both_kinds(crowd):
    run, board = crowd
    pictures = plots.draw(run, board)
    names = {picture.path.removeprefix("plots/") for picture in pictures}
    kinds = ("quality-speed", "quality-steps", "diversity")
    assert names == {"scores", "mel-error"} | {f"{kind}-{metric}" for kind in kinds for metric in board.primary}
    for picture in pictures:
        assert Image.open(run / f"{picture.path}.png").width > 900
        assert "<svg" in (run / f"{picture.path}.svg").read_text(encoding="utf-8")[:2000]
        assert picture.title and picture.caption.endswith(".")


def test_spectrograms_of_one_clip_share_their_scale(tmp_path):
    random = np.random.default_rng(0)
    loud = 0.3 * random.standard_normal(22050).astype(np.float32)
    files = {"audio/original/a-0.wav": "original", "audio/other/a-0.wav": "other"}
    for (file, name), gain in zip(files.items(), (1.0, 0.1)):
        (tmp_path / file).parent.mkdir(parents=True)
        soundfile.write(tmp_path / file, gain * loud, 22050, subtype="FLOAT")
        assert spectrograms.where(file) == f"spectrograms/{name}/a-0.png"
    made = spectrograms._draw_clip(tmp_path, files)
    first, second = (np.asarray(Image.open(tmp_path / path)).astype(float) for path in sorted(made))
    assert first.shape[0] == 128 and first.max() == 255
    step = 20 * 255 / spectrograms.RANGE  # a tenth of the amplitude is 20 dB
    assert np.median(first - second) == pytest.approx(step, abs=1.5)


def test_short_sounds_have_a_spectrogram():
    assert spectrograms.levels(np.zeros(10, np.float32), spectrograms.fine(22050)).shape[0] == 128


def test_untrained_systems_make_no_front(tmp_path):
    systems = {name: many()[name] for name in ("original", "griffin-lim", "hifigan-v2", "melgan")}
    fastest = {**systems, "melgan": replace(systems["melgan"], slowness=1e-3)}
    run = make(tmp_path / "run", fastest, ("bell-01",), parts=("quality", "speed"))
    (tmp_path / "run" / "plots").mkdir()
    board = build.load(run)
    picture = plots.quality_speed(run, board, board.by_name["pesq_wb"])
    assert picture.title == "Pareto front of speed and PESQ-WB: 2 of 2 systems"
    assert "MelGAN" not in picture.caption
