"""The answer in words: how diffusion stands to flow and GAN, and what its steps and its network are worth.

A sentence whose systems are not in the run is left out. Differences are paired over the clips that both systems have,
times over the repetitions; brackets hold Student's 95 % intervals, of a mean the bootstrap's, none corrected.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from tts_diffvoc_eval import intervals
from tts_diffvoc_eval.reporting.rows import UNINTELLIGIBLE, Column, Row, listed

NOTE = (
    "PESQ-WB says how near a sound is to the recording, 4.64 at most; DNSMOS how good it sounds by itself, 1 to 5. "
    "Brackets: 95 % intervals of differences clip by clip; where they hold zero, it is a tie."
)
QUOTED = ("pesq_wb", "dnsmos")
ALIKE = 0.1  # by what share minutes of training may differ and be called equal
RIVALS = {"flow": "flow", "gan": "GAN"}
READER = r"LJ\d{3}-\d{4}"  # clips of LJ Speech, by name
# PESQ-WB of audio that the papers' authors published, clips of LJ Speech, scored with metrics.METRICS.
PUBLISHED = {"DiffWave LARGE": 4.05, "DiffWave BASE, fast": 3.70, "HiFi-GAN V1": 3.65, "WaveGlow": 3.63}


def sentences(rows: list[Row], metrics: list[Column], quality: pd.DataFrame, speeds: pd.DataFrame) -> list[str]:
    """The sentences that a run allows.

    Args:
        rows: best first, as a leaderboard has them.
        quality: records of sounds; speeds: timed calls of the headline's setting.
    """
    metrics = [column for column in metrics if column.name in QUOTED]
    if quality.empty or not metrics:
        return []
    scores = {column.label: intervals.by_clip(quality, column.name) for column in metrics}
    rows = [row for row in rows if any(row.name in table for table in scores.values())]
    ours = [row for row in rows if row.family == "diffusion" and row.steps != 0]
    said = [_rivals(rows, ours, scores, speeds), _steps(ours, scores, speeds), _network(rows, ours, scores)]
    return [sentence for found in said for sentence in found]


def _rivals(rows: list[Row], ours: list[Row], scores: dict[str, pd.DataFrame], speeds: pd.DataFrame) -> Iterator[str]:
    """The best diffusion system beside the best flow and GAN that were trained for as long on the same device, and
    whatever learnt too little in that time."""
    for row in ours:
        alike = [one for one in rows if _alike(row, one) and _gain(scores, row, one)]
        found = [next((one for one in alike if one.family == family and one.intelligible), None) for family in RIVALS]
        known = [rival for rival in found if rival]
        if not known:
            continue
        gains = "; and ".join(
            f"{_gain(scores, row, one)} than the best {RIVALS[one.family]}, {_name(one)}" for one in known
        )
        lost = [f"the {RIVALS.get(one.family, one.family)} {one.title}" for one in alike if not one.intelligible]
        if lost:
            gains += (
                f"; {listed(lost)} ha{'ve' if len(lost) > 1 else 's'} not learnt to speak in that time "
                f"({UNINTELLIGIBLE:g} % of the words or more are wrong)"
            )
        yield f"At equal training ({row.minutes:g} {row.trained_on} minutes each) {_name(row)} has {gains}."
        times = [f"{ratio} as long as {_name(one)}" for one in known if (ratio := _times(speeds, row, one))]
        if times:
            yield f"To make a second of speech {_name(row)} takes {' and '.join(times)}."
        return


def _steps(ours: list[Row], scores: dict[str, pd.DataFrame], speeds: pd.DataFrame) -> Iterator[str]:
    """The most steps of the best checkpoint that was run with several, beside its fewest."""
    for row in ours:
        line = sorted((one for one in ours if one.title == row.title), key=lambda one: one.steps or 0)
        few, most = line[0], line[-1]
        more = (most.steps or 0) - (few.steps or 0)
        if not more or not (gain := _gain(scores, most, few)):
            continue
        cost = _paired(speeds, most, few)
        time = ""
        if cost:
            mean, low, high = (f"{1000 * value / more:.3g}" for value in cost[:3])
            time = f", and take {mean} ms [{low}, {high}] each for a second of speech"
        yield f"{row.title}'s steps from {few.steps} to {most.steps} buy {gain}{time}."
        return


def _network(rows: list[Row], ours: list[Row], scores: dict[str, pd.DataFrame]) -> Iterator[str]:
    """The best system that has a prior, beside it, with other options too, and beside what the papers' authors
    published."""
    priors = {one.title: one for one in rows if one.steps == 0}
    row = next((one for one in ours if one.title in priors), None)
    if row is None:
        return
    controls = {"its prior alone": priors.pop(row.title)}
    controls |= {prior.label: prior for title, prior in priors.items() if title.startswith(f"{row.title}, ")}
    gains = [f"{gain} than {name}" for name, one in controls.items() if (gain := _gain(scores, row, one))]
    if gains:
        yield f"With its network {_name(row)} has {'; and '.join(gains)}."
    table = scores.get("PESQ-WB")
    if table is None or row.name not in table:
        return
    heard = table.loc[table.index.str.contains(READER), row.name].dropna()
    if found := intervals.interval(heard.to_list()):
        others = ", ".join(f"{name} {value:.2f}" for name, value in PUBLISHED.items())
        yield (
            f"On {len(heard)} clips of LJ Speech {_name(row)} has {heard.mean():.2f} PESQ-WB [{found[0]:.2f}, "
            f"{found[1]:.2f}]; the papers' own published audio of that reader, scored here: {others}."
        )


def _name(row: Row) -> str:
    return f"{row.title} at {row.steps} step{'s' * (row.steps > 1)}" if row.steps else row.label


def _alike(one: Row, other: Row) -> bool:
    """Whether two systems had equal training."""
    if one.minutes is None or other.minutes is None or one.trained_on != other.trained_on:
        return False
    return abs(one.minutes - other.minutes) <= ALIKE * max(one.minutes, other.minutes)


def _paired(table: pd.DataFrame, one: Row, other: Row) -> intervals.Difference | None:
    """How far ``one`` lies above ``other``; None with fewer than two values of both."""
    if one.name not in table or other.name not in table:
        return None
    found = intervals.paired(table, one.name, other.name)
    return None if math.isnan(found.low) else found


def _gain(scores: dict[str, pd.DataFrame], one: Row, other: Row) -> str:
    """ "0.17 more PESQ-WB [0.14, 0.20] and 0.02 less DNSMOS [0.00, 0.04]"."""
    said = []
    for label, table in scores.items():
        found = _paired(table, one, other)
        if found is not None:
            ends = (found.low, found.high) if found.mean >= 0 else (-found.high, -found.low)
            tie = " (a tie)" if found.low <= 0 <= found.high else ""
            word = "more" if found.mean >= 0 else "less"
            said.append(f"{abs(found.mean):.2f} {word} {label} [{ends[0]:.2f}, {ends[1]:.2f}]{tie}")
    return " and ".join(said)


def _times(speeds: pd.DataFrame, one: Row, other: Row) -> str:
    """ "2.1 times [2.0, 2.2]": the ratio of two real-time factors."""
    found = _paired(np.log(speeds), one, other)
    if found is None:
        return ""
    mean, low, high = (f"{math.exp(value):.3g}" for value in found[:3])
    return f"{mean} times [{low}, {high}]"
