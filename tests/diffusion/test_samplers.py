"""Samplers on data whose best denoiser is known in closed form: a Gaussian, a mixture."""

import math

import pytest
import torch

from tts_diffvoc.diffusion.samplers import SAMPLERS, ddim, ddpm, dpm_solver_pp_2m, sample
from tts_diffvoc.diffusion.schedules import NoiseSchedule

COUNT = 20_000
MEAN = torch.tensor([0.5, -1.0])
COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 0.5]])
FINE = NoiseSchedule.log_snr(0.99995, 0.003, 400)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian_denoiser(mean, covariance):
    """The best denoiser of N(mean, covariance): x0 = mean + a Q C^-1 (x - a mean), C = a^2 Q + s^2, Q covariance."""

    def denoise(x, noise_level):
        a = float(noise_level[0])
        s = math.sqrt(1 - a * a)
        total = a * a * covariance + s * s * torch.eye(len(mean))
        return mean + a * (covariance @ torch.linalg.solve(total, (x - a * mean).T)).T

    return denoise


def points_denoiser(points, spread, weights=None):
    """The best denoiser of a mixture of Gaussians of deviation ``spread`` at ``points`` [K, D]."""
    logits = torch.zeros(len(points)) if weights is None else weights.log()

    def denoise(x, noise_level):
        a = float(noise_level[0])
        variance = a * a * spread**2 + 1 - a * a
        distance = torch.cdist(x, a * points).square()
        responsibility = (logits - distance / (2 * variance)).softmax(dim=1)
        return a * spread**2 / variance * x + (1 - a * a) / variance * responsibility @ points

    return denoise


def energy_distance(a, b):
    """Twice the mean distance between samples less that within each; 0 for one distribution."""
    return (2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()).item()


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_gaussian_comes_out_with_its_mean_and_covariance(name):
    noise = torch.randn(COUNT, 2, generator=seeded(1))
    samples = sample(SAMPLERS[name], gaussian_denoiser(MEAN, COVARIANCE), noise, FINE, generator=seeded(2))
    torch.testing.assert_close(samples.mean(0), MEAN, atol=0.03, rtol=0)
    # Langevin steps of finite size settle at a variance that is somewhat too large.
    atol = 0.08 if name == "langevin" else 0.035
    torch.testing.assert_close(samples.T.cov(), COVARIANCE, atol=atol, rtol=0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_mixture_keeps_its_weights_and_shape(name):
    points, weights = torch.tensor([[-2.0], [0.5], [2.0]]), torch.tensor([0.5, 0.2, 0.3])
    noise = torch.randn(4000, 1, generator=seeded(3))
    samples = sample(SAMPLERS[name], points_denoiser(points, 0.2, weights), noise, FINE, generator=seeded(4))
    nearest = torch.cdist(samples, points).argmin(1)
    torch.testing.assert_close(torch.bincount(nearest, minlength=3) / 4000, weights, atol=0.03, rtol=0)
    fresh = points[torch.multinomial(weights, 4000, True, generator=seeded(5))]
    fresh = fresh + 0.2 * torch.randn(4000, 1, generator=seeded(6))
    assert energy_distance(samples, fresh) < (0.01 if name == "langevin" else 0.006)
    within = samples - points[nearest]
    assert within.std().item() == pytest.approx(0.2, abs=0.02)


def test_second_order_beats_first_at_ten_steps():
    """Against the exact flow of a Gaussian: x0 = mean + sqrt(v / (a^2 v + s^2)) (x - a mean)."""
    mean, variance = torch.tensor([1.0]), 0.3
    schedule = NoiseSchedule.log_snr(0.9999, 0.1, 10)
    a = float(schedule.noise_levels[-1])
    noise = torch.linspace(-2, 2, 9).unsqueeze(1)
    exact = mean + math.sqrt(variance / (a * a * variance + 1 - a * a)) * (noise - a * mean)
    denoise = gaussian_denoiser(mean, torch.tensor([[variance]]))
    first, second = (
        sample(s, denoise, noise, schedule).sub(exact).abs().max().item() for s in (ddim, dpm_solver_pp_2m)
    )
    assert second < first / 3
    assert second < 0.03


def test_ancestral_variance_is_the_right_one():
    """For data at one point beta_tilde is exact at every step."""
    denoise, kept = points_denoiser(torch.zeros(1, 1), 0.0), []
    noise, schedule = torch.randn(COUNT, 1, generator=seeded(12)), NoiseSchedule((0.1, 0.2, 0.3))
    sample(ddpm, denoise, noise * math.sqrt(1 - 0.9 * 0.8 * 0.7), schedule, generator=seeded(13),
           callback=lambda step, x, x0: kept.append(x.var().item()))  # fmt: skip
    assert kept == pytest.approx([1 - 0.9 * 0.8, 1 - 0.9, 0], rel=0.05)


@pytest.mark.parametrize("name", SAMPLERS)
def test_seed_callback_and_shapes(name):
    denoise, schedule = (lambda x, level: 0.5 * x), NoiseSchedule.log_snr(0.99, 0.2, 5)
    noise = torch.randn(2, 3, 4, generator=seeded())
    calls = []
    once = sample(SAMPLERS[name], denoise, noise, schedule, generator=seeded(1), callback=lambda *a: calls.append(a))
    again = sample(SAMPLERS[name], denoise, noise, schedule, generator=seeded(1))
    assert once.shape == noise.shape and torch.equal(once, again)
    assert [call[0] for call in calls] == list(range(6 if name == "langevin" else 5))
    assert all(call[1].shape == call[2].shape == noise.shape for call in calls)


def test_levels_are_walked_from_noise_to_data():
    schedule, seen = NoiseSchedule.log_snr(0.99, 0.2, 4), []

    def denoise(x, level):
        seen.append(level[0].item())
        return torch.zeros_like(x)

    sample(ddim, denoise, torch.ones(1, 1), schedule)
    assert seen == pytest.approx(schedule.noise_levels.flip(0).tolist())
