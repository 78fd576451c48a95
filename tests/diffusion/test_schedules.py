"""Schedules against their published ends and their own algebra."""

import math
import warnings

import pytest
import torch

from tts_diffvoc.diffusion.schedules import (
    PUBLISHED,
    NoiseSchedule,
    fractional_step,
    linear_schedule,
    published_schedule,
)
from tts_diffvoc.errors import DiffvocError


@pytest.mark.parametrize(
    "name, steps, first, last",
    [
        ("diffwave-20", 20, 1e-4, 0.05),
        ("diffwave-40", 40, 1e-4, 0.05),
        ("diffwave-50", 50, 1e-4, 0.05),
        ("diffwave-200", 200, 1e-4, 0.02),
        ("diffwave-fast-6", 6, 1e-4, 0.5),
        ("wavegrad-1000", 1000, 1e-6, 0.01),
        ("wavegrad-50", 50, 1e-6, 0.4),
        ("wavegrad-25", 25, 1e-6, 0.7),
        ("wavegrad-6", 6, 7e-6, 0.7),
    ],
)
def test_published_schedules(name, steps, first, last):
    schedule = published_schedule(name)
    assert schedule.num_steps == steps
    assert schedule.betas[0] == pytest.approx(first)
    assert schedule.betas[-1] == pytest.approx(last)
    assert schedule.to_dict() and NoiseSchedule.from_dict(schedule.to_dict()) == schedule


def test_noise_levels_are_the_cumulated_product():
    schedule = linear_schedule(1e-4, 0.05, 50)
    product = 1.0
    for beta, level in zip(schedule.betas, schedule.noise_levels.tolist(), strict=True):
        product *= 1 - beta
        assert level == pytest.approx(math.sqrt(product), rel=1e-12)


def test_wavegrads_schedules_end_near_noise():
    for name in ("wavegrad-1000", "wavegrad-50", "wavegrad-25", "wavegrad-6"):
        assert float(published_schedule(name).noise_levels[-1]) < 0.45, name


def test_a_schedule_far_from_noise_is_noticed():
    with pytest.warns(UserWarning, match="0.88"):
        linear_schedule(1e-6, 0.01, 50).check_terminal()
    with pytest.raises(DiffvocError, match="0.9"):
        linear_schedule(1e-6, 1e-3, 50).check_terminal()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in PUBLISHED:
            published_schedule(name).check_terminal()


def test_levels_and_betas_determine_each_other():
    schedule = published_schedule("diffwave-50")
    again = NoiseSchedule.from_noise_levels(schedule.noise_levels.tolist())
    torch.testing.assert_close(torch.tensor(again.betas), torch.tensor(schedule.betas), atol=1e-12, rtol=1e-9)


def test_log_snr_schedule_is_evenly_spaced_and_survives_json():
    schedule = NoiseSchedule.log_snr(0.999998, 0.05, 200)
    levels = schedule.noise_levels
    gaps = (levels / (1 - levels.square()).sqrt()).log().diff()
    torch.testing.assert_close(gaps, gaps[:1].expand_as(gaps), rtol=1e-5, atol=0)
    assert schedule.to_dict() == {"log_snr": [pytest.approx(0.999998), pytest.approx(0.05), 200]}
    torch.testing.assert_close(NoiseSchedule.from_dict(schedule.to_dict()).noise_levels, levels, atol=1e-9, rtol=0)


@pytest.mark.parametrize("steps", [1, 2, 6, 49, 50])
def test_respaced_schedules_start_at_the_training_noise(steps):
    training = published_schedule("diffwave-50")
    schedule = training.respace(steps)
    assert schedule.num_steps == steps
    assert float(schedule.noise_levels[-1]) == pytest.approx(float(training.noise_levels[-1]))
    fractional_step(training, schedule.noise_levels)  # every level lies within training


def test_between_starts_midway():
    training = published_schedule("diffwave-50")
    midway = training.between(0.9, 4)
    assert midway.num_steps == 4
    assert float(midway.noise_levels[-1]) == pytest.approx(0.9)
    assert float(midway.noise_levels[0]) == pytest.approx(float(training.noise_levels[0]))


def test_fractional_step_interpolates_levels():
    schedule = published_schedule("diffwave-50")
    levels = schedule.noise_levels
    torch.testing.assert_close(fractional_step(schedule, levels), torch.arange(50.0))
    between = 0.25 * levels[10] + 0.75 * levels[11]
    torch.testing.assert_close(fractional_step(schedule, between.reshape(1)), torch.tensor([10.75]))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: NoiseSchedule(()),
        lambda: NoiseSchedule((0.1, 0.0)),
        lambda: NoiseSchedule((0.1, 1.0)),
        lambda: NoiseSchedule((0.1, float("nan"))),
        lambda: NoiseSchedule.from_noise_levels([0.5, 0.6]),
        lambda: NoiseSchedule.from_noise_levels([1.0, 0.6]),
        lambda: NoiseSchedule.log_snr(0.5, 0.6, 4),
        lambda: NoiseSchedule.from_dict({}),
        lambda: published_schedule("diffwave"),
        lambda: published_schedule("diffwave-50").respace(0),
        lambda: published_schedule("diffwave-50").respace(51),
        lambda: published_schedule("diffwave-50").between(0.01, 4),
        lambda: published_schedule("diffwave-50").between(0.9, 0),
        lambda: fractional_step(published_schedule("diffwave-50"), torch.tensor([0.9, 0.3])),
        lambda: fractional_step(published_schedule("diffwave-50"), torch.tensor([1.0])),
    ],
)
def test_bad_schedules_are_refused(wrong):
    with pytest.raises(DiffvocError):
        wrong()
