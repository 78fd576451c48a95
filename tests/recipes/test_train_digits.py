"""The recipes that train on digits: DiffWave, its baselines, and the classifier."""

import json
import os
import signal
import sys
from dataclasses import replace

import pytest
import torch
from digits import recipe, tone, write, write_fsdd

from tts_diffvoc.checkpoint import load_generator
from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.training import loop
from tts_diffvoc_eval.generation import classifier as classifiers
from tts_diffvoc_eval.generation import datasets, systems, training
from tts_diffvoc_eval.generation.classifier import mask, mix, vary

SMALL_NET = {"channels": 4, "skip": 6, "cycle": 3, "cycles": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_fsdd(tmp_path_factory.mktemp("fsdd"))


def log(folder):
    return [json.loads(line) for line in (folder / loop.LOG).read_text().splitlines()]


def words(*values):
    return [str(value) for value in values]


# DiffWave


@pytest.fixture
def diffwave():
    """The recipe with a network of a few weights."""
    module = recipe("digits/train_diffwave")
    module.NETWORKS["small"] = DiffWaveConfig(32, 4, 4, n_mels=0)
    module.SMALL |= {"ema_decay": 0.9, "warmup_steps": 2, "learning_rate": 5e-3}
    return module


def train(module, *more):
    module.train(module.parser.parse_args(words(*more)))


def test_diffwave_learns_its_tones(data, tmp_path, diffwave):
    """The loss of a network on spectra is 1 for the best linear estimate; what it learns of the tones is below."""
    train(diffwave, "conditional", "--data", data, "--output", tmp_path, "--steps", 40)
    losses = [row["held_loss"] for row in log(tmp_path) if "held_loss" in row]
    assert len(losses) == 4 and losses[-1] < losses[0] and losses[-1] < 1
    generator = load_generator(tmp_path / "generator")
    assert generator.labels == datasets.LABELS and generator.generate(2, ["3", "7"], seed=0).shape == (2, 8192)
    card = (tmp_path / "generator" / "README.md").read_text()
    assert "40 steps of 16 clips" in card and "Free Spoken Digit Dataset" in card and "CPU minutes" in card


def test_a_resumed_run_equals_one_that_was_not_stopped(data, tmp_path, diffwave, monkeypatch):
    diffwave.BATCH = 4
    few = ["--data", data, "--steps", 4, "--output"]
    train(diffwave, "conditional", *few, tmp_path / "whole")
    real = diffwave.DiffWaveTraining.loss

    def stopping(self, batch):
        stopping.steps += 1
        if stopping.steps == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, batch)

    stopping.steps = 0
    monkeypatch.setattr(diffwave.DiffWaveTraining, "loss", stopping)
    with pytest.raises(SystemExit):
        train(diffwave, "conditional", *few, tmp_path / "parts")
    monkeypatch.undo()
    train(diffwave, "conditional", *few, tmp_path / "parts")
    whole, parts = (load_generator(tmp_path / name / "generator").state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    with pytest.raises(DiffvocError, match="delete it to begin again"):
        train(diffwave, "unconditional", *few, tmp_path / "parts")


@pytest.mark.parametrize("rate", [8000, 16000])
def test_sizes_are_the_papers(data, rate):
    """Kong et al. 2021, sections 5.2 and 5.3, with 200 steps from 1e-4 to 0.02."""
    corpus = replace(datasets.load(data), sample_rate=rate, length=rate // 8000 * 8192)
    configure = recipe("digits/train_diffwave").configure
    for size, layers, channels in (("published", 36, 256), ("deep-thin", 48, 128)):
        found = configure(size, corpus, ())
        assert (found.sizes.residual_layers, found.sizes.residual_channels) == (layers, channels)
        assert found.sizes.dilation_cycle == 12 and found.schedule == published_schedule("diffwave-200")
        assert (found.sample_rate, found.length, found.labels, found.sizes.labels) == (rate, corpus.length, (), 0)
    small = configure("small", corpus, datasets.LABELS)
    assert small.hop == 0.004 * rate and small.labels == datasets.LABELS


# Baselines


def train_baseline(data, output, kind, *more, network=None, batch=2, **changes):
    module = recipe("digits/train_baseline")
    old, settings, _, critic_steps = module.PLANS[kind, "small"]
    module.PLANS[kind, "small"] = (network or old, {**settings, **changes}, batch, critic_steps)
    train(module, kind, "--data", data, "--output", output, *more)
    return systems.load_baseline(output / "generator")


def test_wavenet_learns(data, tmp_path):
    made = train_baseline(data, tmp_path, "wavenet", "--steps", 24, network=SMALL_NET, learning_rate=2e-2)
    bits = [row["held_bits"] for row in log(tmp_path) if "held_bits" in row]
    assert bits == sorted(bits, reverse=True) and bits[-1] < 7.9
    assert "24 steps of 2 clips" in made.training_said and made.generate(1, 0).shape == (1, 8192)
    assert "Free Spoken Digit Dataset" in (tmp_path / "generator" / "README.md").read_text()


def test_wavegan_trains_in_turns_and_keeps_the_average(data, tmp_path):
    made = train_baseline(data, tmp_path, "wavegan", "--steps", 4, network={"width": 1}, ema_decay=0.9, log_steps=4)
    rows = log(tmp_path)
    assert {"critic_loss", "generator_loss"} <= rows[0].keys() | rows[1].keys() | rows[2].keys() | rows[3].keys()
    assert all(abs(row["held_distance"]) < 100 for row in rows if "held_distance" in row)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["model"]
    own, kept = state["model.dense.weight"], made.state_dict()["dense.weight"]
    assert not torch.equal(own, kept) and torch.allclose(own, kept, atol=0.1)


def test_bad_budgets_and_threads(data, tmp_path, capsys, monkeypatch):
    module = recipe("digits/train_baseline")
    bad = (
        (["--steps", "2", "--minutes", "1"], "either minutes or steps"),
        (["--threads", "0"], "argument --threads: '0'"),
    )
    for more, said in bad:
        monkeypatch.setattr(
            sys, "argv", words("train_baseline.py", "wavenet", "--data", data, "--output", tmp_path, *more)
        )
        with pytest.raises(SystemExit):
            training.main(module.parser, module.train)
        error = capsys.readouterr().err
        assert error.startswith("error: ") and said in error


# The classifier


def test_the_classifier_learns_and_says_how_well(data, tmp_path):
    module = recipe("digits/train_classifier")
    module.LOOP["warmup_steps"] = 5
    train(module, "--data", data, "--output", tmp_path, "--epochs", 10, "--batch-size", 10)
    found, corpus = classifiers.load(tmp_path), datasets.load(data)
    p, _ = found.classify(corpus.held.waveforms)
    right = int((p.argmax(1) == corpus.held.labels.numpy()).sum())
    assert right >= 6  # one would be chance
    assert f"{right} of 10 right" in (tmp_path / "README.md").read_text()
    assert "70 steps of 10 clips" in found.training_said and "CPU minutes" in found.training_said
    mel = found.spectrogram(corpus.train.waveforms)
    assert float(mel.mean()) == pytest.approx(0, abs=0.1) and float(mel.std()) == pytest.approx(1, abs=0.1)


def test_augmentation_keeps_the_word():
    """At most two tenths of a second away and unchanged in length; masks and mixtures as large as they say."""
    torch.manual_seed(0)
    x = torch.zeros(32, 8192)
    x[:, 4096] = 0.5
    varied = vary(x, 8000)
    assert varied.shape == x.shape and varied.abs().max() <= 1
    loud = varied.abs().amax(1) > 0.1  # where noise is softer than the click
    peaks = varied.abs().argmax(1)[loud]
    assert loud.sum() > 16 and (peaks - 4096).abs().max() <= 1000 and peaks.unique().numel() > 8
    hidden = (mask(torch.ones(16, 32, 64)) == 0).float().mean((1, 2))
    assert hidden.max() <= 1 - (1 - 7 / 32) * (1 - 13 / 64) and hidden.mean() > 0.02
    target = torch.eye(10)[torch.arange(16) % 10]
    mixed, blend = mix(torch.arange(16.0)[:, None, None].expand(16, 2, 2), target)
    assert torch.allclose(blend.sum(1), torch.ones(16)) and (blend.amax(1) >= 0.5).all()
    assert 2 <= (mixed[:, 0, 0] != torch.arange(16.0)).sum() <= 14


# Batches


def test_batches_go_through_all_clips_and_continue_anywhere(data):
    digits = datasets.load(data).train
    start = training.batches(digits, 8, seed=1)
    first = [batch for batch, _ in zip(start(0), range(12))]
    seen = [tuple(one[4000:4100].tolist()) for batch in first[:8] for one in batch.waveform]
    assert len(set(seen)) == 64  # no clip twice in a pass of 70
    again = next(start(10))
    assert torch.equal(again.waveform, first[10].waveform) and again.seeds == first[10].seeds
    assert len({seed for batch in first for seed in batch.seeds}) == 96
    few = next(training.batches(datasets.load(data).held, 25, seed=1)(0))
    assert len(few.labels) == 25 and few.labels.bincount().tolist() == pytest.approx([2.5] * 10, abs=0.5)


def test_one_clip_is_enough_to_train_on(tmp_path):
    for take in (0, 10):
        write(tmp_path / f"0_ann_{take}.wav", tone(200 + take, 2000))
    assert next(training.batches(datasets.load(tmp_path).train, 4, seed=0)(3)).waveform.shape == (4, 8192)
