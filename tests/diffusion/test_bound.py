"""The variational bound where all is known: Gaussian data, two points, and bins that add up."""

import math

import pytest
import torch
from scipy import stats
from torch.distributions import Normal, kl_divergence

from tts_diffvoc.diffusion.bound import (
    Bound,
    decoder_error,
    discretised_log_prob,
    prior_term,
    quantise,
    step_term,
    variational_bound,
)
from tts_diffvoc.diffusion.process import denoiser_from
from tts_diffvoc.diffusion.schedules import NoiseSchedule, linear_schedule, published_schedule
from tts_diffvoc.errors import DiffvocError

SCHEDULE = published_schedule("diffwave-20")
NAT = math.log(2)  # of a bit


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian_denoiser(v: float, bias: float = 1.0):
    """The best denoiser of N(0, v), the noise that it sees times ``bias``."""

    def denoise(x, noise_level):
        a = noise_level.reshape(-1, *[1] * (x.dim() - 1))
        s2 = 1 - a.square()
        return (1 - bias * s2 / (a.square() * v + s2)) * x / a

    return denoise


def gaussian_data(v: float, batch: int = 8, length: int = 20_000, seed: int = 1) -> torch.Tensor:
    return math.sqrt(v) * torch.randn(batch, length, generator=seeded(seed), dtype=torch.float64)


def entropy(v: float) -> float:
    """Of N(0, v), nats."""
    return 0.5 * math.log(2 * math.pi * math.e * v)


def expected_terms(schedule: NoiseSchedule, v: float, variance: str) -> tuple[float, list[float], float]:
    """L_T, each L_{t-1} and L_0 of one value of N(0, v) under its best denoiser, nats, by scalar algebra.

    The posterior of x0 given x_t has the variance w_t = v s_t^2 / (a_t^2 v + s_t^2); the means of the two Gaussians
    at t differ by what they put on x0 (Ho et al. 2020, equation 7) times the error of x0.
    """
    levels = [1.0, *schedule.noise_levels.tolist()]
    error = [v * (1 - a * a) / (a * a * v + 1 - a * a) for a in levels]
    last = levels[-1] ** 2
    prior = 0.5 * (last * v + (1 - last) - 1 - math.log(1 - last))
    between = []
    for t in range(2, len(levels)):
        a, u = levels[t], levels[t - 1]
        beta = 1 - (a / u) ** 2
        tilde = (1 - u * u) / (1 - a * a) * beta
        chosen = tilde if variance == "beta_tilde" else beta
        on_x0 = u * beta / (1 - a * a)
        between.append(0.5 * (tilde / chosen - 1 - math.log(tilde / chosen) + on_x0**2 * error[t] / chosen))
    beta_1 = 1 - levels[1] ** 2
    return prior, between, 0.5 * math.log(2 * math.pi * beta_1) + error[1] / (2 * beta_1)


@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
@pytest.mark.parametrize("v", [0.04, 1.0, 9.0])
def test_every_term_of_a_gaussian_is_its_closed_form(v, variance):
    bound = variational_bound(gaussian_denoiser(v), gaussian_data(v), SCHEDULE, variance=variance, generator=seeded(2))
    prior, between, decoder = expected_terms(SCHEDULE, v, variance)
    assert bound.denoising.shape == (8, 19)
    assert bound.prior.mean().item() * NAT == pytest.approx(prior, rel=0.02)
    for got, want in zip((bound.denoising.mean(0) * NAT).tolist(), between):
        assert got == pytest.approx(want, rel=0.03)
    assert bound.decoder.mean().item() * NAT == pytest.approx(decoder, abs=0.01)
    total = (prior + sum(between) + decoder) / NAT
    assert bound.bits == pytest.approx(total, abs=5 * bound.standard_error + 1e-6)


