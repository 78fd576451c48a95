"""Metrics of generated sounds on distributions whose answers are known."""

import itertools
import math

import numpy as np
import pytest
from scipy import linalg, special, stats

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.generation import judging, metrics
from tts_diffvoc_eval.generation.judging import Judged, Reference
from tts_diffvoc_eval.generation.metrics import Bins, Estimate, Gaussian

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


def covariance_of(rng, size):
    factor = rng.normal(size=(size, size))
    return factor @ factor.T + 0.1 * np.eye(size)


def soft(rng, count=200, classes=10, sharpness=2.0):
    return special.softmax(sharpness * rng.normal(size=(count, classes)), axis=1)


# FID


def test_fid_of_one_dimension():
    """(1 - 4)^2 + (2 - 5)^2 for N(1, 2^2) and N(4, 5^2)."""
    a, b = (Gaussian.with_moments(np.array([m]), np.array([[s**2]])) for m, s in ((1.0, 2.0), (4.0, 5.0)))
    assert metrics.frechet(a, b) == pytest.approx(18.0)
    features = np.array([[0.0], [2.0]])  # mean 1, variance 2
    assert metrics.fid(features, 3 * features) == pytest.approx(4 + (math.sqrt(18) - math.sqrt(2)) ** 2)


def test_fid_of_two_gaussians_is_heusels_equation(rng):
    moments = [(rng.normal(size=6), covariance_of(rng, 6)) for _ in range(2)]
    a, b = (exact(rng, 50, *one) for one in moments)
    (m, c), (n, d) = moments
    expected = np.sum((m - n) ** 2) + np.trace(c + d - 2 * linalg.sqrtm(c @ d).real)
    assert metrics.fid(a, b) == pytest.approx(expected, rel=1e-9)
    assert metrics.fid(Gaussian.of(a), b) == metrics.fid(a, b)


def test_fid_of_commuting_covariances(rng):
    """Of diagonal ones: the squared distances of the standard deviations."""
    s, t = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 0.5])
    shift = np.array([1.0, 0.0, -2.0])
    a, b = exact(rng, 20, np.zeros(3), np.diag(s**2)), exact(rng, 30, shift, np.diag(t**2))
    assert metrics.fid(a, b) == pytest.approx(5 + np.sum((s - t) ** 2))


def test_fid_of_a_rotated_gaussian(rng):
    """diag(9, 1) against itself turned by an angle: 2 (10 - Tr (C R C R')^(1/2)), whose eigenvalues give 2 sqrt."""
    angle = 0.7
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    covariance = np.diag([9.0, 1.0])
    a = exact(rng, 40, np.zeros(2), covariance)
    product = covariance @ turn @ covariance @ turn.T
    shared = math.sqrt(np.trace(product) + 2 * math.sqrt(np.linalg.det(product)))  # of a 2 x 2 matrix's root
    assert metrics.fid(a, a @ turn.T) == pytest.approx(20 - 2 * shared)
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    assert metrics.fid(a, a @ quarter.T) == pytest.approx(2 * (3 - 1) ** 2)


def test_fid_does_not_see_order_shift_or_rotation_of_both(rng):
    a, b = rng.normal(size=(40, 5)), rng.normal(size=(60, 5)) * 1.5 + 1
    turn = stats.ortho_group.rvs(5, random_state=1)
    value = metrics.fid(a, b)
    assert metrics.fid(b, a) == pytest.approx(value)
    assert metrics.fid(a[::-1], b) == pytest.approx(value)
    assert metrics.fid(a @ turn + 7, b @ turn + 7) == pytest.approx(value)
    assert metrics.fid(3 * a, 3 * b) == pytest.approx(9 * value)
    assert metrics.fid(a, a) == pytest.approx(0, abs=1e-6)


