"""How good and how varied generated sounds are, from a classifier's probabilities and features: pure functions.

The metrics of DiffWave's tables 3 and 4 (Kong et al. 2021, "DiffWave: a versatile diffusion model for audio
synthesis", section 5.2, 5.3 and the appendix on metrics). Everywhere p [N, C] are class probabilities, one row a sound,
and features [N, D] are those of the classifier's penultimate layer.

Expectations are means over the given sounds, so every metric but accuracy is biased by their number: FID and NDB are
too high with few sounds, IS and mIS too low. Only sets of one size should be compared. :func:`estimate` gives
intervals, whose docstring says what they cover.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from tts_diffvoc.errors import DiffvocError

CONFIDENCE = 0.95
RESAMPLES = 400
CLUSTERS = 50  # DiffWave's K
SIGNIFICANCE = 0.05


class Estimate(NamedTuple):
    """A metric and its interval; NaN where there is none."""

    value: float
    low: float
    high: float


# What is given


def _probabilities(p: np.ndarray) -> np.ndarray:
    """p [N, C] as float64.

    Raises: DiffvocError for what are no probabilities.
    """
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != 2 or 0 in p.shape:
        raise DiffvocError(f"class probabilities of shape {list(p.shape)} were given; they must be [N, C].")
    if not (p >= 0).all() or not np.allclose(p.sum(1), 1.0, atol=1e-4):
        raise DiffvocError("each row of class probabilities must be at least 0 and sum to 1; give them after softmax.")
    return p


def _features(features: np.ndarray, least: int = 2) -> np.ndarray:
    """features [N, D] as float64.

    Raises: DiffvocError for another shape, too few sounds, or values that are not finite.
    """
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or features.shape[0] < least or not features.shape[1]:
        raise DiffvocError(f"features of shape {list(features.shape)} were given; [N, D] with N >= {least} is needed.")
    if not np.isfinite(features).all():
        raise DiffvocError("the features hold NaN or infinite values; look at the sounds that they come from.")
    return features


def _labels(labels: Sequence[int] | np.ndarray, count: int) -> np.ndarray:
    found = np.asarray(labels)
    if found.shape != (count,):
        raise DiffvocError(f"{found.shape} labels were given for {count} sounds; give one each.")
    return found


# FID


@dataclass(frozen=True)
class Gaussian:
    """Mean [D] and covariance [D, D] of features; ``root`` is the covariance's symmetric square root."""

    mean: np.ndarray
    covariance: np.ndarray
    root: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Gaussian:
        """That of ``features`` [N, D]; the covariance has N - 1 below the line."""
        features = _features(features)
        return cls.with_moments(features.mean(0), np.cov(features, rowvar=False).reshape(2 * features.shape[1:]))

    @classmethod
    def with_moments(cls, mean: np.ndarray, covariance: np.ndarray) -> Gaussian:
        """That of a mean [D] and a positive semidefinite covariance [D, D]."""
        values, vectors = np.linalg.eigh(covariance)
        root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
        return cls(np.asarray(mean, np.float64), np.asarray(covariance, np.float64), root)


def frechet(a: Gaussian, b: Gaussian) -> float:
    """Squared Fréchet distance of two Gaussians (Dowson & Landau 1982; Heusel et al. 2017, eq. 6).

    |m_a - m_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2)). The eigenvalues of C_a C_b are those of the symmetric
    C_a^(1/2) C_b C_a^(1/2), so the trace of its root is the sum of their square roots. That holds for singular
    covariances as well: nothing is added to the diagonal, and what rounding leaves below zero counts as zero.
    """
    if a.mean.shape != b.mean.shape:
        raise DiffvocError(f"features of {a.mean.size} and of {b.mean.size} dimensions have no distance.")
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(a.root @ b.covariance @ a.root), 0, None)).sum()
    distance = np.square(a.mean - b.mean).sum() + np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared
    return float(max(distance, 0.0))


def fid(features_a: np.ndarray | Gaussian, features_b: np.ndarray | Gaussian) -> float:
    """Fréchet inception distance of two sets of features [N, D] (Heusel et al. 2017, eq. 6): lower is nearer.

    Both are summed up as Gaussians, see :func:`frechet`. With few sounds it is too high, even for two sets of one
    distribution, by about Tr(C) (D + 5) / 4 (1 / N_a + 1 / N_b) where C = c I (Chong & Forsyth 2020, "Effectively
    unbiased FID", on the bias): compare sets of one size only. A set that is used often can be given as a Gaussian.
    """
    a, b = (one if isinstance(one, Gaussian) else Gaussian.of(one) for one in (features_a, features_b))
    return frechet(a, b)