@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
def test_the_bound_falls_to_the_entropy_with_more_steps(variance):
    """By closed form, to which the estimate is tied above; checked once by sampling too."""
    v, gaps = 0.3, []
    for steps in (10, 40, 160, 640):
        prior, between, decoder = expected_terms(NoiseSchedule.log_snr(0.9999, 1e-3, steps), v, variance)
        gaps.append(prior + sum(between) + decoder - entropy(v))
    assert all(gap > 0 for gap in gaps)
    assert all(fine < coarse / 3 for coarse, fine in zip(gaps, gaps[1:]))
    assert gaps[-1] < 0.06
    schedule = NoiseSchedule.log_snr(0.9999, 1e-3, 160)
    x0 = gaussian_data(v, 4, 5000)
    sampled = variational_bound(gaussian_denoiser(v), x0, schedule, variance=variance, generator=seeded())
    nll = -Normal(0, math.sqrt(v)).log_prob(x0).mean().item()
    assert sampled.bits * NAT - nll == pytest.approx(gaps[2], abs=0.01)


def test_standard_normal_data_give_the_exact_likelihood_of_each_sample():
    """With the variance beta the reverse process is exact, so the bound is -log p(x0) itself, at any T."""
    schedule = linear_schedule(0.05, 0.5, 4)
    x0 = torch.tensor([[0.0, 0.3], [1.0, -1.0], [2.5, 0.2]], dtype=torch.float64)
    bound = variational_bound(
        gaussian_denoiser(1.0), x0.repeat(20000, 1), schedule, variance="beta", generator=seeded(3)
    )
    expected = -Normal(0.0, 1.0).log_prob(x0).sum(1)
    torch.testing.assert_close(2 * NAT * bound.total.reshape(20000, 3).mean(0), expected, atol=0.08, rtol=0)
    data = gaussian_data(1.0)
    exact = variational_bound(gaussian_denoiser(1.0), data, schedule, variance="beta", generator=seeded(4))
    assert exact.bits == pytest.approx(entropy(1.0) / math.log(2), abs=0.01)
    assert sum(sum(p) if isinstance(p, list) else p for p in expected_terms(schedule, 1.0, "beta")) == pytest.approx(
        entropy(1.0)
    )


def test_a_worse_denoiser_needs_more_bits():
    """The more the noise is mistaken, the larger the bound; the same noise for all."""
    x0 = gaussian_data(0.3)
    bits = [
        variational_bound(gaussian_denoiser(0.3, bias), x0, SCHEDULE, generator=seeded(5)).bits
        for bias in (1.0, 0.9, 0.7, 0.0)
    ]
    assert bits == sorted(bits) and bits[1] - bits[0] > 0.01


@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
def test_a_step_is_the_divergence_of_its_two_gaussians(variance):
    """Against the posterior as written in Ho et al. 2020, equations 6 and 7, and torch's own divergence."""
    schedule, t = linear_schedule(0.01, 0.3, 6), 4
    alphas, bars = schedule.alphas, schedule.alphas_cumprod
    beta, bar, bar_u = 1 - alphas[t - 1], bars[t - 1], bars[t - 2]
    x0 = torch.randn(3, 5, generator=seeded(6), dtype=torch.float64)
    eps = torch.randn(3, 5, generator=seeded(7), dtype=torch.float64)

    def denoise(x, level):
        return torch.tanh(x)

    x = bar.sqrt() * x0 + (1 - bar).sqrt() * eps

    def mean_of(clean):
        return bar_u.sqrt() * beta / (1 - bar) * clean + alphas[t - 1].sqrt() * (1 - bar_u) / (1 - bar) * x

    tilde = (1 - bar_u) / (1 - bar) * beta
    chosen = tilde if variance == "beta_tilde" else beta
    guessed = denoise(x, None)
    expected = kl_divergence(Normal(mean_of(x0), tilde.sqrt()), Normal(mean_of(guessed), chosen.sqrt())).sum(1)
    step = torch.full((3,), t)
    torch.testing.assert_close(step_term(denoise, x0, schedule, step, eps, variance), expected)
    last = Normal(bars[-1].sqrt() * x0, (1 - bars[-1]).sqrt())
    torch.testing.assert_close(prior_term(x0, schedule), kl_divergence(last, Normal(0.0, 1.0)).sum(1).double())


