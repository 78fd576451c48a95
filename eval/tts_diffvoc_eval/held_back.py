"""Which recordings no recipe of ours learns from."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from pathlib import Path

# Of LibriSpeech these readers, of LJ Speech these clips, of all else one name in twenty.
READERS = {"1098", "1502", "196", "2416", "302", "3699", "4195", "5163", "6209", "6836"}
LJSPEECH = {f"LJ001-00{n}" for n in (21, 26, 31)} | {f"LJ050-02{n}" for n in (38, 48, 53, 58, 63, 68, 73)}
TWENTIETH = 20


def stable_hash(text: str) -> int:
    return zlib.crc32(text.encode())


def is_held_back(path: Path) -> bool:
    """Whether no stage may learn from ``path``; all takes of a prompt, PROMPT_STAMP, go together."""
    if re.fullmatch(r"\d+-\d+-\d+", path.stem):
        return path.stem.split("-")[0] in READERS
    if re.fullmatch(r"LJ\d+-\d+", path.stem):
        return path.stem in LJSPEECH
    return stable_hash(path.stem.split("_")[0]) % TWENTIETH == 0


def held_back(paths: Iterable[Path], one: bool = False) -> set[Path]:
    """Those of ``paths`` to hold back; with ``one`` the last by name where that is none, and another is left."""
    ordered = sorted(paths, key=lambda path: (path.name, path))
    held = {path for path in ordered if is_held_back(path)}
    return held or set(ordered[1:][-1:] if one else [])
