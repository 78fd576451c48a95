"""The CPU training path of DiffWave has the plain network's values and gradients."""

import pytest
import torch

from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.networks import fast_training
from tts_diffvoc.networks.diffwave import DiffWave, DiffWaveConfig
from tts_diffvoc.networks.fast_training import TrainingDiffWave
from tts_diffvoc.networks.fast_training import fast_training as choose
from tts_diffvoc.networks.wavegrad import WaveGrad, WaveGradConfig


@pytest.fixture
def network() -> DiffWave:
    torch.manual_seed(0)
    config = DiffWaveConfig(residual_channels=6, residual_layers=5, dilation_cycle=4, n_mels=7, upsample_factors=(4, 5))
    network = DiffWave(config, published_schedule("diffwave-50"))
    with torch.no_grad():
        network.output_projection.weight.normal_()
    return network.train()


def gradients(network, run, x, level, mel):
    network.zero_grad()
    x, mel = x.clone().requires_grad_(), mel.clone().requires_grad_()
    eps = run(x, level, run.condition(mel))
    (eps * torch.linspace(-1, 2, eps.numel()).reshape(eps.shape)).sum().backward()
    found = {name: p.grad for name, p in network.named_parameters()}
    return {"eps": eps.detach(), "x": x.grad, "mel": mel.grad, **found}


@pytest.mark.parametrize("tile", [1024, 64, 7])
def test_values_and_every_gradient_agree(network, tile, monkeypatch):
    monkeypatch.setattr(fast_training, "TILE", tile)
    x, mel = torch.randn(3, 200), torch.randn(3, 7, 10)
    level = network.schedule.noise_levels[torch.tensor([0, 20, 49])].float()
    plain = gradients(network, network, x, level, mel)
    fast = gradients(network, TrainingDiffWave(network), x, level, mel)
    for name, wanted in plain.items():
        assert wanted is not None and wanted.abs().max() > 0, name
        assert torch.allclose(fast[name], wanted, atol=2e-5 * float(wanted.abs().max()), rtol=1e-4), name


def test_where_there_is_no_fast_path(network):
    assert isinstance(choose(network), TrainingDiffWave)
    assert choose(network.eval()) is network
    with torch.no_grad():
        assert choose(network.train()) is network
    assert choose(network.double()) is network
    small = WaveGrad(WaveGradConfig(n_mels=8, factors=(2,), channels=(4,), dilations=((1,) * 4,), down_channels=(4,)))
    assert choose(small) is small
