"""Noise by seed, draw and frame."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_diffvoc.diffusion.noise import FrameNoise, row_seeds
from tts_diffvoc.errors import DiffvocError


@settings(max_examples=50)
@given(st.integers(0, 200), st.integers(1, 60), st.integers(0, 2**63), st.integers(0, 50))
def test_a_frame_has_its_noise_in_every_window(start, frames, seed, draw):
    whole = FrameNoise([seed])(draw, 0, 260, 3)
    assert torch.equal(FrameNoise([7, seed])(draw, start, frames, 3)[1], whole[0, start : start + frames])


def test_draws_follow_one_another():
    noise = FrameNoise([3, 4])
    draw = noise.draws(5, 9, 3)
    assert all(torch.equal(draw(), noise(number, 5, 9, 3).flatten(1)) for number in range(3))


def test_rows_have_seeds_of_their_own_or_the_one_that_is_given():
    assert row_seeds(3, 2) == [3, 3] and row_seeds(range(2), 2) == row_seeds(np.arange(2), 2) == [0, 1]
    assert len(set(row_seeds(None, 20))) == 20
    with pytest.raises(DiffvocError, match="1 seeds were given for 2 mels; give one, or one for each"):
        row_seeds([3], 2)


def test_it_is_unit_gaussian_and_each_draw_another():
    noise = FrameNoise([0, 1])
    one, two = noise(0, 0, 1000, 64), noise(1, 0, 1000, 64)
    for made in (one, two):
        assert abs(float(made.mean())) < 0.02 and abs(float(made.std()) - 1) < 0.02
        assert abs(float(made.pow(4).mean()) - 3) < 0.1
    for other in (two, one.roll(1, 1), one.flip(0)):
        assert abs(float((one * other).mean())) < 0.02
