"""Intervals over clips, paired differences, and ranks with ties.

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
from scipy import stats
from statsmodels.stats.multitest import multipletests

from tts_diffvoc.errors import DiffvocError

CONFIDENCE = 0.95
RESAMPLES = 4000
Ranks = dict[str, tuple[int, int]]


class Difference(NamedTuple):
    """Mean of a - b over the clips that both have, its interval, and p; NaN with fewer than two clips."""

    mean: float
    low: float
    high: float
    p: float
    clips: int


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


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float] | None:
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
    half = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * stats.sem(known)
    student = float(known.mean() - half), float(known.mean() + half)
    if 1 - 2.0 ** (1 - count) < CONFIDENCE:
        return student
    quantile = np.sqrt(count / (count - 1)) * stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)
    with warnings.catch_warnings():  # of almost equal values it makes NaN, which Student's interval replaces
        warnings.simplefilter("ignore")
        found = stats.bootstrap(
            (known,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=1 - 2 * stats.norm.sf(quantile),
            method="BCa",
            vectorized=True,
            random_state=np.random.default_rng(0),
        ).confidence_interval
    return (float(found.low), float(found.high)) if np.isfinite(found).all() else student


# Pairs


def paired(table: pd.DataFrame, a: str, b: str) -> Difference:
    """How far ``a`` lies above ``b`` on the clips that both have: Student's test and interval of paired differences.

    A system and its copy differ by exactly 0, with p = 1. Other differences that are all the same have no spread to
    test by: the sign test's 2^(1-n) instead.
    """
    for name in (a, b):
        if name not in table:
            raise DiffvocError(f"there is no system {name!r} to compare; the table has {', '.join(map(str, table))}.")
    values = (table[a] - table[b]).dropna().to_numpy(float)
    count = len(values)
    mean = float(values.mean()) if count else np.nan
    if count < 2:
        return Difference(mean, np.nan, np.nan, np.nan, count)
    if values.std() > 1e-12 * np.abs(values).max():
        test = stats.ttest_1samp(values, 0)
        low, high = test.confidence_interval(CONFIDENCE)
        return Difference(mean, float(low), float(high), float(test.pvalue), count)
    p = 2.0 ** (1 - count) if mean else 1.0
    half = 0.0 if p < 1 - CONFIDENCE else abs(mean)
    return Difference(mean, mean - half, mean + half, p, count)


def compare_all(table: pd.DataFrame) -> pd.DataFrame:
    """Every pair of systems: ``a``, ``b``, ``mean`` of a - b, ``low``, ``high``, ``p``, ``clips`` and ``significant``.

    ``p`` is corrected for the number of pairs by Holm's procedure (Holm 1979, "A simple sequentially rejective
    multiple test procedure"), the interval is not. ``significant`` is p < 0.05: the chance that any pair of equal
    systems is called so is at most 5 %. A pair with fewer than two common clips has NaN and is never significant.
    """
    pairs = [{"a": a, "b": b, **paired(table, a, b)._asdict()} for a, b in combinations(table.columns, 2)]
    found = pd.DataFrame(pairs, columns=["a", "b", *Difference._fields])
    known = found["p"].notna()
    if known.any():
        found.loc[known, "p"] = multipletests(found.loc[known, "p"], method="holm")[1]
    return found.assign(significant=found["p"] < 1 - CONFIDENCE)


# Ranks


def _sign(better: str) -> int:
    if better not in ("higher", "lower"):
        raise DiffvocError(f"better={better!r} gives no order; ranks need 'higher' or 'lower'.")
    return 1 if better == "higher" else -1


def ranks(table: pd.DataFrame, better: str = "higher") -> Ranks:
    """The places that each system may hold, (first, last), best is 1.

    One system stands before another only where :func:`compare_all` calls their difference significant: first is 1 + the
    number of systems significantly better, last the number of systems less those significantly worse (Goldstein &
    Spiegelhalter 1996 on why league tables need such ranges). (1, 1) is better than every other. A system without
    values may hold any place.
    """
    sign = _sign(better)
    ahead, behind = dict.fromkeys(table.columns, 0), dict.fromkeys(table.columns, 0)
    for pair in compare_all(table).itertuples():
        if pair.significant:
            winner, loser = (pair.a, pair.b) if sign * pair.mean > 0 else (pair.b, pair.a)
            behind[winner] += 1
            ahead[loser] += 1
    return {name: (1 + ahead[name], len(ahead) - behind[name]) for name in table.columns}


def best(table: pd.DataFrame, better: str) -> str | None:
    """The system of ``table`` that is significantly better than each other one, or None."""
    sign = _sign(better)

    def ahead(one: str, other: str) -> bool:
        found = paired(table, one, other)
        return sign * found.mean > 0 and found.p < 1 - CONFIDENCE

    if table.shape[1] < 2:
        return None
    # Holm's correction only raises p: who is not ahead without it is not with it.
    leader = next((one for one in table if all(ahead(one, other) for other in table if other != one)), None)
    return str(leader) if leader is not None and ranks(table, better)[leader] == (1, 1) else None


def combine(tables: Mapping[str, pd.DataFrame], better: Mapping[str, str]) -> pd.DataFrame:
    """Several metrics as one score, clips x systems, higher is better, for :func:`ranks`.

    Each metric is centred, divided by its standard deviation over all systems and clips, turned so that higher is
    better, and the mean is taken. Differences of two systems then depend on the others by the scale alone, unlike
    differences of their places (Benavoli et al. 2016, "Should we really use post-hoc tests based on mean-ranks?").
    A system that has no value on a clip where another has gets the worst of that clip: a failure is no advantage.

    Args: tables: metric -> clips x systems. better: metric -> "higher" or "lower".
    """
    scores = []
    for metric, table in tables.items():
        values = _sign(better[metric]) * table
        known = values.stack().dropna()
        scores.append((values - known.mean()) / (known.std(ddof=0) or 1.0))
    every = pd.concat(scores, keys=tables)
    return every.T.fillna(every.min(axis=1)).T.groupby(level=1, sort=False).mean()
