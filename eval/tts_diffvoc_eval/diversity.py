"""How far a system's samples of one mel lie from each other: metrics of one seed beside another.

All are means over the pairs of seeds. Two floors are measured by the same code: the original beside itself one sample
later, which is what a metric shows for a difference that nobody hears, and a deterministic system, which is exactly
zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from tts_diffvoc_eval.metrics import measure


class Spread(NamedTuple):
    """A column of ``diversity.jsonl``: the metric that is taken between seeds, and the column in words."""

    metric: str
    label: str
    description: str


SPREADS = {
    "spread_lsd": Spread(
        "lsd",
        "Spectral spread",
        "Log-spectral distance between two seeds of one mel. 0: always the same; 7.9: as far as two white noises. "
        "It cannot tell natural variety from noise: look at the log-mel error beside it.",
    ),
    "spread_log_mel": Spread(
        "log_mel_l1",
        "Mel spread",
        "Log-mel error between two seeds of one mel. The mel was given, so this is not freedom but error that changes "
        "with the seed.",
    ),
    "spread_f0": Spread(
        "f0_rmse",
        "Pitch spread",
        "F0 error between two seeds of one mel. Slips of the pitch tracker count too.",
    ),
}


def spread(samples: np.ndarray, sample_rate: int) -> dict[str, float | None]:
    """The values of ``SPREADS`` for samples [N, T] of one mel, one a seed; None where a pair has no value.

    >>> noise = np.random.default_rng(0).standard_normal((2, 22050))
    >>> round(spread(noise, 22050)["spread_lsd"])
    8
    """
    metrics = [one.metric for one in SPREADS.values()]
    pairs = [measure(metrics, b, a, sample_rate)[0] for a, b in combinations(samples, 2)]
    means = np.array([[pair[metric] for metric in metrics] for pair in pairs], float).mean(0)  # None becomes NaN
    return {name: None if np.isnan(mean) else float(mean) for name, mean in zip(SPREADS, means)}


def record(made: Mapping[int, np.ndarray | str], sample_rate: int, original: bool = False) -> dict[str, Any]:
    """What a line of ``diversity.jsonl`` holds beside the names of system and clip.

    Args:
        made: seed -> its waveform [T], or in words why there is none.
        original: the waveform is one recording, which is measured beside itself one sample later.
    """
    failed = [f"seed {seed}: {one}" for seed, one in made.items() if isinstance(one, str)]
    if failed:
        return {"seeds": list(made), "error": "; ".join(failed), "values": {}}
    samples = list(made.values())
    if original:
        samples = [samples[0][:-1], samples[0][1:]]
    return {"seeds": list(made), "error": None, "values": spread(np.stack(samples), sample_rate)}
