"""Files of a run: the only thing between measuring and reporting.

A run is a folder with ``manifest.json``, ``systems.json``, and one JSON object a line in ``quality.jsonl``,
``speed.jsonl`` and ``diversity.jsonl``. Lines are appended as soon as they are measured, so that an interrupted run is
continued (``--resume``) without repeating any. A line that is damaged, or that is no record, is as good as not there.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import write_beside

if TYPE_CHECKING:
    import pandas as pd

# What a record has at least, each a text, a number or nothing.
FIELDS = {
    "quality": ("system", "seed"),
    "speed": ("system", "device", "batch", "asked", "seconds", "repeat", "repeats", "took", "memory", "error"),
    "diversity": ("system", "clip", "error"),
}
KINDS = tuple(FIELDS)


def reason(error: BaseException) -> str:
    """What a record says of a failure: our own sentences as they are, others with their kind."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
    return text if isinstance(error, DiffvocError) else f"{type(error).__name__}: {text}"


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
    """The records of ``kind``."""
    path = run / f"{kind}.jsonl"
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and _is_record(record, FIELDS[kind]):
            yield record


def _is_record(record: dict[str, Any], fields: tuple[str, ...]) -> bool:
    values = record.get("values") or {}
    numbers = [one for one in values.values() if isinstance(one, float)] if isinstance(values, dict) else [math.nan]
    plain = all(name in record and isinstance(record[name], (str, int, float, type(None))) for name in fields)
    return plain and isinstance(record["system"], str) and all(map(math.isfinite, numbers))


def mend(run: Path, known: Callable[[dict[str, Any]], bool] = lambda record: True) -> int:
    """Keep only lines that are records of this run, as ``known`` tells; returns how many others were there."""
    lost = 0
    for kind in KINDS:
        path = run / f"{kind}.jsonl"
        if path.is_file():
            kept = [record for record in lines(run, kind) if known(record)]
            before = path.read_bytes()
            lost += len(before.splitlines()) - len(kept)
            text = "".join(json.dumps(record) + "\n" for record in kept)
            if text.encode() != before:
                write_beside(path, text)
    return lost


def table(run: Path, kind: str) -> pd.DataFrame:
    """The records of ``kind`` as rows; the entries of ``values`` become numeric columns of their own."""
    import pandas as pd

    found = list(lines(run, kind))
    if not found:
        return pd.DataFrame(columns=["system", "clip", "seed", "error"])
    values = pd.DataFrame([record.pop("values", None) or {} for record in found]).apply(pd.to_numeric)
    return pd.concat([pd.DataFrame(found), values], axis=1)


def value_names(run: Path, kind: str) -> list[str]:
    """The names that ``values`` of ``kind`` have anywhere, in order of appearance."""
    return list(dict.fromkeys(name for record in lines(run, kind) for name in record.get("values") or {}))


def read(run: Path, name: str) -> dict[str, Any]:
    """NAME.json of a run; empty where there is none. Raises: DiffvocError for a file that is not a JSON object."""
    path = run / f"{name}.json"
    try:
        values = json.loads(path.read_bytes()) if path.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise DiffvocError(f"{path} is damaged ({reason(error)}); measure again with another --output.") from None
    if not isinstance(values, dict):
        raise DiffvocError(f"{path} is not a JSON object; give the folder of a run.")
    return values


def begin(run: Path, manifest: dict[str, Any], resume: bool, names: Iterable[str]) -> dict[str, Any]:
    """Check that ``run`` is a new one, or, to ``resume`` it, that it was started with what ``manifest`` says.

    Args: names: what must be the same, such as "device" or "options.count".

    Returns: the manifest that the run has so far, empty for a new one.

    Raises: DiffvocError for a folder that has a run already, or none to resume, or naming what has changed.
    """
    if (run / "manifest.json").is_file() != resume:
        raise DiffvocError(
            f"there is no run to continue in {run}; leave --resume out."
            if resume
            else f"{run} holds a run already; continue it with --resume, or choose another --output."
        )
    before, changed = read(run, "manifest"), []
    if resume:
        after = json.loads(json.dumps(manifest))
        changed = [name.partition(".")[2] or name for name in names if _entry(before, name) != _entry(after, name)]
    if changed:
        other = " and ".join(changed).replace("_", " ")
        raise DiffvocError(f"{run} was started with other {other}; give the same, or another --output.")
    return before


def _entry(manifest: dict[str, Any], name: str) -> Any:
    """Of "options.count", the value of ``count`` in ``options``; None where there is none."""
    section, _, key = name.partition(".")
    value = manifest.get(section)
    return value if not key else value.get(key) if isinstance(value, dict) else None


def write(run: Path, name: str, values: dict[str, Any]) -> None:
    """Write NAME.json, whole or not at all."""
    write_beside(run / f"{name}.json", json.dumps(_plain(values), indent=1, allow_nan=False) + "\n")
