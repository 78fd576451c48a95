"""The benchmark's recipe: our vocoders in its loop, its split, and all systems by one command."""

import functools
import importlib.util
import signal
import subprocess
import sys
import time
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
from tts_diffvoc_eval import baselines, systems
from tts_diffvoc_eval.baselines import ours
from tts_diffvoc_eval.baselines.mels import CONTRACT
from tts_diffvoc_eval.baselines.training import train
from tts_diffvoc_eval.held_back import held_back

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "recipes" / "benchmark" / "train.py"
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
    return scan(ROOT / "eval" / "tts_diffvoc_eval" / "clips", CONTRACT).split(2)


@pytest.fixture
def tiny(monkeypatch):
    """Our systems with the smallest networks."""
    for name, config in TINY.items():
        variant = replace(ours.SYSTEMS[name].small, network=config.to_dict(), batch=2, frames=8)
        monkeypatch.setitem(ours.SYSTEMS, name, replace(ours.SYSTEMS[name], small=variant))


def quick(name, clips, output, steps=8, tell=lambda line: None, **options):
    return train(name, *clips, output, steps=steps, tell=tell, **options)


# Our vocoders in the loop


@pytest.mark.parametrize("name", TINY)
def test_ours_learns_and_is_one_of_ours(name, clips, tmp_path, tiny):
    result = quick(name, clips, tmp_path, 8, keep_quarters=True, gain_db=6.0, data="somebody")
    assert [score.steps for score in result.scores] == [0, 2, 4, 6, 8]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint.pt",
        "quarter-1",
        "quarter-2",
        "quarter-3",
        "vocoder",
    ]
    facts = voices.card(result.folder)
    assert "8 steps of 2 crops of 8 frames" in facts["training"] and facts["data"] == "somebody"
    assert ("note" in facts) == (name == "waveglow") and str(tmp_path) not in str(facts)
    first, last = load_checkpoint(tmp_path / "quarter-1"), load_checkpoint(result.folder)
    assert last.config.to_dict() == TINY[name].to_dict()
    changed = [not torch.equal(a, b) for a, b in zip(first.parameters(), last.parameters())]
    assert sum(changed) > len(changed) / 2  # float16 hides the smallest changes
    assert result.parameters == sum(p.numel() for p in last.parameters())
    found = systems.resolve(str(result.folder), "cpu")[0]
    assert found.training == facts["training"] and found.name == tmp_path.name


@pytest.mark.parametrize("name", ["diffwave", "waveglow"])
def test_the_magnitude_network_learns_first(name, tiny):
    """Each network is trained in its own share of the budget, at its own rate, and the other one stays."""
    one = ours.SYSTEMS[name]
    learner = ours.Ours(one, one.small, ours.Ours.untrained(name, one.small, 0), CONTRACT, False)
    for number, (share, learns, stays) in enumerate([(0.1, "estimator", "network"), (0.6, "network", "estimator")]):
        parts = {part: [p.detach().clone() for p in learner.networks[part].parameters()] for part in (learns, stays)}
        learner.step(0.1 * torch.randn(2, 2048), torch.randn(2, 80, 8) - 5, number, share)
        same = {
            part: all(map(torch.equal, before, learner.networks[part].parameters())) for part, before in parts.items()
        }
        assert same == {learns: False, stays: True}
    assert learner.rate("estimator", 99, 0.2) == pytest.approx(0.55 * ours.ESTIMATOR_RATE)
    assert learner.rate("network", 99, 0.7) == pytest.approx(0.55 * one.small.rate)
    assert learner.rate("network", 99, ours.ESTIMATOR_SHARE) == pytest.approx(0.02 * one.small.rate)


@pytest.mark.parametrize("bf16", [False, True])
def test_taken_up_again_ends_where_it_would_have(bf16, clips, tmp_path, tiny):
    quick("diffwave", clips, tmp_path / "whole", bf16=bf16)

    def stop(line):
        if "4 steps" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick("diffwave", clips, tmp_path / "parts", tell=stop, bf16=bf16)
    quick("diffwave", clips, tmp_path / "parts", bf16=bf16)
    whole, parts = (load_checkpoint(tmp_path / run / "vocoder").state_dict() for run in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_what_other_programs_take_of_a_cpu_is_no_training(clips, tmp_path, tiny, monkeypatch):
    """Time in which the process waits does not count."""
    step, waited = ours.Ours.step, []

    def wait(self, *batch):
        time.sleep(0.2)
        waited.append(0.2)
        return step(self, *batch)

    monkeypatch.setattr(ours.Ours, "step", wait)
    result = quick("diffwave", clips, tmp_path, steps=10)
    assert 0 < 60 * result.minutes < sum(waited) / 2


def test_ablations_share_one_magnitude_network_and_leave_it(clips, tmp_path, tiny, monkeypatch):
    quick("diffwave", clips, tmp_path / "base")
    base = load_checkpoint(tmp_path / "base" / "vocoder")
    for name, norm in (("diffwave-t20", "l2"), ("wavegrad-l2", "l2"), ("wavegrad-l1", "l1")):
        small = CONFIGS["folded " + name.partition("-")[0]].to_dict()
        variant = replace(ours.ABLATIONS[name].small, network=small, batch=2, frames=8)
        monkeypatch.setitem(ours.ABLATIONS, name, replace(ours.ABLATIONS[name], small=variant))
        with pytest.raises(DiffvocError, match="name a vocoder that has one"):
            quick(name, clips, tmp_path / "none", steps=2)
        said = []
        monkeypatch.setattr(ours.Ablation, "learn", said_norm(said))
        quick(name, clips, tmp_path / name, steps=4, estimator=tmp_path / "base" / "vocoder")
        made = load_checkpoint(tmp_path / name / "vocoder")
        for key, value in base.estimator.state_dict().items():
            assert torch.equal(made.estimator.state_dict()[key], value)
        assert set(said) == {norm}
        first = ours.Ours.untrained(name, variant, 0).network.state_dict()
        assert any(not torch.equal(v, first[k].half().float()) for k, v in made.network.state_dict().items())


def said_norm(said):
    """``learn`` as it was, noting each step's norm."""
    learn = ours.Ours.learn

    def note(self, *batch):
        said.append(self.generator.norm)
        return learn(self, *batch)

    return note


def test_what_cannot_be_compiled_is_trained_all_the_same(clips, tmp_path, tiny, monkeypatch):
    def stumble(vocoder):
        vocoder.network.condition = None
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(ours, "compile_network", stumble)
    lines = []
    result = quick("diffwave", clips, tmp_path, 4, compiled=True, tell=lines.append)
    assert result.steps == 4 and any("not compiled (RuntimeError: no compiler here)" in line for line in lines)
    assert quick("melgan", clips, tmp_path / "gan", 1, compiled=True, batch=1, frames=8).steps == 1


def test_compiled_steps_are_the_same_steps(tiny, monkeypatch):
    """By the plainest backend, which needs no compiler: what is traced is what is run otherwise."""
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda call, mode=None, **how: compiled(call, backend="eager", **how))
    one = ours.SYSTEMS["diffwave"]
    variant = replace(one.small, network=CONFIGS["diffwave"].to_dict())
    losses = []
    for compile_it in (False, True):
        learner = ours.Ours(one, variant, ours.Ours.untrained("diffwave", variant, 0), CONTRACT, True)
        batch = torch.full((2, 2048), 0.1), torch.zeros(2, 80, 8)
        if compile_it:
            learner.compile(*batch)
        torch.manual_seed(3)
        losses.append([float(learner.step(*batch, number, 0.1)) for number in range(2)])
        assert "condition" not in learner.average.module.network.__dict__
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    learner.undo_compile()
    assert "condition" not in learner.generator.network.__dict__


