"""The benchmark's recipe: our vocoders in its loop, its split, and all systems by one command."""

import functools
import importlib.util
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_vocoders import CONFIGS

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import load_checkpoint
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.estimator import EstimatorConfig
from tts_diffvoc.flow import FlowConfig
from tts_diffvoc.networks.waveglow import WaveGlowConfig
from tts_diffvoc.training.corpus import scan
from tts_diffvoc_eval import registry
from tts_diffvoc_eval.baselines import configs, folder, vocoder
from tts_diffvoc_eval.baselines.training import Training, TrainingConfig, train
from tts_diffvoc_eval.held_back import held_back
from tts_diffvoc_eval.mels import MEL

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "recipes" / "benchmark" / "train.py"
CLIPS = ROOT / "eval" / "tts_diffvoc_eval" / "clips"
TINY = {
    "diffwave": CONFIGS["folded diffwave"],
    "wavegrad": CONFIGS["wavegrad"],
    "waveglow": FlowConfig(
        sizes=WaveGlowConfig(flows=2, layers=2, channels=8, early_every=4, upsample_window=256),
        estimator=EstimatorConfig(8, 1, 2),
        defaults={"project": 2},
    ),
}


@pytest.fixture(scope="module")
def recipe():
    """recipes/benchmark/train.py as a module."""
    spec = importlib.util.spec_from_file_location("benchmark_train", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def clips():
    return scan(CLIPS, MEL, listen=False).split(1)


def make_tiny(monkeypatch, name, config):
    """Train a system with the smallest networks."""
    baseline = configs.BASELINES[name]
    small = replace(baseline.small, network=config.to_dict(), batch=2, frames=8)
    monkeypatch.setitem(configs.BASELINES, name, replace(baseline, small=small))


@pytest.fixture
def tiny(monkeypatch):
    for name, config in TINY.items():
        make_tiny(monkeypatch, name, config)


def quick(name, clips, output, steps=8, **options):
    return train(TrainingConfig(name, steps=steps, **options), *clips, output)


# Our vocoders in the loop


@pytest.mark.parametrize("name", TINY)
def test_ours_learns_and_is_one_of_ours(name, clips, tmp_path, tiny):
    result = quick(name, clips, tmp_path, 8, keep_quarters=True, gain_db=6.0, data="somebody")
    steps = [score["steps"] for score in result["scores"]]
    assert len(steps) == 5 and steps[0] == 0 and steps[-1] == 8
    kept = {path.name for path in tmp_path.iterdir()}
    assert {"checkpoint.pt", "quarter-1", "quarter-2", "quarter-3", "vocoder"} <= kept
    facts = voices.card(tmp_path / "vocoder")
    assert "8 steps of 2 crops of 8 frames" in facts["training"] and facts["data"] == "somebody"
    assert ("note" in facts) == (name == "waveglow") and str(tmp_path) not in str(facts)
    first, last = load_checkpoint(tmp_path / "quarter-1"), load_checkpoint(tmp_path / "vocoder")
    assert last.config.to_dict() == TINY[name].to_dict()
    changed = [not torch.equal(a, b) for a, b in zip(first.parameters(), last.parameters())]
    assert sum(changed) > len(changed) / 2  # float16 hides the smallest changes
    assert result["parameters"] == sum(p.numel() for p in last.parameters())
    found = registry.find(str(tmp_path / "vocoder"), "cpu")[0]
    assert found.training == facts["training"] and found.name == tmp_path.name


def test_the_magnitude_network_learns_first(clips, tmp_path, tiny):
    """Each network is trained in its own share of the budget, at its own rate, and the other one stays."""
    training = Training(TrainingConfig("waveglow", steps=10), *clips, tmp_path)
    first, second = training.stages()
    assert (first.config.steps, second.config.steps) == (4, 6)
    assert (first.config.learning_rate, first.config.clip_norm) == (2e-3, 5.0)
    assert second.config.learning_rate == configs.find("waveglow").small.learning_rate
    assert first.config.checks == pytest.approx([0.625]) and second.config.checks == pytest.approx([1 / 6, 7 / 12])
    batch = {"waveform": 0.1 * torch.randn(2, 2048), "mel": torch.randn(2, 80, 8) - 5, "seed": torch.arange(2)}
    for stage, learns, stays in ((first, "estimator", "network"), (second, "network", "estimator")):
        training.network.zero_grad()
        stage.model.loss(batch)["loss"].backward()
        own = {id(p) for p in stage.model.parts()["model"]}
        assert own == {id(p) for p in getattr(training.network, learns).parameters()}
        assert not own & {id(p) for p in getattr(training.network, stays).parameters()}


def test_taken_up_again_ends_where_it_would_have(clips, tmp_path, tiny, monkeypatch):
    quick("diffwave", clips, tmp_path / "whole", bf16=True)
    batches = Training.batches

    def interrupted(self, stage, loop):
        for batch in batches(self, stage, loop):
            if stage.start and loop.step == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(Training, "batches", interrupted)
        with pytest.raises(SystemExit):
            quick("diffwave", clips, tmp_path / "parts", bf16=True)
    quick("diffwave", clips, tmp_path / "parts", bf16=True)
    whole, parts = (load_checkpoint(tmp_path / run / "vocoder").state_dict() for run in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_ablations_share_one_magnitude_network_and_leave_it(clips, tmp_path, tiny, monkeypatch):
    quick("diffwave", clips, tmp_path / "base", 2)
    base = load_checkpoint(tmp_path / "base" / "vocoder")
    for name, norm in (("wavegrad-l2", "l2"), ("wavegrad-l1", "l1")):
        make_tiny(monkeypatch, name, CONFIGS["folded wavegrad"])
        with pytest.raises(DiffvocError, match="name a vocoder that has one"):
            quick(name, clips, tmp_path / "none", 2)
        options = TrainingConfig(name, steps=2, estimator=str(tmp_path / "base" / "vocoder"))
        training = Training(options, *clips, tmp_path / name)
        assert training.network.norm == norm and len(training.stages()) == 1
    (tmp_path / name).mkdir()
    training.run()
    made = load_checkpoint(tmp_path / name / "vocoder")
    for key, value in base.estimator.state_dict().items():
        assert torch.equal(made.estimator.state_dict()[key], value)


def test_what_cannot_be_compiled_is_trained_all_the_same(clips, tmp_path, tiny, monkeypatch, capsys):
    def stumble(made):
        made.network.condition = None
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(vocoder, "compile_network", stumble)
    assert quick("diffwave", clips, tmp_path, 2, compiled=True)["steps"] == 2
    assert "not compiled (RuntimeError: no compiler here)" in capsys.readouterr().out


def test_compiled_steps_are_the_same_steps(monkeypatch):
    """By the plainest backend, which needs no compiler: what is traced is what is run otherwise."""
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda call, mode=None, **how: compiled(call, backend="eager", **how))
    size = replace(configs.find("diffwave").small, network=CONFIGS["diffwave"].to_dict())
    batch = {"waveform": torch.full((2, 2048), 0.1), "mel": torch.zeros(2, 80, 8), "seed": torch.arange(2)}
    losses = []
    for compile_it in (False, True):
        made = vocoder.untrained(size, "diffwave", 0)
        if compile_it:
            vocoder.compile_network(made)
        losses.append(float(vocoder.VocoderTraining(made, "network").loss(batch)["loss"]))
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    vocoder.undo_compile(made)
    assert "condition" not in made.network.__dict__


def test_sizes_are_those_of_the_papers():
    """Millions of numbers: DiffWave's Base, WaveGrad's Base for a hop of 256, WaveGlow as NVIDIA trained it."""
    found = {}
    for name, baseline in configs.OURS.items():
        made = vocoder.untrained(baseline.published, name, 0)
        found[name] = round(sum(p.numel() for p in made.parameters()) / 1e6, 1)
        assert made.estimator is None and (name == "waveglow") == (not getattr(made.config, "inference", None))
    assert found == {"diffwave": 2.6, "wavegrad": 15.8, "waveglow": 87.7}


# The split


def test_whole_speakers_are_held_back():
    readers = [f"{100 + i}-{i}-000{u}.flac" for i in range(14) for u in (0, 1)]
    lj = [f"LJ001-00{i:02}.flac" for i in range(12)]
    found = {p.name for p in held_back(map(Path, readers + lj))}
    assert found == {"106-6-0000.flac", "106-6-0001.flac", "113-13-0000.flac", "113-13-0001.flac", lj[4], lj[9]}
    folders = [Path("wavs") / f"p{i}" / f"{k}.wav" for i in range(7) for k in range(3)]
    assert held_back(folders) == set(folders[-3:])
    prefixes = [Path(f"{who}_{k}.wav") for who in "abcdefg" for k in range(3)]
    assert held_back(prefixes) == set(prefixes[-3:])
    one_voice = [Path(f"wavs/slt-{k}.wav") for k in range(10)]
    assert held_back(one_voice) == {one_voice[4], one_voice[9]}
    assert not held_back(folders[:9]) and held_back(folders[:9], one=True) == set(folders[6:9])
    assert not held_back([]) and not held_back(folders[:1], one=True)


def test_split_is_kept(recipe, tmp_path):
    recipe.split([str(CLIPS)], tmp_path)
    (part,) = json.loads((tmp_path / "split.json").read_text())
    assert part["held"] == ["slt-01.flac", "slt-04.flac", "slt-08.flac"] and len(part["train"]) == 5
    recipe.split([str(CLIPS)], tmp_path)
    (tmp_path / "split.json").write_text("[]")
    with pytest.raises(DiffvocError, match="began with other recordings"):
        recipe.split([str(CLIPS)], tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DiffvocError, match="cannot be written"):
        recipe.split([str(CLIPS)], tmp_path / "file" / "inside")


# The command


def test_budgets(recipe):
    assert recipe.parse_budget("20m") == {"minutes": 20} and recipe.parse_budget("90s") == {"minutes": 1.5}
    assert recipe.parse_budget("1.5 h") == {"minutes": 90} and recipe.parse_budget("30steps") == {"steps": 30}
    for text in ("20", "0m", "m", "1.5steps", "-3m"):
        with pytest.raises(DiffvocError, match="give for example 20m"):
            recipe.parse_budget(text)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--systems", "mellgan"], "did you mean 'melgan'"),
        (["--systems", "melgan", "melgan"], "named twice"),
        (["--side-by-side", "0"], "at least 1"),
        (["--device", "nowhere"], "no device 'nowhere'"),
    ],
)
def test_bad_words(recipe, words, message):
    with pytest.raises(DiffvocError, match=message):
        recipe.configure(recipe.parse(["--data", "x", "--output", "y", "--budget", "1m", *words]))


