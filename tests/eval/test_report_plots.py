"""Plots and pictures: the front, names that keep apart, curves over steps and training, spectrograms."""

import json
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import soundfile
from make_run import TRAININGS, make, many, trained
from PIL import Image

from tts_diffvoc_eval.reporting import plots, spectrograms
from tts_diffvoc_eval.reporting.leaderboard import load
from tts_diffvoc_eval.reporting.plots import curves, quality_speed, style


@pytest.mark.parametrize("higher", [True, False])
def test_front_is_what_no_other_beats(higher):
    random = np.random.default_rng(3)
    points = [(float(x), float(y)) for x, y in random.integers(0, 12, (60, 2))]
    sign = 1 if higher else -1

    def beaten(i):
        x, y = points[i]
        return any((u <= x and sign * v >= sign * y) and (u < x or sign * v > sign * y) for u, v in points)

    found = quality_speed.front(points, higher)
    assert {points[i] for i in found} == {points[i] for i in range(len(points)) if not beaten(i)}
    assert [points[i][0] for i in found] == sorted(points[i][0] for i in found)


def test_names_keep_apart_and_within_the_frame():
    random = np.random.default_rng(0)
    with style.plot_style():
        figure, axes = style.new_axes("A title")
        axes.set_xlim(-0.2, 1.2)
        axes.set_ylim(-0.2, 1.2)
        style.name_points(axes, [(f"system {i}", x, y, "black") for i, (x, y) in enumerate(random.random((12, 2)))])
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


def test_one_line_a_checkpoint_and_sampler(crowd):
    lines = curves.lines_by(crowd[1].systems(), lambda row: row.title if row.steps else None, lambda row: row.steps)
    assert sorted(line[0].title for line in lines) == [
        "DiffWave",
        "DiffWave, dpm-solver",
        "WaveGrad",
        "WaveGrad, dpm-solver",
    ]
    assert all([row.steps for row in line] == [3, 6, 12, 25, 50] for line in lines)


def test_every_plot_is_drawn(crowd):
    run, leaderboard = crowd
    pictures = plots.draw(run, leaderboard)
    names = {picture.path.removeprefix("plots/") for picture in pictures}
    kinds = ("quality-speed", "quality-steps")
    assert names == {"scores"} | {f"{kind}-{metric}" for kind in kinds for metric in leaderboard.primary}
    for picture in pictures:
        assert Image.open(run / f"{picture.path}.png").width > 900
        assert Image.open(run / f"{picture.path}-narrow.png").width == 585  # half of it on a telephone of 390 pixels
        assert picture.title and picture.caption.endswith(".")


def test_quality_over_training(tmp_path):
    run = make(tmp_path / "run", trained(), ("bell-01", "bell-02", "bell-03"), parts=("quality",))
    leaderboard = load(run)
    with style.plot_style():
        picture = curves.training(leaderboard, leaderboard.by_name["pesq_wb"])
    assert (picture.path, picture.metric) == ("plots/quality-training-pesq_wb", "pesq_wb")
    assert picture.title.startswith("PESQ-WB: DiffWave (diffwave-h100) +") and "from 5 to 20 minutes" in picture.title
    lines = curves.lines_by(leaderboard.systems(), lambda row: row.run, lambda row: row.minutes)
    assert [[row.name for row in line] for line in lines] == [
        [*(f"{run}-quarter-{k}" for k in (1, 2, 3)), run] for run in sorted(TRAININGS)
    ]


def test_no_line_over_training_without_two_points(tmp_path):
    last = {name: system for name, system in trained().items() if name in ("original", "griffin-lim", *TRAININGS)}
    run = make(tmp_path / "run", last, ("bell-01",), parts=("quality",))
    entries = json.loads((run / "systems.json").read_text(encoding="utf-8"))
    entries["wavernn"].update(minutes=None, run=None)
    (run / "systems.json").write_text(json.dumps(entries), encoding="utf-8")
    leaderboard = load(run)
    assert curves.training(leaderboard, leaderboard.by_name["pesq_wb"]) is None
    assert not any("quality-training" in picture.path for picture in plots.draw(run, leaderboard))


def test_the_title_over_steps_says_who_gains(tmp_path):
    few = many()["diffwave-6"]
    systems = {
        "original": many()["original"],
        "few": replace(few, steps=2, quality=0.5),
        "more": replace(few, steps=8, quality=0.6),
    }
    leaderboard = load(make(tmp_path / "run", systems, ("bell-01",), parts=("quality",)))
    with style.plot_style():
        title = curves.steps(leaderboard, leaderboard.by_name["pesq_wb"]).title
    change = leaderboard.row("more").value("pesq_wb") - leaderboard.row("few").value("pesq_wb")
    assert title == f"PESQ-WB: DiffWave {change:+.2f} from 2 to 8 steps"


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
