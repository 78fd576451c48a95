"""The forward process: round trips and moments. The objectives: closed forms, and how levels are drawn."""

import pytest
import torch

from tts_diffvoc.diffusion.objectives import discrete_levels, hierarchical_levels, noise_prediction_loss
from tts_diffvoc.diffusion.process import denoiser_from, q_sample, x0_from_eps
from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.errors import DiffvocError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(3, 7), (3, 2, 5), (3,)])
def test_noise_determines_the_data(shape):
    x0 = torch.randn(shape, generator=seeded(1), dtype=torch.float64)
    eps = torch.randn(shape, generator=seeded(2), dtype=torch.float64)
    level = torch.tensor([0.99, 0.5, 0.1], dtype=torch.float64)
    x = q_sample(x0, level, eps)
    torch.testing.assert_close(x0_from_eps(x, level, eps), x0)
    torch.testing.assert_close(denoiser_from(lambda x, level: eps)(x, level), x0)


def test_forward_process_has_the_moments_of_its_equation():
    x = q_sample(torch.full((200_000,), 2.0), torch.full((200_000,), 0.6), torch.randn(200_000, generator=seeded()))
    assert x.mean().item() == pytest.approx(1.2, abs=0.01)
    assert x.std().item() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("norm, expected", [("l2", 1.0), ("l1", (2 / torch.pi) ** 0.5)])
def test_loss_of_predicting_nothing_is_the_noises_own_moment(norm, expected):
    loss = noise_prediction_loss(
        lambda x, level: torch.zeros_like(x),
        torch.zeros(8, 20_000),
        torch.full((8,), 0.5),
        torch.randn(8, 20_000, generator=seeded()),
        norm,
    )
    assert loss.mean().item() == pytest.approx(expected, abs=0.01)


def test_loss_of_the_best_predictor_of_a_gaussian():
    """Data of unit variance leave an error of variance a^2, whatever the level."""
    level = torch.full((8,), 0.6)
    x0 = torch.randn(8, 20_000, generator=seeded(3))
    eps = torch.randn(8, 20_000, generator=seeded(4))
    loss = noise_prediction_loss(lambda x, a: (1 - a.square()).sqrt().unsqueeze(-1) * x, x0, level, eps)
    assert loss.mean().item() == pytest.approx(0.36, abs=0.01)


def test_discrete_levels_are_even_over_the_steps():
    schedule = published_schedule("diffwave-20")
    drawn = discrete_levels(schedule, 40_000, seeded())
    values, counts = drawn.unique(return_counts=True)
    torch.testing.assert_close(values.flip(0), schedule.noise_levels.float())
    assert counts.min() > 1800 and counts.max() < 2200


def test_hierarchical_levels_are_even_over_segments_and_within():
    schedule = published_schedule("wavegrad-6")
    drawn = hierarchical_levels(schedule, 60_000, seeded()).double()
    edges = torch.cat([torch.ones(1, dtype=torch.float64), schedule.noise_levels])
    segment = (torch.searchsorted(-edges, -drawn) - 1).clamp(0, 5)
    assert torch.bincount(segment, minlength=6).min() > 9_500
    noisiest = drawn[segment == 5]
    assert noisiest.mean().item() == pytest.approx(float(edges[5] + edges[6]) / 2, abs=0.005)


def test_a_loss_a_row_and_a_bad_norm():
    x0, level = torch.ones(2, 50), torch.tensor([0.5, 0.9])
    assert noise_prediction_loss(lambda x, a: x, x0, level, x0).shape == (2,)
    with pytest.raises(DiffvocError, match="l3"):
        noise_prediction_loss(lambda x, a: x, x0, level, x0, norm="l3")
