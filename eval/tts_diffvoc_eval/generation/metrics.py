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
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from tts_diffvoc.errors import DiffvocError

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05  # of NDB's tests


class Estimate(NamedTuple):
    """A metric and its interval; NaN where there is none."""

    value: float
    low: float
    high: float


def _probabilities(p: np.ndarray) -> np.ndarray:
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != 2 or 0 in p.shape or not (p >= 0).all() or not np.allclose(p.sum(1), 1.0, atol=1e-4):
        raise DiffvocError(f"class probabilities [N, C] are needed, each row summing to 1; {p.shape} was given.")
    return p


def _features(features: np.ndarray, least: int = 2) -> np.ndarray:
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or len(features) < least or not features.shape[1] or not np.isfinite(features).all():
        raise DiffvocError(f"finite features [N, D], N >= {least}, are needed; {features.shape} was given.")
    return features


# FID


@dataclass(frozen=True)
class Gaussian:
    """Mean [D] and covariance [D, D] of features; ``root`` is the covariance's symmetric square root."""

    mean: np.ndarray
    covariance: np.ndarray
    root: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Gaussian:
        """Fitted to ``features`` [N, D], with the unbiased covariance."""
        features = _features(features)
        covariance = np.cov(features, rowvar=False).reshape(2 * features.shape[1:])
        values, vectors = np.linalg.eigh(covariance)
        return cls(features.mean(0), covariance, (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)


def fid(reference: np.ndarray | Gaussian, features: np.ndarray | Gaussian) -> float:
    """Fréchet inception distance (Heusel et al. 2017, eq. 6): lower is better.

    |m_a - m_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2)). The eigenvalues of C_a C_b are those of the symmetric
    C_a^(1/2) C_b C_a^(1/2), so the trace of its root is the sum of their square roots, for singular covariances too.

    >>> round(fid(np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]])), 6)
    1.0
    """
    a, b = (one if isinstance(one, Gaussian) else Gaussian.of(one) for one in (reference, features))
    if a.mean.shape != b.mean.shape:
        raise DiffvocError(f"features of {a.mean.size} and of {b.mean.size} dimensions have no distance.")
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(a.root @ b.covariance @ a.root), 0, None)).sum()
    distance = np.square(a.mean - b.mean).sum() + np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared
    return max(float(distance), 0.0)


# Scores of class probabilities


def inception_score(p: np.ndarray) -> float:
    """IS = exp(E_x KL(p(y|x) || p(y))) (Salimans et al. 2016, section 4), from 1 to C: higher is better.

    >>> round(inception_score(np.eye(10)), 6)
    10.0
    """
    p = _probabilities(p)
    return float(np.exp(special.rel_entr(p, p.mean(0)).sum(1).mean()))


def modified_inception_score(p: np.ndarray) -> float:
    """mIS = exp(E_x E_x' KL(p(y|x) || p(y|x'))) over all pairs (Gurumurthy et al. 2017): higher is better.

    It grows with the classifier's confidence without bound; values of different classifiers don't compare.

    >>> round(modified_inception_score(np.array([[0.9, 0.1], [0.1, 0.9]])), 4)  # exp(0.4 ln 9)
    2.4082
    """
    p = _probabilities(p)
    p = p[:, p.mean(0) > 0]
    with np.errstate(divide="ignore"):
        cross_entropy = -(p.mean(0) * np.log(p).mean(0)).sum()
    return float(np.exp(cross_entropy - special.entr(p).sum(1).mean()))


def am_score(p: np.ndarray, train_marginal: np.ndarray) -> float:
    """AM = KL(p_train(y) || p(y)) + E_x H(p(y|x)), in nats (Zhou et al. 2018): lower is better.

    Args: train_marginal: [C], the mean of the classifier's probabilities over the training set.

    >>> am_score(np.eye(2), np.array([0.5, 0.5]))
    0.0
    """
    p, train = _probabilities(p), _probabilities(np.asarray(train_marginal)[None])[0]
    if len(train) != p.shape[1]:
        raise DiffvocError(f"a marginal of {len(train)} classes was given for probabilities of {p.shape[1]}.")
    return float(special.rel_entr(train, p.mean(0)).sum() + special.entr(p).sum(1).mean())


def accuracy(p: np.ndarray, labels: Sequence[int] | np.ndarray) -> Estimate:
    """Share of sounds whose most probable class is the label asked for, with Wilson's interval."""
    p, labels = _probabilities(p), np.asarray(labels)
    if labels.shape != (len(p),):
        raise DiffvocError(f"{labels.shape} labels were given for {len(p)} sounds; give one each.")
    return proportion(int((p.argmax(1) == labels).sum()), len(p))


def proportion(successes: int, count: int) -> Estimate:
    """A share and its interval (Wilson 1927).

    >>> [round(value, 3) for value in proportion(8, 10)]
    [0.8, 0.49, 0.943]
    """
    low, high = stats.binomtest(successes, count).proportion_ci(CONFIDENCE, "wilson")
    return Estimate(successes / count, float(low), float(high))


# NDB


