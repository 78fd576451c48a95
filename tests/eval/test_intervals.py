"""Intervals, paired differences and ranks: known answers, promised coverage, missing values and ties."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import intervals


def gaussian(clips=40, **means):
    """Clips x systems: each clip's own difficulty, a system's mean, and noise of 0.1."""
    random = np.random.default_rng(0)
    difficulty = random.normal(0, 1, clips)
    return pd.DataFrame({name: mean + difficulty + random.normal(0, 0.1, clips) for name, mean in means.items()})


# Tables and means


def test_seeds_are_averaged_within_a_clip():
    rows = [("a", "x", 1.0), ("a", "x", 3.0), ("a", "y", 5.0), ("b", "x", None), ("b", "y", 7.0), ("b", "y", None)]
    table = intervals.by_clip(pd.DataFrame(rows, columns=["system", "clip", "pesq"]), "pesq")
    assert table.loc["x", "a"] == 2 and table.loc["y", "a"] == 5 and table.loc["y", "b"] == 7
    assert np.isnan(table.loc["x", "b"])
    with pytest.raises(DiffvocError, match="no column stoi"):
        intervals.by_clip(pd.DataFrame(rows, columns=["system", "clip", "pesq"]), "stoi")


@pytest.mark.parametrize("clips", [3, 8, 20])
def test_the_interval_of_a_mean_covers_it_as_often_as_promised(clips):
    random = np.random.default_rng(clips)
    found = [intervals.interval(random.normal(5, 2, clips)) for _ in range(400)]
    hits = np.mean([low <= 5 <= high for low, high in found])
    assert 0.92 <= hits <= 0.98  # 0.95 and three standard errors of 400 trials


def test_the_interval_follows_skew():
    values = np.random.default_rng(0).exponential(1, 30)
    low, high = intervals.interval(values)
    assert high - values.mean() > 1.1 * (values.mean() - low)
    assert intervals.interval(values) == (low, high)  # no luck in it


def test_the_interval_of_few_or_equal_values():
    assert intervals.interval([]) is None and intervals.interval([3.0, np.nan]) is None
    assert intervals.interval([3.0, 3.0, 3.0]) == (3.0, 3.0)
    assert intervals.interval([1.0, 2.0]) == pytest.approx((1.5 - 12.7062 / 2, 1.5 + 12.7062 / 2), rel=1e-5)
    low, high = intervals.interval([0, 0, 0, 0, 0, 0, 0, 1])
    assert low <= 1 / 8 <= high and np.isfinite([low, high]).all()


# Pairs


def test_a_paired_difference_is_students():
    table = gaussian(10, a=1.0, b=0.95)
    found = intervals.paired(table, "a", "b")
    expected = stats.ttest_rel(table["a"], table["b"])
    assert (found.mean, found.p) == pytest.approx(((table["a"] - table["b"]).mean(), expected.pvalue))
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.clips == 10


def test_two_copies_tie_exactly():
    table = gaussian(8, a=1.0)
    table["copy"] = table["a"]
    found = intervals.paired(table, "a", "copy")
    assert found == (0, 0, 0, 1, 8)
    assert intervals.ranks(table) == {"a": (1, 2), "copy": (1, 2)}


def test_a_constant_difference_needs_enough_clips():
    few, many = (pd.DataFrame({"a": np.full(n, 0.3), "b": np.full(n, 0.1)}) for n in (4, 8))
    found = intervals.paired(few, "a", "b")
    assert found.p == 0.125 and found.low == 0 and found.high == pytest.approx(0.4)  # 2 of 2^4 patterns of signs
    assert intervals.paired(many, "a", "b")[:4] == pytest.approx((0.2, 0.2, 0.2, 2**-7))


def test_pairs_stand_on_the_clips_that_both_have():
    table = gaussian(6, a=1.0, b=0.0, c=0.0)
    table.loc[:1, "a"] = np.nan
    table.loc[2, "b"] = np.nan
    table.loc[1:, "c"] = np.nan
    found = intervals.paired(table, "a", "b")
    assert found.clips == 3
    assert found.mean == pytest.approx((table["a"] - table["b"])[3:].mean())
    alone, none = intervals.paired(table, "b", "c"), intervals.paired(table, "a", "c")
    assert (alone.clips, none.clips) == (1, 0)
    assert np.isnan([alone.low, alone.high, alone.p, none.mean, none.p]).all()
    pairs = intervals.compare_all(table)
    assert pairs["significant"].tolist() == [True, False, False]
    assert pairs["p"][0] == pytest.approx(found.p)  # the others are no comparisons
    with pytest.raises(DiffvocError, match="no system 'd'"):
        intervals.paired(table, "a", "d")


def test_p_is_corrected_by_holm():
    random = np.random.default_rng(4)
    table = pd.DataFrame(random.normal(np.arange(5) * 0.4, 1, (20, 5)))
    pairs = intervals.compare_all(table).sort_values("p")
    raw = [stats.ttest_rel(table[row.a], table[row.b]).pvalue for row in pairs.itertuples()]
    stepped = np.maximum.accumulate(np.array(raw) * np.arange(10, 0, -1)).clip(max=1)
    assert pairs["p"].to_numpy() == pytest.approx(stepped)
    assert (pairs["significant"] == (pairs["p"] < 0.05)).all() and 0 < pairs["significant"].sum() < 10


@pytest.mark.parametrize("draw", ["normal", "lognormal"])
def test_equal_systems_are_seldom_told_apart(draw):
    random = np.random.default_rng(7)
    wrong = 0
    for _ in range(30):
        table = pd.DataFrame(getattr(random, draw)(size=(8, 10)))
        wrong += any(place != (1, 10) for place in intervals.ranks(table).values())
    assert wrong <= 5  # 5 % of 30 runs are 1.5; more than 5 has a chance under 1 %


# Ranks


def test_a_clearly_better_system_wins_and_others_share_places():
    table = gaussian(12, good=1.0, b=0.0, c=0.0, bad=-2.0)
    assert intervals.ranks(table) == {"good": (1, 1), "b": (2, 3), "c": (2, 3), "bad": (4, 4)}
    assert intervals.ranks(table, better="lower") == {"good": (4, 4), "b": (2, 3), "c": (2, 3), "bad": (1, 1)}
    with pytest.raises(DiffvocError, match="neither"):
        intervals.ranks(table, better="neither")


def test_ranks_of_one_system_one_clip_and_no_value():
    table = gaussian(12, good=1.0, bad=-2.0)
    table["unknown"] = np.nan
    assert intervals.ranks(table) == {"good": (1, 2), "bad": (2, 3), "unknown": (1, 3)}
    assert intervals.ranks(table[["good"]]) == {"good": (1, 1)}
    assert intervals.ranks(table.iloc[:1]) == dict.fromkeys(table, (1, 3))
    assert intervals.ranks(table[[]]) == {}


def test_metrics_are_combined():
    up, down = gaussian(10, a=2.0, b=1.0, c=0.0), -100 * gaussian(10, a=2.0, b=1.0, c=0.0)
    score = intervals.combine({"up": up, "down": down}, {"up": "higher", "down": "lower"})
    assert score.to_numpy() == pytest.approx(((up - up.to_numpy().mean()) / up.to_numpy().std()).to_numpy())
    assert intervals.ranks(score) == {"a": (1, 1), "b": (2, 2), "c": (3, 3)}
    against = intervals.combine({"up": up, "down": up}, {"up": "higher", "down": "lower"})
    assert against.to_numpy() == pytest.approx(0, abs=1e-12)


def test_a_failure_counts_as_the_worst_of_its_clip():
    up = pd.DataFrame({"a": [5.0, np.nan], "b": [4.0, 4.0], "c": [3.0, 1.0]}, index=["x", "y"])
    for better, table in {"higher": up, "lower": -up}.items():
        score = intervals.combine({"m": table}, {"m": better})
        assert score.loc["y", "a"] == score.loc["y", "c"] < score.loc["y", "b"]
    nobody = up.assign(a=[5.0, np.nan], b=[4.0, np.nan], c=[3.0, np.nan])
    constant = pd.DataFrame(1.0, ["x", "y"], ["a", "b", "c"])
    score = intervals.combine({"m": nobody, "n": constant}, {"m": "higher", "n": "higher"})
    assert score.loc["y"].tolist() == [0, 0, 0] and score.loc["x"].is_monotonic_decreasing
    lacking = intervals.combine({"m": up, "n": constant[["b", "c"]]}, {"m": "higher", "n": "higher"})
    assert list(lacking) == ["a", "b", "c"] and lacking.notna().all(axis=None)
