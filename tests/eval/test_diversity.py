"""Diversity: distances with a closed form, both floors, and what is recorded."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import diversity

RATE = 22050


def noise(seed, rms=0.1, seconds=1.0):
    return rms * np.random.default_rng(seed).standard_normal(int(RATE * seconds)).astype(np.float32)


def tone(pitch, start=0.0, seconds=1.0):
    """Ten harmonics [T], each begun at ``start`` radians."""
    phase = 2 * np.pi * pitch * np.arange(int(RATE * seconds)) / RATE
    return sum(np.sin(k * phase + start) / k for k in range(1, 11)).astype(np.float32) * 0.1


def test_one_sample_said_thrice_does_not_spread():
    values = diversity.spread(np.stack([noise(0)] * 3), noise(1), RATE)
    assert list(values) == list(diversity.MEASURES)
    assert values.pop("seed_log_mel_error") > 0
    assert set(values.values()) == {0.0}
    values = diversity.spread(np.stack([tone(200)] * 2), tone(200), RATE)
    assert values["spread_f0"] == values["seed_log_mel_error"] == 0 and np.isnan(values["spread_to_error"])


def test_independent_noises_lie_as_far_apart_as_theory_says():
    values = diversity.spread(np.stack([noise(seed) for seed in range(4)]), noise(9), RATE)
    assert values["spread_waveform"] == pytest.approx(np.sqrt(2), rel=0.01)
    assert values["spread_phase"] == pytest.approx(np.pi / 2, rel=0.01)
    assert values["spread_group_delay"] == pytest.approx(0.98, rel=0.02)  # the window ties neighbouring bins
    # the logarithm of an exponential variable has variance pi^2 / 6; two of them, in decibels
    assert values["spread_lsd"] == pytest.approx(10 / np.log(10) * np.pi / np.sqrt(3), rel=0.02)
    assert values["spread_to_error"] == pytest.approx(1, rel=0.05)  # the original is one noise more


def test_waveforms_of_unequal_loudness_and_of_opposite_sign():
    a, b = noise(0, 0.1), noise(1, 0.2)
    assert diversity.spread(np.stack([a, b]), a, RATE)["spread_waveform"] == pytest.approx(np.sqrt(2), rel=0.02)
    values = diversity.spread(np.stack([a, -a]), a, RATE)
    assert values["spread_waveform"] == pytest.approx(2)
    assert values["spread_phase"] == pytest.approx(np.pi, rel=1e-3)
    # a constant phase has no group delay, no spectral distance and no other mel
    assert max(values[name] for name in ("spread_group_delay", "spread_lsd", "spread_log_mel")) < 1e-3


@pytest.mark.parametrize("gain", [2.0, 10.0])
def test_louder_is_farther_by_its_decibels(gain):
    values = diversity.spread(np.stack([noise(0, 0.05), gain * noise(0, 0.05)]), noise(0, 0.05), RATE)
    assert values["spread_lsd"] == pytest.approx(20 * np.log10(gain), rel=1e-3)
    assert values["spread_log_mel"] == pytest.approx(np.log(gain), rel=1e-3)
    assert values["seed_log_mel_error"] == pytest.approx(np.log(gain) / 2, rel=1e-3)
    assert values["spread_phase"] == pytest.approx(0, abs=1e-3)


def test_pitch_spread_in_cents():
    cents = np.array([-30.0, 0.0, 60.0])
    samples = np.stack([tone(200 * 2 ** (c / 1200)) for c in cents])
    values = diversity.spread(samples, tone(200), RATE)
    assert values["spread_f0"] == pytest.approx(cents.std(ddof=1), rel=0.03)


def test_pitch_is_compared_where_all_are_voiced():
    half = tone(200)
    half[len(half) // 2 :] = noise(0, 1e-3)[len(half) // 2 :]
    spread = diversity.spread(np.stack([half, tone(210)]), tone(200), RATE)["spread_f0"]
    assert spread == pytest.approx(1200 * np.log2(210 / 200) / np.sqrt(2), rel=0.05)


def test_error_that_all_seeds_share_is_not_spread():
    original = noise(9)
    shared = [original + 0.5 * noise(5) + 0.005 * noise(seed) for seed in range(3)]
    assert diversity.spread(np.stack(shared), original, RATE)["spread_to_error"] < 0.1
    own = [original + 0.5 * noise(seed) for seed in range(3)]
    assert 0.8 < diversity.spread(np.stack(own), original, RATE)["spread_to_error"] < np.sqrt(2)


def test_the_floor_of_a_shift_by_one_sample():
    values = diversity.floor(tone(200), RATE)
    # a delay of one sample is 2 pi f / rate at f: the harmonics' mean by their energy 1 / k^2, 200 k Hz
    weights = 1 / np.arange(1, 11) ** 2
    expected = 2 * np.pi * 200 * np.average(np.arange(1, 11), weights=weights) / RATE
    assert values["spread_phase"] == pytest.approx(expected, rel=0.05)
    assert 0 < values["spread_waveform"] < 0.3
    assert 0 <= values["spread_lsd"] < 0.5 and 0 <= values["spread_f0"] < 1
    white = diversity.floor(noise(0), RATE)
    assert all(white[name] > 0 for name in ("spread_waveform", "spread_phase", "spread_group_delay", "spread_lsd"))
    assert white["spread_group_delay"] < 0.5 * white["spread_phase"]
    assert white["seed_log_mel_error"] == white["spread_log_mel"] > 0 and np.isnan(white["spread_to_error"])


def test_silence_is_an_answer_but_not_an_original():
    silent = np.zeros_like(noise(0))
    values = diversity.spread(np.stack([silent, silent]), noise(0), RATE)
    assert values["spread_waveform"] == values["spread_lsd"] == 0
    assert np.isnan(values["spread_phase"]) and np.isnan(values["spread_f0"])
    values = diversity.spread(np.stack([silent, noise(0)]), noise(0), RATE)
    assert values["spread_waveform"] == pytest.approx(np.sqrt(2)) and np.isnan(values["spread_phase"])
    with pytest.raises(DiffvocError, match="silent"):
        diversity.spread(np.stack([silent, silent]), silent, RATE)


def test_bad_waveforms_are_refused():
    with pytest.raises(DiffvocError, match=r"\[N, T\]"):
        diversity.spread(noise(0)[None], noise(0), RATE)
    with pytest.raises(DiffvocError, match="one length"):
        diversity.spread(np.stack([noise(0), noise(1)]), noise(0)[1:], RATE)
    broken = noise(0)
    broken[3] = np.nan
    with pytest.raises(DiffvocError, match="NaN"):
        diversity.spread(np.stack([noise(0), broken]), noise(0), RATE)


def test_records():
    original = noise(0)
    line = diversity.record("a", "bell", {0: noise(1), 3: noise(2)}, original, RATE)
    assert (line["system"], line["clip"], line["seeds"], line["error"]) == ("a", "bell", [0, 3], None)
    assert line["values"] == pytest.approx(
        diversity.spread(np.stack([noise(1), noise(2)]), original, RATE), nan_ok=True
    )
    assert diversity.record("original", "bell", {}, original, RATE)["values"]["spread_phase"] > 0
    failed = diversity.record("a", "bell", {0: noise(1), 1: "out of memory"}, original, RATE)
    assert failed["error"] == "seed 1: out of memory" and failed["values"] == {} and failed["seeds"] == [0, 1]
    uneven = diversity.record("a", "bell", {0: noise(1), 1: noise(1)[1:]}, original, RATE)
    assert "different lengths" in uneven["error"]
    assert "at least 2" in diversity.record("a", "bell", {0: noise(1)}, original, RATE)["error"]
    assert "at least 2" in diversity.record("a", "bell", {}, original, RATE)["error"]


def test_measures_are_described_and_cost_nothing_to_import():
    assert sum(measure.headline for measure in diversity.MEASURES.values()) == 1
    for name, measure in diversity.MEASURES.items():
        assert measure.name == name and measure.better == "neither" and measure.label and measure.description
    code = "import sys; from tts_diffvoc_eval import diversity; "
    code += "sys.exit(any(m in sys.modules for m in ('torch', 'pyworld', 'scipy', 'librosa')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent).returncode == 0
