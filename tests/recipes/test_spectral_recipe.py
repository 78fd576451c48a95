"""What the spectral vocoders learn from: which clips are held out, F0 from closures, crops, and all stages in small."""

import argparse
import importlib.util
from pathlib import Path

import clips
import numpy as np
import pytest
import soundfile
import torch

from tts_diffvoc.checkpoint import load_vocoder
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.spectral.magnitude import MagnitudeConfig
from tts_diffvoc.spectral.network import DiffWaveSizes
from tts_diffvoc.spectral.pitch import PitchConfig
from tts_diffvoc.spectral.vocoder import SpectralConfig
from tts_diffvoc.training.prepared import Crops, Prepared
from tts_diffvoc_eval.held_back import is_held_back

RATE, HOP = clips.RATE, clips.HOP


@pytest.mark.parametrize(
    "name, held",
    [
        ("1098-133695-0000", True),
        ("103-1240-0000", False),
        ("LJ001-0021", True),
        ("LJ001-0017", False),
    ],
)
def test_listed_names_are_held_out(name, held):
    assert is_held_back(Path(f"{name}.flac")) == held


def test_all_takes_of_a_prompt_go_together_and_one_in_twenty_is_held_out():
    held = [is_held_back(Path(f"a{n:04}_1592748530.flac")) for n in range(2000)]
    assert held == [is_held_back(Path(f"a{n:04}_7.flac")) for n in range(2000)]
    assert 60 < sum(held) < 140


def test_no_copy_of_a_held_out_clip_is_learnt_from(tmp_path):
    for n in range(120):
        soundfile.write(tmp_path / f"a{n:04}_0.wav", np.zeros(64), RATE)
    listed = list(clips.list_clips(tmp_path))
    shifted = [clip for clip in listed if clip.shift != 1]
    assert 20 < len(shifted) < 60 and not any(clip.held_out for clip in shifted)
    assert len({clip.name for clip in listed}) == len(listed) == 120 + len(shifted)


def test_a_shifted_clip_is_higher_and_shorter(tmp_path):
    time = np.arange(16000) / 16000
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 200 * time), 16000)
    samples, bandwidth = clips.read(clips.Clip(tmp_path / "tone.wav", "tones", 1.5))
    assert len(samples) == pytest.approx(RATE / 1.5, abs=2) and bandwidth == pytest.approx(11025)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum.argmax() * RATE / len(samples) == pytest.approx(300, abs=2)
    assert clips.read(clips.Clip(tmp_path / "tone.wav", "tones"))[1] == 8000


def test_f0_of_closures_is_finer_than_whole_samples():
    period = 100.3
    closures = np.round(np.arange(20, 22050, period)).astype(int)
    frames = np.arange(20, 60)
    rounded = np.full(80, RATE / 100)
    f0, sure = clips.refine(closures, rounded)
    cents = 1200 * np.log2(f0[frames] / (RATE / period))
    assert sure[frames].all() and np.abs(cents).max() < 4.5 < 1200 * np.log2(period / 100)
    assert not clips.refine(closures, 2 * rounded)[1].any()  # an octave apart: not sure
    assert not clips.refine(closures[:4], rounded)[1].any()


def test_polarity_is_that_of_the_closures():
    random = np.random.default_rng(0)
    closures = np.arange(500, 20000, 150)
    wave = 0.001 * random.standard_normal(22050)
    for n in range(len(wave) - 1):  # a resonance, struck at each closure
        wave[n + 1] += 0.95 * wave[n] + (0.5 if n in closures else 0)
    assert clips.polarity(wave, closures) == 1 and clips.polarity(-wave, closures) == -1
    assert clips.polarity(-wave, closures[:5]) == 1


def prepared(folder: str, frames: int, value: float, bandwidth: float = 8000.0) -> Prepared:
    waveform = np.full(frames * HOP, round(value * 32767), np.int16)
    return Prepared(folder, {"waveform": waveform, "f0": np.arange(frames, dtype=np.float32)}, bandwidth)


