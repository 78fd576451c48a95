"""Noise by seed, draw and frame."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_diffvoc.diffusion.noise import FrameNoise


@settings(max_examples=50)
@given(st.integers(0, 200), st.integers(1, 60), st.integers(0, 2**63), st.integers(0, 50))
def test_a_frame_has_its_noise_in_every_window(start, frames, seed, draw):
    whole = FrameNoise([seed])(draw, 0, 260, 3)
    assert torch.equal(FrameNoise([7, seed])(draw, start, frames, 3)[1], whole[0, start : start + frames])


def test_it_is_unit_gaussian_and_each_draw_another():
    noise = FrameNoise([0, 1])
    one, two = noise(0, 0, 1000, 64), noise(1, 0, 1000, 64)
    for made in (one, two):
        assert abs(float(made.mean())) < 0.02 and abs(float(made.std()) - 1) < 0.02
        assert abs(float(made.pow(4).mean()) - 3) < 0.1
    for other in (two, one.roll(1, 1), one.flip(0)):
        assert abs(float((one * other).mean())) < 0.02