def test_sizes_are_those_of_the_papers():
    """Millions of numbers: DiffWave's Base, WaveGrad's Base for a hop of 256, WaveGlow as NVIDIA trained it."""
    found = {}
    for name, one in ours.SYSTEMS.items():
        vocoder = ours.Ours.untrained(name, one.published, 0)
        found[name] = round(sum(p.numel() for p in vocoder.parameters()) / 1e6, 1)
        assert vocoder.estimator is None and (name == "waveglow") == (not getattr(vocoder.config, "inference", None))
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


def test_split_is_kept(recipe, tmp_path, capsys):
    parts = recipe.split([str(ROOT / "eval" / "tts_diffvoc_eval" / "clips")])
    assert parts[0]["held"] == ["slt-01.flac", "slt-04.flac", "slt-08.flac"] and len(parts[0]["train"]) == 5
    recipe.keep_split(tmp_path, parts)
    recipe.keep_split(tmp_path, parts)
    with pytest.raises(DiffvocError, match="began with other recordings"):
        recipe.keep_split(tmp_path, [{**parts[0], "train": []}])
    (tmp_path / "file").touch()
    with pytest.raises(DiffvocError, match="cannot be written"):
        recipe.keep_split(tmp_path / "file" / "inside", parts)


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
        recipe.make_job(recipe.parse(["--data", "x", "--output", "y", "--budget", "1m", *words]))


def command(output, *more):
    data = ["--data", ROOT / "eval" / "tts_diffvoc_eval" / "clips"]
    words = [*data, "--output", output, "--threads", "1", "--batch", "1", "--frames", "8", *more]
    return [sys.executable, SCRIPT, *map(str, words)]


def test_two_systems_side_by_side_and_one_that_fails(recipe, tmp_path):
    """One whose checkpoint is damaged stops no other; what is done would not be done again."""
    (tmp_path / "melgan").mkdir()
    (tmp_path / "melgan" / "checkpoint.pt").write_bytes(b"nothing")
    names = ["diffwave", "melgan", "hifigan-v2"]
    line = command(tmp_path, "--budget", "4steps", "--side-by-side", "2", "--systems", *names)
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 1 and "melgan failed" in done.stderr and "delete it to begin anew" in done.stderr
    rows = [row for row in done.stdout.splitlines() if row.startswith("| ")]
    assert [row.split(" | ")[:2] for row in rows[2:]] == [["| DiffWave", "small"], ["| HiFi-GAN V2", "small"]]
    assert (tmp_path / "table.md").read_text().splitlines() == rows
    for name, load in (("diffwave", load_checkpoint), ("hifigan-v2", baselines.load)):
        for part in ("quarter-1", "quarter-2", "quarter-3", "vocoder"):
            load(tmp_path / name / part)
        assert voices.card(tmp_path / name / "vocoder")["data"].startswith("clips; ")
        assert systems.resolve(str(tmp_path / name / "vocoder"), "cpu")[0].name == name
    job = recipe.make_job(recipe.parse([str(word) for word in line[2:]]))
    assert [recipe.is_finished(name, job) for name in names] == [True, False, True]
    assert not recipe.is_finished("diffwave", {**job, "steps": 8})


def test_stopped_it_saves(tmp_path):
    """SIGTERM reaches the process of the system too, which saves; also where SIGINT is ignored, as behind "&"."""
    line = command(tmp_path, "--budget", "4000steps", "--systems", "melgan")
    ignore = functools.partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, preexec_fn=ignore)
    assert any("melgan: 0 steps" in text for text in process.stdout)
    time.sleep(2)  # into its steps
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
    assert torch.load(tmp_path / "melgan" / "checkpoint.pt", weights_only=True)["done"] < 4000
    assert not (tmp_path / "melgan" / "vocoder").exists()