def test_fid_of_singular_covariances(rng):
    """Fewer sounds than dimensions, and features that never fire, need nothing on the diagonal."""
    a = rng.normal(size=(10, 40))
    shift = rng.normal(size=40)
    assert metrics.fid(a, a + shift) == pytest.approx(np.sum(shift**2), abs=1e-5)
    assert metrics.fid(np.zeros((5, 3)), np.ones((5, 3))) == pytest.approx(3)
    padded = [np.hstack([x, np.zeros((len(x), 4))]) for x in (a, 2 * a)]
    assert metrics.fid(*padded) == pytest.approx(metrics.fid(a, 2 * a), abs=1e-5)


def test_fid_of_few_sounds_is_as_biased_as_said(rng):
    found = [metrics.fid(rng.normal(size=(100, 8)), rng.normal(size=(400, 8))) for _ in range(200)]
    assert np.mean(found) == pytest.approx(8 * 13 / 4 * (1 / 100 + 1 / 400), rel=0.05)


def test_fid_per_class(rng):
    """Class c is moved by c: squared, these are the FIDs."""
    base, labels = rng.normal(size=(60, 3)), np.arange(60) % 3
    moved = base + labels[:, None] * np.array([1.0, 0, 0])
    each = metrics.fid_by_class(base, labels, moved, labels)
    assert list(each) == [0, 1, 2] and list(each.values()) == pytest.approx([0, 1, 4], abs=1e-6)
    mean, deviation = metrics.fid_per_class(base, labels, moved, labels)
    assert mean == pytest.approx(5 / 3, abs=1e-6) and deviation == pytest.approx(np.std([0, 1, 4]), abs=1e-6)
    with pytest.raises(DiffvocError, match="class 2 has 20 and 1 sounds"):
        metrics.fid_by_class(base, labels, moved[:3], [0, 0, 2])


# Scores of probabilities


@pytest.mark.parametrize("classes", [2, 10])
def test_inception_score_of_a_perfect_and_of_a_constant_classifier(classes):
    assert metrics.inception_score(np.eye(classes)[np.arange(20 * classes) % classes]) == pytest.approx(classes)
    assert metrics.inception_score(np.tile(special.softmax(np.arange(classes)), (50, 1))) == pytest.approx(1)
    collapsed = np.eye(classes)[np.zeros(50, int)]
    assert metrics.inception_score(collapsed) == pytest.approx(1)


def test_inception_score_by_hand():
    """Rows (0.9, 0.1) and (0.1, 0.9): both KL are 0.9 ln 1.8 + 0.1 ln 0.2. Three of four classes alike: exp(H)."""
    p = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert metrics.inception_score(p) == pytest.approx(1.8**0.9 * 0.2**0.1)
    uneven = np.eye(2)[[0, 0, 0, 1]]
    assert metrics.inception_score(uneven) == pytest.approx(math.exp(stats.entropy([0.75, 0.25])))


def test_modified_inception_score_is_the_mean_over_all_pairs(rng):
    p = soft(rng, 12, 4)
    pairs = [stats.entropy(a, b) for a, b in itertools.product(p, p)]
    assert metrics.modified_inception_score(p) == pytest.approx(math.exp(np.mean(pairs)))


def test_modified_inception_score_by_hand():
    """Two of the four pairs have KL 0.8 ln 9, the others 0."""
    p = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert metrics.modified_inception_score(p) == pytest.approx(math.exp(0.4 * math.log(9)))
    assert metrics.modified_inception_score(np.tile([0.7, 0.2, 0.1, 0.0], (5, 1))) == pytest.approx(1)
    assert metrics.modified_inception_score(np.eye(3)) == math.inf


def test_am_score(rng):
    """0 for one-hot rows that match the training marginal; for the training set itself, its mean entropy."""
    marginal = np.array([0.5, 0.25, 0.25])
    assert metrics.am_score(np.eye(3)[[0, 0, 1, 2]], marginal) == pytest.approx(0)
    assert metrics.am_score(np.eye(3)[[0, 1, 2, 2]], marginal) == pytest.approx(
        stats.entropy(marginal, [0.25, 0.25, 0.5])
    )
    train = soft(rng)
    assert metrics.am_score(train, train.mean(0)) == pytest.approx(np.mean([stats.entropy(row) for row in train]))
    assert metrics.am_score(np.full((7, 10), 0.1), UNIFORM) == pytest.approx(math.log(10))
    assert metrics.am_score(np.eye(3)[[0, 0]], marginal) == math.inf  # two classes are never made


