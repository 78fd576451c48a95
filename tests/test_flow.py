"""WaveGlow as a vocoder: options, likelihood, saving, and its way through Coqui."""

import math

import pytest
import torch
from small_vocoders import FLOW, random_vocoder

from tts_diffvoc import DiffvocError
from tts_diffvoc.checkpoint import load_vocoder, save_checkpoint
from tts_diffvoc.factory import build, config_from_dict
from tts_diffvoc.flow import FlowConfig, FlowVocoder
from tts_diffvoc.networks.waveglow import WaveGlowConfig, log_likelihood


@pytest.fixture
def flow() -> FlowVocoder:
    return random_vocoder("waveglow")


def test_generation_has_its_length_and_its_seed(flow, speech):
    mel = flow.mel(speech)[..., :20]
    first, again, other = (flow.generate(mel, seed=seed) for seed in (1, 1, 2))
    assert first.shape == (1, 20 * 256)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(flow.generate(mel, seed=1, sigma=0.0), flow.generate(mel, seed=2, sigma=0.0))


def test_each_option_changes_the_result(flow, speech):
    mel = flow.mel(speech)[..., :20]
    plain = flow.generate(mel, seed=1)
    for option in ({"sigma": 0.9}, {"denoise": 0.5}):
        assert not torch.allclose(plain, flow.generate(mel, seed=1, **option)), option


def test_the_loss_is_the_negative_log_likelihood_of_a_sample(flow, speech):
    waveform = speech[:, : 20 * 256]
    mel = flow.mel(speech)[..., :20]
    exact = -log_likelihood(*flow.network(waveform, mel)) / waveform.shape[1]
    assert float(flow.loss(waveform, mel)) == pytest.approx(float(exact), rel=1e-5)
    # An untrained flow whose couplings do nothing is an orthogonal map: the density of white noise.
    fresh = FlowVocoder(FLOW["waveglow"])
    wanted = float(waveform.square().mean() / 2) + 0.5 * math.log(2 * math.pi)
    assert float(fresh.loss(waveform, mel)) == pytest.approx(wanted, rel=1e-4)


def test_saved_and_loaded_it_is_the_same(flow, speech, tmp_path):
    save_checkpoint(flow, tmp_path / "flow", "# card\n", torch.float32)
    loaded = load_vocoder(f"{tmp_path / 'flow'}?sigma=0.3")
    mel = flow.mel(speech)[..., :20]
    assert torch.equal(loaded.generate(mel, seed=1), flow.generate(mel, seed=1, sigma=0.3))
    assert config_from_dict(flow.config.to_dict()) == flow.config
    assert isinstance(build(flow.config), FlowVocoder)


@pytest.mark.parametrize("option", ["sigma=-1", "sigma=loud", "denoise=nan", "project=2", "steps=6"])
def test_bad_options_get_words(flow, option, tmp_path):
    save_checkpoint(flow, tmp_path / "flow", "# card\n")
    with pytest.raises(DiffvocError, match=option.split("=")[0]):
        load_vocoder(f"{tmp_path / 'flow'}?{option}")


def test_configurations_that_do_not_fit_get_words():
    with pytest.raises(DiffvocError, match="hop"):
        FlowConfig(sizes=WaveGlowConfig(hop_length=512, upsample_window=2048))
    with pytest.raises(DiffvocError, match="unknown"):
        config_from_dict({"network": "waveflow"})
    with pytest.raises(DiffvocError, match="lacks"):
        config_from_dict({})
