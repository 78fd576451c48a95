"""What failed in a run, as sentences: nothing that failed is left out of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from tts_diffvoc_eval.reporting.leaderboard import Column

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
    said = _sounds(labels, quality)
    for column in metrics if len(quality) else []:
        said += _values(labels, column, quality[quality["error"].isna()])
    for (name, reason), found in _grouped(speeds):
        which = "; ".join(setting(row) for _, row in found.iterrows())
        said.append(f"{labels[name]} was not timed, or not to the end, with {which}: {reason}.")
    for (name, reason), found in _grouped(diversity):
        said.append(f"{labels[name]} has no diversity on {', '.join(sorted(found['clip']))}: {reason}.")
    lacking = set(labels) - set(quality["system"] if len(quality) else [])
    return said + [f"{labels[name]} has no quality record in this run." for name in labels if name in lacking]


def _sounds(labels: dict[str, str], quality: pd.DataFrame) -> list[str]:
    return [
        f"{labels[name]} failed on {len(found)} of {(quality['system'] == name).sum()} sounds, "
        f"{_which(found)}: {reason}."
        for (name, reason), found in _grouped(quality)
    ]


def _values(labels: dict[str, str], column: Column, sounds: pd.DataFrame) -> list[str]:
    """Missing values of a metric in sounds that did not fail."""
    reasons = [given.get(column.name) if isinstance(given, dict) else None for given in sounds.get("reasons", [])]
    sounds = sounds.assign(error=[reason or "no reason is recorded" for reason in reasons])
    if sounds[column.name].isna().all():
        return [f"{column.label} has no value for any system: {_line(why)}." for why in sounds["error"].unique()[:1]]
    applies = sounds.groupby("clip")[column.name].transform("count") > 0
    return [
        f"{labels[name]} has no {column.label} on {_which(found)}: {reason}."
        for (name, reason), found in _grouped(sounds[sounds[column.name].isna() & applies])
    ]


def _grouped(table: pd.DataFrame) -> Any:
    """Rows by system and ``error``, in order; rows without an error are left out."""
    if table.empty:
        return []
    failed = table[table["error"].notna()]
    return failed.assign(why=failed["error"].map(_line)).groupby(["system", "why"], sort=False)


def _line(reason: Any) -> str:
    """A reason in one line without the full stop."""
    return " ".join(str(reason).split()).rstrip(".")


def _which(sounds: pd.DataFrame) -> str:
    """Clips and seeds in words."""
    seeds = sounds.groupby("clip")["seed"].apply(lambda found: ", ".join(str(int(seed)) for seed in sorted(found)))
    named = [f"{clip} (seed {found})" for clip, found in seeds.items()]
    more = len(named) - MOST
    return ", ".join(named[:MOST]) + (f" and {more} more clips" if more > 0 else "")


def setting(row: pd.Series) -> str:
    """A timed setting in words, from a row of ``speed.summarise``."""
    clips = "1 clip" if row["batch"] == 1 else f"{row['batch']} clips"
    return f"{clips} of {row['asked']:.3g} s on {row['device']}"
