"""Search of short inference schedules for a trained network.

Schedules are proposed in three ways and compared by an *objective*, any function from a schedule to a number that is
better when lower, for example a spectral distance of generated speech. The proposals:

- ``grid_schedules``: WaveGrad's grid, leading digits times powers of ten (Chen et al. 2021, section 4).
- ``path_schedules``: paths of least cost over a table of measured errors, found exactly by dynamic programming
  (Watson et al. 2021, section 3), for several costs, because the best likelihood is not the best sound.
- ``refine``: a pattern search from the best one, in half-log-SNR, log(a / sqrt(1 - a^2)).

A noise level is the square root of the cumulated alphas. Schedules count from the cleanest level to the noisiest.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from tts_diffvoc.diffusion.process import Denoiser, q_sample
from tts_diffvoc.diffusion.schedules import PUBLISHED, WARN_ABOVE, NoiseSchedule
from tts_diffvoc.errors import DiffvocError

Objective = Callable[[NoiseSchedule], float]

METHODS = ("grid", "dp", "both")
# How noisy a schedule must end: WaveGrad's published 6 steps end at 0.43, their training at 0.08; DiffWave's at 0.61,
# their training at 0.53.
NEAR_NOISE = 0.45
NEAR_TRAINING = 1.2
# Costs of a path: the power of the SNR in whose unit errors are added up, and the share of the training range of
# half-log-SNR beyond which data count as clean. (1, 1) is the likelihood's.
PATH_COSTS = tuple(itertools.product((0.0, 0.25, 0.5, 1.0), (1.0, 0.75, 0.55)))
# The pattern search begins with moves of one neper of SNR (8.7 dB) and ends below a sixteenth of that.
FIRST_MOVE, LAST_MOVE = 1.0, 1 / 16
# Shares of the budget by which paths, then the grid, must be done before the pattern search.
PATHS_UNTIL, GRID_UNTIL = 0.3, 0.5
# Levels stay at least this far apart, in nepers.
APART = 1e-3
DRAWS = 50_000  # from the grid, at most


def half_log_snr(noise_levels: Tensor) -> Tensor:
    """log(a / sqrt(1 - a^2)) of levels [T] in (0, 1), float64 (Lu et al. 2022, section 2.2)."""
    squared = noise_levels.double().square()
    return 0.5 * (squared.log() - torch.log1p(-squared))


def from_half_log_snr(places: Tensor) -> Tensor:
    """Noise levels [T] from half-log-SNR: the inverse of :func:`half_log_snr`."""
    return torch.sigmoid(2 * places.double()).sqrt()


def noisiest_allowed(training: NoiseSchedule) -> float:
    """The highest noise level at which a schedule may end and still start from what is nearly noise."""
    last = float(training.noise_levels[-1])
    return max(last, min(WARN_ABOVE, max(NEAR_NOISE, NEAR_TRAINING * last)))


def is_valid(schedule: NoiseSchedule, training: NoiseSchedule) -> bool:
    """Whether ``schedule`` stays within the training levels and ends near noise."""
    levels, slack = schedule.noise_levels, 1e-9
    inside = levels[0] <= training.noise_levels[0] + slack and levels[-1] >= training.noise_levels[-1] - slack
    return bool(inside and levels[-1] <= noisiest_allowed(training) + slack)


def grid_schedules(training: NoiseSchedule, steps: int, seed: int = 0) -> Iterator[NoiseSchedule]:
    """The valid schedules of WaveGrad's grid in random order, after any published one of ``steps`` steps.

    Betas are a digit from 1 to 9 times a power of ten that is fixed for each step (Chen et al. 2021, section 4): evenly
    from that of the training schedule's first beta up to -1. They do not fall towards noise.
    """
    first = min(-1, math.floor(math.log10(training.betas[0]) + 1e-9))
    decades = np.linspace(-1, first, steps)[::-1].round().astype(int)
    draw, seen = random.Random(seed), set()
    drawn = (tuple(sorted(float(f"{draw.randint(1, 9)}e{one}") for one in decades)) for _ in range(DRAWS))
    for betas in itertools.chain((one.betas for one in PUBLISHED.values() if one.num_steps == steps), drawn):
        if betas not in seen and is_valid(schedule := NoiseSchedule(betas), training):
            yield schedule
        seen.add(betas)


@torch.no_grad()
def denoising_errors(
    denoiser: Denoiser, x0: Tensor, noise_levels: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Mean squared error of the clean data that ``denoiser`` sees at each level: float64 [T].

    Args:
        denoiser: (x, noise_level [B]) -> x0 of the shape of x.
        x0: clean data [B, ...], of any deviation. All levels get the same noise.
        noise_levels: [T].
    """
    eps = torch.randn(x0.shape, generator=generator).to(x0)
    errors = []
    for value in noise_levels.tolist():
        level = torch.full((x0.shape[0],), value, dtype=torch.float64, device=x0.device)
        errors.append((denoiser(q_sample(x0, level, eps), level) - x0).square().mean().double().cpu())
    return torch.stack(errors)


