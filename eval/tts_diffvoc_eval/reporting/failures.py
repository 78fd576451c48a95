"""What failed in a run, as sentences: nothing that failed is left out of a report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from tts_diffvoc_eval.reporting.rows import Column

MOST = 6  # sounds named in one sentence


def sentences(
    labels: dict[str, str],
    metrics: list[Column],
    quality: pd.DataFrame,
    speeds: pd.DataFrame,
    diversity: pd.DataFrame,
) -> list[str]:
    """One sentence for each system and reason.

    A metric that has no value for any system on a clip, such as word error without a transcript, does not apply there;
    that is no failure of a system.
    """
    said = [
        f"{labels[name]} failed on {len(found)} of {(quality['system'] == name).sum()} sounds, {_sounds(found)}: {why}."
        for name, why, found in _grouped(quality)
    ]
    made = quality[quality["error"].isna()]
    for column in metrics:
        lacking = made[made[column.name].isna()]
        given = [reasons if isinstance(reasons, dict) else {} for reasons in lacking["reasons"]]
        why = [reasons.get(column.name) or "no reason is recorded" for reasons in given]
        lacking = lacking.assign(error=why)
        if len(lacking) == len(made):
            said += [f"{column.label} has no value for any system: {_line(one)}." for one in why[:1]]
            continue
        applies = lacking["clip"].isin(made.loc[made[column.name].notna(), "clip"])
        for name, reason, found in _grouped(lacking[applies]):
            said.append(f"{labels[name]} has no {column.label} on {_sounds(found)}: {reason}.")
    for name, reason, found in _grouped(speeds):
        which = "; ".join(setting(row) for _, row in found.iterrows())
        said.append(f"{labels[name]} was not timed, or not to the end, with {which}: {reason}.")
    for name, reason, found in _grouped(diversity):
        said.append(f"{labels[name]} has no diversity on {', '.join(sorted(found['clip']))}: {reason}.")
    return said + [
        f"{labels[name]} has no quality record in this run." for name in labels if name not in set(quality["system"])
    ]


def _grouped(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """System, reason and rows for each of both, in order; rows without an error are left out."""
    failed = table[table["error"].notna()]
    for (name, why), found in failed.groupby(["system", failed["error"].map(_line)], sort=False):
        yield str(name), str(why), found


def _line(reason: Any) -> str:
    """A reason in one line without the full stop."""
    return " ".join(str(reason).split()).rstrip(".")


def _sounds(found: pd.DataFrame) -> str:
    """Clips and seeds in words."""
    named = [f"{clip} (seed {', '.join(map(str, sorted(seeds)))})" for clip, seeds in found.groupby("clip")["seed"]]
    more = len(named) - MOST
    return ", ".join(named[:MOST]) + (f" and {more} more clips" if more > 0 else "")


def setting(row: pd.Series) -> str:
    """A timed setting in words, from a row of ``speed.summarise``."""
    clips = "1 clip" if row["batch"] == 1 else f"{row['batch']} clips"
    return f"{clips} of {row['asked']:.3g} s on {row['device']}"
