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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tts_diffvoc.diffusion.process import Denoiser, q_sample
from tts_diffvoc.diffusion.schedules import PUBLISHED_BETAS, WARN_ABOVE, NoiseSchedule, published_schedule
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
    """Whether ``schedule`` stays within the training levels, falls strictly and ends near noise."""
    levels, slack = schedule.noise_levels, 1e-9
    inside = levels[0] <= training.noise_levels[0] + slack and levels[-1] >= training.noise_levels[-1] - slack
    return bool(inside and (levels.diff() < 0).all() and levels[-1] <= noisiest_allowed(training) + slack)


# WaveGrad's grid


def grid_decades(training: NoiseSchedule, steps: int) -> list[int]:
    """The power of ten of each step's beta: evenly from that of the training schedule's first beta up to -1."""
    first = min(-1, math.floor(math.log10(training.betas[0]) + 1e-9))
    if steps == 1:
        return [-1]
    return [round(first + (-1 - first) * i / (steps - 1)) for i in range(steps)]


def grid_schedules(training: NoiseSchedule, steps: int, count: int, seed: int = 0) -> list[NoiseSchedule]:
    """Up to ``count`` valid schedules of WaveGrad's grid, after any published one of ``steps`` steps.

    Betas are a digit from 1 to 9 times a power of ten that is fixed for each step (Chen et al. 2021, section 4),
    and do not fall towards noise. All are returned, shuffled, when they are no more than ``count``; else they are
    drawn at random.
    """
    decades = grid_decades(training, steps)
    published = [published_schedule(name) for name, betas in PUBLISHED_BETAS.items() if len(betas) == steps]
    found = dict.fromkeys(s for s in published if is_valid(s, training))
    draw = random.Random(seed)
    for digits in _grid_digits(steps, count, draw):
        betas = sorted(float(f"{digit}e{decade}") for digit, decade in zip(digits, decades, strict=True))
        schedule = NoiseSchedule(tuple(betas))
        if is_valid(schedule, training):
            found.setdefault(schedule)
        if len(found) >= count:
            break
    return list(found)[:count]


def _grid_digits(steps: int, count: int, draw: random.Random) -> Iterator[Sequence[int]]:
    """All digits of a small grid in random order, or a bounded number of random ones of a large grid."""
    if 9**steps <= 10_000:
        every = list(itertools.product(range(1, 10), repeat=steps))
        draw.shuffle(every)
        yield from every
        return
    for _ in range(50 * count):
        yield [draw.randint(1, 9) for _ in range(steps)]


# Paths of least cost


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
    if noise_levels.shape != errors.shape or noise_levels.dim() != 1:
        raise DiffvocError(
            f"levels of shape {list(noise_levels.shape)} and errors of shape {list(errors.shape)} were given; "
            "both must be [T]."
        )
    if not bool(torch.isfinite(errors).all()):
        raise DiffvocError("the network's errors are not finite; no path can be found over them.")
    cap = noise_levels[:1] if clean is None else torch.tensor([clean])
    log_snr = 2 * torch.minimum(half_log_snr(noise_levels), half_log_snr(cap))
    log_snr = torch.cat([2 * half_log_snr(cap), log_snr])
    warped = log_snr if power == 0 else (power * log_snr).exp() / power
    span = warped.unsqueeze(0) - warped.unsqueeze(1)  # [t, u]
    costs = torch.full_like(span, math.inf)
    costs[1:] = span[1:].clamp_min(0) * errors.double().unsqueeze(1) / 2
    return costs.masked_fill(torch.ones_like(costs).triu().bool(), math.inf)


