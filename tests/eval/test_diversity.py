"""Spread over seeds: known distances, floors, and what has no value."""

import numpy as np
import pytest
import soundfile

from tts_diffvoc_eval import diversity, speech

RATE = 22050


@pytest.fixture(scope="module")
def voice():
    return soundfile.read(speech.BUNDLED / "slt-08.flac", dtype="float32")[0][:RATE]


def noise(seed, length=RATE):
    return (0.1 * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


def test_the_same_sample_has_no_spread(voice):
    assert diversity.spread(np.stack([voice, voice]), RATE) == dict.fromkeys(diversity.SPREADS, 0.0)


def test_noises_are_as_far_apart_as_theory_says():
    """Logarithms of exponential variables vary by pi^2 / 6: sqrt(2) 10 / ln 10 pi / sqrt(6) = 7.88 dB."""
    found = diversity.spread(np.stack([noise(seed, 3 * RATE) for seed in range(3)]), RATE)
    assert found["spread_lsd"] == pytest.approx(10 / np.log(10) * np.pi / np.sqrt(3), rel=0.02)
    assert found["spread_f0"] is None  # nothing is voiced


def test_the_mean_is_over_pairs(voice):
    found = diversity.spread(np.stack([voice, 0.5 * voice, 0.25 * voice]), RATE)
    assert found["spread_log_mel"] == pytest.approx((2 * np.log(2) + np.log(4)) / 3, rel=0.1)
    assert found["spread_f0"] < 5


def test_records(voice):
    record = diversity.record({0: voice, 1: voice + noise(1) / 20}, RATE)
    assert record["seeds"] == [0, 1] and record["error"] is None and record["values"]["spread_lsd"] > 1
    floor = diversity.record({0: voice}, RATE, original=True)["values"]
    assert 0 < floor["spread_lsd"] < record["values"]["spread_lsd"]
    failed = diversity.record({0: voice, 1: "it broke"}, RATE)
    assert failed["error"] == "seed 1: it broke" and failed["values"] == {}