def test_a_subset_of_the_steps_is_unbiased():
    """Each draw's mean over many seeds is the sum over its share, also when shares differ in size."""
    x0, denoise = gaussian_data(0.3, 4000, 6), gaussian_denoiser(0.3)
    full = variational_bound(denoise, x0, SCHEDULE, generator=seeded(8))
    few = variational_bound(denoise, x0, SCHEDULE, generator=seeded(9), steps=4)
    assert few.denoising.shape == (4000, 4)
    edges = [0, 4, 9, 14, 19]
    for column, (low, high) in enumerate(zip(edges, edges[1:])):
        want, got = full.denoising[:, low:high].sum(1), few.denoising[:, column]
        error = math.hypot(float(want.std()), float(got.std())) / math.sqrt(4000)
        assert float(got.mean()) == pytest.approx(float(want.mean()), abs=4 * error)
    assert few.bits == pytest.approx(full.bits, abs=4 * math.hypot(few.standard_error, full.standard_error))


def test_the_standard_error_is_the_spread_of_estimates():
    x0 = gaussian_data(0.3, 6400, 4)
    whole = variational_bound(gaussian_denoiser(0.3), x0, SCHEDULE, steps=3, generator=seeded(10))
    groups = whole.total.reshape(100, 64).mean(1)
    part = Bound(*(one[:64] for one in whole))
    assert part.standard_error == pytest.approx(float(groups.std()), rel=0.3)
    assert math.isnan(Bound(*(one[:1] for one in whole)).standard_error)


# Scaling and bins


def test_scaling_a_continuous_waveform_costs_its_log_determinant():
    """Bits of a waveform that is 8 times smaller than what the network sees: log2(8) fewer a dimension."""
    x0 = gaussian_data(1.0)
    one, eight = (
        variational_bound(gaussian_denoiser(1.0), x0, SCHEDULE, scale=scale, variance="beta", generator=seeded(11))
        for scale in (1.0, 8.0)
    )
    assert one.bits - eight.bits == pytest.approx(3.0)
    # And the figure is the density of the waveform: the entropy of N(0, 1 / 64).
    assert eight.bits == pytest.approx(entropy(1 / 64) / math.log(2), abs=0.01)


@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("mean, deviation", [(0.0, 0.3), (0.97, 0.01), (-3.0, 0.5), (0.2, 40.0), (0.4, 1e-4)])
def test_bins_add_up_to_one(bits, mean, deviation):
    values = torch.arange(-(2 ** (bits - 1)), 2 ** (bits - 1)) / 2 ** (bits - 1)
    log_p = discretised_log_prob(values, torch.full_like(values, mean, dtype=torch.float64), deviation, bits)
    assert torch.logsumexp(log_p, 0).item() == pytest.approx(0.0, abs=1e-12)
    assert torch.equal(quantise(values, bits).float(), values.float())


def test_bins_against_scipy_and_in_the_tails():
    mean = torch.linspace(-0.8, 0.8, 15, dtype=torch.float64)
    waveform = quantise(torch.linspace(-0.5, 0.5, 15, dtype=torch.float64), 6)
    got = discretised_log_prob(waveform, mean, 0.2, 6)
    expected = stats.norm.cdf((waveform + 1 / 64 - mean) / 0.2) - stats.norm.cdf((waveform - 1 / 64 - mean) / 0.2)
    torch.testing.assert_close(got.exp(), torch.as_tensor(expected), rtol=1e-9, atol=0)
    # 1000 deviations away the mass is 0 in float64, its logarithm is not.
    far = discretised_log_prob(torch.tensor([0.5, -0.5]), torch.tensor([0.0, 0.0]).double(), 5e-4, 8)
    assert torch.isfinite(far).all() and far[0] == far[1]
    edge = (0.5 - 1 / 256) / 5e-4
    assert far[0].item() == pytest.approx(-(edge**2) / 2, rel=1e-4)


