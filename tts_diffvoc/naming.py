"""How a name becomes a checkpoint folder, bundled or not; for voices and generators. Imports neither torch nor TTS."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from tts_diffvoc.errors import DiffvocError

WEIGHTS = "model.safetensors"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one when ``path`` holds nothing of the kind."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def has_format(folder: Path, kind: str) -> bool:
    """Whether ``folder`` calls itself a checkpoint of format "kind/...", for example of "tts-diffvoc"."""
    return str(read_json(folder / "config.json").get("format", "")).startswith(f"{kind}/")


def complete(root: Path) -> dict[str, Path]:
    """The folders of ``root`` that hold a configuration and weights, by name."""
    return {p.parent.name: p.parent for p in sorted(root.glob("*/config.json")) if (p.parent / WEIGHTS).is_file()}


def parse(spec: str, kind: str, example: str) -> tuple[str, dict[str, str]]:
    """Split "name?steps=50&seed=1" into the name and its options, both still text.

    Args:
        kind: what the name is of, for messages.
        example: a spec to show in messages.

    Raises: DiffvocError when the name is empty, or an option has no value or is given twice.
    """
    name, _, query = spec.partition("?")
    if not name:
        raise DiffvocError(f"the {kind} {spec!r} has no name; give for example {example!r}.")
    options: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        option, _, value = item.partition("=")
        if not option or not value:
            raise DiffvocError(f"the option {item!r} in {spec!r} has no value; write {example!r}.")
        if option in options:
            raise DiffvocError(f"the option {option!r} is given twice in {spec!r}; give it once.")
        options[option] = value
    return name, options


def existing(name: str, kind: str, trained: str) -> Path | None:
    """The checkpoint folder that a path to it, or to its weights, means; None when there is nothing.

    Args:
        kind: format of the checkpoints, as for :func:`has_format`.
        trained: name of the folder that a training leaves in its own, which then stands for it.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path / trained if not has_format(path, kind) and has_format(path / trained, kind) else path
    if path.name == WEIGHTS and path.parent.is_dir():
        return path.parent
    return None


def unknown(name: str, known: list[str], kind: str = "vocoder or checkpoint folder") -> DiffvocError:
    """The error for a name that is not among ``known``: it lists the closest ones, or the first of them."""
    spellings: dict[str, str] = {}
    for full in known:
        spellings.setdefault(full, full)
        spellings.setdefault(full.rsplit("/", 1)[-1], full)
    close = difflib.get_close_matches(name, spellings, n=3, cutoff=0.6)
    closest = ", ".join(dict.fromkeys(spellings[key] for key in close))
    hint = f"the closest names are {closest}" if closest else f"some names are {', '.join(known[:4]) or 'none'}"
    return DiffvocError(f"there is no {kind} {name!r}; {hint}.")


def card(folder: Path) -> dict[str, str]:
    """Facts of a model card: front matter (``key: value`` between ``---``) and first text line."""
    path = folder / "README.md"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    facts: dict[str, str] = {}
    if lines[:1] == ["---"] and "---" in lines[1:]:
        end = lines.index("---", 1)
        pairs = (line.split(":", 1) for line in lines[1:end] if ":" in line)
        facts = {key.strip(): value.strip() for key, value in pairs}
        lines = lines[end + 1 :]
    text = (line.strip() for line in lines if line.strip() and line[0] not in "#|-`!")
    facts.setdefault("description", next(text, ""))
    return facts
