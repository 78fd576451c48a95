"""The variational bound: how many bits a diffusion model needs at most for the data it is shown.

-log p(x0) <= L_T + sum over t >= 2 of L_{t-1} + L_0 in expectation over the noise (Sohl-Dickstein et al. 2015,
equations 10 to 14; Ho et al. 2020, equation 5). Steps count from 1, the cleanest, to T; a_t is the noise level,
s_t^2 = 1 - a_t^2, alpha_t = (a_t / a_{t-1})^2, beta_t = 1 - alpha_t and beta_tilde_t = s_{t-1}^2 / s_t^2 beta_t. D is
the number of values of one sample. All terms are float64, in nats a sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tts_diffvoc.diffusion.process import Denoiser, noise_like, q_sample
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.errors import DiffvocError

VARIANCES = ("beta_tilde", "beta")


@dataclass(frozen=True)
class Bound:
    """The bound of B samples in its three parts, float64, nats.

    Attributes:
        prior: L_T [B], how far the noisiest level is from pure noise.
        denoising: [B, K], cleanest first; with K = T - 1 column t - 2 is L_{t-1}, with fewer each is an unbiased
            estimate of the sum over its share of the steps.
        decoder: L_0 [B], of the waveform: scaling and bins are accounted for.
        dimensions: values of one sample, D.
    """

    prior: Tensor
    denoising: Tensor
    decoder: Tensor
    dimensions: int

    @property
    def nats(self) -> Tensor:
        """The whole bound, [B]."""
        return self.prior + self.denoising.sum(1) + self.decoder

    @property
    def parts(self) -> dict[str, float]:
        """Mean L_T, sum of L_{t-1}, and L_0 in bits a dimension; they add up to :attr:`bits`."""
        named = {"prior": self.prior, "denoising": self.denoising.sum(1), "decoder": self.decoder}
        return {name: float(self._bits(part).mean()) for name, part in named.items()}

    @property
    def bits(self) -> float:
        """The mean of the whole bound in bits a dimension."""
        return float(self._bits(self.nats).mean())

    @property
    def standard_error(self) -> float:
        """Of :attr:`bits`, over samples and their noise together; NaN for a single sample."""
        count = len(self.prior)
        return float(self._bits(self.nats).std()) / math.sqrt(count) if count > 1 else math.nan

    def _bits(self, nats: Tensor) -> Tensor:
        return nats / (self.dimensions * math.log(2))

    @staticmethod
    def cat(bounds: Sequence[Bound]) -> Bound:
        """One bound of the samples of several, all of one size."""
        if len({(b.dimensions, b.denoising.shape[1]) for b in bounds}) != 1:
            raise DiffvocError("bounds of samples or schedules of different sizes were given; give one size.")
        return Bound(
            torch.cat([b.prior for b in bounds]),
            torch.cat([b.denoising for b in bounds]),
            torch.cat([b.decoder for b in bounds]),
            bounds[0].dimensions,
        )


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

    Raises: DiffvocError for bits, scale, variance or steps that make no sense.
    """
    _check(bits, scale, variance, decoder_variance)
    if bits is not None:
        x0 = (quantise(x0.double() / scale, bits) * scale).to(x0.dtype)
    shares = _shares(schedule.num_steps - 1, steps)
    batch = len(x0)
    prior = prior_term(x0, schedule)
    denoising = torch.zeros(batch, len(shares), dtype=torch.float64)
    decoder = decoder_term(denoiser, x0, schedule, noise_like(x0, generator), bits, scale, decoder_variance)
    for column, (first, size) in enumerate(shares):
        step = first + torch.randint(size, (batch,), generator=generator, device=_home(generator)).cpu()
        denoising[:, column] = size * step_term(denoiser, x0, schedule, step, noise_like(x0, generator), variance)
    return Bound(prior, denoising, decoder, x0[0].numel())


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


def decoder_term(
    denoiser: Denoiser,
    x0: Tensor,
    schedule: NoiseSchedule,
    eps: Tensor,
    bits: int | None = None,
    scale: float = 1.0,
    variance: float | None = None,
) -> Tensor:
    """L_0 [B] = -log p(waveform | x_1) for one noise (Ho et al. 2020, equation 13 for discrete data).

    Its mean is the clean data that the denoiser sees in x_1. A continuous waveform's density is ``scale`` times that
    of x0 in each dimension; a discrete one's bins are 2 / 2^bits wide before scaling. See :func:`variational_bound`.
    """
    deviation = math.sqrt(schedule.betas[0] if variance is None else variance)
    mean = _denoise(denoiser, x0, schedule.noise_levels[:1].expand(len(x0)), eps)
    if bits is None:
        off = (x0.double() - mean) / deviation
        log_p = -0.5 * off.square() - math.log(deviation * math.sqrt(2 * math.pi)) + math.log(scale)
    else:
        log_p = discretised_log_prob(x0.double() / scale, mean / scale, deviation / scale, bits)
    return -log_p.flatten(1).sum(1).cpu()


@torch.no_grad()
def fitted_variance(
    denoiser: Denoiser, x0: Tensor, schedule: NoiseSchedule, generator: torch.Generator | None = None
) -> float:
    """The decoder's variance under which the clean data ``x0`` [B, ...] are likeliest.

    The mean squared error of what the denoiser sees in x_1. To be measured on other data than the bound's.
    """
    mean = _denoise(denoiser, x0, schedule.noise_levels[:1].expand(len(x0)), noise_like(x0, generator))
    return float((mean - x0).square().mean())


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
    predicted = denoiser(q_sample(x0.double(), level, eps.double()).to(x0.dtype), level)
    if predicted.shape != x0.shape:
        raise DiffvocError(f"the denoiser made {list(predicted.shape)} of {list(x0.shape)}; the shapes must be equal.")
    return predicted.double()


def _shares(terms: int, wanted: int | None) -> list[tuple[int, int]]:
    """(first step, number of steps) of each of ``wanted`` nearly equal shares of the steps from 2 on."""
    wanted = terms if wanted is None else wanted
    if not min(1, terms) <= wanted <= terms:
        raise DiffvocError(f"{wanted} terms were asked for; the schedule has {terms} between noise and the last step.")
    edges = [2 + terms * i // max(wanted, 1) for i in range(wanted + 1)]
    return [(first, last - first) for first, last in zip(edges, edges[1:])]


def _home(generator: torch.Generator | None) -> torch.device | str:
    return "cpu" if generator is None else generator.device


def _check(bits: int | None, scale: float, variance: str, decoder_variance: float | None) -> None:
    if variance not in VARIANCES:
        raise DiffvocError(f"variance {variance!r} is unknown; use 'beta_tilde' or 'beta'.")
    if bits is not None and not 1 <= bits <= 16:
        raise DiffvocError(f"{bits} bits were given; a discrete waveform has 1 to 16.")
    if not (scale > 0 and math.isfinite(scale)):
        raise DiffvocError(f"the scale {scale} was given; it must be a number above 0.")
    if decoder_variance is not None and not decoder_variance > 0:
        raise DiffvocError(f"the decoder's variance {decoder_variance} was given; it must be above 0.")
