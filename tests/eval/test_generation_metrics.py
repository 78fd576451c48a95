"""Metrics of generated sounds on distributions whose answers are known."""

import doctest
import itertools
import math

import numpy as np
import pytest
from scipy import linalg, special, stats

from tts_diffvoc_eval.generation import metrics
from tts_diffvoc_eval.generation.metrics import Classified, Estimate, Reference, fid, gaussian

UNIFORM = np.full(10, 0.1)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def exact(rng, count, mean, covariance):
    """Features [count, D] whose sample mean and covariance are exactly these."""
    x = rng.normal(size=(count, len(mean)))
    x -= x.mean(0)
    x = np.linalg.solve(np.linalg.cholesky(np.cov(x, rowvar=False)), x.T).T
    return x @ np.linalg.cholesky(covariance).T + mean


def soft(rng, count=200, classes=10):
    return special.softmax(2 * rng.normal(size=(count, classes)), axis=1)


def test_examples_in_docstrings():
    assert doctest.testmod(metrics, extraglobs={"np": np}).failed == 0


# FID


def test_fid_of_two_gaussians_is_heusels_equation(rng):
    factors = rng.normal(size=(2, 6, 6))
    (m, c), (n, d) = [(rng.normal(size=6), f @ f.T + 0.1 * np.eye(6)) for f in factors]
    a, b = exact(rng, 50, m, c), exact(rng, 50, n, d)
    expected = np.sum((m - n) ** 2) + np.trace(c + d - 2 * linalg.sqrtm(c @ d).real)
    a, b = gaussian(a), gaussian(b)
    assert fid(a, b) == pytest.approx(expected, rel=1e-9) == pytest.approx(fid(b, a))


def test_fid_of_singular_covariances(rng):
    """Fewer sounds than dimensions, and constant features, need nothing on the diagonal."""
    a, shift = rng.normal(size=(10, 40)), rng.normal(size=40)
    assert fid(gaussian(a), gaussian(a + shift)) == pytest.approx(np.sum(shift**2), abs=1e-5)
    assert fid(gaussian(np.zeros((5, 3))), gaussian(np.ones((5, 3)))) == pytest.approx(3)


# Scores of probabilities


@pytest.mark.parametrize("classes", [2, 10])
def test_inception_score_of_a_perfect_and_of_a_constant_classifier(classes):
    assert metrics.inception_score(np.eye(classes)[np.arange(20 * classes) % classes]) == pytest.approx(classes)
    assert metrics.inception_score(np.tile(special.softmax(np.arange(classes)), (50, 1))) == pytest.approx(1)


def test_modified_inception_score_is_the_mean_over_all_pairs(rng):
    p = soft(rng, 12, 4)
    pairs = [stats.entropy(a, b) for a, b in itertools.product(p, p)]
    assert metrics.modified_inception_score(p) == pytest.approx(math.exp(np.mean(pairs)))
    assert metrics.modified_inception_score(np.tile([0.7, 0.2, 0.1], (5, 1))) == pytest.approx(1)


def test_am_score(rng):
    """For the training set itself its mean entropy; tied to IS: AM = KL(p_train || p) + H(p(y)) - ln IS."""
    p = soft(rng)
    marginal = p.mean(0)
    assert metrics.am_score(p, marginal) == pytest.approx(np.mean([stats.entropy(row) for row in p]))
    tied = stats.entropy(UNIFORM, marginal) + stats.entropy(marginal) - math.log(metrics.inception_score(p))
    assert metrics.am_score(p, UNIFORM) == pytest.approx(tied)
    assert metrics.am_score(np.eye(3)[[0, 0]], np.array([0.5, 0.25, 0.25])) == math.inf  # two classes are missing


def test_accuracy():
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    assert metrics.accuracy(p, [0, 1, 1]).value == 1 and metrics.accuracy(p, [1, 1, 1]).value == pytest.approx(2 / 3)


# NDB


def test_two_samples_of_one_distribution_have_ndb_at_the_significance(rng):
    shares = rng.dirichlet(np.full(20, 5.0))
    train = rng.multinomial(2000, shares)
    samples = [rng.multinomial(500, shares) for _ in range(300)]
    for significance, low, high in ((0.05, 0.02, 0.09), (0.3, 0.22, 0.4)):
        assert low < np.mean([metrics.ndb(train, one, significance) for one in samples]) < high


def test_ndb_is_the_test_of_two_proportions():
    """30 of 100 and 15 of 100: P = 0.225, z = 2.54. The chi-squared test without correction is the same."""
    train, counts = np.array([30, 70, 0]), np.array([15, 85, 0])
    p = stats.chi2_contingency([[30, 70], [15, 85]], correction=False).pvalue
    assert metrics.ndb(train, counts, p * 1.001) == pytest.approx(2 / 3) and metrics.ndb(train, counts, p * 0.999) == 0


