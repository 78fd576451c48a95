"""Sizes and shapes of the networks, and what they refuse."""

import pytest
import torch

from tts_diffvoc.diffusion.schedules import NoiseSchedule, published_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.networks import diffwave, wavegrad
from tts_diffvoc.networks.diffwave import DiffWave, DiffWaveConfig
from tts_diffvoc.networks.wavegrad import WaveGrad, WaveGradConfig

SCHEDULE = published_schedule("diffwave-50")


def count(kind, config, *arguments):
    """Millions of weights, none of which is drawn."""
    with torch.device("meta"):
        return sum(p.numel() for p in kind(config, *arguments).parameters()) / 1e6


def test_parameters_are_those_of_the_papers():
    """DiffWave: 2.64 M and 6.91 M (Kong et al. 2021, table 1). WaveGrad Base: 15 M (Chen et al. 2021, section 4.1).

    For Large the paper says 23 M, and does not say how its repeated blocks come to that.
    """
    schedule = NoiseSchedule(SCHEDULE.betas)
    assert count(DiffWave, diffwave.BASE, schedule) == pytest.approx(2.64, abs=0.03)
    assert count(DiffWave, diffwave.LARGE, schedule) == pytest.approx(6.91, abs=0.05)
    assert count(WaveGrad, wavegrad.BASE) == pytest.approx(15, abs=1)
    assert count(WaveGrad, wavegrad.LARGE) == pytest.approx(27.6, abs=0.1)


@pytest.mark.parametrize("factors", [(16, 16), (15, 20), (10, 20), (2, 3, 5), (512,), (1,)])
def test_diffwave_takes_any_hop(factors):
    config = DiffWaveConfig(residual_channels=4, residual_layers=2, upsample_factors=factors)
    network = DiffWave(config, SCHEDULE)
    x = torch.randn(2, 3 * config.positions_per_frame)
    assert network(x, torch.tensor([0.9, 0.7]), network.condition(torch.randn(2, 80, 3))).shape == x.shape


@pytest.mark.parametrize("factors", [(8, 8, 4), (5, 5, 4, 2), (5, 5, 3, 2, 2), (8, 8, 8)])
def test_wavegrad_takes_any_hop(factors):
    blocks = len(factors)
    config = WaveGradConfig(
        factors, (8,) * blocks, ((1, 2, 1, 2),) * blocks, 8, (4,) * blocks, n_mels=80, repeats=2
    )  # fmt: skip
    network = WaveGrad(config)
    x = torch.randn(2, 3 * config.positions_per_frame)
    assert network(x, torch.tensor([0.9, 0.1]), network.condition(torch.randn(2, 80, 3))).shape == x.shape


def test_networks_take_channels():
    one = DiffWave(DiffWaveConfig(8, 2, 2, n_mels=16, upsample_factors=(1,), in_channels=12), SCHEDULE)
    two = WaveGrad(WaveGradConfig((1, 1), (8, 8), ((1, 2, 1, 2),) * 2, 8, (8, 8), n_mels=16, in_channels=12))
    for network in (one, two):
        x = torch.randn(3, 12, 7)
        assert network(x, torch.full((3,), 0.9), network.condition(torch.randn(3, 16, 7))).shape == x.shape


def test_each_row_of_a_batch_has_its_own_level():
    network = DiffWave(DiffWaveConfig(8, 2, 2), SCHEDULE)
    torch.nn.init.normal_(network.output_projection.weight)
    x, mel, levels = torch.randn(2, 512), torch.randn(2, 80, 2), torch.tensor([0.95, 0.6])
    both = network(x, levels, network.condition(mel))
    for row in range(2):
        alone = network(x[row : row + 1], levels[row : row + 1], network.condition(mel[row : row + 1]))
        torch.testing.assert_close(both[row : row + 1], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("level", [1.0, 0.3, 0.0])
def test_a_level_outside_training_is_refused(level):
    network = DiffWave(DiffWaveConfig(8, 2, 2), SCHEDULE)
    with pytest.raises(DiffvocError, match="outside the training range"):
        network(torch.zeros(1, 256), torch.tensor([level]), network.condition(torch.zeros(1, 80, 1)))


@pytest.mark.parametrize(
    "config, change",
    [
        (DiffWaveConfig, {"residual_layers": 0}),
        (DiffWaveConfig, {"upsample_factors": (16, 0)}),
        (DiffWaveConfig, {"labels": -1}),
        (DiffWaveConfig, {"label_channels": 0}),
        (DiffWaveConfig, {"n_mels": -1}),
        (WaveGradConfig, {"factors": (5, 5)}),
        (WaveGradConfig, {"dilations": ((1, 2),) * 5}),
        (WaveGradConfig, {"interpolation": "cubic"}),
    ],
)
def test_bad_sizes_are_refused(config, change):
    with pytest.raises(DiffvocError, match=next(iter(change))):
        config.from_dict(change)
