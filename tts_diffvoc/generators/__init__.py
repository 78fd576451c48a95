"""The bundled generators, and how a name becomes a checkpoint folder. Imports neither torch nor TTS."""

from __future__ import annotations

from pathlib import Path

from tts_diffvoc import naming
from tts_diffvoc.naming import parse

__all__ = ["GENERATORS", "parse", "resolve"]
GENERATORS = naming.discover(Path(__file__).parent)


def resolve(name: str) -> Path:
    """The checkpoint folder of a bundled generator's name, or of a path as for :func:`tts_diffvoc.naming.existing`.

    Raises: DiffvocError for anything else, with the closest names.
    """
    folder = GENERATORS.get(name) or naming.existing(name)
    if folder is None:
        raise naming.unknown(name, list(GENERATORS), "generator or checkpoint folder")
    return folder
