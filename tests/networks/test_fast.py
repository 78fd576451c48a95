"""The fast path against the plain network, and when it is taken."""

import pytest
import torch

from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.networks import diffwave, fast
from tts_diffvoc.networks.diffwave import DiffWave, DiffWaveConfig
from tts_diffvoc.networks.fast import FastDiffWave, fast_inference
from tts_diffvoc.networks.wavegrad import WaveGrad, WaveGradConfig


def random_diffwave(config):
    torch.manual_seed(0)
    network = DiffWave(config, published_schedule("diffwave-50")).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize("plain_linear", [False, True], ids=["oneDNN", "plain"])
@pytest.mark.parametrize(
    "config, batch, frames",
    [
        (diffwave.BASE, 1, 9),
        (DiffWaveConfig(residual_channels=24, residual_layers=12), 3, 5),
        (DiffWaveConfig(residual_channels=8, residual_layers=10, upsample_factors=(15, 20)), 2, 1),
    ],
)
@torch.inference_mode()
def test_the_fast_path_computes_the_same(config, batch, frames, plain_linear, monkeypatch):
    if plain_linear:
        monkeypatch.setattr(fast, "find_linear", lambda: torch.nn.functional.linear)
    network = random_diffwave(config)
    quick = fast_inference(network)
    assert isinstance(quick, FastDiffWave)
    for frames_now in (frames, frames + 1):  # buffers of one length must not leak into the next
        mel = torch.randn(batch, 80, frames_now)
        x = torch.randn(batch, frames_now * config.positions_per_frame)
        level = torch.linspace(0.9, 0.6, batch)
        expected = network(x, level, network.condition(mel))
        assert expected.abs().max() > 0.05
        torch.testing.assert_close(quick(x, level, quick.condition(mel)), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_the_fast_path_is_taken_on_a_cpu_and_only_there():
    network = random_diffwave(DiffWaveConfig(8, 2, 2))
    assert isinstance(fast_inference(network), FastDiffWave)
    channels = random_diffwave(DiffWaveConfig(8, 2, 2, 16, (1,), 12))
    assert fast_inference(channels) is channels
    other = WaveGrad(WaveGradConfig((4, 4), (8, 8), ((1, 2, 1, 2),) * 2, 8, (8, 8))).eval()
    assert fast_inference(other) is other
    with torch.inference_mode(False), torch.enable_grad():
        assert fast_inference(network) is network
    assert fast_inference(network.train()) is network


@torch.inference_mode()
def test_the_fast_path_refuses_what_the_network_refuses():
    quick = fast_inference(random_diffwave(DiffWaveConfig(8, 2, 2)))
    conditioning = quick.condition(torch.zeros(1, 80, 2))
    with pytest.raises(DiffvocError, match="outside"):
        quick(torch.zeros(1, 512), torch.tensor([0.1]), conditioning)
