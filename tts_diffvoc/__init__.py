"""Diffusion vocoders for Coqui TTS: DiffWave and WaveGrad, by name.

Importing the package is cheap: torch is imported when a vocoder is first asked for, and
Coqui TTS only by :func:`register` or when the user imports it.
"""

from importlib import import_module
from typing import Any

from tts_diffvoc.errors import DiffvocError

__version__ = "0.1.0"
__all__ = ["DiffvocError", "Generator", "Vocoder", "load_generator", "load_vocoder", "register", "__version__"]

_LAZY = {
    "Generator": ("tts_diffvoc.generator", "Generator"),
    "Vocoder": ("tts_diffvoc.vocoder", "Vocoder"),
    "load_generator": ("tts_diffvoc.checkpoint", "load_generator"),
    "load_vocoder": ("tts_diffvoc.checkpoint", "load_vocoder"),
    "register": ("tts_diffvoc.coqui", "register"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)
