"""The bundled voices, and how a name becomes a checkpoint folder. Imports neither torch nor TTS."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from tts_diffvoc.errors import DiffvocError

WEIGHTS = "model.safetensors"
TRAINED = "vocoder"
VOCODER_PREFIX = "vocoder_models/en/diffvoc/"
ACOUSTIC_PREFIX = "tts_models/en/diffvoc/"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one when ``path`` holds nothing of the kind."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def is_vocoder(folder: Path) -> bool:
    """Whether ``folder`` calls itself a checkpoint of this package."""
    return str(read_json(folder / "config.json").get("format", "")).startswith("tts-diffvoc/")


def discover(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """The vocoders and the acoustic models in the folders of ``root``, by name."""
    complete = sorted(p.parent for p in root.glob("*/config.json") if (p.parent / WEIGHTS).is_file())
    vocoders = {folder.name: folder for folder in complete if is_vocoder(folder)}
    return vocoders, {folder.name: folder for folder in complete if folder.name not in vocoders}


VOCODERS, ACOUSTIC = discover(Path(__file__).parent)


def names() -> list[str]:
    """The bundled vocoders' short names."""
    return sorted(VOCODERS)


def full_name(name: str) -> str:
    """The name in Coqui's model list, type/language/dataset/model, of a bundled model's short name."""
    return f"{ACOUSTIC_PREFIX if name in ACOUSTIC else VOCODER_PREFIX}{name}"


def parse(spec: str) -> tuple[str, dict[str, str]]:
    """Split "name?steps=50&seed=1" into the name and its options, both still text.

    Raises: DiffvocError when the name is empty, or an option has no value or is given twice.
    """
    name, _, query = spec.partition("?")
    if not name:
        raise DiffvocError(f"the vocoder {spec!r} has no name; give for example {example()!r}.")
    options: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        option, _, value = item.partition("=")
        if not option or not value:
            raise DiffvocError(f"the option {item!r} in {spec!r} has no value; write {example()!r}.")
        if option in options:
            raise DiffvocError(f"the option {option!r} is given twice in {spec!r}; give it once.")
        options[option] = value
    return name, options


def example() -> str:
    """A spec to show in messages."""
    return "diffwave?steps=6&seed=1"


def bundled(name: str) -> Path | None:
    """The folder of a bundled vocoder, by short or full name; None when there is none of that name."""
    return VOCODERS.get(name.removeprefix(VOCODER_PREFIX))


def bundled_acoustic(name: str) -> Path | None:
    """The folder of a bundled acoustic model, by short or full name; None when there is none of that name."""
    return ACOUSTIC.get(name.removeprefix(ACOUSTIC_PREFIX))


def resolve(name: str) -> Path:
    """The checkpoint folder of a bundled vocoder's name, or of a path to a folder or to its weights.

    A training folder stands for the folder ``vocoder`` in it, which the recipes leave there.

    Raises: DiffvocError for anything else, with the closest names.
    """
    folder = bundled(name)
    if folder is not None:
        return folder
    path = Path(name).expanduser()
    if path.is_dir():
        return path / TRAINED if not is_vocoder(path) and is_vocoder(path / TRAINED) else path
    if path.name == WEIGHTS and path.parent.is_dir():
        return path.parent
    raise unknown(name, [*VOCODERS, *map(full_name, VOCODERS)])


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


def model_item(name: str) -> dict[str, Any]:
    """The entry of a bundled model, by short name, as Coqui's model list has them."""
    facts = card(ACOUSTIC[name] if name in ACOUSTIC else VOCODERS[name])
    item: dict[str, Any] = {
        "description": facts["description"] or f"{name}, bundled with tts-diffvoc.",
        "author": facts.get("author", "the tts-diffvoc authors"),
        "license": facts.get("license", "MIT"),
        "contact": "",
    }
    if name in ACOUSTIC:
        default = next((n for n in ("diffwave", *names()) if n in VOCODERS), None)
        item["default_vocoder"] = full_name(default) if default else None
    return item