@dataclass(frozen=True)
class Bins:
    """Voronoi cells of the training set's features: their centres [K, D], and how many of its sounds each has [K]."""

    centres: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, k: int, seed: int = 0) -> Bins:
        """By k-means (Richardson & Weiss 2018), the best of 4 initialisations. Raises: DiffvocError for a bad k."""
        from sklearn.cluster import KMeans  # a heavy import

        features = _features(features)
        if not 2 <= k <= len(features):
            raise DiffvocError(f"{k} bins were asked for of {len(features)} sounds; ask for 2 to {len(features)}.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # k-means warns where two clips are the same
            centres = KMeans(k, n_init=4, random_state=seed).fit(features).cluster_centers_.astype(np.float64)
        bins = cls(centres, np.zeros(k))
        return cls(centres, np.bincount(bins.assign(features), minlength=k))

    def assign(self, features: np.ndarray) -> np.ndarray:
        """The bin [N] of each sound: that of the nearest centre."""
        features = _features(features, 1)
        if features.shape[1] != self.centres.shape[1]:
            raise DiffvocError(f"features of {features.shape[1]} dimensions don't fit bins of {self.centres.shape[1]}.")
        return (np.square(self.centres).sum(1) - 2 * features @ self.centres.T).argmin(1)


def ndb(bins: Bins, assigned: np.ndarray, significance: float = SIGNIFICANCE) -> float:
    """NDB / K: the share of bins with another proportion of samples than of the training set; lower is better.

    Richardson & Weiss 2018, "On GANs and GMMs": in each bin the two-proportion z-test with the pooled proportion P,
    z = (p - q) / sqrt(P (1 - P) (1 / N_p + 1 / N_q)). Two samples of one distribution give about ``significance``.

    Args: assigned: [N], the bins of the samples.
    """
    train, samples = bins.counts, np.bincount(assigned, minlength=len(bins.counts))
    sizes = train.sum(), samples.sum()
    pooled = (train + samples) / sum(sizes)
    error = np.sqrt(pooled * (1 - pooled) * (1 / sizes[0] + 1 / sizes[1]))
    gap = np.abs(train / sizes[0] - samples / sizes[1])
    z = np.divide(gap, error, out=np.zeros_like(gap), where=error > 0)
    return float((2 * stats.norm.sf(z) < significance).mean())


# Intervals


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    count: int,
    groups: np.ndarray | None = None,
    resamples: int = 200,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    seed: int = 0,
) -> Estimate:
    """``statistic`` of all ``count`` sounds, and an interval of its mean over sets of this size.

    ``statistic`` takes indices [count], drawn with replacement. A resample has fewer different sounds, and so more of
    the bias of small sets: the percentiles are shifted by as much as the resamples' mean lies from the value.

    Args:
        groups: [count]; sounds are drawn within each group, such as a class.
        bounds: of the metric, which the interval does not leave.
    """
    everything, draw = np.arange(count), np.random.default_rng(seed)
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


# All metrics of one set


@dataclass(frozen=True)
class Classified:
    """Sounds as a classifier sees them: p [N, C], features [N, D], and the labels [N] asked for, None for none."""

    p: np.ndarray
    features: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.p)

    def __getitem__(self, indices: np.ndarray) -> Classified:
        return Classified(
            self.p[indices], self.features[indices], None if self.labels is None else self.labels[indices]
        )


class Reference:
    """What metrics need of the training set, computed once: Gaussians of all and of each class, marginal, and bins."""

    def __init__(self, train: Classified, k: int) -> None:
        assert train.labels is not None
        self.size, self.marginal, self.bins = len(train), train.p.mean(0), Bins.of(train.features, k)
        self.gaussian = Gaussian.of(train.features)
        labels, counts = np.unique(train.labels, return_counts=True)
        self.classes = {int(c): Gaussian.of(train.features[train.labels == c]) for c in labels[counts > 1]}


def score(sounds: Classified, reference: Reference, resamples: int = 200) -> dict[str, Estimate]:
    """FID, IS, mIS, AM and NDB/K; with labels also accuracy, and mean and deviation of the FIDs of the classes.

    The FIDs of the classes are left out where a class has fewer than two sounds.
    """
    p, features, assigned = sounds.p, sounds.features, reference.bins.assign(sounds.features)

    def interval(statistic, low: float, high: float = math.inf, groups: np.ndarray | None = None) -> Estimate:
        return bootstrap(statistic, len(sounds), groups, resamples, (low, high))

    values = {
        "fid": interval(lambda i: fid(reference.gaussian, features[i]), 0),
        "is": interval(lambda i: inception_score(p[i]), 1, p.shape[1]),
        "mis": interval(lambda i: modified_inception_score(p[i]), 1),
        "am": interval(lambda i: am_score(p[i], reference.marginal), 0),
        "ndb": interval(lambda i: ndb(reference.bins, assigned[i]), 0, 1),
    }
    if sounds.labels is None:
        return values
    values["accuracy"] = accuracy(p, sounds.labels)
    labels = sounds.labels
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() > 1 and set(classes.tolist()) <= set(reference.classes):

        def by_class(i: np.ndarray) -> list[float]:
            return [fid(reference.classes[int(c)], features[i][labels[i] == c]) for c in classes]

        values["fid_class"] = interval(lambda i: float(np.mean(by_class(i))), 0, groups=labels)
        deviation = float(np.std(by_class(np.arange(len(sounds)))))
        values["fid_class_deviation"] = Estimate(deviation, math.nan, math.nan)
    return values