def command(output, *more):
    words = ["--data", CLIPS, "--output", output, "--threads", "1", "--batch", "1", "--frames", "8", *more]
    return [sys.executable, SCRIPT, *map(str, words)]


def test_one_that_fails_stops_no_other(recipe, tmp_path):
    """One whose checkpoint is damaged fails alone; what is done would not be done again."""
    (tmp_path / "univnet").mkdir()
    (tmp_path / "univnet" / "checkpoint.pt").write_bytes(b"nothing")
    line = command(tmp_path, "--budget", "1steps", "--side-by-side", "2", "--systems", "univnet", "melgan")
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 1 and "univnet failed" in done.stderr and "delete it to begin again" in done.stderr
    rows = [row for row in done.stdout.splitlines() if row.startswith("| ")]
    assert [row.split()[1:4] for row in rows[1:]] == [["MelGAN", "|", "small"]]
    assert rows[-1] in (tmp_path / "table.md").read_text()
    folder.load(tmp_path / "melgan" / "vocoder")
    assert voices.card(tmp_path / "melgan" / "vocoder")["data"].startswith("clips; ")
    settings = recipe.configure(recipe.parse([str(word) for word in line[2:]]))
    finished = {name: recipe.is_finished(config, tmp_path) for name, config in settings.items()}
    assert finished == {"univnet": False, "melgan": True}
    assert not recipe.is_finished(replace(settings["melgan"], steps=8), tmp_path)


def test_stopped_it_saves(tmp_path):
    """SIGTERM reaches the process of the system too, which saves; also where SIGINT is ignored, as behind "&"."""
    line = command(tmp_path, "--budget", "4000steps", "--systems", "melgan")
    ignore = functools.partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, preexec_fn=ignore)
    assert any(text.startswith("step ") for text in process.stdout)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    assert torch.load(tmp_path / "melgan" / "checkpoint.pt", weights_only=True)["step"] < 4000
    assert not (tmp_path / "melgan" / "vocoder").exists()
