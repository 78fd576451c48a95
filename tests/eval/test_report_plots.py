"""Plots and pictures: the front, names that keep apart, lines over training, and the mel errors."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from make_run import TRAININGS, make, many, trained
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from tts_diffvoc_eval.reporting import build, plots, spectrograms
from tts_diffvoc_eval.reporting.plots import labels, quality_speed, quality_training, style
from tts_diffvoc_eval.reporting.plots.labels import Name


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
    axes = Figure(figsize=(3, 2), dpi=100).add_subplot()
    points = [(0.5 + 0.001 * i, 0.5) for i in range(40)]
    names = [Name("name", points[0]), *(Name(f"{i}", point, optional=True) for i, point in enumerate(points))]
    labels.place(axes, names, points)
    assert 0 < len(axes.texts) < 40


def test_heights_apart():
    heights = labels.spread([0.0, 1.0, 1.5, 9.0], 2.0, -9, 20)
    assert np.diff(heights).min() >= 2.0 - 1e-9
    assert heights[-1] == 9.0 and np.mean(heights[:3]) == pytest.approx(np.mean([0.0, 1.0, 1.5]))
    assert labels.spread([-3.0, -1.0, 1.0, 9.0], 2.0, 0.0, 8.0).tolist() == [0.0, 2.0, 4.0, 8.0]
    assert labels.spread([0.0, 2.0, 4.0], 2.0, 1.0, 3.0).tolist() == [1.0, 3.0, 5.0]  # more than there is room for


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    folder = make(tmp_path_factory.mktemp("crowd"), many(), ("bell-01", "bell-02"))
    return folder, build.load(folder)


def test_one_line_a_checkpoint_and_sampler(crowd):
    rows = crowd[1].systems()
    lines = style.lines_of_steps(rows)
    assert sorted((line[0].group, line[0].sampler) for line in lines) == [
        (group, sampler) for group in ("diffwave", "wavegrad") for sampler in ("ddpm", "dpm-solver")
    ]
    assert all([row.steps for row in line] == [3, 6, 12, 25, 50] for line in lines)
    assert {style.title_of(line, rows) for line in lines} == {
        f"{name}, {sampler}" for name in ("DiffWave", "WaveGrad") for sampler in ("ddpm", "dpm-solver")
    }


def test_every_plot_is_drawn(crowd):
    run, board = crowd
    pictures = plots.draw(run, board)
    names = {picture.path.removeprefix("plots/") for picture in pictures}
    kinds = ("quality-speed", "quality-steps", "diversity")
    assert names == {"scores", "mel-error"} | {f"{kind}-{metric}" for kind in kinds for metric in board.primary}
    for picture in pictures:
        assert Image.open(run / f"{picture.path}.png").width > 900
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
    board = build.load(make(tmp_path / "run", fastest, ("bell-01",), parts=("quality", "speed")))
    picture = quality_speed.plot(board, board.by_name["pesq_wb"])
    assert picture.title == "Pareto front of speed and PESQ-WB: 2 of 2 systems"
    assert "MelGAN" not in picture.caption


def after_training(folder, systems, clips=("bell-01", "bell-02", "bell-03")):
    """A run of nothing but quality, ready to be drawn."""
    run = make(folder / "run", systems, clips, parts=("quality",))
    return run, build.load(run)


def test_one_line_a_training(tmp_path):
    _, board = after_training(tmp_path, trained(), ("bell-01",))
    lines = quality_training.lines_of_training(board.systems())
    assert [[row.name for row in line] for line in lines] == [
        [*(f"{run}-quarter-{k}" for k in (1, 2, 3)), run] for run in sorted(TRAININGS)
    ]


@pytest.mark.parametrize("metric", ["pesq_wb", "wer_original"])
def test_quality_over_training(tmp_path, metric):
    _, board = after_training(tmp_path, trained(("diffwave", "waveglow", "hifigan-v2")))
    with style.plot_style():
        picture = quality_training.plot(board, board.by_name[metric])
    assert picture.path == f"plots/quality-training-{metric}" and picture.metric == metric
    assert picture.title.startswith("After 20 minutes of CPU training each, DiffWave ")


def test_no_line_over_training_without_two_points(tmp_path):
    last = {name: system for name, system in trained().items() if name in ("original", "griffin-lim", *TRAININGS)}
    run, board = after_training(tmp_path, last, ("bell-01",))
    assert quality_training.plot(board, board.by_name["pesq_wb"]) is None
    assert not any("quality-training" in picture.path for picture in plots.draw(run, board))


def test_records_from_before_minutes_were_kept(tmp_path):
    run, _ = after_training(tmp_path, trained(("hifigan-v2",)), ("bell-01",))
    file = run / "systems.json"
    entries = json.loads(file.read_text(encoding="utf-8"))
    for entry in entries.values():
        for key in ("minutes", "trained_on", "run"):
            del entry[key]
    file.write_text(json.dumps(entries), encoding="utf-8")
    board = build.load(run)
    row = board.row("hifigan-v2")
    assert (row.minutes, row.trained_on, row.run) == (None, None, None)
    assert quality_training.plot(board, board.by_name["pesq_wb"]) is None


@pytest.mark.parametrize(
    ("qualities", "first", "said"),
    [
        ((0.5, 0.9, 0.2), "B", "leads in PESQ-WB"),
        ((0.9, 0.9, 0.2), "AB", "share the lead in PESQ-WB: they cannot be told apart"),
        ((0.5, 0.5, 0.5), "ABC", "share the lead in PESQ-WB: they cannot be told apart"),
    ],
)
def test_title_over_training_follows_the_data(tmp_path, qualities, first, said):
    systems = {"original": many()["original"]}
    for name, quality in zip("ABC", qualities):
        for minutes in (3.0, 6.0):
            one = replace(many()["hifigan-v2"], label=f"{name}, 6 steps", quality=quality - 0.1 * (minutes < 6))
            one = replace(one, minutes=minutes, trained_on="CPU", run=name)
            systems[name if minutes == 6 else f"{name}-quarter-2"] = one
    run, board = after_training(tmp_path, systems, tuple(f"bell-{i:02}" for i in range(6)))
    column = board.by_name["pesq_wb"]
    lines = quality_training.lines_of_training(board.systems())
    title = quality_training.leader(board, column, lines, quality_training.names_of_lines(lines, False))
    after = "After 6 minutes of CPU training each, "
    assert title.startswith(after) and title.endswith(said)
    names = title.removeprefix(after).removesuffix(said)
    assert set(names.replace(" and", ",").rstrip().split(", ")) == set(first)
    alone = quality_training.leader(board, column, lines[:1], ["A"])
    assert alone.startswith("PESQ-WB: A +0.") and alone.endswith(" from 3 to 6 minutes of CPU training")


def test_names_over_training_say_what_tells_lines_apart(tmp_path):
    systems = trained(("hifigan-v1", "hifigan-v2"))
    systems = {name: replace(one, label="HiFi-GAN") if one.run else one for name, one in systems.items()}
    _, board = after_training(tmp_path, systems, ("bell-01",))
    lines = quality_training.lines_of_training(board.systems())
    assert quality_training.names_of_lines(lines, False) == ["HiFi-GAN (hifigan-v1)", "HiFi-GAN (hifigan-v2)"]
    lines = [lines[0], [replace(row, trained_on="NVIDIA H100") for row in lines[1]]]
    assert quality_training.names_of_lines(lines, True) == ["HiFi-GAN on CPU", "HiFi-GAN on NVIDIA H100"]


@pytest.mark.parametrize(("minutes", "scale"), [((0.0, 5.0, 20.0), "linear"), ((5.0, 20.0, 600.0), "log")])
def test_axis_of_minutes(minutes, scale):
    axes = Figure().add_subplot()
    move = quality_training.minutes_axis(axes, list(minutes), 20)
    low, high = axes.get_xlim()
    assert axes.get_xscale() == scale and low < minutes[0] and high > 1.2 * minutes[-1]
    assert len(axes.get_xticks()) >= 3 and max(axes.get_xticks()) <= 1.02 * minutes[-1]
    assert move(20.0, 0.0) == 20.0 and move(20.0, -0.01) < 20.0 < move(20.0, 0.01)
