"""Fine-tuning vocoders on a folder of recordings, whole and in small."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from small_corpus import VOCODERS, write_corpus

from tts_diffvoc.checkpoint import load_vocoder, save_checkpoint
from tts_diffvoc.cli import main
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.spectral.magnitude import MagnitudeConfig
from tts_diffvoc.spectral.network import DiffWaveSizes
from tts_diffvoc.spectral.pitch import PitchConfig
from tts_diffvoc.spectral.vocoder import SpectralConfig, SpectralVocoder
from tts_diffvoc.training.finetuning import FineTuning, fine_tune
from tts_diffvoc.training.loop import LOG
from tts_diffvoc.vocoder import Vocoder

RECIPE = Path(__file__).parents[2] / "recipes" / "custom_voice" / "finetune_vocoder.py"


@pytest.fixture
def start(tmp_path):
    """The folder of an untrained vocoder."""
    torch.manual_seed(0)
    sizes = {"pitch": PitchConfig(8, 1), "magnitude": MagnitudeConfig(8, 1), "defaults": {"steps": 1}}
    save_checkpoint(
        SpectralVocoder(SpectralConfig("diffwave", DiffWaveSizes(16, 1), **sizes)), tmp_path / "old", "card"
    )
    return tmp_path / "old"


@pytest.fixture
def recordings(tmp_path):
    """Four clips of half a second, at two rates."""
    folder = tmp_path / "voice"
    folder.mkdir()
    for number, rate in enumerate((22050, 22050, 16000, 22050)):
        time = np.arange(rate // 2) / rate
        wave = 0.05 * sum(np.cos(2 * np.pi * k * (120 + 9 * number) * time) for k in range(1, 20))
        soundfile.write(folder / f"{number}.wav", wave, rate)
    return folder


def plan(start, recordings, output, **changes) -> FineTuning:
    short = {"max_steps": 6, "held_back": 1, "batch_size": 2, "crop_seconds": 0.2, "lr": 3e-3, "clip_seconds": 0.3}
    return FineTuning(recordings, output, str(start), **{**short, **changes})


def test_a_tuned_vocoder_is_compared_saved_and_gone_on_with(start, recordings, tmp_path, capsys):
    before, after = fine_tune(plan(start, recordings, tmp_path / "mine"))
    assert len(before) == len(after) == 1 and before != after
    printed = capsys.readouterr().out
    assert "| **mean** |" in printed and f"--vocoder_name {tmp_path / 'mine'}" in printed
    old, tuned = load_vocoder(start), load_vocoder(tmp_path / "mine")
    changed = {
        k.split(".")[0] for k, value in tuned.state_dict().items() if not torch.equal(value, old.state_dict()[k])
    }
    assert changed == {"denoiser", "magnitude"}
    targets = sorted(path.name for path in (tmp_path / "mine" / "training" / "targets").iterdir())
    assert len(targets) == 4 and sum(name.endswith("~held.npz") for name in targets) == 1
    fine_tune(plan(start, recordings, tmp_path / "mine", max_steps=8))
    assert "step 8 " in capsys.readouterr().out


def test_the_command_and_the_script_take_the_same_words(start, recordings, tmp_path, capsys, monkeypatch):
    words = ["--data", recordings, "--output", tmp_path / "mine", "--vocoder", start, "--max-steps", 2]
    words += ["--held-back", 1, "--batch-size", 2, "--crop-seconds", 0.2, "--keep-dc"]
    assert main(["finetune", *map(str, words)]) == 0
    assert f"--vocoder_name {tmp_path / 'mine'}" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [str(RECIPE), *map(str, words)])
    runpy.run_path(str(RECIPE), run_name="__main__")
    went_on = capsys.readouterr().out
    assert "held back: 2" in went_on and "step 2 " not in went_on
    assert main(["finetune", "--data", str(recordings), "--output", str(tmp_path / "mine"), "--max-minutes", "0"]) == 2


@pytest.mark.parametrize("highpass", [True, False])
def test_an_offset_is_learnt_only_if_it_is_kept(start, recordings, tmp_path, highpass):
    for path in recordings.iterdir():
        samples, rate = soundfile.read(path)
        soundfile.write(path, samples + 0.1, rate)
    fine_tune(plan(start, recordings, tmp_path / "mine", max_steps=1, highpass=highpass))
    for target in (tmp_path / "mine" / "training" / "targets").iterdir():
        assert abs(float(np.load(target)["recording"].mean()) - (0 if highpass else 0.1)) < 0.01


@pytest.mark.parametrize(
    "change, says", [({"mixed_precision": "fp16"}, "float32 or bf16"), ({"features": "mels"}, "leave the features out")]
)
def test_what_a_spectral_vocoder_cannot_learn_by_is_refused(start, recordings, tmp_path, change, says):
    if "features" in change:
        (tmp_path / "mels").mkdir()
        for path in recordings.iterdir():
            frames = len(soundfile.read(path)[0]) * 22050 // soundfile.info(path).samplerate // 256
            np.save(tmp_path / "mels" / f"{path.stem}.npy", np.full((80, frames), -5, np.float32))
        change = {"features": tmp_path / "mels"}
    with pytest.raises(DiffvocError, match=says):
        fine_tune(plan(start, recordings, tmp_path / "mine", **change))


@pytest.mark.parametrize("change", [{"workers": 0, "mixed_precision": "bf16"}, {"features": "mels"}])
def test_a_published_layout_learns_in_the_same_loop(change, tmp_path):
    data = write_corpus(tmp_path / "voice", pitch=120.0)
    torch.manual_seed(0)
    save_checkpoint(Vocoder(VOCODERS["diffwave"]), tmp_path / "old", "card")
    if "features" in change:
        (tmp_path / "mels").mkdir()
        for path in data.iterdir():
            np.save(tmp_path / "mels" / f"{path.stem}.npy", np.full((20, 75), -5, np.float32))
        change = {"features": tmp_path / "mels"}
    settings = {"held_back": 2, "crop_seconds": 0.07, "batch_size": 8, "lr": 0.02, **change}
    fine_tune(plan(tmp_path / "old", data, tmp_path / "mine", max_steps=40, **settings))
    before = (tmp_path / "mine" / "model.safetensors").read_bytes()
    fine_tune(plan(tmp_path / "old", data, tmp_path / "mine", max_steps=60, **settings))
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() != before
    rows = [json.loads(line) for line in (tmp_path / "mine" / "training" / LOG).read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert [row["step"] for row in rows] == [10, 20, 30, 40, 40, 50, 60, 60] and losses[-1] < 0.9 * losses[0]
    assert rows[-1]["held_loss"] < rows[4]["held_loss"]