def path_costs(noise_levels: Tensor, errors: Tensor, power: float = 1.0, clean: float | None = None) -> Tensor:
    """What each step costs: float64 [T + 1, T + 1], infinite where no step goes.

    Entry (t, u) is for the step from level t - 1 to the cleaner level u - 1, or to clean data when u is 0. With
    ``power`` 1 it is the divergence of the step from the true posterior, (SNR_u - SNR_t) / 2 times the error at t
    (Watson et al. 2021, section 3; Kingma et al. 2021, equation 13). Summed over a path and less the same sum in
    infinitely many steps, it is what freezing the estimate within a step costs. A lower ``power`` p counts
    (SNR_u^p - SNR_t^p) / (2 p) instead, down to differences of log-SNR at 0, so that louder noise weighs more.

    Args:
        noise_levels: [T], falling.
        errors: [T], mean squared errors of clean data there.
        power: from 0 to 1.
        clean: noise level from which on data count as clean; by default the first, cleanest one.
    """
    cap = noise_levels[:1] if clean is None else noise_levels.new_tensor([clean])
    log_snr = 2 * half_log_snr(torch.cat([cap, noise_levels]).clamp_max(float(cap)))
    warped = log_snr if power == 0 else (power * log_snr).exp() / power
    span = (warped.unsqueeze(0) - warped.unsqueeze(1)).clamp_min(0)  # [t, u]
    costs = span * torch.cat([errors.new_zeros(1), errors]).double().unsqueeze(1) / 2
    return costs.masked_fill(torch.ones_like(costs).triu().bool(), math.inf)


def cheapest_path(costs: Tensor, steps: int) -> tuple[list[int], float]:
    """The path of ``steps`` steps from the noisiest level to clean data of least total cost, and that cost.

    Dynamic programming in O(steps T^2) (Watson et al. 2021, algorithm 1); exact.

    Args:
        costs: [T + 1, T + 1] as :func:`path_costs` makes them.
        steps: from 1 to T.

    Returns: the indices of the path's levels among the T, cleanest first; the last is T - 1.
    """
    best, chosen = costs[:, 0], []
    for _ in range(steps - 1):
        best, next_node = (costs + best).min(dim=1)
        chosen.append(next_node.tolist())
    nodes = [len(costs) - 1]
    for next_node in reversed(chosen):
        nodes.append(next_node[nodes[-1]])
    return [node - 1 for node in reversed(nodes)], float(best[-1])


