"""Training DiffWave on digits: sizes by name, runs that go on where they stopped, and what they leave behind."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from small_generators import sizes

from tts_diffvoc_eval.generation.corpus import Corpus, Digits

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "recipes" / "fsdd"))

import train_diffwave as recipe  # noqa: E402
from train_seeds import Plan  # noqa: E402

from tts_diffvoc.checkpoint import load_generator  # noqa: E402
from tts_diffvoc.diffusion.schedules import NoiseSchedule, published_schedule  # noqa: E402
from tts_diffvoc.errors import DiffvocError  # noqa: E402
from tts_diffvoc.generator import Generator, GeneratorConfig  # noqa: E402

PLAN = Plan({}, batch=4, rate=2e-3, average=0.9, falls=True, levels=(0.0, 2.0))
FOLDED = NoiseSchedule.log_snr(0.99, 0.05, 20)


def config(labels=(), **changes):
    return GeneratorConfig(sizes(16, len(labels), **changes), FOLDED, 8000, 512, labels=labels, scale=4.0, hop=16)


@pytest.fixture(scope="module")
def corpus():
    """Of digit d a tone of its own pitch, 512 samples: 40 to learn from, 10 held back."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(50) % 10
    turns = torch.rand(50, 1, generator=draw) + (400 + 150 * labels).unsqueeze(1) * torch.arange(512) / 8000
    tones = 0.35 * torch.sin(2 * torch.pi * turns)
    parts = []
    for some in (slice(0, 40), slice(40, 50)):
        count = len(tones[some])
        parts.append(Digits(tones[some], labels[some], ["ann"] * count, [str(i) for i in range(count)], [], 8000))
    return Corpus("tones", "nobody's", *parts)


def run(kind, corpus, folder, **changes):
    labels = recipe.LABELS if kind == "conditional" else ()
    settings = {"steps": 8, "plan": PLAN, "config": config(labels), "tell": str, **changes}
    return recipe.train(kind, corpus, folder, **settings)


def weights(folder):
    return load_generator(folder / "generator").state_dict()


@pytest.mark.parametrize("kind", recipe.KINDS)
def test_a_run_learns_its_tones_and_leaves_generators(kind, corpus, tmp_path):
    """After 100 steps the held-back loss is well below 1, which is the best linear estimate's."""
    labels = recipe.LABELS if kind == "conditional" else ()
    plan = replace(PLAN, batch=16, rate=5e-3)
    done = run(kind, corpus, tmp_path, steps=100, plan=plan, config=config(labels, residual_channels=48))
    losses = [score.loss for score in done.scores]
    assert [score.steps for score in done.scores] == [0, 25, 50, 75, 100]
    assert losses[0] == pytest.approx(1, abs=0.25) and losses[-1] < 0.85 * losses[0]
    made = [load_generator(tmp_path / name) for name in ("quarter-1", "quarter-2", "quarter-3", "generator")]
    assert all(one.labels == (recipe.LABELS if kind == "conditional" else ()) for one in made)
    assert not torch.equal(made[0].network.input_projection.weight, made[-1].network.input_projection.weight)
    assert made[-1].generate(2, seed=0).shape == (2, 512)
    card = (tmp_path / "generator" / "README.md").read_text()
    assert "100 steps of 16 clips" in card and "nobody's; 40 clips" in card
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["steps"] == 100 and result["scores"][-1]["loss"] == losses[-1] and kind in result["label"]


def test_a_run_that_goes_on_equals_one_that_was_not_stopped(corpus, tmp_path, monkeypatch):
    lines = []
    whole = run("conditional", corpus, tmp_path / "whole")
    real = recipe.DiffWaveLearner.learn

    def stopped(self, waveform, labels, number, *more):
        if number == 5:
            raise KeyboardInterrupt
        return real(self, waveform, labels, number, *more)

    monkeypatch.setattr(recipe.DiffWaveLearner, "learn", stopped)
    with pytest.raises(KeyboardInterrupt):
        run("conditional", corpus, tmp_path / "parts")
    assert not (tmp_path / "parts" / "generator").exists()
    monkeypatch.setattr(recipe.DiffWaveLearner, "learn", real)
    parts = run("conditional", corpus, tmp_path / "parts", tell=lines.append)
    assert any("going on after 5 steps" in line for line in lines)
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    assert [(s.steps, s.loss) for s in whole.scores] == [(s.steps, s.loss) for s in parts.scores]