def cheapest_path(costs: Tensor, steps: int) -> tuple[list[int], float]:
    """The path of ``steps`` steps from the noisiest level to clean data of least total cost, and that cost.

    Dynamic programming in O(steps T^2) (Watson et al. 2021, algorithm 1); exact.

    Args:
        costs: [T + 1, T + 1] as :func:`path_costs` makes them.
        steps: from 1 to T.

    Returns: the indices of the path's levels among the T, cleanest first; the last is T - 1.
    """
    levels = costs.shape[0] - 1
    if not 1 <= steps <= levels:
        raise DiffvocError(f"a path of {steps} steps was asked for; {levels} levels allow 1 to {levels}.")
    best, sums = costs[:, 0].clone(), torch.empty_like(costs)
    chosen = []
    for _ in range(steps - 1):
        best, next_node = torch.add(costs, best, out=sums).min(dim=1)
        chosen.append(next_node)
    total, node, nodes = float(best[levels]), levels, [levels]
    for next_node in reversed(chosen):
        node = int(next_node[node])
        nodes.append(node)
    return [node - 1 for node in reversed(nodes)], total


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
    """
    levels, errors = refine_table(noise_levels, errors, max(128, steps + 64))
    places = half_log_snr(levels)
    found: dict[NoiseSchedule, None] = {}
    for power, share in PATH_COSTS:
        clean = float(from_half_log_snr(places[-1] + share * (places[0] - places[-1])))
        path, _ = cheapest_path(path_costs(levels, errors, power, clean), steps)
        found.setdefault(NoiseSchedule.from_noise_levels(levels[path].tolist()))
    return list(found)


# The search


@dataclass
class Trials:
    """An objective that remembers its best schedule and what it has spent.

    Attributes:
        objective: what is minimised; a result that is not finite counts as infinitely bad.
        limit: trials allowed.
        seconds: time allowed, from the making of this object.
        report: called after each trial with this object.
    """

    objective: Objective
    limit: int
    seconds: float = math.inf
    report: Callable[[Trials], None] | None = None
    clock: Callable[[], float] = time.monotonic
    scores: dict[NoiseSchedule, float] = field(default_factory=dict)
    best: NoiseSchedule | None = None

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def best_score(self) -> float:
        return math.inf if self.best is None else self.scores[self.best]

    @property
    def seconds_left(self) -> float:
        return self.seconds - (self.clock() - self.started)

    def spent(self, share: float = 1.0) -> bool:
        """Whether ``share`` of the trials or of the time is used up."""
        return len(self.scores) >= share * self.limit or self.clock() - self.started >= share * self.seconds

    def __call__(self, schedule: NoiseSchedule) -> float:
        """The objective of ``schedule``, from memory when it was tried before."""
        if schedule not in self.scores:
            score = self.objective(schedule)
            self.scores[schedule] = score if math.isfinite(score) else math.inf
            if self.best is None or self.scores[schedule] < self.best_score:
                self.best = schedule
            if self.report:
                self.report(self)
        return self.scores[schedule]

    def try_all(self, schedules: Sequence[NoiseSchedule], share: float = 1.0) -> None:
        """Try ``schedules`` in turn until ``share`` of the budget is spent."""
        for schedule in schedules:
            if self.spent(share):
                return
            self(schedule)


def _directions(steps: int) -> list[Tensor]:
    """The moves of the pattern search: stretch from either end, then each level by itself; [steps] each."""
    slope = torch.linspace(1, 0, steps, dtype=torch.float64) if steps > 1 else torch.ones(1, dtype=torch.float64)
    stretches = [slope, 1 - slope] if steps > 1 else []
    return [*stretches, *torch.eye(steps, dtype=torch.float64)]


def _moved(places: Tensor, training: NoiseSchedule) -> NoiseSchedule | None:
    """The schedule at half-log-SNR ``places`` [K], pushed into the allowed range; None when it does not fall."""
    ends = half_log_snr(torch.tensor([training.noise_levels[0], training.noise_levels[-1]], dtype=torch.float64))
    places = places.clamp(float(ends[1]), float(ends[0]))
    limit = half_log_snr(torch.tensor([noisiest_allowed(training)], dtype=torch.float64))
    places[-1] = places[-1].clamp_max(float(limit))
    if bool((places.diff() > -APART).any()):
        return None
    schedule = NoiseSchedule.from_noise_levels(from_half_log_snr(places).tolist())
    return schedule if is_valid(schedule, training) else None


def refine(trials: Trials, start: NoiseSchedule, training: NoiseSchedule) -> NoiseSchedule:
    """Pattern search in half-log-SNR from ``start``: keep what betters the objective, halve the moves when none does.

    Hooke and Jeeves' direct search (1961) without its extrapolation. Deterministic; ends when the moves are small or
    the trials are spent.
    """
    best, score, size = start, trials(start), FIRST_MOVE
    while size >= LAST_MOVE:
        before = score
        for direction, sign in itertools.product(_directions(start.num_steps), (1.0, -1.0)):
            if trials.spent():
                return best
            moved = _moved(half_log_snr(best.noise_levels) + sign * size * direction, training)
            if moved is not None and trials(moved) < score:
                best, score = moved, trials(moved)
        if score >= before:
            size /= 2
    return best


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
        seed: of the random subset of the grid.

    Raises: DiffvocError for an unknown method or a missing table.
    """
    if method not in METHODS:
        raise DiffvocError(f"the search method {method!r} is unknown; choose one of {', '.join(METHODS)}.")
    if method != "grid" and table is None:
        raise DiffvocError(f"the method {method!r} needs a table of the network's errors; measure one first.")
    steps = start.num_steps
    trials(start)
    if method != "grid" and table is not None:
        trials.try_all([s for s in path_schedules(*table, steps) if is_valid(s, training)], PATHS_UNTIL)
    if method != "dp":
        share = 1.0 if method == "grid" else GRID_UNTIL
        trials.try_all(grid_schedules(training, steps, trials.limit, seed), share)
    assert trials.best is not None
    if method != "grid":
        refine(trials, trials.best, training)
    return trials.best