def refine_table(noise_levels: Tensor, errors: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``count`` levels evenly spaced in log-SNR over the same range, and their errors, interpolated in logarithms."""
    known, logs = half_log_snr(noise_levels), errors.double().clamp_min(1e-30).log()
    places = torch.linspace(float(known[0]), float(known[-1]), count, dtype=torch.float64)
    levels = from_half_log_snr(places)
    levels[0], levels[-1] = noise_levels[0], noise_levels[-1]
    return levels, torch.from_numpy(np.interp(places, known.flip(0), logs.flip(0))).exp()


def path_schedules(noise_levels: Tensor, errors: Tensor, steps: int) -> list[NoiseSchedule]:
    """The cheapest path of ``steps`` steps for each of ``PATH_COSTS``, without repeats.

    Args:
        noise_levels: [T], from the cleanest to the noisiest level of training.
        errors: [T], see :func:`denoising_errors`.

    Raises: DiffvocError for errors that are not finite.
    """
    if not errors.isfinite().all():
        raise DiffvocError("the network's errors are not finite; no path can be found over them.")
    levels, errors = refine_table(noise_levels, errors, max(128, steps + 64))
    places = half_log_snr(levels)
    found: dict[NoiseSchedule, None] = {}
    for power, share in PATH_COSTS:
        clean = float(from_half_log_snr(torch.lerp(places[-1], places[0], share)))
        path, _ = cheapest_path(path_costs(levels, errors, power, clean), steps)
        found.setdefault(NoiseSchedule.from_noise_levels(levels[path].tolist()))
    return list(found)


class Trials:
    """An objective, the scores of all schedules that were tried, and the budget of trials and of seconds from now on.

    A score that is not finite counts as infinitely bad.
    """

    def __init__(self, objective: Objective, limit: int, seconds: float = math.inf) -> None:
        self.objective, self.limit, self.seconds = objective, limit, seconds
        self.scores: dict[NoiseSchedule, float] = {}
        self.started = time.monotonic()

    @property
    def best(self) -> NoiseSchedule:
        """The schedule of the lowest score, the first of equal ones."""
        return min(self.scores, key=self.scores.__getitem__)

    def spent(self, share: float = 1.0) -> bool:
        """Whether ``share`` of the trials or of the time is used up."""
        return len(self.scores) >= share * self.limit or time.monotonic() - self.started >= share * self.seconds

    def try_all(self, schedules: Iterable[NoiseSchedule], share: float = 1.0) -> None:
        """Try ``schedules`` in turn, those that are new, until ``share`` of the budget is spent."""
        for schedule in schedules:
            if self.spent(share):
                return
            if schedule not in self.scores:
                score = self.objective(schedule)
                self.scores[schedule] = score if math.isfinite(score) else math.inf


def refine(trials: Trials, training: NoiseSchedule) -> None:
    """Pattern search in half-log-SNR from the best trial: keep what betters it, halve the moves when none does.

    Hooke and Jeeves' direct search (1961) without its extrapolation: stretches from either end, then each level by
    itself. Deterministic; ends when the moves are small or the trials are spent.
    """
    slope = torch.linspace(1, 0, trials.best.num_steps, dtype=torch.float64)
    directions = [slope, 1 - slope, *torch.eye(len(slope), dtype=torch.float64)]
    edges = [float(training.noise_levels[0]), noisiest_allowed(training), float(training.noise_levels[-1])]
    most, limit, least = half_log_snr(torch.tensor(edges, dtype=torch.float64)).tolist()
    size = FIRST_MOVE
    while size >= LAST_MOVE:
        before = trials.best
        for direction, sign in itertools.product(directions, (size, -size)):
            if trials.spent():
                return
            places = (half_log_snr(trials.best.noise_levels) + sign * direction).clamp(least, most)
            places[-1] = places[-1].clamp_max(limit)
            if bool((places.diff() < -APART).all()):
                trials.try_all([NoiseSchedule.from_noise_levels(from_half_log_snr(places).tolist())])
        if trials.best == before:
            size /= 2


def search_schedule(
    trials: Trials,
    training: NoiseSchedule,
    start: NoiseSchedule,
    method: str = "both",
    table: tuple[Tensor, Tensor] | None = None,
    seed: int = 0,
) -> NoiseSchedule:
    """The best schedule of as many steps as ``start`` that the budget of ``trials`` finds; at worst ``start``.

    Args:
        trials: the objective and its budget.
        training: the network's training schedule, whose levels bound the search.
        start: what is used now; it is tried first.
        method: "grid" for WaveGrad's grid alone; "dp" for cheapest paths, the best of which is refined; "both" for
            paths, then the grid up to half of the budget, then refinement of the best.
        table: noise levels [T] over the training range and the network's errors there, for "dp" and "both".
        seed: of the order of the grid.

    Raises: DiffvocError for an unknown method or a missing table.
    """
    if method not in METHODS or (method != "grid" and table is None):
        raise DiffvocError(
            f"the search method {method!r} was given; choose one of {', '.join(METHODS)}, the last two with a table "
            "of the network's errors."
        )
    trials.try_all([start])
    if table is not None and method != "grid":
        trials.try_all(path_schedules(*table, start.num_steps), PATHS_UNTIL)
    if method != "dp":
        trials.try_all(grid_schedules(training, start.num_steps, seed), 1.0 if method == "grid" else GRID_UNTIL)
    if method != "grid":
        refine(trials, training)
    return trials.best
