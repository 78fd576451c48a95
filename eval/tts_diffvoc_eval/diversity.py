"""How far a system's samples of one mel lie from each other: metrics of one seed beside another.

All are means over the pairs of seeds. Two floors are measured by the same code: the original beside itself one sample
later, which is what a metric shows for a difference that nobody hears, and a deterministic system, which is exactly
zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.metrics import METRICS, measure


@dataclass(frozen=True)
class Spread:
    """A column of ``diversity.jsonl`` in words: the metric ``of`` taken between seeds."""

    name: str
    of: str
    label: str
    description: str

    @property
    def unit(self) -> str:
        return METRICS[self.of].unit

    @property
    def decimals(self) -> int:
        return METRICS[self.of].decimals


SPREADS = {
    spread.name: spread
    for spread in (
        Spread(
            "spread_lsd",
            "lsd",
            "Spectral spread",
            "Log-spectral distance between two seeds of one mel. 0: always the same; 7.9: as far as two white noises. "
            "It cannot tell natural variety from noise: look at the log-mel error beside it.",
        ),
        Spread(
            "spread_log_mel",
            "log_mel_l1",
            "Mel spread",
            "Log-mel error between two seeds of one mel. The mel was given, so this is not freedom but error that "
            "changes with the seed.",
        ),
        Spread(
            "spread_f0",
            "f0_rmse",
            "Pitch spread",
            "F0 error between two seeds of one mel. Slips of the pitch tracker count too.",
        ),
    )
}


def spread(samples: np.ndarray, sample_rate: int) -> dict[str, float | None]:
    """The values of ``SPREADS`` for samples [N, T] of one mel, one a seed; None where a pair has no value.

    >>> noise = np.random.default_rng(0).standard_normal((2, 22050))
    >>> round(spread(noise, 22050)["spread_lsd"])
    8
    """
    names = [one.of for one in SPREADS.values()]
    pairs = [measure(names, b, a, sample_rate)[0] for a, b in combinations(samples, 2)]
    found: dict[str, float | None] = {}
    for one in SPREADS.values():
        values = [pair[one.of] for pair in pairs]
        known = [value for value in values if value is not None]
        found[one.name] = float(np.mean(known)) if len(known) == len(values) else None
    return found


def record(
    system: str, clip: str, made: Mapping[int, np.ndarray | str], original: np.ndarray | None, sample_rate: int
) -> dict[str, Any]:
    """One line of ``diversity.jsonl``.

    Args: made: seed -> its waveform [T], or in words why there is none. "original" is measured one sample later.
    """
    line: dict[str, Any] = {"system": system, "clip": clip, "seeds": list(made), "error": None, "values": {}}
    failed = [f"seed {seed}: {one}" for seed, one in made.items() if isinstance(one, str)]
    samples = [one for one in made.values() if not isinstance(one, str)]
    if failed:
        return {**line, "error": "; ".join(failed)}
    if system == "original" and original is not None:
        samples = [original[:-1], original[1:]]
    if len(samples) < 2:
        raise DiffvocError(f"{system} has one sample of {clip}; diversity takes at least two seeds.")
    return {**line, "values": spread(np.stack(samples), sample_rate)}
