"""How sure the figures of a run are: intervals over clips, paired differences, and ranks with ties.

Tables are clips x systems, one value each, seeds averaged (:func:`by_clip`): the clips are what a run samples, and two
seeds of one clip are not two clips. A missing value is NaN.

A mean has a bootstrap interval. A paired difference has Student's, because a bootstrap interval cannot leave the range
of the differences: with 8 clips and 20 equal systems (190 pairs), the corrected percentile interval called some
pair different in 85 % of simulated runs, Student's in 6 % (5 are allowed).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats

from tts_diffvoc.errors import DiffvocError

CONFIDENCE = 0.95
RESAMPLES = 4000
Ranks = dict[str, tuple[int, int]]


class Difference(NamedTuple):
    """Mean of a - b over the clips that both have, its interval, and p, both corrected; NaN with under two clips."""

    mean: float
    low: float
    high: float
    p: float
    clips: int

    @property
    def sure(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


# Tables and means


def by_clip(records: pd.DataFrame, column: str) -> pd.DataFrame:
    """``column`` as clips x systems, averaged over the seeds that have a value; NaN where none has.

    Args: records: rows with ``system``, ``clip`` and ``column``, as ``records.table(run, "quality")`` gives.
    """
    lacking = {"system", "clip", column} - set(records.columns)
    if lacking:
        raise DiffvocError(f"the records have no column {', '.join(sorted(lacking))}; measure it, or leave it out.")
    values = pd.to_numeric(records[column], errors="coerce")
    return values.groupby([records["clip"], records["system"]], sort=False).mean().unstack("system")


def interval(values: Sequence[float], confidence: float = CONFIDENCE, seed: int = 0) -> tuple[float, float] | None:
    """(low, high) of the mean of one value a clip; NaN left out, None with fewer than two clips.

    Bias-corrected and accelerated bootstrap (Efron 1987, "Better bootstrap confidence intervals"). Its level is raised
    so that it is as wide as Student's where the data are Gaussian (Hesterberg 2015, "What teachers should know about
    the bootstrap", expanded percentile interval): unraised, 8 clips cover 90 % instead of 95 %. With so few clips that
    even their whole range covers too little, 1 - 2^(1-n) (under 6 for 95 %), Student's interval.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    count = len(known)
    if count < 2:
        return None
    if np.ptp(known) == 0:
        return float(known[0]), float(known[0])
    half = stats.t.ppf((1 + confidence) / 2, count - 1) * stats.sem(known)
    student = float(known.mean() - half), float(known.mean() + half)
    if 1 - 2.0 ** (1 - count) < confidence:
        return student
    quantile = np.sqrt(count / (count - 1)) * stats.t.ppf((1 + confidence) / 2, count - 1)
    with warnings.catch_warnings():  # of almost equal values it makes NaN, which Student's interval replaces
        warnings.simplefilter("ignore")
        found = stats.bootstrap(
            (known,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=1 - 2 * stats.norm.sf(quantile),
            method="BCa",
            vectorized=True,
            random_state=np.random.default_rng(seed),
        ).confidence_interval
    return (float(found.low), float(found.high)) if np.isfinite(found).all() else student


# Pairs


def _student(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean of differences [n], its standard error, and the two-sided p of Student's test.

    Differences that are all the same, and not zero, have no spread to test by: the sign test's 2^(1-n), error 0.
    """
    count = len(differences)
    if count < 2:
        return float(differences.mean()) if count else np.nan, np.nan, np.nan
    mean, error = float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(count))
    if error > 1e-12 * np.abs(differences).max():
        return mean, error, float(2 * special.stdtr(count - 1, -abs(mean) / error))
    return mean, 0.0, 2.0 ** (1 - count) if mean else 1.0


def _common(table: pd.DataFrame, a: str, b: str) -> np.ndarray:
    """Values of ``a`` less those of ``b`` on the clips that have both."""
    for name in (a, b):
        if name not in table:
            raise DiffvocError(f"there is no system {name!r} to compare; the table has {', '.join(map(str, table))}.")
    difference = table[a].to_numpy(float) - table[b].to_numpy(float)
    return difference[np.isfinite(difference)]


def _at(level: float, mean: float, error: float, p: float, clips: int) -> tuple[float, float]:
    """The interval of a difference at 1 - ``level``; it excludes zero where p < level."""
    if clips < 2:
        return np.nan, np.nan
    half = -special.stdtrit(clips - 1, level / 2) * error if error else abs(mean) * (p >= level)
    return float(mean - half), float(mean + half)


def paired(table: pd.DataFrame, a: str, b: str, comparisons: int = 1, confidence: float = CONFIDENCE) -> Difference:
    """How far ``a`` lies above ``b`` on the clips that both have: Student's interval of the paired difference.

    With ``comparisons`` the interval is widened, and p multiplied, by Bonferroni's correction: all such intervals
    together cover with ``confidence``. A system and its copy differ by exactly 0, with p = 1.
    """
    if comparisons < 1:
        raise DiffvocError(f"comparisons={comparisons} was given; it must be at least 1.")
    differences = _common(table, a, b)
    mean, error, p = _student(differences)
    low, high = _at((1 - confidence) / comparisons, mean, error, p, len(differences))
    return Difference(mean, low, high, min(1.0, p * comparisons) if p == p else np.nan, len(differences))


def holm(p: Sequence[float]) -> np.ndarray:
    """Corrected p values [m] (Holm 1979, "A simple sequentially rejective multiple test procedure").

    The i-th smallest is multiplied by m - i + 1, and is no smaller than the one before. NaN stays, and counts as no
    comparison.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)[: np.isfinite(values).sum()]
    corrected = np.full(len(values), np.nan)
    steps = values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected


def _levels(p: np.ndarray, alpha: float) -> np.ndarray:
    """The level at which Holm's procedure tests each p [m]; what comes after the first that fails shares its level."""
    order = np.argsort(p)
    count = int(np.isfinite(p).sum())
    levels = np.full(len(p), np.nan)
    if count:
        steps = alpha / np.arange(count, 0, -1)
        failed = np.flatnonzero(p[order[:count]] >= steps)
        levels[order[:count]] = np.minimum(steps, steps[failed[0]] if len(failed) else alpha)
    return levels


def compare_all(table: pd.DataFrame, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """Every pair of systems, corrected for the number of pairs by Holm's procedure.

    Returns one row a pair: ``a``, ``b``, ``mean`` of a - b, ``low`` and ``high`` at the level at which Holm's
    procedure tests the pair, ``p`` corrected, ``clips`` that both have, and ``sure``: the interval excludes zero. The
    chance that any pair of equal systems is called sure is at most 1 - ``confidence``. A pair with fewer than two
    common clips has NaN and is never sure.
    """
    pairs = list(combinations(table.columns, 2))
    found = [_common(table, a, b) for a, b in pairs]
    means, errors, p = np.array([_student(one) for one in found], dtype=float).reshape(-1, 3).T
    clips = [len(one) for one in found]
    bounds = [_at(*one) for one in zip(_levels(p, 1 - confidence), means, errors, p, clips)]
    low, high = np.array(bounds, dtype=float).reshape(-1, 2).T
    names = {"a": [a for a, _ in pairs], "b": [b for _, b in pairs]}
    numbers = {"mean": means, "low": low, "high": high, "p": holm(p), "clips": clips, "sure": (low > 0) | (high < 0)}
    return pd.DataFrame({**names, **numbers})


# Ranks


def _sign(better: str) -> int:
    if better not in ("higher", "lower"):
        raise DiffvocError(f"better={better!r} gives no order; ranks need 'higher' or 'lower'.")
    return 1 if better == "higher" else -1


def ranks(table: pd.DataFrame, better: str = "higher", confidence: float = CONFIDENCE) -> Ranks:
    """The places that each system may hold, (first, last), best is 1.

    One system stands before another only where :func:`compare_all` is sure of it: first is 1 + the number of systems
    surely better, last the number of systems less those surely worse (Goldstein & Spiegelhalter 1996 on why league
    tables need such ranges). (1, 1) is surely better than every other. A system without values may hold any place.
    """
    sign = _sign(better)
    ahead, behind = dict.fromkeys(table.columns, 0), dict.fromkeys(table.columns, 0)
    for pair in compare_all(table, confidence).itertuples():
        if pair.sure:
            winner, loser = (pair.a, pair.b) if sign * pair.mean > 0 else (pair.b, pair.a)
            behind[winner] += 1
            ahead[loser] += 1
    return {name: (1 + ahead[name], len(ahead) - behind[name]) for name in table.columns}


def combine(tables: Mapping[str, pd.DataFrame], better: Mapping[str, str]) -> pd.DataFrame:
    """Several metrics as one score, clips x systems, higher is better, for :func:`ranks`.

    Each metric is centred, divided by its standard deviation over all systems and clips, turned so that higher is
    better, and the mean is taken. Differences of two systems then depend on the others by the scale alone, unlike
    differences of their places (Benavoli et al. 2016, "Should we really use post-hoc tests based on mean-ranks?").
    A system that has no value on a clip where another has gets the worst of that clip: a failure is no advantage.

    Args: tables: metric -> clips x systems. better: metric -> "higher" or "lower".
    """
    if not tables:
        raise DiffvocError("no metric was given to combine; give at least one.")
    systems = list(dict.fromkeys(name for table in tables.values() for name in table.columns))
    clips = list(dict.fromkeys(name for table in tables.values() for name in table.index))
    scores = []
    for metric, table in tables.items():
        values = _sign(better[metric]) * table.reindex(index=clips, columns=systems).to_numpy(float)
        known = values[np.isfinite(values)]
        scale = known.std() if len(known) else 0.0
        scored = (values - known.mean()) / scale if scale > 0 else np.where(np.isfinite(values), 0.0, np.nan)
        frame = pd.DataFrame(scored, clips, systems)
        scores.append(frame.apply(lambda row: row.fillna(row.min()), axis=1))
    return pd.concat(scores, keys=range(len(scores))).groupby(level=1, sort=False).mean()
