"""The bundled voices, and how a name becomes a checkpoint folder. Imports neither torch nor TTS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tts_diffvoc import naming
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.naming import WEIGHTS, card, parse, read_json

# Of what lies in naming, what goes by this name too.
__all__ = ["WEIGHTS", "card", "parse", "read_json"]
DEFAULT_ACOUSTIC = "ada"
VOCODER_PREFIX = "vocoder_models/en/diffvoc/"
ACOUSTIC_PREFIX = "tts_models/en/diffvoc/"
# Vocoders that were bundled once, and what to do now.
NO_LONGER_BUNDLED = {
    "waveglow": "import NVIDIA's with 'tts-diffvoc import FILE --kind nvidia-waveglow -o FOLDER', or train one with "
    "recipes/ljspeech/waveglow/train_waveglow.py"
}


def is_vocoder(folder: Path) -> bool:
    """Whether ``folder`` calls itself a checkpoint of a vocoder of this package."""
    return naming.has_format(folder, naming.VOCODER)


FOLDERS = naming.discover(Path(__file__).parent)
VOCODERS = {name: folder for name, folder in FOLDERS.items() if is_vocoder(folder)}
ACOUSTIC = {name: folder for name, folder in FOLDERS.items() if name not in VOCODERS}


def names() -> list[str]:
    """The bundled vocoders' short names."""
    return sorted(VOCODERS)


def full_name(name: str) -> str:
    """The name in Coqui's model list, type/language/dataset/model, of a bundled model's short name."""
    return f"{ACOUSTIC_PREFIX if name in ACOUSTIC else VOCODER_PREFIX}{name}"


def bundled(name: str) -> Path | None:
    """The folder of a bundled vocoder, by short or full name; None when there is none of that name."""
    return VOCODERS.get(name.removeprefix(VOCODER_PREFIX))


def bundled_acoustic(name: str) -> Path | None:
    """The folder of a bundled acoustic model, by short or full name with or without options; None if there is none."""
    return ACOUSTIC.get(name.partition("?")[0].removeprefix(ACOUSTIC_PREFIX))


def unknown(name: str, known: list[str], kind: str = "vocoder or checkpoint folder") -> DiffvocError:
    """The error for a name that is not among ``known``: what became of it, or the closest names."""
    short = name.removeprefix(VOCODER_PREFIX)
    if short in NO_LONGER_BUNDLED:
        return DiffvocError(f"{short} is no longer bundled; {NO_LONGER_BUNDLED[short]}.")
    return naming.unknown(name, known, kind)


def resolve(name: str) -> Path:
    """The checkpoint folder of a bundled vocoder's name, or of a path as for :func:`tts_diffvoc.naming.existing`.

    Raises: DiffvocError for anything else, with the closest names.
    """
    folder = bundled(name) or naming.existing(name)
    if folder is None:
        raise unknown(name, [*VOCODERS, *map(full_name, VOCODERS)])
    return folder


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
