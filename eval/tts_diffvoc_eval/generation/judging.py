"""All metrics of one set of sounds, against the training set."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from tts_diffvoc_eval.generation import metrics
from tts_diffvoc_eval.generation.metrics import Bins, Estimate, Gaussian


@dataclass(frozen=True)
class Judged:
    """What a classifier says of sounds.

    Attributes:
        p: class probabilities [N, C].
        features: [N, D].
        labels: [N], what the sounds should say; None where nothing was asked for.
    """

    p: np.ndarray
    features: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.p)

    def at(self, indices: np.ndarray) -> Judged:
        return Judged(self.p[indices], self.features[indices], None if self.labels is None else self.labels[indices])


@dataclass(frozen=True)
class Reference:
    """The training set, summed up once for every set that is compared with it.

    Attributes:
        size: how many sounds.
        gaussian: of all features. classes: of each label's.
        marginal: [C], the mean of the probabilities.
        bins: of NDB.
    """

    size: int
    gaussian: Gaussian
    classes: dict[int, Gaussian]
    marginal: np.ndarray
    bins: Bins

    @classmethod
    def of(cls, judged: Judged, k: int, seed: int = 0) -> Reference:
        """Of the training set with its labels, in ``k`` bins."""
        assert judged.labels is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # k-means says where two clips are the same
            bins = Bins.of(judged.features, k, seed)
        labels, counts = np.unique(judged.labels, return_counts=True)
        groups = {int(one): judged.features[judged.labels == one] for one in labels[counts > 1]}
        return cls(
            len(judged),
            Gaussian.of(judged.features),
            {label: Gaussian.of(features) for label, features in groups.items()},
            judged.p.mean(0),
            bins,
        )


def score(judged: Judged, reference: Reference, resamples: int = metrics.RESAMPLES) -> dict[str, Estimate]:
    """FID, IS, mIS, AM and NDB/K; with labels also accuracy, and the mean and deviation of the FIDs of the classes.

    The FIDs of the classes are left out where a class has fewer than two sounds.
    """
    p, features, count = judged.p, judged.features, len(judged)
    placed, k = reference.bins.of_sounds(features), len(reference.bins.counts)

    def ndb(i: np.ndarray) -> float:
        return float(metrics.different(reference.bins.counts, np.bincount(placed[i], minlength=k)).mean())

    def over(statistic, **bounds) -> Estimate:
        return metrics.estimate(statistic, count, resamples=resamples, **bounds)

    found = {
        "fid": over(lambda i: metrics.fid(reference.gaussian, features[i]), least=0.0),
        "is": over(lambda i: metrics.inception_score(p[i]), least=1.0, most=float(p.shape[1])),
        "mis": over(lambda i: metrics.modified_inception_score(p[i]), least=1.0),
        "am": over(lambda i: metrics.am_score(p[i], reference.marginal), least=0.0),
        "ndb": over(ndb, least=0.0, most=1.0),
    }
    if judged.labels is not None:
        right = metrics.accuracy(p, judged.labels)
        found["accuracy"] = Estimate(right, *metrics.wilson(round(right * count), count))
        found |= _by_class(judged, reference, resamples)
    return found


def _by_class(judged: Judged, reference: Reference, resamples: int) -> dict[str, Estimate]:
    """The FIDs of the classes: their mean with an interval, sounds drawn within each class, and their deviation."""
    labels = judged.labels
    assert labels is not None
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2 or not set(classes.tolist()) <= set(reference.classes):
        return {}

    def each(i: np.ndarray) -> list[float]:
        drawn = judged.at(i)
        return [metrics.fid(reference.classes[int(c)], drawn.features[drawn.labels == c]) for c in classes]

    mean = metrics.estimate(
        lambda i: float(np.mean(each(i))), len(labels), labels, resamples=resamples, least=0.0
    )  # fmt: skip
    deviation = float(np.std(each(np.arange(len(labels)))))
    return {"fid_class": mean, "fid_class_deviation": Estimate(deviation, np.nan, np.nan)}


def together(estimates: list[Estimate]) -> Estimate:
    """The mean of one metric over independent sets of one size, such as those of several seeds.

    Half widths of a mean of n independent values: the root of the sum of squares, divided by n.
    """
    values, low, high = np.array(estimates, dtype=float).T
    mean = values.mean()
    below, above = (np.sqrt(np.square(values - bound).sum()) / len(values) for bound in (low, high))
    return Estimate(float(mean), float(mean - below), float(mean + above))
