"""The variational bound: how many bits a diffusion model needs at most for the data it is shown.

-log p(x0) <= L_T + sum over t >= 2 of L_{t-1} + L_0 in expectation over the noise (Sohl-Dickstein et al. 2015,
equations 10 to 14; Ho et al. 2020, equation 5). Steps count from 1, the cleanest, to T; a_t is the noise level,
s_t^2 = 1 - a_t^2, alpha_t = (a_t / a_{t-1})^2, beta_t = 1 - alpha_t and beta_tilde_t = s_{t-1}^2 / s_t^2 beta_t. D is
the number of values of one sample. Terms are float64, in nats a sample.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tts_diffvoc.diffusion.process import Denoiser, noise_like, q_sample
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.errors import DiffvocError


class Bound(NamedTuple):
    """The bound of B samples in its three parts, float64, in bits a dimension.

    Attributes:
        prior: L_T [B], how far the noisiest level is from pure noise.
        denoising: [B, K], cleanest first; with K = T - 1 column t - 2 is L_{t-1}, with fewer each is an unbiased
            estimate of the sum over its share of the steps.
        decoder: L_0 [B], of the waveform: scaling and bins are accounted for.
    """

    prior: Tensor
    denoising: Tensor
    decoder: Tensor

    @property
    def total(self) -> Tensor:
        """The whole bound, [B]."""
        return self.prior + self.denoising.sum(1) + self.decoder

    @property
    def bits(self) -> float:
        """The mean of the whole bound."""
        return float(self.total.mean())

    @property
    def standard_error(self) -> float:
        """Of :attr:`bits`, over samples and their noise together; NaN for a single sample."""
        return float(self.total.std()) / math.sqrt(len(self.total)) if len(self.total) > 1 else math.nan


@torch.no_grad()
def variational_bound(
    denoiser: Denoiser,
    x0: Tensor,
    schedule: NoiseSchedule,
    *,
    bits: int | None = None,
    scale: float = 1.0,
    variance: str = "beta_tilde",
    decoder_variance: float | None = None,
    steps: int | None = None,
    generator: torch.Generator | None = None,
) -> Bound:
    """Estimate the bound of -log p(waveform), where x0 = ``scale`` * waveform is what the network sees.

    Args:
        denoiser: (x, noise_level [B]) -> x0 of the shape of x.
        x0: clean data [B, ...] in the network's units.
        schedule: the steps of the reverse process, T in all.
        bits: the waveform is discrete, 2^bits values from -1 on, as PCM has them; it is rounded to the nearest. The
            bound is of a probability. None: it is continuous, and the bound is of a density.
        scale: factor from the waveform to ``x0``.
        variance: of the reverse steps, "beta_tilde" or "beta" (Ho et al. 2020, section 3.2).
        decoder_variance: of the last step, in the network's units; None for beta_1. (beta_tilde_1 is 0.)
        steps: how many of the T - 1 terms to evaluate for each sample; None for all. Fewer are drawn one from each
            of ``steps`` equal shares of the schedule and weighted by the share's size, which is unbiased.
        generator: of the noise, on the CPU.

    Raises: DiffvocError for more steps than there are.
    """
    terms = schedule.num_steps - 1
    count = terms if steps is None else steps
    if not min(1, terms) <= count <= terms:
        raise DiffvocError(f"{count} terms were asked for; the schedule has {terms} between noise and the last step.")
    if bits is not None:
        x0 = (quantise(x0.double() / scale, bits) * scale).to(x0.dtype)
    deviation = math.sqrt(schedule.betas[0] if decoder_variance is None else decoder_variance)
    mean = _denoise(denoiser, x0, schedule.noise_levels[:1].expand(len(x0)), noise_like(x0, generator))
    if bits is None:  # its density is ``scale`` times that of x0 in each dimension
        off = (x0.double() - mean) / deviation
        log_p = -0.5 * off.square() - math.log(deviation * math.sqrt(2 * math.pi)) + math.log(scale)
    else:
        log_p = discretised_log_prob(x0.double() / scale, mean / scale, deviation / scale, bits)
    denoising = torch.zeros(len(x0), count, dtype=torch.float64)
    edges = [2 + terms * i // max(count, 1) for i in range(count + 1)]
    for column, (first, end) in enumerate(zip(edges, edges[1:])):
        step = first + torch.randint(end - first, (len(x0),), generator=generator)
        term = step_term(denoiser, x0, schedule, step, noise_like(x0, generator), variance)
        denoising[:, column] = (end - first) * term
    nats = x0[0].numel() * math.log(2)
    return Bound(prior_term(x0, schedule) / nats, denoising / nats, -log_p.flatten(1).sum(1).cpu() / nats)


def prior_term(x0: Tensor, schedule: NoiseSchedule) -> Tensor:
    """L_T [B]: the divergence of q(x_T | x0) = N(a_T x0, s_T^2) from N(0, 1) (Ho et al. 2020, equation 5)."""
    remaining = float(schedule.alphas_cumprod[-1])
    squares = x0.double().flatten(1).square().sum(1).cpu()
    return 0.5 * (remaining * squares - x0[0].numel() * (remaining + math.log1p(-remaining)))


def step_term(
    denoiser: Denoiser, x0: Tensor, schedule: NoiseSchedule, step: Tensor, eps: Tensor, variance: str = "beta_tilde"
) -> Tensor:
    """L_{t-1} [B], the divergence of q(x_{t-1} | x_t, x0) from p(x_{t-1} | x_t), for one noise.

    Both are Gaussian, of variances beta_tilde_t and ``variance``. Their means differ by a_{t-1} beta_t / s_t^2 times
    the error of the predicted x0 (Ho et al. 2020, equations 7 and 8).

    Args:
        step: t [B] from 2 to T.
        eps: the noise in x_t, of the shape of ``x0``.
    """
    clean_variance = 1 - schedule.alphas_cumprod[step - 2]
    noisy_variance = 1 - schedule.alphas_cumprod[step - 1]
    beta = 1 - schedule.alphas[step - 1]
    posterior = clean_variance / noisy_variance * beta
    chosen = posterior if variance == "beta_tilde" else beta
    error = (_denoise(denoiser, x0, schedule.noise_levels[step - 1], eps) - x0).flatten(1).square().sum(1).cpu()
    apart = (schedule.noise_levels[step - 2] * beta / noisy_variance).square() * error
    ratio = posterior / chosen
    return 0.5 * (x0[0].numel() * (ratio - 1 - ratio.log()) + apart / chosen)


@torch.no_grad()
def decoder_error(
    denoiser: Denoiser, x0: Tensor, schedule: NoiseSchedule, generator: torch.Generator | None = None
) -> Tensor:
    """Mean squared error [B] of the clean data that the denoiser sees in x_1.

    Its mean is the variance of the last step under which the data ``x0`` [B, ...] are likeliest, to be measured on
    other data than the bound's.
    """
    mean = _denoise(denoiser, x0, schedule.noise_levels[:1].expand(len(x0)), noise_like(x0, generator))
    return (mean - x0).square().flatten(1).mean(1).cpu()


def quantise(waveform: Tensor, bits: int) -> Tensor:
    """The nearest of 2^bits values k / 2^(bits - 1), k from -2^(bits - 1) to 2^(bits - 1) - 1, as PCM has them."""
    half = 2 ** (bits - 1)
    return (waveform * half).round().clamp(-half, half - 1) / half


def discretised_log_prob(waveform: Tensor, mean: Tensor, deviation: float, bits: int) -> Tensor:
    """The logarithm of a Gaussian's mass in the bin of each value (Ho et al. 2020, section 3.3, equation 13).

    Bins are 2 / 2^bits wide about the values of :func:`quantise`; the outermost two reach to infinity, so that the
    masses of all bins add up to one. Stable far out in the tails, where the mass itself is 0 in floating point.
    """
    half = 2 ** (bits - 1)
    centre = quantise(waveform.double(), bits)
    low = (centre - 0.5 / half - mean) / deviation
    high = (centre + 0.5 / half - mean) / deviation
    low = low.masked_fill(centre <= -1, -math.inf)
    high = high.masked_fill(centre >= 1 - 1 / half, math.inf)
    # In the lower tail log_ndtr keeps its digits: a bin above the mean is mirrored to below it.
    mirror = low + high > 0
    low, high = torch.where(mirror, -high, low), torch.where(mirror, -low, high)
    log_high = torch.special.log_ndtr(high)
    return log_high + torch.log(-torch.expm1(torch.special.log_ndtr(low) - log_high))


def _denoise(denoiser: Denoiser, x0: Tensor, level: Tensor, eps: Tensor) -> Tensor:
    """The clean data that the denoiser sees in x_t, float64 as x_t is: float32 blurs s_t of the cleanest levels."""
    level = level.to(x0.device)
    return denoiser(q_sample(x0.double(), level, eps.double()).to(x0.dtype), level).double()
