"""Which recordings of a folder training never hears: whole speakers where there are several, else clips."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

SPEAKERS = 7  # of so many speakers the last is held back
CLIPS = 5  # and of so many clips where there are no speakers to tell apart
LIBRISPEECH = re.compile(r"(\d+)-\d+-\d+")
LJSPEECH = re.compile(r"LJ\d+-\d+")


def held_back(paths: Iterable[Path], one: bool = False) -> set[Path]:
    """Those of ``paths``, one folder's recordings, to hold back.

    Every seventh LibriSpeech reader, every fifth LJSpeech clip, by name. Of other recordings every seventh speaker, as
    sub-folders tell them, or what their names begin with before "-" or "_"; where that is all the same, every fifth.

    Args:
        one: hold a speaker, or a clip, back even where there are too few to count.
    """
    readers: dict[str, list[Path]] = {}
    clips: list[list[Path]] = []
    others: list[Path] = []
    for path in sorted(paths, key=lambda p: (p.name, p)):
        reader = LIBRISPEECH.fullmatch(path.stem)
        if reader:
            readers.setdefault(reader[1], []).append(path)
        elif LJSPEECH.fullmatch(path.stem):
            clips.append([path])
        else:
            others.append(path)
    parts = [([readers[name] for name in sorted(readers)], SPEAKERS), (clips, CLIPS), _by_speaker(others)]
    held = [group for groups, count in parts for group in groups[count - 1 :: count]]
    if one and not held:
        held = [groups[-1] for groups, _ in parts if len(groups) > 1][:1]
    return {path for group in held for path in group}


def _by_speaker(paths: list[Path]) -> tuple[list[list[Path]], int]:
    """Recordings in groups, and of how many groups the last is held back."""
    if not paths:
        return [], CLIPS
    root = Path(os.path.commonpath([path.parent for path in paths]))
    for name in (lambda p: p.relative_to(root).parts[0], lambda p: re.split("[-_]", p.stem)[0]):
        groups: dict[str, list[Path]] = {}
        for path in paths:
            groups.setdefault(name(path), []).append(path)
        if 1 < len(groups) < len(paths):
            return [groups[key] for key in sorted(groups)], SPEAKERS
    return [[path] for path in paths], CLIPS
