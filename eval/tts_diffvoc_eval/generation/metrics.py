"""Quality and diversity of generated sounds from a classifier's outputs: FID, IS, mIS, AM, NDB/K and accuracy.

The metrics of DiffWave's tables 3 and 4 (Kong et al. 2021, sections 5.2 and 5.3 and the appendix). Everywhere
``p`` [N, C] are class probabilities, one row a sound, and ``features`` [N, D] those of the penultimate layer.

Every metric but accuracy is biased for few sounds: FID and NDB are too high, IS and mIS too low. Compare only sets of
one size. :func:`bootstrap` gives intervals.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special, stats

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05  # of NDB's tests


class Estimate(NamedTuple):
    """A metric and its interval; NaN where there is none."""

    value: float
    low: float
    high: float


class Gaussian(NamedTuple):
    """Mean [D] and covariance [D, D] of features; ``root`` is the covariance's symmetric square root."""

    mean: np.ndarray
    covariance: np.ndarray
    root: np.ndarray


def gaussian(features: np.ndarray) -> Gaussian:
    """Fitted to ``features`` [N, D], with the unbiased covariance."""
    covariance = np.atleast_2d(np.cov(features, rowvar=False))
    values, vectors = np.linalg.eigh(covariance)
    return Gaussian(features.mean(0), covariance, (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)


def fid(a: Gaussian, b: Gaussian) -> float:
    """Fréchet inception distance (Heusel et al. 2017, eq. 6): lower is better.

    |m_a - m_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2)). The eigenvalues of C_a C_b are those of the symmetric
    C_a^(1/2) C_b C_a^(1/2), so the trace of its root is the sum of their square roots, for singular covariances too.

    >>> round(fid(gaussian(np.array([[0.0], [2.0]])), gaussian(np.array([[1.0], [3.0]]))), 6)
    1.0
    """
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(a.root @ b.covariance @ a.root), 0, None)).sum()
    distance = np.square(a.mean - b.mean).sum() + np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared
    return max(float(distance), 0.0)


def inception_score(p: np.ndarray) -> float:
    """IS = exp(E_x KL(p(y|x) || p(y))) (Salimans et al. 2016, section 4), from 1 to C: higher is better.

    >>> round(inception_score(np.eye(10)), 6)
    10.0
    """
    return float(np.exp(special.rel_entr(p, p.mean(0)).sum(1).mean()))


def modified_inception_score(p: np.ndarray) -> float:
    """mIS = exp(E_x E_x' KL(p(y|x) || p(y|x'))) over all pairs (Gurumurthy et al. 2017): higher is better.

    It grows with the classifier's confidence without bound; values of different classifiers don't compare.

    >>> round(modified_inception_score(np.array([[0.9, 0.1], [0.1, 0.9]])), 4)  # exp(0.4 ln 9)
    2.4082
    """
    cross_entropy = -(p.mean(0) * np.log(p).mean(0)).sum()
    return float(np.exp(cross_entropy - special.entr(p).sum(1).mean()))


def am_score(p: np.ndarray, train_marginal: np.ndarray) -> float:
    """AM = KL(p_train(y) || p(y)) + E_x H(p(y|x)), in nats (Zhou et al. 2018): lower is better.

    Args: train_marginal: [C], the mean of the classifier's probabilities over the training set.

    >>> am_score(np.eye(2), np.array([0.5, 0.5]))
    0.0
    """
    return float(special.rel_entr(train_marginal, p.mean(0)).sum() + special.entr(p).sum(1).mean())


def ndb(train: np.ndarray, counts: np.ndarray, significance: float = SIGNIFICANCE) -> float:
    """NDB / K: the share of bins with another proportion of samples than of the training set; lower is better.

    Richardson & Weiss 2018, "On GANs and GMMs": in each bin the two-proportion z-test with the pooled proportion P,
    z = (p - q) / sqrt(P (1 - P) (1 / N_p + 1 / N_q)). Two samples of one distribution give about ``significance``.

    Args: train, counts: [K], how many sounds of the training set and of the samples are in each bin.

    >>> ndb(np.array([50, 50, 0, 0]), np.array([100, 0, 0, 0]))
    0.5
    """
    sizes = train.sum(), counts.sum()
    pooled = (train + counts) / sum(sizes)
    error = np.sqrt(pooled * (1 - pooled) * (1 / sizes[0] + 1 / sizes[1]))
    gap = np.abs(train / sizes[0] - counts / sizes[1])
    z = np.divide(gap, error, out=np.zeros_like(gap), where=error > 0)
    return float((2 * stats.norm.sf(z) < significance).mean())