def fid_by_class(
    features_a: np.ndarray,
    labels_a: Sequence[int] | np.ndarray,
    features_b: np.ndarray,
    labels_b: Sequence[int] | np.ndarray,
) -> dict[int, float]:
    """FID of each class's sounds in ``features_b`` against the same class's in ``features_a``.

    Raises: DiffvocError for a class of ``labels_b`` that has fewer than two sounds in either set.
    """
    features_a, features_b = _features(features_a), _features(features_b)
    labels_a, labels_b = _labels(labels_a, len(features_a)), _labels(labels_b, len(features_b))
    found = {}
    for label in np.unique(labels_b).tolist():
        groups = features_a[labels_a == label], features_b[labels_b == label]
        if min(map(len, groups)) < 2:
            raise DiffvocError(
                f"class {label} has {len(groups[0])} and {len(groups[1])} sounds; FID needs two of each at least."
            )
        found[label] = fid(*groups)
    return found


def fid_per_class(
    features_a: np.ndarray,
    labels_a: Sequence[int] | np.ndarray,
    features_b: np.ndarray,
    labels_b: Sequence[int] | np.ndarray,
) -> tuple[float, float]:
    """Mean and standard deviation, over the classes, of :func:`fid_by_class` ("FID-class" in DiffWave's table 4).

    The deviation is that of the classes at hand (the number of classes below the line).
    """
    values = list(fid_by_class(features_a, labels_a, features_b, labels_b).values())
    return float(np.mean(values)), float(np.std(values))


# Scores of class probabilities


def inception_score(p: np.ndarray) -> float:
    """IS = exp(E_x KL(p(y|x) || p(y))) of p [N, C] (Salimans et al. 2016, section 4), from 1 to C: higher is better.

    p(y) is the mean of p over all sounds, which are not split into parts.
    """
    p = _probabilities(p)
    return float(np.exp(special.rel_entr(p, p.mean(0)).sum(1).mean()))


def modified_inception_score(p: np.ndarray) -> float:
    """mIS = exp(E_x E_x' KL(p(y|x) || p(y|x'))) of p [N, C] (Gurumurthy et al. 2017, DeLiGAN): higher is better.

    Over all pairs of sounds, whatever their classes, as in DiffWave's appendix. At least 1; infinite where a class has
    probability 0 for one sound and more for another. It grows with the classifier's confidence without bound: only
    values by one classifier can be compared.
    """
    p = _probabilities(p)
    possible = p.mean(0) > 0
    p = p[:, possible]
    with np.errstate(divide="ignore"):
        crossed = -(p.mean(0) * np.log(p).mean(0)).sum()  # E_x E_x' of the cross-entropy
    return float(np.exp(crossed - entropies(p).mean()))


def am_score(p: np.ndarray, train_marginal: np.ndarray) -> float:
    """AM = KL(p_train(y) || p(y)) + E_x H(p(y|x)), in nats, of p [N, C] (Zhou et al. 2018, "Activation maximization
    generative adversarial nets", where it is named): lower is better.

    Args: train_marginal: [C], the mean of the classifier's probabilities over the training set.
    """
    p = _probabilities(p)
    train = _probabilities(np.asarray(train_marginal)[None])[0]
    if len(train) != p.shape[1]:
        raise DiffvocError(f"a marginal of {len(train)} classes was given for probabilities of {p.shape[1]}.")
    return float(special.rel_entr(train, p.mean(0)).sum() + entropies(p).mean())


def entropies(p: np.ndarray) -> np.ndarray:
    """H(p(y|x)) [N] in nats of each row of p [N, C]."""
    return special.entr(p).sum(1)


# Bins


@dataclass(frozen=True)
class Bins:
    """Voronoi cells of the training set's features: their centres [K, D], and how many of its sounds each holds [K]."""

    centres: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, k: int = CLUSTERS, seed: int = 0) -> Bins:
        """Of ``features`` [N, D] by k-means (Richardson & Weiss 2018), the best of 4 beginnings.

        Raises: DiffvocError for fewer sounds than bins.
        """
        from sklearn.cluster import KMeans  # a heavy import

        features = _features(features)
        if not 2 <= k <= len(features):
            raise DiffvocError(f"{k} bins were asked for of {len(features)} sounds; ask for 2 to {len(features)}.")
        found = KMeans(k, n_init=4, random_state=seed).fit(features)
        centres = found.cluster_centers_.astype(np.float64)
        return cls(centres, np.bincount(cls._nearest(centres, features), minlength=k))

    @staticmethod
    def _nearest(centres: np.ndarray, features: np.ndarray) -> np.ndarray:
        return (np.square(centres).sum(1) - 2 * features @ centres.T).argmin(1)

    def of_sounds(self, features: np.ndarray) -> np.ndarray:
        """The bin [N] of each sound: that with the nearest centre."""
        features = _features(features, 1)
        if features.shape[1] != self.centres.shape[1]:
            raise DiffvocError(
                f"features of {features.shape[1]} dimensions do not fit bins of {self.centres.shape[1]}."
            )
        return self._nearest(self.centres, features)


