"""Coqui's own WaveGrad, saved as its zoo saves it, imported and compared; and its mels."""

import json

import numpy as np
import pytest
import torch
from importing import assert_agree, run_import
from TTS.config import BaseAudioConfig
from TTS.utils.audio import AudioProcessor
from TTS.vocoder.configs import WavegradConfig
from TTS.vocoder.configs.wavegrad_config import WavegradArgs
from TTS.vocoder.models.wavegrad import Wavegrad

from tts_diffvoc.checkpoint import load_vocoder

AUDIO = {"do_trim_silence": False, "mel_fmax": 8000.0}


def make(folder, randomised, weight_norm=False, **audio):
    """A small WaveGrad of Coqui's, with its checkpoint and config.json in ``folder``."""
    sizes = WavegradArgs(
        use_weight_norm=weight_norm,
        y_conv_channels=6,
        x_conv_channels=12,
        dblock_out_channels=[6, 8],
        ublock_out_channels=[12, 8, 6],
        upsample_factors=[8, 8, 4],
        upsample_dilations=[[1, 2, 1, 2], [1, 2, 4, 8], [1, 2, 4, 8]],
    )
    config = WavegradConfig(model_params=sizes, audio=BaseAudioConfig(**{**AUDIO, **audio}))
    public = randomised(Wavegrad(config), 0.2)
    torch.save({"model": public.state_dict(), "step": 7, "epoch": 1, "model_loss": 0.5}, folder / "model_file.pth")
    config.save_json(folder / "config.json")
    return public


def imported(folder):
    assert run_import(folder / "model_file.pth", "--kind", "coqui-wavegrad", "-o", folder / "mine") == 0
    return load_vocoder(folder / "mine")


@pytest.mark.parametrize("weight_norm", [False, True], ids=["plain", "weight norm"])
@torch.inference_mode()
def test_wavegrad_agrees_with_coquis(weight_norm, tmp_path, randomised):
    public = make(tmp_path, randomised, weight_norm)
    vocoder = imported(tmp_path)
    assert vocoder.config.schedule.to_dict() == {"name": "wavegrad-1000"}
    for frames in (4, 7):
        mel, x = torch.randn(2, 80, frames), torch.randn(2, frames * 256)
        for level in (0.999, 0.5, 0.05):
            level = torch.full((2,), level)
            theirs = public(x.unsqueeze(1), mel, level).squeeze(1)
            assert_agree(vocoder.network(x, level, vocoder.network.condition(mel)), theirs)


def test_the_older_form_of_weight_normalisation(tmp_path, randomised):
    public = make(tmp_path, randomised, weight_norm=True)
    first = imported(tmp_path)
    old = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for name, value in public.state_dict().items()
    }
    torch.save({"model": old}, tmp_path / "old.pth")
    assert run_import(tmp_path / "old.pth", "-o", tmp_path / "again") == 0
    again = load_vocoder(tmp_path / "again").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.state_dict().items())


LEVELS = {
    "symmetric": {},
    "one-sided": {"symmetric_norm": False, "max_norm": 1.0, "min_level_db": -80},
    "unclipped": {"clip_norm": False, "min_level_db": -60, "ref_level_db": 0},
    "decibel": {"signal_norm": False},
    "natural log": {"signal_norm": False, "log_func": "np.log", "spec_gain": 1},
    "whole band": {"mel_fmax": None, "mel_fmin": 50.0, "fft_size": 2048, "win_length": 1100},
}


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
def test_the_mel_is_coquis(levels, tmp_path, waveform, randomised):
    make(tmp_path, randomised, **levels)
    theirs = AudioProcessor(BaseAudioConfig(**{**AUDIO, **levels})).melspectrogram(waveform.numpy())
    mine = imported(tmp_path).mel(waveform)[0].numpy()
    # Both round their transforms to float32, which shows where the level is near the floor.
    np.testing.assert_allclose(mine, theirs, atol=1e-4 * max(1.0, np.abs(theirs).max()))


def test_statistics_of_each_band(tmp_path, waveform, randomised, capsys):
    make(tmp_path, randomised)
    config = json.loads((tmp_path / "config.json").read_text())
    config["audio"]["stats_path"] = "/somewhere/else/scale_stats.npy"
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert run_import(tmp_path / "model_file.pth", "-o", tmp_path / "mine") == 2
    assert "np.savez('scale_stats.npz'" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()
    rng = np.random.default_rng(0)
    mean, deviation = rng.normal(-40, 5, 80), rng.uniform(5, 15, 80)
    np.savez(tmp_path / "scale_stats.npz", mel_mean=mean, mel_std=deviation)
    processor = AudioProcessor(BaseAudioConfig(**AUDIO))
    processor.setup_scaler(mean, deviation, np.zeros(513), np.ones(513))
    theirs = processor.melspectrogram(waveform.numpy())
    np.testing.assert_allclose(imported(tmp_path).mel(waveform)[0].numpy(), theirs, atol=5e-4)


def test_window_and_hop_in_milliseconds(tmp_path, waveform, randomised):
    make(tmp_path, randomised)
    config = json.loads((tmp_path / "config.json").read_text())
    settings = {"sample_rate": 20480, "frame_length_ms": 50.0, "frame_shift_ms": 12.5, "fft_size": 2048}
    config["audio"].update(settings)
    (tmp_path / "config.json").write_text(json.dumps(config))
    theirs = AudioProcessor(BaseAudioConfig(**{**AUDIO, **settings})).melspectrogram(waveform.numpy())
    vocoder = imported(tmp_path)
    assert (vocoder.mel_config.win_length, vocoder.mel_config.hop_length) == (1024, 256)
    np.testing.assert_allclose(vocoder.mel(waveform)[0].numpy(), theirs, atol=4e-4)


@pytest.mark.parametrize(
    "change, told",
    [
        ({"preemphasis": 0.97}, "audio.preemphasis: 0.97; only mels with preemphasis: 0.0"),
        ({"stft_pad_mode": "constant"}, "audio.stft_pad_mode: constant"),
        ({"hop_length": 300, "win_length": 1024}, "80 bands every 300 samples"),
        ({"min_level_db": 0}, "audio.min_level_db: 0.0"),
        ({"ref_level_db": 1e9}, "ceiling"),
        ({"frame_shift_ms": 0, "frame_length_ms": 50}, "audio.frame_shift_ms: 0.0"),
        ({"sample_rate": "fast"}, 'audio.sample_rate: "fast"; it must be a whole number'),
    ],
)
def test_what_cannot_be_expressed_is_refused(change, told, tmp_path, randomised, capsys):
    make(tmp_path, randomised)
    config = json.loads((tmp_path / "config.json").read_text())
    config["audio"].update(change)
    (tmp_path / "config.json").write_text("// Coqui's old files have comments\n" + json.dumps(config))
    assert run_import(tmp_path / "model_file.pth", "-o", tmp_path / "mine") == 2
    assert told in capsys.readouterr().err


def test_without_its_configuration_it_is_refused(tmp_path, randomised, capsys):
    make(tmp_path, randomised)
    (tmp_path / "config.json").rename(tmp_path / "moved.json")
    assert run_import(tmp_path / "model_file.pth", "-o", tmp_path / "mine") == 2
    assert "give the config.json that belongs to it with --config" in capsys.readouterr().err
    assert run_import(tmp_path / "model_file.pth", "-o", tmp_path / "mine", "--config", tmp_path / "moved.json") == 0