def test_narrow_bins_tend_to_the_density():
    """2^bits bins of width 2 / 2^bits: the probability is the density times the width, whatever the scale."""
    v, scale = 0.5, 5.0
    x0 = gaussian_data(v, 8, 4000)
    density, mass = (
        variational_bound(
            gaussian_denoiser(v), x0, SCHEDULE, scale=scale, bits=bits, variance="beta", generator=seeded(12)
        )
        for bits in (None, 16)
    )
    assert mass.bits - density.bits == pytest.approx(15.0, abs=2e-3)
    assert mass.bits < 16


def test_two_points_need_one_bit():
    """Data that are one of two values of a 3-bit waveform, evenly: the entropy is 1 bit, and no bound is below."""
    schedule = NoiseSchedule.log_snr(0.9995, 1e-3, 300)
    x0 = torch.where(torch.rand(64, 60, generator=seeded(13)) < 0.5, -0.5, 0.5)

    def denoise(x, noise_level):
        a = noise_level.unsqueeze(-1)
        s2 = 1 - a.square()
        return 0.5 * torch.tanh(0.5 * a * x / s2)

    bound = variational_bound(denoise, x0, schedule, bits=3, generator=seeded(14))
    assert 1.0 - 3 * bound.standard_error < bound.bits < 1.05


def test_off_grid_data_are_rounded_and_seeds_repeat():
    x0 = gaussian_data(0.05, 2, 500).float()
    rounded = quantise(x0.double() / 2.0, 8) * 2.0
    one, other, third = (
        variational_bound(gaussian_denoiser(0.05), data, SCHEDULE, bits=8, scale=2.0, generator=seeded(seed))
        for data, seed in ((x0, 1), (rounded.float(), 1), (x0, 2))
    )
    assert torch.equal(one.total, other.total) and not torch.equal(one.total, third.total)


def test_the_cleanest_levels_keep_their_digits_in_float32():
    """WaveGrad's first beta is 1e-6: float32 levels would make its noise wrong by several per cent."""
    schedule = published_schedule("wavegrad-1000")
    silent = denoiser_from(lambda x, level: torch.zeros_like(x))
    bound = variational_bound(silent, torch.zeros(4, 20_000), schedule, steps=3, generator=seeded(15))
    # x0hat = x_1 / a_1, off by s_1 / a_1 times the noise: half a nat beside the logarithm of the deviation.
    expected = 0.5 * math.log(2 * math.pi * 1e-6) + 0.5 / (1 - 1e-6)
    assert bound.decoder.mean().item() * NAT == pytest.approx(expected, abs=0.01)


def test_the_fitted_decoder_is_the_networks_error_and_the_tightest():
    """For a Gaussian it is the posterior's variance; any other makes L_0 of the same noise larger."""
    v, schedule = 0.5, linear_schedule(0.3, 0.5, 4)
    x0, denoise = gaussian_data(v), gaussian_denoiser(v)
    fitted = float(decoder_error(denoise, x0, schedule, seeded(17)).mean())
    assert fitted == pytest.approx(v * 0.3 / (0.7 * v + 0.3), rel=0.02)
    decoders = [
        float(variational_bound(denoise, x0, schedule, decoder_variance=variance, generator=seeded(18)).decoder.mean())
        for variance in (0.8 * fitted, fitted, 1.25 * fitted, None)
    ]
    assert min(decoders) == decoders[1]


def test_a_single_step_has_no_terms_between():
    bound = variational_bound(gaussian_denoiser(1.0), gaussian_data(1.0), NoiseSchedule((0.3,)), generator=seeded())
    assert bound.denoising.shape == (8, 0)
    assert bound.bits == pytest.approx(entropy(1.0) / math.log(2), abs=0.01)


@pytest.mark.parametrize("steps", [0, 20])
def test_terms_that_the_schedule_does_not_have_are_refused(steps):
    with pytest.raises(DiffvocError, match="19 between"):
        variational_bound(gaussian_denoiser(1.0), torch.zeros(1, 4), SCHEDULE, steps=steps)