def different(train: np.ndarray, samples: np.ndarray, significance: float = SIGNIFICANCE) -> np.ndarray:
    """Which bins [K] hold another proportion of the samples than of the training set.

    The two-proportion z-test of Richardson & Weiss 2018, two-sided: with the pooled proportion P,
    z = (p - q) / sqrt(P (1 - P) (1 / N_p + 1 / N_q)). A bin that holds none, or all, of both is no different.

    Args: train, samples: counts [K].
    """
    train, samples = np.asarray(train, dtype=np.float64), np.asarray(samples, dtype=np.float64)
    sizes = train.sum(), samples.sum()
    if train.shape != samples.shape or not min(sizes) > 0:
        raise DiffvocError(f"counts of {train.size} and {samples.size} bins, {sizes} sounds, cannot be compared.")
    pooled = (train + samples) / sum(sizes)
    error = np.sqrt(pooled * (1 - pooled) * (1 / sizes[0] + 1 / sizes[1]))
    gap = np.abs(train / sizes[0] - samples / sizes[1])
    z = np.divide(gap, error, out=np.zeros_like(gap), where=error > 0)
    return 2 * stats.norm.sf(z) < significance


def ndb(
    features_train: np.ndarray | Bins,
    features_samples: np.ndarray,
    k: int = CLUSTERS,
    significance: float = SIGNIFICANCE,
    seed: int = 0,
) -> float:
    """NDB / K: the share of the training set's bins that hold another proportion of the samples.

    Richardson & Weiss 2018, "On GANs and GMMs"; K = 50 as in DiffWave. 0 to 1, lower is better; two samples
    of one distribution give about ``significance``. Training features that are used often can be given as Bins.
    """
    bins = features_train if isinstance(features_train, Bins) else Bins.of(features_train, k, seed)
    counts = np.bincount(bins.of_sounds(features_samples), minlength=len(bins.counts))
    return float(different(bins.counts, counts, significance).mean())


# Accuracy


def accuracy(p: np.ndarray, labels: Sequence[int] | np.ndarray) -> float:
    """Share of sounds whose most probable class is the label that was asked for."""
    p = _probabilities(p)
    return float((p.argmax(1) == _labels(labels, len(p))).mean())


def wilson(right: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """(low, high) of a share of ``right`` in ``count`` (Wilson 1927; Brown, Cai & DasGupta 2001 on why)."""
    if not 0 <= right <= count or not count:
        raise DiffvocError(f"{right} of {count} is no share; give a count above 0, and at most so many right.")
    found = stats.binomtest(right, count).proportion_ci(confidence, "wilson")
    return float(found.low), float(found.high)


# Intervals


def estimate(
    statistic: Callable[[np.ndarray], float],
    count: int,
    groups: Sequence[int] | np.ndarray | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    least: float = -np.inf,
    most: float = np.inf,
) -> Estimate:
    """``statistic`` of all ``count`` sounds, and a bootstrap interval of what it is on average for sets of this size.

    ``statistic`` takes indices [count] of sounds, drawn with replacement; the training set that they are compared with
    stays as it is. A set drawn so holds fewer different sounds, and so has more of the bias that every small set has.
    The percentiles are therefore shifted by as much as the resamples' mean lies from the value, and the interval is
    one of the spread alone: it covers the mean of the metric over sets of ``count`` sounds, and not its limit for
    ever more of them. NDB and FID spread more in resamples than they do in new sets, and so have cautious intervals.

    Args:
        groups: [count]; sounds are drawn within each group, such as a class.
        least, most: of the metric, which the interval does not leave.
    """
    if count < 1 or resamples < 2:
        raise DiffvocError(f"{count} sounds and {resamples} resamples make no interval; give at least 1 and 2.")
    everything = np.arange(count)
    value = float(statistic(everything))
    draw = np.random.default_rng(seed)
    parts = [everything] if groups is None else [np.flatnonzero(groups == one) for one in np.unique(groups)]
    found = np.array([
        statistic(np.concatenate([part[draw.integers(0, len(part), len(part))] for part in parts]))
        for _ in range(resamples)
    ])  # fmt: skip
    if not np.isfinite(value) or not np.isfinite(found).all():
        return Estimate(value, np.nan, np.nan)
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2]) + value - found.mean()
    return Estimate(value, *(float(np.clip(bound, least, most)) for bound in (low, high)))