def test_am_and_is_are_tied(rng):
    """ln IS = H(p(y)) - E H(p(y|x)), so that AM = KL(p_train || p) + H(p(y)) - ln IS."""
    p = soft(rng)
    marginal = p.mean(0)
    tied = stats.entropy(UNIFORM, marginal) + stats.entropy(marginal) - math.log(metrics.inception_score(p))
    assert metrics.am_score(p, UNIFORM) == pytest.approx(tied)


@pytest.mark.parametrize("bad", [np.ones((3, 2)), np.array([[1.5, -0.5]]), np.zeros((0, 10)), UNIFORM, [[np.nan, 1]]])
def test_what_are_no_probabilities_is_refused(bad):
    for score in (metrics.inception_score, metrics.modified_inception_score, lambda p: metrics.am_score(p, [0.5, 0.5])):
        with pytest.raises(DiffvocError, match="probabilities"):
            score(bad)


def test_what_are_no_features_is_refused(rng):
    for bad, said in ((np.ones(3), "shape"), (np.ones((1, 3)), "N >= 2"), (np.full((4, 2), np.inf), "infinite")):
        with pytest.raises(DiffvocError, match=said):
            metrics.fid(bad, rng.normal(size=(5, 3)))
    with pytest.raises(DiffvocError, match="have no distance"):
        metrics.fid(np.eye(4), np.eye(5))


# NDB


def test_two_samples_of_one_distribution_have_ndb_within_the_significance(rng):
    """The share of bins called different is the test's own level, whatever K and D."""
    for size, k in ((2, 20), (32, 50)):
        found = []
        for seed in range(4):
            bins = Bins.of(rng.normal(size=(2000, size)), k, seed)
            found += [metrics.ndb(bins, rng.normal(size=(500, size))) for _ in range(25)]
        assert 0.02 < np.mean(found) < 0.06, (size, k)  # 100 x K tests, not quite independent of each other


def test_ndb_at_another_significance(rng):
    bins = Bins.of(rng.normal(size=(2000, 4)), 20)
    samples = [rng.normal(size=(500, 4)) for _ in range(60)]
    loose = np.mean([metrics.ndb(bins, one, significance=0.3) for one in samples])
    assert 0.22 < loose < 0.36


def test_ndb_finds_a_mode_that_is_left_out(rng):
    """Four far clusters; a sample without one of them, one with too much of one, and one from elsewhere."""
    centres = 100 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    train = centres[np.arange(800) % 4] + rng.normal(size=(800, 2))
    whole = centres[np.arange(400) % 4] + rng.normal(size=(400, 2))
    assert metrics.ndb(train, whole, k=4) == 0
    assert metrics.ndb(train, whole[np.arange(400) % 4 != 3], k=4) == 1  # the others hold a third each: z = 2.8
    slightly = np.vstack([whole[:200], centres[0] + rng.normal(size=(20, 2))])
    assert metrics.ndb(train, slightly, k=4) == 0.25  # 70 of 220: z = 2.03; 50 of 220: z = 0.7
    assert metrics.ndb(train, np.full((50, 2), 500.0), k=4) == 1


def test_the_test_of_two_proportions_by_hand():
    """30 of 100 and 15 of 100: P = 0.225, z = 0.15 / sqrt(0.225 0.775 / 50) = 2.54; 25 and 15: z = 1.77."""
    train = np.array([30, 70])
    assert metrics.different(train, np.array([15, 85])).tolist() == [True, True]
    assert metrics.different(np.array([25, 75]), np.array([15, 85])).tolist() == [False, False]
    table = [[30, 70], [15, 85]]
    p = stats.chi2_contingency(table, correction=False).pvalue  # the same test
    assert metrics.different(train, np.array([15, 85]), p * 1.001).all()
    assert not metrics.different(train, np.array([15, 85]), p * 0.999).any()