def test_ndb_finds_a_missing_mode(rng):
    centres = 100 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    labels = np.arange(800) % 4
    train = Classified(np.full((800, 4), 0.25), centres[labels] + rng.normal(size=(800, 2)), labels)
    reference = Reference(train, 4)
    assert sorted(reference.counts) == [200] * 4
    whole = train.take(np.arange(400))
    assert metrics.score(whole, reference, 2)["ndb"].value == 0
    missing = whole.take(np.flatnonzero(whole.labels != 3))
    assert metrics.score(missing, reference, 2)["ndb"].value == 1  # the others hold a third: z = 2.8


# Intervals


@pytest.mark.parametrize("metric", ["inception score", "fid"])
def test_intervals_cover_the_mean_over_sets_of_this_size(rng, metric):
    """95 % are asked for; of 60 runs, 85 % and more is what chance allows. FID's own bias does not move them."""
    reference = gaussian(rng.normal(size=(500, 4)))

    def make():
        return soft(rng, 100) if metric == "inception score" else 1.2 * rng.normal(size=(100, 4)) + 0.3

    def statistic(x):
        return metrics.inception_score(x) if metric == "inception score" else fid(reference, gaussian(x))

    expected = np.mean([statistic(make()) for _ in range(500)])
    sets = [make() for _ in range(60)]
    found = [metrics.bootstrap(lambda i, x=x: statistic(x[i]), 100, resamples=60) for x in sets]
    assert np.mean([one.low <= expected <= one.high for one in found]) >= 0.85


def test_bootstrap_draws_within_groups_and_keeps_bounds():
    groups = np.array([0] * 5 + [1] * 15)
    seen = []
    metrics.bootstrap(lambda i: seen.append(np.bincount(groups[i]).tolist()) or 0.0, 20, groups, resamples=5)
    assert seen == [[5, 15]] * 6
    bounded = metrics.bootstrap(lambda i: float((i < 1).mean()), 20, bounds=(0.04, 0.06))
    assert (bounded.low, bounded.high) == (0.04, 0.06)
    endless = metrics.bootstrap(lambda i: math.inf, 5)
    assert endless.value == math.inf and math.isnan(endless.low)


def test_the_mean_over_seeds():
    found = metrics.mean_over_sets([Estimate(1.0, 0.7, 1.5), Estimate(3.0, 2.6, 3.0)])
    assert found == pytest.approx((2.0, 2 - math.hypot(0.3, 0.4) / 2, 2 + 0.25))


# All of one set


@pytest.fixture
def sounds(rng):
    """600 sounds of three far classes, a sure classifier."""
    labels = np.arange(600) % 3
    return Classified(0.97 * np.eye(3)[labels] + 0.01, rng.normal(size=(600, 4)) + 10 * np.eye(4)[labels], labels)


def test_score_of_a_sample_of_the_training_set(sounds):
    train, sample = sounds.take(np.arange(400)), sounds.take(np.arange(400, 600))
    found = metrics.score(sample, Reference(train, 10), 20)
    assert found["fid"].value == fid(gaussian(train.features), gaussian(sample.features))
    assert found["am"].value == metrics.am_score(sample.p, train.p.mean(0))
    each = [fid(*(gaussian(one.features[one.labels == c]) for one in (train, sample))) for c in range(3)]
    assert (found["fid_class"].value, found["fid_class_deviation"].value) == pytest.approx(
        (np.mean(each), np.std(each))
    )
    assert found["accuracy"].value == 1 and found["ndb"].value <= 0.2
    assert all(found[name].low <= found[name].value <= found[name].high for name in ("fid", "is", "am", "fid_class"))


def test_score_sees_what_is_wrong(sounds):
    """One class only; and classes mixed up: FID cannot tell, accuracy and the classes' FIDs do."""
    reference = Reference(sounds, 10)
    good = metrics.score(sounds, reference, 20)
    bad = metrics.score(sounds.take(np.flatnonzero(sounds.labels == 0)), reference, 20)
    assert bad["fid"].low > good["fid"].high and bad["is"].high < good["is"].low and bad["ndb"].value == 1
    assert bad["am"].low > good["am"].high and bad["mis"].high < good["mis"].low
    mixed = metrics.score(Classified(sounds.p, sounds.features, (sounds.labels + 1) % 3), reference, 5)
    assert mixed["accuracy"].value == 0 and mixed["fid_class"].value == pytest.approx(200, rel=0.05)
    assert "accuracy" not in metrics.score(Classified(sounds.p, sounds.features), reference, 5)
    assert "fid_class" not in metrics.score(sounds.take(np.arange(5)), reference, 5)