def test_more_budget_goes_on_and_other_settings_are_refused(corpus, tmp_path):
    run("unconditional", corpus, tmp_path, steps=2)
    more = run("unconditional", corpus, tmp_path, steps=4)
    assert more.budget.done == 4
    with pytest.raises(DiffvocError, match="seed 0 and not 1"):
        run("unconditional", corpus, tmp_path, steps=4, seed=1)
    with pytest.raises(DiffvocError, match="give one of"):
        recipe.train("both", corpus, tmp_path / "other", steps=1)
    with pytest.raises(DiffvocError, match="give one of"):
        recipe.train("conditional", corpus, tmp_path / "other", steps=1, size="huge")


def test_labels_are_dropped_in_training_and_held_back_losses_repeat(corpus, tmp_path):
    """The network without a label learns too: its embedding of no label gets gradient."""
    done = run("conditional", corpus, tmp_path, steps=3, plan=replace(PLAN, batch=40))
    torch.manual_seed(0)
    first = Generator(config(recipe.LABELS)).network.state_dict()
    learnt = done.learner.generator.network.state_dict()
    key = next(name for name, value in first.items() if value.shape[0] == 11)  # ten labels, and none
    assert all(not torch.equal(learnt[key][i], first[key][i]) for i in range(11))
    held = corpus.held.waveforms, corpus.held.labels
    assert done.learner.score(*held) == done.learner.score(*held)


@pytest.mark.parametrize(
    "size, layers, channels, cycle", [("published", 36, 256, 12), ("deep-thin", 48, 128, 12), ("small", 12, 192, 6)]
)
@pytest.mark.parametrize("kind", recipe.KINDS)
def test_sizes_by_name(kind, size, layers, channels, cycle, corpus):
    """The paper's networks (Kong et al. 2021, sections 5.2 and 5.3), with 200 steps from 1e-4 to 0.02."""
    wide = replace(corpus, train=replace(corpus.train, waveforms=torch.zeros(2, 8192)))
    found = recipe.config_of(kind, size, wide, 0.05)
    got = found.sizes.residual_layers, found.sizes.residual_channels, found.sizes.dilation_cycle
    assert got == (layers, channels, cycle)
    assert found.length == 8192 and found.sizes.labels == (10 if kind == "conditional" else 0)
    if size == "small":
        assert found.hop == 32 and found.scale == 20.0
    else:
        assert found.hop == 0 and found.scale == 1 and found.schedule == published_schedule("diffwave-200")


def test_the_recipe_runs(tmp_path, monkeypatch, capsys):
    """As a command, on files, and on with the same line."""
    (tmp_path / "data").mkdir()
    for take in range(11):
        sound = 0.3 * np.sin(np.arange(2000) * (0.2 + 0.02 * take))
        soundfile.write(tmp_path / "data" / f"3_ann_{take}.wav", sound, 8000)
    monkeypatch.setitem(recipe.PLANS, "small", replace(PLAN, batch=2))
    monkeypatch.setattr(recipe, "HOP_SECONDS", 0.016)  # a quarter of the frames
    line = ["conditional", "--data", str(tmp_path / "data"), "--output", str(tmp_path / "run")]
    recipe.main([*line, "--steps", "1"])
    assert "conditional: 0 steps" in capsys.readouterr().out
    recipe.main([*line, "--steps", "2"])
    assert "going on after 1 step" in capsys.readouterr().out
    generator = load_generator(tmp_path / "run" / "generator")
    assert (generator.length, generator.sample_rate, generator.labels[3]) == (8192, 8000, "3")
    assert "Free Spoken Digit Dataset" in (tmp_path / "run" / "generator" / "README.md").read_text()
    with pytest.raises(SystemExit, match="--threads"):
        recipe.main([*line, "--steps", "2", "--threads", "0"])
    with pytest.raises(SystemExit, match="give one of them"):
        recipe.main([*line, "--steps", "2", "--minutes", "1"])