def test_bins_without_sounds_are_no_different():
    assert metrics.different(np.array([5, 5, 0]), np.array([4, 6, 0])).tolist() == [False] * 3
    assert metrics.different(np.array([9]), np.array([4])).tolist() == [False]
    with pytest.raises(DiffvocError, match="cannot be compared"):
        metrics.different(np.array([5, 5]), np.array([0, 0]))


def test_bins_are_those_of_the_nearest_centre(rng):
    x = rng.normal(size=(300, 3))
    bins = Bins.of(x, 7)
    distances = np.linalg.norm(x[:, None] - bins.centres[None], axis=2)
    assert (bins.of_sounds(x) == distances.argmin(1)).all()
    assert bins.counts.sum() == 300 and bins.counts.min() > 0
    assert (Bins.of(x, 7).centres == bins.centres).all()
    for k in (1, 301):
        with pytest.raises(DiffvocError, match="bins were asked for of 300 sounds"):
            Bins.of(x, k)
    with pytest.raises(DiffvocError, match="do not fit"):
        bins.of_sounds(np.ones((2, 4)))


# Accuracy


def test_accuracy():
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    assert metrics.accuracy(p, [0, 1, 1]) == 1 and metrics.accuracy(p, [1, 1, 1]) == pytest.approx(2 / 3)
    with pytest.raises(DiffvocError, match="one each"):
        metrics.accuracy(p, [0, 1])


def test_wilson_by_hand():
    """Of 8 in 10: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)."""
    z, p, n = 1.959964, 0.8, 10
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = [(p + z**2 / (2 * n) + sign * half) / (1 + z**2 / n) for sign in (-1, 1)]
    assert metrics.wilson(8, 10) == pytest.approx(expected, abs=1e-6)
    assert metrics.wilson(10, 10)[1] == 1 and metrics.wilson(0, 10)[0] == 0
    for right, count in ((1, 0), (3, 2), (-1, 4)):
        with pytest.raises(DiffvocError, match="no share"):
            metrics.wilson(right, count)


# Intervals


def coverage(make, statistic, expected, runs=80, count=100):
    covered = 0
    for seed in range(runs):
        sounds = make()
        found = metrics.estimate(lambda i, x=sounds: statistic(x[i]), count, resamples=100, seed=seed)
        covered += found.low <= expected <= found.high
    return covered / runs


def test_intervals_cover_the_metric_of_sets_of_this_size(rng):
    """95 % are asked for; of 80 runs, 86 % and more is what chance allows. FID's is cautious."""
    make = lambda: soft(rng, 100)  # noqa: E731
    for score in (metrics.inception_score, lambda p: metrics.am_score(p, UNIFORM)):
        expected = np.mean([score(make()) for _ in range(2000)])
        assert coverage(make, score, expected) >= 0.86
    reference = Gaussian.of(rng.normal(size=(500, 4)))
    make = lambda: 1.2 * rng.normal(size=(100, 4)) + 0.3  # noqa: E731
    score = lambda x: metrics.fid(reference, x)  # noqa: E731
    expected = np.mean([score(make()) for _ in range(1000)])
    assert coverage(make, score, expected) >= 0.88


def test_an_interval_is_not_moved_by_the_bias_of_resampling(rng):
    """FID of a resample is twice as biased; unshifted percentiles would lie wholly above the value."""
    x = rng.normal(size=(60, 10))
    reference = Gaussian.of(rng.normal(size=(5000, 10)))
    value, low, high = metrics.estimate(lambda i: metrics.fid(reference, x[i]), 60, least=0.0)
    assert low < value < high and value == metrics.fid(reference, x)
    draw = np.random.default_rng(1)
    resampled = [metrics.fid(reference, x[draw.integers(0, 60, 60)]) for _ in range(100)]
    assert np.quantile(resampled, 0.05) > value


