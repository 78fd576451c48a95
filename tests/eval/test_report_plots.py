"""Plots and pictures: the front, names that keep apart, the steps of a checkpoint, spectrograms."""

import matplotlib
import numpy as np
import pytest
import soundfile
from make_run import make, many
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from tts_diffvoc_eval.reporting import plots, spectrograms
from tts_diffvoc_eval.reporting.leaderboard import load


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


def test_names_keep_apart_and_within_the_frame():
    random = np.random.default_rng(0)
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot(xlim=(-0.2, 1.2), ylim=(-0.2, 1.2))
        plots.name_points(axes, [(f"system {i}", x, y) for i, (x, y) in enumerate(random.random((12, 2)))])
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    frame = axes.get_window_extent()
    assert len(boxes) == 12
    for i, box in enumerate(boxes):
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        assert not any(box.shrunk(0.9, 0.9).overlaps(other) for other in boxes[i + 1 :])


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """A run of about as many systems as there ever are."""
    folder = make(tmp_path_factory.mktemp("crowd"), many(), ("bell-01", "bell-02"))
    return folder, load(folder)


def test_every_plot_is_drawn(crowd):
    run, leaderboard = crowd
    pictures = plots.draw(run, leaderboard)
    names = {picture.path.removeprefix("plots/") for picture in pictures}
    assert names == {f"quality-speed-{metric}" for metric in leaderboard.primary}
    for picture in pictures:
        assert Image.open(run / f"{picture.path}.png").width > 900
        assert Image.open(run / f"{picture.path}-narrow.png").width == 585  # half of it on a telephone of 390 pixels
        assert picture.title and picture.caption.endswith(".")


def test_a_line_joins_the_steps_of_one_checkpoint(crowd):
    leaderboard = crowd[1]
    with matplotlib.rc_context(plots.STYLE):
        (axes,) = plots.quality_speed(leaderboard, leaderboard.by_name["pesq_wb"]).figure.axes
    lines = [line.get_xydata() for line in axes.lines if line.get_color() == "#bbbbbb" and len(line.get_xdata()) > 1]
    rows = [
        [row for row in leaderboard.systems() if row.title == title] for title in ("DiffWave", "WaveGrad, dpm-solver")
    ]
    for line in rows:
        wanted = [(row.value("speed"), row.value("pesq_wb")) for row in sorted(line, key=lambda row: row.steps)]
        assert len(wanted) == 5 and any(np.array_equal(wanted, found) for found in lines)


def test_spectrograms_of_one_clip_share_their_scale(tmp_path):
    run = make(tmp_path / "run", {name: many()[name] for name in ("original", "griffin-lim")}, ("bell-01",))
    loud = 0.3 * np.random.default_rng(0).standard_normal(22050).astype(np.float32)
    for name, gain in (("original", 1.0), ("griffin-lim", 0.1)):
        soundfile.write(run / "audio" / name / "bell-01-0.mp3", gain * loud, 22050)
    made = spectrograms.draw(run, load(run))
    paths = [f"spectrograms/{name}/bell-01-0.webp" for name in ("original", "griffin-lim")]
    assert set(paths) <= made
    colours = 255 * matplotlib.colormaps["magma"](np.arange(256))[:, :3]
    pixels = (np.asarray(Image.open(run / path).convert("RGB")).astype(float) for path in paths)
    first, second = (np.linalg.norm(one[..., None, :] - colours, axis=-1).argmin(-1) for one in pixels)
    assert first.shape[0] == 128 and first.max() > 240  # white, as far as WebP keeps it
    step = 20 * 255 / spectrograms.RANGE  # a tenth of the amplitude is 20 dB
    assert np.median(first - second) == pytest.approx(step, abs=3)