def accuracy(p: np.ndarray, labels: Sequence[int] | np.ndarray) -> Estimate:
    """Share of sounds whose most probable class is the label asked for, with its interval (Wilson 1927).

    >>> [round(value, 3) for value in accuracy(np.eye(10), [0, 1, 2, 3, 4, 5, 6, 7, 0, 0])]
    [0.8, 0.49, 0.943]
    """
    right = int((p.argmax(1) == np.asarray(labels)).sum())
    low, high = stats.binomtest(right, len(p)).proportion_ci(CONFIDENCE, "wilson")
    return Estimate(right / len(p), float(low), float(high))


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    count: int,
    groups: np.ndarray | None = None,
    resamples: int = 200,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """``statistic`` of all ``count`` sounds, and an interval of its mean over sets of this size.

    ``statistic`` takes indices [count], drawn with replacement. A resample has fewer different sounds, and so more of
    the bias of small sets: the percentiles are shifted by as much as the resamples' mean lies from the value.

    Args:
        groups: [count]; sounds are drawn within each group, such as a class.
        bounds: of the metric, which the interval does not leave.
    """
    everything, draw = np.arange(count), np.random.default_rng(0)
    parts = [everything] if groups is None else [np.flatnonzero(groups == one) for one in np.unique(groups)]
    value = float(statistic(everything))
    found = np.array(
        [statistic(np.concatenate([draw.choice(part, len(part)) for part in parts])) for _ in range(resamples)]
    )
    if not np.isfinite(value) or not np.isfinite(found).all():
        return Estimate(value, math.nan, math.nan)
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]) + value - found.mean()
    return Estimate(value, *(float(np.clip(bound, *bounds)) for bound in (low, high)))


def mean_over_sets(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of a metric over independent sets of one size, such as those of several seeds."""
    values, low, high = np.array(estimates, dtype=float).T
    below, above = (np.sqrt(np.square(values - bound).sum()) / len(values) for bound in (low, high))
    return Estimate(float(values.mean()), float(values.mean() - below), float(values.mean() + above))


class Classified(NamedTuple):
    """Sounds as a classifier sees them: p [N, C], features [N, D], and the labels [N] asked for, None for none."""

    p: np.ndarray
    features: np.ndarray
    labels: np.ndarray | None = None

    def take(self, indices: np.ndarray) -> Classified:
        labels = None if self.labels is None else self.labels[indices]
        return Classified(self.p[indices], self.features[indices], labels)


class Reference:
    """What metrics need of the training set, computed once: Gaussians of all and of each class, marginal, and bins.

    The bins are ``k`` Voronoi cells of the features, by k-means (Richardson & Weiss 2018), the best of 4 beginnings.
    """

    def __init__(self, train: Classified, k: int) -> None:
        from sklearn.cluster import KMeans  # a heavy import

        self.size, self.marginal = len(train.p), train.p.mean(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of clips that are the same
            self.bins = KMeans(k, n_init=4, random_state=0).fit(train.features)
        self.counts = np.bincount(self.bins.labels_, minlength=k)
        self.gaussian = gaussian(train.features)
        labels, counts = np.unique(np.asarray(train.labels), return_counts=True)
        self.classes = {c: gaussian(train.features[train.labels == c]) for c in labels[counts > 1].tolist()}


def score(sounds: Classified, reference: Reference, resamples: int = 200) -> dict[str, Estimate]:
    """FID, IS, mIS, AM and NDB/K; with labels also accuracy, and mean and deviation of the FIDs of the classes.

    The FIDs of the classes are left out where a class has fewer than two sounds.
    """
    p, features, labels = sounds
    bins, k = reference.bins.predict(features), len(reference.counts)

    def interval(statistic, low: float, high: float = math.inf, groups: np.ndarray | None = None) -> Estimate:
        return bootstrap(statistic, len(p), groups, resamples, (low, high))

    values = {
        "fid": interval(lambda i: fid(reference.gaussian, gaussian(features[i])), 0),
        "is": interval(lambda i: inception_score(p[i]), 1, p.shape[1]),
        "mis": interval(lambda i: modified_inception_score(p[i]), 1),
        "am": interval(lambda i: am_score(p[i], reference.marginal), 0),
        "ndb": interval(lambda i: ndb(reference.counts, np.bincount(bins[i], minlength=k)), 0, 1),
    }
    if labels is None:
        return values
    values["accuracy"] = accuracy(p, labels)
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() > 1 and set(classes.tolist()) <= set(reference.classes):

        def by_class(i: np.ndarray) -> list[float]:
            return [fid(reference.classes[c], gaussian(features[i][labels[i] == c])) for c in classes.tolist()]

        values["fid_class"] = interval(lambda i: float(np.mean(by_class(i))), 0, groups=labels)
        deviation = float(np.std(by_class(np.arange(len(p)))))
        values["fid_class_deviation"] = Estimate(deviation, math.nan, math.nan)
    return values
