"""Every system of the benchmark in training: its losses, its result, and its resumption."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_vocoders import CONFIGS

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import load_checkpoint
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.flow import FlowConfig
from tts_diffvoc.networks.waveglow import WaveGlowConfig
from tts_diffvoc.training.corpus import scan
from tts_diffvoc_eval import registry, speech
from tts_diffvoc_eval.baselines import NAMES, configs, folder
from tts_diffvoc_eval.baselines.networks import generator
from tts_diffvoc_eval.baselines.training import Training, TrainingConfig
from tts_diffvoc_eval.mels import MEL

TINY = {
    "diffwave-waveform": CONFIGS["diffwave"],
    "wavegrad-waveform": CONFIGS["wavegrad"],
    "waveglow": FlowConfig(sizes=WaveGlowConfig(flows=2, layers=2, channels=8, early_every=4, upsample_window=256)),
}


@pytest.fixture(scope="module")
def clips():
    """Recordings to train on, and one held back, with another sentence."""
    return scan(speech.BUNDLED, MEL, listen=False).split(1)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """The vocoders of this package with the smallest networks."""
    for name, config in TINY.items():
        baseline = configs.BASELINES[name]
        small = replace(baseline.small, network=config.to_dict(), batch=2, frames=8)
        monkeypatch.setitem(configs.BASELINES, name, replace(baseline, small=small))


def train(name, clips, output, steps, **options):
    """A short training on the smallest crops."""
    settings = {"batch": 1, "frames": 2 if name == "wavernn" else 8, **options}
    return Training(TrainingConfig(name, steps=steps, **settings), *clips, Path(output)).run()


@pytest.mark.parametrize("name", NAMES)
def test_every_part_learns(name, clips, tmp_path):
    """Two steps change the generator and, once it has joined in, the discriminator, but not the windows of its
    spectrograms."""
    frames = 2 if name == "wavernn" else 8
    training = Training(TrainingConfig(name, steps=2, batch=1, frames=frames, bf16=True), *clips, tmp_path)
    model = training.loop.model
    before = {key: value.clone() for key, value in model.named_parameters()}
    batch = {
        "waveform": 0.1 * torch.randn(1, training.clips.frames * 256),
        "mel": torch.randn(1, 80, training.clips.frames),
    }
    parts = {}
    for progress in (0.0, 0.9):
        turns = (
            model.losses({**batch, "progress": progress}) if name != "wavernn" else [("generator", model.loss(batch))]
        )
        for part, losses in turns:
            assert torch.isfinite(losses["loss"])
            model.zero_grad()
            losses["loss"].backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.grad is not None:
                        parameter -= 0.01 * parameter.grad.sign()
            parts[part] = parts.get(part, 0) + 1
    late = configs.find(name).small.discriminator_from
    assert parts == ({"generator": 2} if name == "wavernn" else {"generator": 2, "discriminator": 1 if late else 2})
    changed = {key: not torch.equal(value, before[key]) for key, value in model.named_parameters()}
    assert not any(value for key, value in changed.items() if key.endswith("window"))
    assert sum(changed.values()) > 0.8 * len(changed)


def test_training_goes_down(clips, tmp_path):
    result = train("melgan", clips, tmp_path, 60, data="clips")
    first, last = result["scores"][0], result["scores"][-1]
    assert (result["steps"], first["steps"], last["steps"]) == (60, 15, 60) and result["finished"]
    assert last["mel_l1"] < first["mel_l1"]
    assert folder.load(tmp_path / "vocoder").training.startswith(f"{result['minutes']:.3g} CPU minutes")


@pytest.mark.parametrize("name", TINY)
def test_a_vocoder_of_this_package_is_written_after_each_quarter(name, clips, tmp_path):
    result = train(name, clips, tmp_path, 8, batch=2, gain_db=6.0, bf16=True, data="somebody")
    assert [score["steps"] for score in result["scores"]] == [2, 4, 6, 8]
    assert {"checkpoint.pt", "quarter-1", "quarter-3", "vocoder"} <= {path.name for path in tmp_path.iterdir()}
    facts = voices.card(tmp_path / "vocoder")
    assert "8 steps of 2 crops of 8 frames" in facts["training"] and facts["data"] == "somebody"
    first, last = load_checkpoint(tmp_path / "quarter-1"), load_checkpoint(tmp_path / "vocoder")
    assert last.config.to_dict() == TINY[name].to_dict()
    changed = [not torch.equal(a, b) for a, b in zip(first.parameters(), last.parameters())]
    assert sum(changed) > len(changed) / 2  # float16 hides the smallest changes
    assert result["parameters"] == sum(p.numel() for p in last.parameters())
    found, early = (registry.find(str(tmp_path / part), "cpu")[0] for part in ("vocoder", "quarter-1"))
    assert found.training == facts["training"] and found.name == tmp_path.name
    assert found.label.startswith(configs.find(name).label_of("small")) and ", quarter-1" in early.label


def test_a_resumed_run_ends_where_it_would_have(clips, tmp_path, monkeypatch):
    whole = train("melgan", clips, tmp_path / "whole", 8, gain_db=6.0)
    batches = Training.batches

    def interrupted(self):
        for batch in batches(self):
            if self.loop.step == 4:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(Training, "batches", interrupted)
        with pytest.raises(SystemExit) as stop:
            train("melgan", clips, tmp_path / "parts", 8, gain_db=6.0)
    assert stop.value.code == 130 and not (tmp_path / "parts" / "vocoder").exists()
    parts = train("melgan", clips, tmp_path / "parts", 8, gain_db=6.0)
    assert [score["steps"] for score in parts["scores"]] == [2, 4, 6, 8]
    assert parts["scores"][-1]["mel_l1"] == whole["scores"][-1]["mel_l1"]
    assert train("melgan", clips, tmp_path / "parts", 9, gain_db=6.0)["steps"] == 9
    with pytest.raises(DiffvocError, match="seed 0 and not 1"):
        train("melgan", clips, tmp_path / "parts", 9, gain_db=6.0, seed=1)


def test_training_says_what_is_wrong(clips, tmp_path):
    for options, words in (
        ({"device": "nowhere"}, "no device 'nowhere'"),
        ({"frames": 4}, "needs at least 1 of 8"),
        ({"minutes": 1.0}, "either minutes or steps"),
    ):
        with pytest.raises(DiffvocError, match=words):
            train("melgan", clips, tmp_path, 1, **options)
    with pytest.raises(DiffvocError, match="none held back"):
        train("melgan", (clips[0], []), tmp_path, 1)
    with pytest.raises(DiffvocError, match="the closest names are melgan"):
        train("mellgan", clips, tmp_path, 1)


def test_sizes_are_those_of_the_papers():
    """Millions of parameters: DiffWave's Base, WaveGrad's Base for a hop of 256, WaveGlow as NVIDIA trained it."""
    found = {}
    for name, baseline in configs.VOCODERS.items():
        made = generator(baseline.kind, baseline.published.network)
        found[name] = round(sum(p.numel() for p in made.parameters()) / 1e6, 1)
    assert found == {"diffwave-waveform": 2.6, "wavegrad-waveform": 15.8, "waveglow": 87.7}
