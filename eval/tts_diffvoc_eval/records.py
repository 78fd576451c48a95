"""Files of a run: the only thing between measuring and reporting.

A run is a folder with ``manifest.json``, ``systems.json``, and one JSON object a line in ``quality.jsonl``,
``speed.jsonl`` and ``diversity.jsonl``. Lines are appended as soon as they are measured, so that an interrupted run is
continued (``--resume``) without repeating any.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from tts_diffvoc.files import write_beside

KINDS = ("quality", "speed", "diversity")


def _plain(value: Any) -> Any:
    """JSON has no NaN: what is not finite becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def append(run: Path, kind: str, record: dict[str, Any]) -> None:
    """Add one record to ``kind`` of a run, flushed to disk."""
    with (run / f"{kind}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(_plain(record), allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def lines(run: Path, kind: str) -> Iterator[dict[str, Any]]:
    """The records of ``kind``; a last line that a crash cut short is left out."""
    path = run / f"{kind}.jsonl"
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def mend(run: Path) -> None:
    """Cut a last line that a crash left unfinished, so that the next record begins on its own."""
    for kind in KINDS:
        path = run / f"{kind}.jsonl"
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]
            if whole != text:
                path.write_text(whole, encoding="utf-8")


def table(run: Path, kind: str) -> pd.DataFrame:
    """The records of ``kind`` as rows; the entries of ``values`` become numeric columns of their own."""
    found = list(lines(run, kind))
    values = pd.DataFrame([record.pop("values", None) or {} for record in found]).apply(pd.to_numeric)
    return pd.concat([pd.DataFrame(found), values], axis=1)


def value_names(run: Path, kind: str) -> list[str]:
    """The names that ``values`` of ``kind`` have anywhere, in order of appearance."""
    return list(dict.fromkeys(name for record in lines(run, kind) for name in record.get("values") or {}))


def read(run: Path, name: str) -> dict[str, Any]:
    """``manifest`` or ``systems`` of a run."""
    path = run / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write(run: Path, name: str, values: dict[str, Any]) -> None:
    """Write NAME.json, whole or not at all."""
    write_beside(run / f"{name}.json", json.dumps(_plain(values), indent=1, allow_nan=False) + "\n")
