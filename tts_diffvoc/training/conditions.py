"""Which speaker, or other class, each recording belongs to: the global condition of a vocoder that has one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.corpus import Recording

FOLDER = "folder"
SHOWN = 10


@lru_cache(maxsize=8)
def expression(rule: str) -> re.Pattern[str]:
    """The regular expression of a rule, whose one group is a recording's condition.

    Args:
        rule: "folder" for the topmost folder of a recording's name, or a regular expression with one group, which is
            searched for in the name: the path below the corpus folder, without suffix.

    Raises: DiffvocError for what is no such expression.
    """
    try:
        found = re.compile(r"^([^/]+)/" if rule == FOLDER else rule)
    except re.error as error:
        raise DiffvocError(
            f"global_condition is {rule!r}, which is no regular expression ({error}); give 'folder', or one such as "
            r"'^([^_]+)_' for clips named speaker_number."
        ) from None
    if found.groups != 1:
        raise DiffvocError(
            f"global_condition is {rule!r}, which has {found.groups} groups; put what tells the conditions apart, and "
            r"that alone, in parentheses, as in '^([^_]+)_', or give 'folder'."
        )
    return found


def conditioned(recordings: Sequence[Recording], rule: str) -> list[Recording]:
    """``recordings`` with the conditions that :func:`expression` finds in their names, None where it finds none.

    Those that have one keep it, and without a rule nothing changes.
    """
    if not rule:
        return list(recordings)
    found = [expression(rule).search(r.name) for r in recordings]
    return [r if r.condition else replace(r, condition=(m and m[1]) or None) for r, m in zip(recordings, found)]


def names_of(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """The conditions of ``recordings`` in alphabetical order, which becomes that of their numbers."""
    return tuple(sorted({r.condition for r in recordings if r.condition}))


def numbered(recordings: Sequence[Recording], names: Sequence[str]) -> list[int]:
    """The number of each recording's condition among ``names``.

    Raises: DiffvocError for recordings without a condition, or with another one.
    """
    lacking = [r.name for r in recordings if not r.condition]
    if lacking:
        raise DiffvocError(
            f"global_condition finds no condition in the names of {len(lacking)} clips, such as {lacking[0]}; "
            "take them out of the corpus, or give another expression."
        )
    places = {name: place for place, name in enumerate(names)}
    for recording in recordings:
        if recording.condition not in places:
            raise DiffvocError(
                f"the clip {recording.name} belongs to {recording.condition!r}, which is not among what is trained on: "
                f"{shown(names)}. Take it out, or begin a training that learns {recording.condition!r} too."
            )
    return [places[str(r.condition)] for r in recordings]


def shown(names: Sequence[str]) -> str:
    """The first of ``names``, and how many more there are, for messages."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
