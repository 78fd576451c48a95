"""An imported DiffWave behind a Coqui acoustic model: its mel is refused in words, or converted when asked."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from importing import run_import
from TTS.config import BaseAudioConfig
from TTS.utils.audio import AudioProcessor

import tts_diffvoc
from tts_diffvoc import DiffvocError
from tts_diffvoc.checkpoint import load_vocoder
from tts_diffvoc.coqui import synthesis
from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.networks.diffwave import DiffWave, DiffWaveConfig

# Levels of acoustic models: Coqui's default for LJ Speech, and those of others.
LEVELS = {
    "coqui": {},
    "decibel": {"signal_norm": False},
    "natural log": {"signal_norm": False, "log_func": "np.log", "spec_gain": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tts_diffvoc.register()
    folder = tmp_path_factory.mktemp("speaking")
    torch.manual_seed(0)
    network = DiffWave(DiffWaveConfig(residual_channels=4, residual_layers=2), published_schedule("diffwave-50"))
    torch.save({"model": network.state_dict()}, folder / "weights.pt")
    assert run_import(folder / "weights.pt", "-o", folder / "my_diffwave") == 0
    return folder / "my_diffwave"


def synthesizer(**audio):
    """As much of Coqui's Synthesizer as loading a vocoder sees."""
    settings = BaseAudioConfig(do_trim_silence=False, **audio)
    return SimpleNamespace(tts_model=SimpleNamespace(ap=AudioProcessor(settings)), vc_model=None)


def test_coquis_mel_is_refused_naming_both_sides(folder):
    with pytest.raises(DiffvocError) as refused:
        synthesis.load_vocoder(synthesizer(mel_fmax=8000.0), str(folder), False)
    for told in ("fmin 0 Hz against 20 Hz", "fmax 8000 Hz against 11025 Hz", "mel_scale slaney against htk"):
        assert told in str(refused.value)
    assert "my_diffwave?mel=approximate" in str(refused.value)


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
@pytest.mark.parametrize("fmax", [8000.0, None])
def test_approximate_conversion_is_of_the_right_level(fmax, levels, folder, waveform):
    """Against the mel that the network was trained on: the logarithm is in units of 0.2 for a factor of ten."""
    coqui = synthesizer(mel_fmax=fmax, **levels)
    synthesis.load_vocoder(coqui, f"{folder}?mel=approximate&steps=2&seed=1", False)
    mel = torch.from_numpy(coqui.tts_model.ap.melspectrogram(waveform.numpy())).T
    converted = coqui.vocoder_model.convert_mel(mel)
    expected = load_vocoder(folder).mel(waveform)
    assert converted.shape == expected.shape and converted.min() >= 0 and converted.max() <= 1
    heard = slice(2, 70 if fmax else 79)
    difference = (converted - expected)[0, heard]
    assert difference.abs().mean() < 0.04  # a factor of 1.6 in magnitude
    assert difference.mean().abs() < 0.02
    assert np.corrcoef(converted[0, heard].flatten(), expected[0, heard].flatten())[0, 1] > 0.95


def test_it_speaks(folder, waveform):
    coqui = synthesizer(mel_fmax=8000.0)
    synthesis.load_vocoder(coqui, f"{folder}?mel=approximate&steps=2&seed=1", False)
    mel = torch.from_numpy(coqui.tts_model.ap.melspectrogram(waveform.numpy())).T[:20]
    out = coqui.vocoder_model.inference(coqui.vocoder_model.convert_mel(mel))
    assert out.shape == (1, 1, 20 * 256) and torch.isfinite(out).all() and coqui.output_sample_rate == 22050


def test_an_acoustic_model_of_the_same_mel_needs_no_conversion(folder):
    """The contract passes through Coqui's configuration unchanged."""
    from tts_diffvoc.coqui import configs

    core = load_vocoder(folder).config
    assert configs.mel_config(configs.from_core(core)) == core.mel
    assert configs.to_core(configs.from_core(core)) == core
