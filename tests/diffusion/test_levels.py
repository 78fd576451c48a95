"""Noise levels that training draws about those that matter."""

import pytest
import torch
from scipy import stats

from tts_diffvoc.diffusion.objectives import discrete_levels, draw_noise, focused_levels
from tts_diffvoc.diffusion.schedules import NoiseSchedule, published_schedule

WIDE = NoiseSchedule.log_snr(0.999999, 1e-4, 200)


def log_ratio(level):
    level = level.double()
    return ((1 - level.square()).sqrt() / level).log()


def test_focused_levels_are_log_normal_about_their_centre():
    level = focused_levels(1.4, 1.2, share=1.0)(WIDE, 20_000, torch.Generator().manual_seed(0))
    assert level.shape == (20_000,) and level.dtype == torch.float32
    assert stats.kstest(log_ratio(level).numpy(), stats.norm(1.4, 1.2).cdf).pvalue > 0.01


def test_the_other_rows_are_drawn_evenly_from_the_schedule():
    levels = focused_levels(1.4, 0.1, share=0.75)(WIDE, 20_000, torch.Generator().manual_seed(0))
    even = torch.isin(levels, WIDE.noise_levels.float())
    assert float(even.float().mean()) == pytest.approx(0.25, abs=0.02)
    steps = torch.searchsorted(-WIDE.noise_levels.float(), -levels[even])
    assert stats.kstest(steps.double().numpy() / 199, "uniform").pvalue > 0.01
    none = focused_levels(1.4, 0.1, share=0.0)(WIDE, 100, torch.Generator().manual_seed(1))
    assert torch.equal(none, discrete_levels(WIDE, 100, torch.Generator().manual_seed(1)))


def test_levels_stay_within_the_schedule_and_rows_do_not_depend_on_their_batch():
    schedule = published_schedule("diffwave-50")
    draw = focused_levels(0.0, 50.0, share=1.0)
    level = draw(schedule, 200, torch.Generator().manual_seed(0))
    bounds = schedule.noise_levels.float()
    assert level.min() == bounds[-1] and level.max() == bounds[0]
    x0 = torch.zeros(3, 8)
    together = draw_noise(x0, schedule, draw, seeds=[4, 5, 6])
    alone = draw_noise(x0[:1], schedule, draw, seeds=[5])
    assert together[0][1] == alone[0][0] and torch.equal(together[1][1], alone[1][0])
