"""Checkpoints that the packages diffwave and wavegrad save, imported and compared with those packages."""

import json

import numpy as np
import pytest
import torch
from importing import assert_agree, run_import

from tts_diffvoc.checkpoint import load_vocoder
from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.networks.wavegrad import BASE

diffwave_model = pytest.importorskip("diffwave.model")
diffwave_params = pytest.importorskip("diffwave.params")
wavegrad_model = pytest.importorskip("wavegrad.model")
wavegrad_params = pytest.importorskip("wavegrad.params")

SMALL = {"residual_channels": 8, "residual_layers": 4, "dilation_cycle_length": 3}


def params(**changes):
    """The package's own settings, as it writes them into a checkpoint."""
    return {**diffwave_params.params, **SMALL, **changes}


@pytest.fixture
def public(randomised):
    return randomised(diffwave_model.DiffWave(diffwave_params.AttrDict(params())), 0.1)


def save(path, network, **content):
    """The dictionary of the packages' learners, optimizer and all."""
    optimizer = torch.optim.Adam(network.parameters())
    optimizer.zero_grad()
    torch.save({"step": 3, "model": network.state_dict(), "optimizer": optimizer.state_dict(), **content}, path)
    return path


@pytest.fixture
def folder(tmp_path, public):
    path = save(tmp_path / "weights.pt", public, params=params(), scaler={})
    assert run_import(path, "--kind", "lmnt-diffwave", "-o", tmp_path / "my_diffwave") == 0
    return tmp_path / "my_diffwave"


@torch.inference_mode()
def test_diffwave_agrees_with_its_package(folder, public):
    vocoder = load_vocoder(folder)
    assert vocoder.config.sizes.dilation_cycle == 3 and vocoder.config.sizes.residual_layers == 4
    mel, x = torch.rand(2, 80, 5), torch.randn(2, 5 * 256)
    for step in (0, 20, 49):
        level = vocoder.config.schedule.noise_levels[step].expand(2).float()
        mine = vocoder.network(x, level, vocoder.network.condition(mel))
        assert_agree(mine, public(x, mel, torch.tensor([step])).squeeze(1))


def test_an_imported_diffwave_generates_with_the_published_schedules(folder):
    vocoder = load_vocoder(folder)
    assert vocoder.config.schedule == published_schedule("diffwave-50")
    assert vocoder.inference_schedule(6).betas == published_schedule("diffwave-fast-6").betas
    assert vocoder.defaults["steps"] == 6
    out = vocoder.generate(torch.rand(1, 80, 4), seed=1)
    assert out.shape == (1, 4 * 256) and torch.isfinite(out).all()


def preprocessed(waveform, module, tmp_path, monkeypatch):
    """The mel of ``preprocess.py`` of one of the packages."""
    preprocess = pytest.importorskip(f"{module}.preprocess")
    scale = 32767.5 if module == "diffwave" else 1.0
    name = "load_wav" if module == "diffwave" else "load"
    monkeypatch.setattr(preprocess.T, name, lambda _: (waveform[None] * scale, 22050), raising=False)
    preprocess.transform(str(tmp_path / "clip.wav"))
    return torch.from_numpy(np.load(tmp_path / "clip.wav.spec.npy"))


def test_the_mel_is_that_of_diffwaves_preprocessing(folder, waveform, tmp_path, monkeypatch):
    theirs = preprocessed(waveform, "diffwave", tmp_path, monkeypatch)
    mine = load_vocoder(folder).mel(waveform)[0]
    assert theirs.min() == 0.0 and 0.5 < theirs.max() <= 1.0
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def wavegrad(tmp_path_factory):
    """The package's WaveGrad, which comes in one size, and its folder."""
    torch.manual_seed(0)
    network = wavegrad_model.WaveGrad(wavegrad_params.params).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.03)
    folder = tmp_path_factory.mktemp("wavegrad")
    torch.save({"model": network.state_dict(), "params": dict(wavegrad_params.params)}, folder / "weights.pt")
    assert run_import(folder / "weights.pt", "--kind", "lmnt-wavegrad", "-o", folder / "mine") == 0
    return network, load_vocoder(folder / "mine")


@torch.inference_mode()
def test_wavegrad_agrees_with_its_package(wavegrad):
    public, vocoder = wavegrad
    assert vocoder.config.sizes == BASE and vocoder.config.schedule == published_schedule("wavegrad-1000")
    mel, x = torch.rand(2, 128, 4), torch.randn(2, 4 * 300)
    for level in (0.999, 0.5, 0.05):
        level = torch.full((2,), level)
        assert_agree(vocoder.network(x, level, vocoder.network.condition(mel)), public(x, mel, level).squeeze(1))


def test_the_mel_is_that_of_wavegrads_preprocessing(wavegrad, waveform, tmp_path, monkeypatch):
    theirs = preprocessed(waveform, "wavegrad", tmp_path, monkeypatch)
    torch.testing.assert_close(wavegrad[1].mel(waveform)[0], theirs, atol=1e-4, rtol=0)


def test_what_the_file_does_not_say_is_assumed_and_told(tmp_path, public):
    torch.save(public.state_dict(), tmp_path / "bare.pt")
    assert run_import(tmp_path / "bare.pt", "-o", tmp_path / "out") == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Assumed" in card and "`dilation_cycle_length`: 10" in card and "`bare.pt`" in card
    assert "50 steps from 0.0001 to 0.05" in card and "lmnt-diffwave" in card


def test_settings_can_be_given(tmp_path, public):
    torch.save({"model": public.state_dict()}, tmp_path / "bare.pt")
    (tmp_path / "params.json").write_text(json.dumps({"dilation_cycle_length": 3, "sample_rate": 16000}))
    out = tmp_path / "out"
    assert run_import(tmp_path / "bare.pt", "-o", out, "--config", tmp_path / "params.json") == 0
    vocoder = load_vocoder(out)
    assert vocoder.sample_rate == 16000 and vocoder.mel_config.fmax == 8000 and vocoder.config.sizes.dilation_cycle == 3


def test_another_hop_than_the_weights_is_refused(tmp_path, public, capsys):
    path = save(tmp_path / "weights.pt", public, params=params(hop_samples=300))
    assert run_import(path, "-o", tmp_path / "out") == 2
    assert "hop_samples: 300; the weights upsample by 256" in capsys.readouterr().err


def test_an_unconditional_network_is_refused(tmp_path, public, capsys):
    state = {name: value for name, value in public.state_dict().items() if "spectrogram" not in name}
    torch.save({"model": state}, tmp_path / "weights.pt")
    assert run_import(tmp_path / "weights.pt", "-o", tmp_path / "out") == 2
    assert "takes no mel" in capsys.readouterr().err


def test_weights_saved_while_training_in_parallel(tmp_path, public):
    torch.save({"model": {f"module.{n}": v for n, v in public.state_dict().items()}}, tmp_path / "weights.pt")
    assert run_import(tmp_path / "weights.pt", "-o", tmp_path / "out") == 0