def test_estimate_draws_within_groups_and_keeps_bounds():
    groups = np.array([0] * 5 + [1] * 15)
    seen = []
    metrics.estimate(lambda i: seen.append(np.bincount(groups[i])) or 0.0, 20, groups, resamples=5)
    assert [one.tolist() for one in seen] == [[5, 15]] * 6
    bounded = metrics.estimate(lambda i: float((i < 1).mean()), 20, least=0.04, most=0.06)
    assert (bounded.low, bounded.high) == (0.04, 0.06)
    endless = metrics.estimate(lambda i: math.inf, 5)
    assert endless.value == math.inf and math.isnan(endless.low)
    with pytest.raises(DiffvocError, match="make no interval"):
        metrics.estimate(lambda i: 0.0, 5, resamples=1)


# All of one set


@pytest.fixture
def judged(rng):
    """600 sounds of three far classes, a sure classifier."""
    labels = np.arange(600) % 3
    features = rng.normal(size=(600, 4)) + 10 * np.eye(4)[labels]
    p = 0.97 * np.eye(3)[labels] + 0.01
    return Judged(p, features, labels)


def test_score_of_a_sample_of_the_training_set(judged):
    train, sample = judged.at(np.arange(0, 400)), judged.at(np.arange(400, 600))
    found = judging.score(sample, Reference.of(train, 10), 50)
    assert set(found) == {"fid", "is", "mis", "am", "ndb", "accuracy", "fid_class", "fid_class_deviation"}
    assert found["fid"].value == metrics.fid(train.features, sample.features)
    assert found["is"].value == metrics.inception_score(sample.p)
    assert found["mis"].value == metrics.modified_inception_score(sample.p)
    assert found["am"].value == metrics.am_score(sample.p, train.p.mean(0))
    assert found["ndb"].value == metrics.ndb(train.features, sample.features, 10)
    mean, deviation = metrics.fid_per_class(train.features, train.labels, sample.features, sample.labels)
    assert (found["fid_class"].value, found["fid_class_deviation"].value) == pytest.approx((mean, deviation))
    assert found["accuracy"] == Estimate(1.0, *metrics.wilson(200, 200))
    for name in ("fid", "is", "am", "fid_class"):
        assert found[name].low <= found[name].value <= found[name].high, name
    assert found["ndb"].value <= 0.2


def test_score_sees_what_is_wrong(judged):
    """One class only; and classes mixed up: FID cannot tell, accuracy and the classes' FIDs do."""
    reference = Reference.of(judged, 10)
    good = judging.score(judged, reference, 20)
    one = judged.at(np.flatnonzero(judged.labels == 0))
    bad = judging.score(one, reference, 20)
    assert bad["fid"].low > good["fid"].high and bad["is"].high < good["is"].low and bad["ndb"].value == 1
    assert bad["am"].low > good["am"].high and bad["mis"].high < good["mis"].low
    mixed = judging.score(Judged(judged.p, judged.features, (judged.labels + 1) % 3), reference, 20)
    assert mixed["fid"] == good["fid"] and mixed["accuracy"].value == 0
    assert mixed["fid_class"].value == pytest.approx(200, rel=0.05)  # the classes lie 10 sqrt(2) apart


def test_score_without_labels_or_with_one_sound_of_a_class(judged):
    reference = Reference.of(judged, 10)
    assert "accuracy" not in judging.score(Judged(judged.p, judged.features), reference, 5)
    few = judged.at(np.array([0, 1, 2, 3, 4]))
    assert "fid_class" not in judging.score(few, reference, 5) and "accuracy" in judging.score(few, reference, 5)


def test_several_seeds_together():
    found = judging.together([Estimate(1.0, 0.7, 1.5), Estimate(3.0, 2.6, 3.0)])
    assert found == pytest.approx((2.0, 2 - math.hypot(0.3, 0.4) / 2, 2 + 0.25))
    assert judging.together([Estimate(1.0, 0.5, 2.0)]) == (1.0, 0.5, 2.0)