def test_crops_are_aligned_loud_as_asked_and_drawn_by_share():
    crops = Crops(
        [prepared("a", 50, 0.1), prepared("a", 100, 0.1), prepared("b", 10, 0.2, 9000.0)], {"a": 1.0, "b": 3.0}, 400, 8
    )
    batch = next(crops)
    assert batch["waveform"].shape == (400, 8 * HOP) and batch["f0"].shape == (400, 8)
    assert torch.all(batch["f0"].diff(dim=1) == 1)
    loudness = batch["waveform"].abs().amax(1)
    assert 0.05 < loudness.min() < 0.06 and 0.37 < loudness.max() < 0.41
    assert (batch["bandwidth"] == 9000).float().mean() == pytest.approx(0.75, abs=0.08)


def test_short_clips_are_followed_by_silence():
    batch = next(Crops([prepared("a", 5, 0.1)], {"a": 1.0}, 2, 8))
    assert torch.all(batch["waveform"][:, 5 * HOP :] == 0) and torch.all(batch["waveform"][:, : 5 * HOP] > 0)


def test_loud_clips_are_not_clipped():
    batch = next(Crops([prepared("a", 20, 0.9)], {"a": 1.0}, 50, 8))
    assert batch["waveform"].abs().max() <= 1


@pytest.fixture
def recipe(monkeypatch):
    """The recipe, with small networks and batches."""
    path = Path(clips.__file__).with_name("train.py")
    spec = importlib.util.spec_from_file_location("train_voices", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pitch, magnitude = PitchConfig(8, 1), MagnitudeConfig(8, 1)
    small = SpectralConfig("diffwave", DiffWaveSizes(8, 1), pitch, magnitude, MelConfig(), {"steps": 1})
    monkeypatch.setattr(module, "PITCH", pitch)
    monkeypatch.setattr(module, "MAGNITUDE", magnitude)
    monkeypatch.setattr(module, "VOCODERS", {"diffwave": small})
    monkeypatch.setattr(module, "BATCHES", dict.fromkeys(module.BATCHES, (2, 16)))
    return module


def test_every_stage_leaves_what_the_next_one_needs(recipe, tmp_path):
    corpus, run = tmp_path / "buzz", tmp_path / "run"
    corpus.mkdir()
    (run / "clips").mkdir(parents=True)
    time = np.arange(RATE) / RATE
    for name in ("103-1-0", "26-1-0", "1098-1-0"):
        pitch = 100 + int(name.split("-")[0]) / 20
        wave = 0.05 * sum(np.cos(2 * np.pi * k * pitch * time) for k in range(1, 20))
        soundfile.write(corpus / f"{name}.wav", wave, RATE)
    for clip in clips.list_clips(corpus):
        place = clips.place(clip, run / "clips")
        clips.measure(clip, place, tracked=False)
        values = dict(np.load(place))
        f0 = np.full(len(values["f0"]), 120.0, np.float32)
        np.savez(place, **{**values, "f0": f0, "sure": f0 > 0, "tracked": True})
    options = argparse.Namespace(
        data=[(corpus, 1.0)],
        output=run,
        minutes=0.003,
        batch_size=None,
        frames=None,
        rate=None,
        device="cpu",
        bf16=False,
        init=None,
    )
    recipe.train_stage("pitch", options)
    recipe.write_targets(options)
    recipe.train_stage("magnitude", options)
    recipe.train_stage("diffwave", options)
    vocoder = load_vocoder(run / "diffwave" / "vocoder")
    assert vocoder.generate(torch.full((1, 80, 5), -4.0), seed=0).shape == (1, 5 * HOP)
    made = torch.load(run / "pitch" / "average.pt", weights_only=True)
    assert torch.allclose(vocoder.pitch.last.weight, made["last.weight"], atol=1e-3)
    held = np.load(next((run / "targets").glob("*1098*held.npz")))
    assert held["waveform"].shape == held["source"].shape == (RATE // HOP * HOP,)


def test_a_stage_says_which_one_must_come_before_it(recipe, tmp_path):
    with pytest.raises(ValueError, match="run the stage pitch first"):
        recipe.write_targets(argparse.Namespace(output=tmp_path, device="cpu", init=None))
