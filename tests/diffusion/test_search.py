"""The search of schedules on Gaussian data, whose best denoiser, errors and samples are known in closed form."""

import itertools
import math
import time

import pytest
import torch

from tts_diffvoc.diffusion.samplers import ddim, sample
from tts_diffvoc.diffusion.schedules import NoiseSchedule, linear_schedule, published_schedule
from tts_diffvoc.diffusion.search import (
    Trials,
    cheapest_path,
    denoising_errors,
    from_half_log_snr,
    grid_schedules,
    half_log_snr,
    is_valid,
    noisiest_allowed,
    path_costs,
    path_schedules,
    refine,
    refine_table,
    search_schedule,
)
from tts_diffvoc.errors import DiffvocError

VARIANCE = 0.05
TRAINING = NoiseSchedule.log_snr(0.9999, 0.05, 50)
TRAININGS = {
    "log-snr-50": TRAINING,
    "diffwave-50": published_schedule("diffwave-50"),
    "wavegrad-1000": published_schedule("wavegrad-1000"),
}


def denoise(x, noise_level):
    """The best denoiser of data N(0, VARIANCE)."""
    a = noise_level.reshape(-1, 1).to(x)
    return a * VARIANCE * x / (a * a * VARIANCE + 1 - a * a)


def known_errors(levels):
    """Its mean squared error of clean data: the posterior's variance."""
    left = 1 - levels.square()
    return VARIANCE * left / (levels.square() * VARIANCE + left)


def sampled_error(schedule):
    """Divergence of the true distribution from what DDIM samples with ``schedule``: a linear map of unit noise."""
    ratio = float(sample(ddim, denoise, torch.ones(1, 1, dtype=torch.float64), schedule)) ** 2 / VARIANCE
    return 0.5 * (ratio - 1 - math.log(ratio))


def table(training=TRAINING):
    levels = training.noise_levels
    return levels, known_errors(levels)


def test_half_log_snr_and_back():
    levels = torch.tensor([0.999998, 0.9, 0.5, 0.01], dtype=torch.float64)
    assert torch.allclose(from_half_log_snr(half_log_snr(levels)), levels, rtol=1e-12)
    assert float(half_log_snr(torch.tensor([math.sqrt(0.5)], dtype=torch.float64))) == pytest.approx(0, abs=1e-12)


def test_measured_errors_are_the_known_ones():
    x0 = math.sqrt(VARIANCE) * torch.randn(4, 20_000, generator=torch.Generator().manual_seed(0))
    levels = torch.tensor([0.999, 0.9, 0.5, 0.1], dtype=torch.float64)
    measured = denoising_errors(denoise, x0, levels, torch.Generator().manual_seed(1))
    assert torch.allclose(measured, known_errors(levels), rtol=0.02)


@pytest.mark.parametrize("power, clean", [(1.0, None), (0.5, None), (0.0, None), (1.0, 0.98), (0.0, 0.9)])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 11])
def test_the_cheapest_path_is_that_of_brute_force(power, clean, steps):
    levels = NoiseSchedule.log_snr(0.9999, 0.05, 11).noise_levels
    costs = path_costs(levels, known_errors(levels), power, clean)

    def total(path):
        nodes = [0, *(i + 1 for i in path)]
        return sum(float(costs[t, u]) for u, t in zip(nodes, nodes[1:], strict=False))

    path, cost = cheapest_path(costs, steps)
    assert len(path) == steps and path[-1] == 10 and path == sorted(set(path))
    every = [total((*rest, 10)) for rest in itertools.combinations(range(10), steps - 1)]
    assert cost == pytest.approx(min(every), rel=1e-12)
    assert total(path) == pytest.approx(cost, rel=1e-12)


def test_many_steps_cost_what_is_known_of_gaussians():
    """The sum tends to the information gained, half the log of the ratio of 1 + VARIANCE SNR (Guo et al. 2005)."""
    levels = NoiseSchedule.log_snr(0.9999, 0.05, 400).noise_levels
    _, cost = cheapest_path(path_costs(levels, known_errors(levels)), 400)
    snr = levels.square() / (1 - levels.square())
    gained = 0.5 * math.log((1 + VARIANCE * float(snr[0])) / (1 + VARIANCE * float(snr[-1])))
    assert cost == pytest.approx(gained, rel=0.03)
    assert cost > gained


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_path_costs_less_than_the_respaced_schedule(power):
    levels, errors = refine_table(*table(), 400)
    costs = path_costs(levels, errors, power)
    respaced = TRAINING.respace(4).noise_levels
    nodes = [0, *(int((levels - level).abs().argmin()) + 1 for level in respaced)]
    _, cost = cheapest_path(costs, 4)
    assert cost < 0.95 * sum(float(costs[t, u]) for u, t in zip(nodes, nodes[1:], strict=False))


