"""Speed and memory by system and setting, from the records of ``speed.jsonl``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

KEYS = ["system", "device", "batch", "asked"]


def summarise(records: pd.DataFrame, reference: str | None = None) -> pd.DataFrame:
    """One row a (system, device, batch, asked).

    Columns beside these keys:
        repetitions: timed ones. error: why there are none or fewer, else None.
        seconds: of the clip that was synthesised; shortened: whether it is not the one asked for.
        p50, p95: seconds that a repetition took (linear between repetitions: with fewer than 20 of them, p95 is little
            more than the longest).
        rtf: real-time factor, median seconds of work for one second of audio, all clips of the batch counted.
        latency: seconds to the whole clip that was asked for: p50, or with a shortened clip p50 in proportion.
        ratio, ratio_low, ratio_high: real-time factor over the reference's; 2 is twice as slow. The geometric mean over
            repetitions of one round, and Student's 95 % interval of its logarithm; ratio_reason says why there is none.
        device_memory, process_memory: bytes, the highest of the repetitions.

    Of a repetition measured twice, the last counts.
    """
    if records.empty:
        return pd.DataFrame(columns=[*KEYS, "repetitions", "error", "p50", "p95", "rtf", "latency", "ratio"])
    table = pd.DataFrame({"asked": records["seconds"], "error": None}).assign(**records)
    for name in ("took", "device_memory", "process_memory"):
        table[name] = pd.to_numeric(table[name])
    table["rtf"] = table["took"] / (table["batch"] * table["seconds"])
    table = table.drop_duplicates([*KEYS, "repeat"], keep="last")
    rows = []
    for group, own in table.groupby(KEYS, sort=False):
        beside = table[(table["system"] == reference) & table[KEYS[1:]].eq(pd.Series(group[1:], KEYS[1:])).all(axis=1)]
        rows.append(dict(zip(KEYS, group)) | _describe(own) | _ratio(own, beside))
    return pd.DataFrame(rows)


def _describe(table: pd.DataFrame) -> dict[str, Any]:
    """The columns of one system in one setting that need no other system."""
    timed, errors = table[table["took"].notna()], table["error"].dropna()
    seconds, asked = float((timed if len(timed) else table)["seconds"].iloc[-1]), float(table["asked"].iloc[0])
    shortened = seconds < 0.98 * asked  # a clip is whole frames: 12 ms each
    row: dict[str, Any] = {
        "repetitions": len(timed), "error": str(errors.iloc[0]) if len(errors) else None,
        "seconds": seconds, "shortened": shortened,
    }  # fmt: skip
    for name in ("device_memory", "process_memory"):
        row[name] = None if table[name].isna().all() else float(table[name].max())
    if timed.empty:
        return row | dict.fromkeys(["p50", "p95", "rtf", "latency"])
    p50, p95 = (float(value) for value in np.percentile(timed["took"], [50, 95]))
    latency = p50 * asked / seconds if shortened else p50
    return row | {"p50": p50, "p95": p95, "rtf": float(timed["rtf"].median()), "latency": latency}


def _ratio(table: pd.DataFrame, reference: pd.DataFrame) -> dict[str, Any]:
    """Geometric mean of the ratios of repetitions of one round, with Student's interval of the logarithm."""
    row: dict[str, Any] = dict.fromkeys(["ratio", "ratio_low", "ratio_high", "ratio_reason"])
    pairs = table.merge(reference, on="repeat", suffixes=("", "_reference"))[["rtf", "rtf_reference"]].dropna()
    pairs = pairs[(pairs > 0).all(axis=1)]
    if pairs.empty:
        return row | {"ratio_reason": "no repetition beside one of the reference"}
    logs = np.log(pairs["rtf"].to_numpy(float) / pairs["rtf_reference"].to_numpy(float))
    row["ratio"] = float(np.exp(logs.mean()))
    if len(logs) < 2:
        return row | {"ratio_reason": "one repetition beside the reference; an interval needs two"}
    half = stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs)
    return row | {"ratio_low": float(np.exp(logs.mean() - half)), "ratio_high": float(np.exp(logs.mean() + half))}
