"""How a name becomes a checkpoint folder, bundled or not; for voices and generators. Imports neither torch nor TTS."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from tts_diffvoc.errors import DiffvocError, shown
from tts_diffvoc.files import check_readable

WEIGHTS = "model.safetensors"
MOST_TEXT = 1 << 20  # bytes of a configuration or a model card
EXAMPLE = "diffwave?steps=6&seed=1"
KINDS = VOCODER, GENERATOR = "tts-diffvoc", "tts-diffvoc-generator"  # formats of checkpoints


def read_text(path: Path) -> str:
    """The text of a regular file of up to a megabyte; DiffvocError for what is none."""
    size = check_readable(path)
    if size > MOST_TEXT:
        raise DiffvocError(f"{path} has {size:,} bytes, more than {MOST_TEXT:,}; download it again.")
    return path.read_text(encoding="utf-8", errors="replace")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one when ``path`` holds nothing of the kind."""
    try:
        values = json.loads(read_text(path))
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def has_format(folder: Path, kind: str) -> bool:
    """Whether ``folder`` calls itself a checkpoint of format "kind/...", for example of "tts-diffvoc"."""
    return str(read_json(folder / "config.json").get("format", "")).startswith(f"{kind}/")


def discover(root: Path) -> dict[str, Path]:
    """The folders of ``root`` that hold a configuration and weights, by name."""
    return {p.parent.name: p.parent for p in sorted(root.glob("*/config.json")) if (p.parent / WEIGHTS).is_file()}


def parse(spec: str) -> tuple[str, dict[str, str]]:
    """Split "name?steps=50&seed=1" into the name and its options, both still text.

    Raises: DiffvocError when the name is empty, or an option has no value or is given twice.
    """
    name, _, query = spec.partition("?")
    if not name:
        raise DiffvocError(f"{shown(spec)} has no name; give for example {EXAMPLE!r}.")
    options: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        option, _, value = item.partition("=")
        if not option or not value:
            raise DiffvocError(f"the option {shown(item)} in {shown(spec)} has no value; write {EXAMPLE!r}.")
        if option in options:
            raise DiffvocError(f"the option {shown(option)} is given twice in {shown(spec)}; give it once.")
        options[option] = value
    return name, options


def existing(name: str) -> Path | None:
    """The checkpoint folder that a path to it, or to its weights, means; None when there is nothing.

    A training folder stands for the checkpoint that a training leaves in it, as ``vocoder`` or ``generator``.
    """
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            folders = (path, path / "vocoder", path / "generator")
            return next((one for one in folders if any(has_format(one, kind) for kind in KINDS)), path)
        if path.name == WEIGHTS and path.parent.is_dir():
            return path.parent
    except (OSError, RuntimeError, ValueError):  # names that no file can have, or a home that nobody has
        pass
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
    if name.endswith((".pth", ".pth.tar")):
        hint = "import a checkpoint of Coqui's with tts-diffvoc import"
    return DiffvocError(f"there is no {kind} {shown(name, 120)}; {hint}.")


def card_text(folder: Path) -> str:
    """The model card of a checkpoint folder, empty where there is none that can be read."""
    try:
        return read_text(folder / "README.md")
    except DiffvocError:
        return ""


def card(folder: Path) -> dict[str, str]:
    """Facts of a model card: front matter (``key: value`` between ``---``) and first text line."""
    lines = card_text(folder).splitlines()
    facts: dict[str, str] = {}
    if lines[:1] == ["---"] and "---" in lines[1:]:
        end = lines.index("---", 1)
        pairs = (line.split(":", 1) for line in lines[1:end] if ":" in line)
        facts = {key.strip(): value.strip() for key, value in pairs}
        lines = lines[end + 1 :]
    text = (line.strip() for line in lines if line.strip() and line[0] not in "#|-`!")
    facts.setdefault("description", next(text, ""))
    return facts
