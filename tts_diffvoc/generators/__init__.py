"""The bundled generators, and how a name becomes a checkpoint folder. Imports neither torch nor TTS."""

from __future__ import annotations

from pathlib import Path

from tts_diffvoc import naming
from tts_diffvoc.errors import DiffvocError

KIND = "tts-diffvoc-generator"
TRAINED = "generator"
EXAMPLE = "digits?steps=20&seed=1"


def is_generator(folder: Path) -> bool:
    """Whether ``folder`` calls itself a checkpoint of a generator of this package."""
    return naming.has_format(folder, KIND)


def discover(root: Path) -> dict[str, Path]:
    """The generators in the folders of ``root``, by name."""
    return {name: folder for name, folder in naming.complete(root).items() if is_generator(folder)}


GENERATORS = discover(Path(__file__).parent)


def parse(spec: str) -> tuple[str, dict[str, str]]:
    """Split "name?steps=20&seed=1" into the name and its options, both still text; DiffvocError as for voices."""
    return naming.parse(spec, "generator", EXAMPLE)


def find(name: str) -> Path | None:
    """The folder that ``name`` means where that is a generator, bundled or not; None otherwise."""
    folder = GENERATORS.get(name) or naming.existing(name, KIND, TRAINED)
    return folder if folder is not None and is_generator(folder) else None


def resolve(name: str) -> Path:
    """The checkpoint folder of a bundled generator's name, or of a path to a folder or to its weights.

    A training folder stands for the folder ``generator`` in it.

    Raises: DiffvocError for anything else, with the closest names.
    """
    folder = GENERATORS.get(name) or naming.existing(name, KIND, TRAINED)
    if folder is None:
        raise unknown(name)
    return folder


def unknown(name: str) -> DiffvocError:
    """The error for a name that is no generator's."""
    return naming.unknown(name, list(GENERATORS), "generator or checkpoint folder")
