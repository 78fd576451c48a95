"""The bundled voices, and how a name becomes a checkpoint folder. Imports neither torch nor TTS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tts_diffvoc import naming
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.naming import WEIGHTS, card, read_json

# Of what lies in naming, what goes by this name too.
__all__ = ["WEIGHTS", "card", "read_json"]
KIND = "tts-diffvoc"
TRAINED = "vocoder"
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
    return naming.has_format(folder, KIND)


def discover(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """The vocoders and the acoustic models in the folders of ``root``, by name."""
    folders = naming.complete(root)
    vocoders = {name: folder for name, folder in folders.items() if is_vocoder(folder)}
    return vocoders, {name: folder for name, folder in folders.items() if name not in vocoders}


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
    return naming.parse(spec, "vocoder", example())


def example() -> str:
    """A spec to show in messages."""
    return "diffwave?steps=6&seed=1"


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
    """The checkpoint folder of a bundled vocoder's name, or of a path to a folder or to its weights.

    A training folder stands for the folder ``vocoder`` in it, which the recipes leave there.

    Raises: DiffvocError for anything else, with the closest names.
    """
    folder = bundled(name) or naming.existing(name, KIND, TRAINED)
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
