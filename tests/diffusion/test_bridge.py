"""The bridge and its sampler: closed forms for a denoiser that is known."""

import pytest
import torch

from tts_diffvoc.diffusion.bridge import interpolate, restart_levels, restarts


def test_the_bridge_goes_from_prior_to_data():
    prior, x0 = torch.randn(2, 3, 4, 5)
    levels = torch.tensor([0.0, 0.25, 1.0])
    made = interpolate(prior, x0, levels)
    assert torch.equal(made[0], prior[0]) and torch.equal(made[2], x0[2])
    assert torch.allclose(made[1], 0.75 * prior[1] + 0.25 * x0[1])


def test_levels_rise_and_then_stay():
    assert restart_levels(1) == (0.0,)
    assert restart_levels(5) == pytest.approx((0.0, 0.2, 0.4, 0.4, 0.4))


def test_a_perfect_denoiser_needs_one_step():
    x0 = torch.randn(2, 3)
    for steps in (1, 4):
        assert torch.equal(restarts(lambda z, t: x0, torch.randn(2, 3), restart_levels(steps), lambda x: 0.9 * x), x0)


def test_each_restart_halves_the_error_that_a_denoiser_halves():
    """Of a denoiser that goes half of the way to x0, n steps leave 2^-n of the first error."""
    x0, z = torch.randn(2, 8).unbind(0)
    for steps in (1, 2, 5):
        made = restarts(lambda z, t: x0 + 0.5 * (z - x0), z, restart_levels(steps), lambda x: x)
        assert torch.allclose(made - x0, (z - x0) * 0.5**steps, atol=1e-6)


def test_estimates_are_degraded_between_steps_and_levels_are_told():
    seen, states = [], []

    def denoiser(z: torch.Tensor, noise_level: torch.Tensor) -> torch.Tensor:
        seen.append(noise_level.tolist())
        return z + 1

    def callback(step: int, z: torch.Tensor, x0: torch.Tensor) -> None:
        states.append((step, float(z[0])))

    made = restarts(denoiser, torch.zeros(2, 1), (0.0, 0.3, 0.6), lambda x: 10 * x, callback)
    assert made.flatten().tolist() == [111.0, 111.0]
    assert torch.allclose(torch.tensor(seen), torch.tensor([[0.0] * 2, [0.3] * 2, [0.6] * 2]))
    assert states == [(0, 0.0), (1, 10.0), (2, 110.0)]
