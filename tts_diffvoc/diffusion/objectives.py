"""Training objectives: the error of the predicted noise, and how noise, its levels and missing labels are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tts_diffvoc.diffusion.process import NoisePredictor, noise_like, q_sample
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.errors import DiffvocError

# Share of training rows that go without their label (Ho and Salimans 2022 compare 0.1, 0.2 and 0.5).
LABEL_DROPOUT = 0.1
DrawLevels = Callable[[NoiseSchedule, int, torch.Generator | None], Tensor]


def discrete_levels(schedule: NoiseSchedule, batch: int, generator: torch.Generator | None = None) -> Tensor:
    """Levels [batch] of steps drawn evenly from the schedule, float32 (Kong et al. 2021, algorithm 1)."""
    step = torch.randint(schedule.num_steps, (batch,), generator=generator)
    return schedule.noise_levels[step].float()


def hierarchical_levels(schedule: NoiseSchedule, batch: int, generator: torch.Generator | None = None) -> Tensor:
    """Continuous levels [batch], float32 (Chen et al. 2021, algorithm 1).

    A segment between neighbouring levels, the first of which starts at 1, is drawn evenly, then a level evenly
    within it.
    """
    edges = torch.cat([torch.ones(1, dtype=torch.float64), schedule.noise_levels])
    segment = torch.randint(schedule.num_steps, (batch,), generator=generator)
    place = torch.rand(batch, generator=generator, dtype=torch.float64)
    cleaner, noisier = edges[segment], edges[segment + 1]
    return (noisier + (cleaner - noisier) * place).float()


def focused_levels(centre: float, spread: float, share: float = 0.75) -> DrawLevels:
    """How to draw most levels where a sample's structure is decided, instead of evenly.

    Of ``share`` of all rows the noise-to-signal ratio s / a is log-normal (Karras et al. 2022, section 5, equation for
    ln sigma), kept within the schedule; the other rows are :func:`discrete_levels`.

    Args:
        centre, spread: mean and deviation of ln(s / a), where x = a x0 + s eps.
    """

    def draw(schedule: NoiseSchedule, batch: int, generator: torch.Generator | None = None) -> Tensor:
        even = discrete_levels(schedule, batch, generator)
        ratio = torch.exp(centre + spread * torch.randn(batch, generator=generator, dtype=torch.float64))
        cleanest, noisiest = schedule.noise_levels[0], schedule.noise_levels[-1]
        level = (1 / (1 + ratio.square()).sqrt()).clamp(noisiest, cleanest).float()
        return torch.where(torch.rand(batch, generator=generator) < share, level, even)

    return draw


def noise_prediction_loss(
    predict_noise: NoisePredictor, x0: Tensor, noise_level: Tensor, eps: Tensor, norm: str = "l2"
) -> Tensor:
    """Mean error of the predicted noise, [B].

    Args:
        predict_noise: (x, noise_level [B]) -> eps of the shape of x.
        x0: clean data [B, ...].
        noise_level: [B].
        eps: the noise, of the shape of ``x0``.
        norm: "l2", squared (Ho et al. 2020, equation 14), or "l1", absolute (Chen et al. 2021, section 3).
    """
    if norm not in ("l1", "l2"):
        raise DiffvocError(f"norm {norm!r} is unknown; use 'l1' or 'l2'.")
    error = predict_noise(q_sample(x0, noise_level, eps), noise_level) - eps
    error = error.abs() if norm == "l1" else error.square()
    return error.flatten(1).mean(1)


def draw_noise(
    x0: Tensor,
    schedule: NoiseSchedule,
    draw: DrawLevels = discrete_levels,
    seeds: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Noise levels [B] and noise of the shape of ``x0``, [B, ...].

    Args:
        draw: how levels are drawn, for example :func:`discrete_levels`.
        seeds: one for each row, so that its level and noise do not depend on its batch.
    """
    if seeds is None:
        return draw(schedule, x0.shape[0], None).to(x0, non_blocking=x0.is_cuda), noise_like(x0)
    check_seeds(seeds, x0.shape[0])
    levels, noises = [], []
    on_device = torch.Generator(x0.device)
    for row, seed in enumerate(seeds):
        levels.append(draw(schedule, 1, torch.Generator().manual_seed(seed)))
        on_device.manual_seed(seed + 1)
        noises.append(torch.randn(x0[row].shape, generator=on_device, device=x0.device, dtype=x0.dtype))
    return torch.cat(levels).to(x0, non_blocking=x0.is_cuda), torch.stack(noises)


def drop_labels(labels: Tensor, none: int, probability: float, seeds: Sequence[int] | None = None) -> Tensor:
    """``labels`` [B], each replaced by ``none`` with a probability, so that a network learns to do without.

    Classifier-free guidance (Ho and Salimans 2022, algorithm 1) needs the network with and without labels.

    Args:
        seeds: as in :func:`draw_noise`.
    """
    if seeds is None:
        chance = torch.rand(labels.shape[0])
    else:
        check_seeds(seeds, labels.shape[0])
        chance = torch.cat([torch.rand(1, generator=torch.Generator().manual_seed(seed + 2)) for seed in seeds])
    return labels.masked_fill((chance < probability).to(labels.device, non_blocking=labels.is_cuda), none)


def check_seeds(seeds: Sequence[int], rows: int) -> None:
    """Raise DiffvocError unless there is one seed a row."""
    if len(seeds) != rows:
        raise DiffvocError(f"{len(seeds)} seeds were given for a batch of {rows}; give one a row.")


def log_spectral_error(
    made: Tensor, waveform: Tensor, bandwidth: Tensor, sample_rate: int, sizes: Sequence[int] = (1024, 256)
) -> Tensor:
    """Mean absolute difference of log magnitudes of [B, T] with windows of ``sizes``, below ``bandwidth`` [B] in Hz."""
    total = torch.zeros((), device=made.device)
    for size in sizes:
        window = torch.hann_window(size, device=made.device)
        a, b = (torch.stft(x, size, size // 4, window=window, return_complex=True).abs() for x in (made, waveform))
        floor = 0.03 * b.mean((1, 2), keepdim=True) + 1e-5
        frequency = torch.arange(size // 2 + 1, device=made.device) * sample_rate / size
        heard = (frequency < bandwidth.unsqueeze(1) - 150).unsqueeze(-1).float()
        error = (((a + floor) / (b + floor)).log().abs() * heard).mean()
        total = total + error / heard.mean()
    return total
