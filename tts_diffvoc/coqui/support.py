"""What to say when Coqui is not the Coqui that this adapter was written for."""

from __future__ import annotations

from importlib import metadata

from tts_diffvoc.errors import DiffvocError

SUPPORTED = "coqui-tts 0.28.x"
# What Coqui turned out to lack, and whether the user has asked for one of our models yet.
problems: list[str] = []
asked = False


def version() -> str:
    """The installed version of Coqui TTS."""
    try:
        return metadata.version("coqui-tts")
    except metadata.PackageNotFoundError:
        return "of unknown version"


def may_explain(error: Exception) -> bool:
    """Whether another version of Coqui is what may have made ``error`` happen to one of our models."""
    changed = isinstance(error, (AttributeError, ImportError, KeyError, TypeError))
    return changed and asked and not version().startswith("0.28.")


def check() -> None:
    """Raise the first problem met while registering; called where a user asks for one of our models."""
    global asked
    asked = True
    if problems:
        raise DiffvocError(
            f"the installed coqui-tts {version()} has no {problems[0]}, which tts-diffvoc needs; install {SUPPORTED}."
        )