def test_a_finer_table_keeps_the_known_errors():
    levels, errors = refine_table(*table(), 301)
    assert (levels[0], levels[-1]) == (TRAINING.noise_levels[0], TRAINING.noise_levels[-1])
    assert torch.allclose(errors, known_errors(levels), rtol=0.01)


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
@pytest.mark.parametrize("steps", [1, 2, 3, 6, 12])
def test_proposals_are_valid(training, steps):
    paths = path_schedules(*table(training), steps)
    grid = list(itertools.islice(grid_schedules(training, steps), 30))
    assert paths and len(set(paths)) == len(paths) and len(set(grid)) == len(grid) <= 30
    assert grid or steps == 1
    for schedule in [*paths, *grid]:
        assert schedule.num_steps == steps and is_valid(schedule, training)
        assert float(schedule.noise_levels[-1]) <= noisiest_allowed(training) + 1e-9
        schedule.check_terminal()
    for schedule in paths:
        assert float(schedule.noise_levels[-1]) == pytest.approx(float(training.noise_levels[-1]), abs=1e-9)


def test_what_is_valid():
    training = published_schedule("diffwave-50")
    assert is_valid(published_schedule("diffwave-fast-6"), training)
    assert is_valid(training.respace(6), training)
    assert is_valid(published_schedule("wavegrad-6"), published_schedule("wavegrad-1000"))
    for betas in [(1e-5, 0.1, 0.6), (1e-3, 0.1, 0.3), (1e-3, 0.1, 0.99)]:  # too clean, ends too clean, too noisy
        assert not is_valid(NoiseSchedule(betas), training)
    far = linear_schedule(1e-6, 0.01, 50)
    assert noisiest_allowed(far) == float(far.noise_levels[-1])


def test_the_whole_grid_when_it_is_small():
    every = set()
    for digits in itertools.product(range(1, 10), repeat=3):
        schedule = NoiseSchedule(tuple(float(f"{d}e{e}") for d, e in zip(digits, (-4, -2, -1), strict=True)))
        if is_valid(schedule, TRAINING):
            every.add(schedule)
    grid = list(grid_schedules(TRAINING, 3))
    assert len(every) > 20
    assert set(grid) == every and len(grid) == len(every)


def test_the_grid_of_six_steps():
    training = published_schedule("wavegrad-1000")
    one, again, other = (list(itertools.islice(grid_schedules(training, 6, seed), 20)) for seed in (1, 1, 2))
    assert one == again != other
    assert one[0] == published_schedule("wavegrad-6")
    for schedule in one[1:]:
        assert list(schedule.betas) == sorted(schedule.betas)
        for beta, decade in zip(schedule.betas, range(-6, 0), strict=True):
            digit = beta / 10.0**decade
            assert digit == pytest.approx(round(digit)) and 1 <= round(digit) <= 9


@pytest.mark.parametrize("steps", [2, 3, 6])
def test_paths_alone_sample_better_than_the_respaced_schedule(steps):
    respaced = sampled_error(TRAINING.respace(steps))
    assert min(map(sampled_error, path_schedules(*table(), steps))) < 0.7 * respaced


@pytest.mark.parametrize("method, part", [("grid", 0.5), ("dp", 0.2), ("both", 0.2)])
@pytest.mark.parametrize("steps", [3, 6])
def test_the_found_schedule_samples_better_than_the_respaced_one(method, part, steps):
    start = TRAINING.respace(steps)
    trials = Trials(sampled_error, 300)
    found = search_schedule(trials, TRAINING, start, method, table())
    assert is_valid(found, TRAINING) and found.num_steps == steps
    assert sampled_error(found) < part * sampled_error(start)
    assert trials.scores[found] == sampled_error(found) and len(trials.scores) <= 300
    assert search_schedule(Trials(sampled_error, 300), TRAINING, start, method, table()) == found


def test_refinement_finds_a_known_optimum():
    target = half_log_snr(torch.tensor([0.99, 0.8, 0.3], dtype=torch.float64))
    trials = Trials(lambda s: float((half_log_snr(s.noise_levels) - target).square().sum()), 1000)
    trials.try_all([TRAINING.respace(3)])
    refine(trials, TRAINING)
    assert (half_log_snr(trials.best.noise_levels) - target).abs().max() < 0.05


def test_one_step():
    trials = Trials(sampled_error, 50)
    found = search_schedule(trials, TRAINING, TRAINING.respace(1), "both", table())
    assert is_valid(found, TRAINING) and sampled_error(found) <= sampled_error(TRAINING.respace(1))


def test_the_budget_holds():
    asked = []
    trials = Trials(lambda s: asked.append(s) or 1.0, 7)
    assert search_schedule(trials, TRAINING, TRAINING.respace(6), "both", table()) == TRAINING.respace(6)
    assert len(asked) == len(set(asked)) <= 7
    slow = Trials(lambda s: time.sleep(0.02) or 1.0, 1000, seconds=0.2)
    search_schedule(slow, TRAINING, TRAINING.respace(6), "both", table())
    assert 1 <= len(slow.scores) <= 11


def test_a_broken_objective_keeps_the_start():
    start = TRAINING.respace(3)
    assert search_schedule(Trials(lambda s: math.nan, 20), TRAINING, start, "both", table()) == start


def test_what_is_refused():
    levels, errors = table()
    with pytest.raises(DiffvocError, match="grid, dp, both"):
        search_schedule(Trials(sampled_error, 9), TRAINING, TRAINING, "magic")
    with pytest.raises(DiffvocError, match="table"):
        search_schedule(Trials(sampled_error, 9), TRAINING, TRAINING, "dp")
    with pytest.raises(DiffvocError, match="finite"):
        path_schedules(levels, errors * math.nan, 3)
