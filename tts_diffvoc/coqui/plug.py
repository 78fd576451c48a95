"""Registration: modules that Coqui looks up by name, and changes to its modules once they are imported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import CodeType, ModuleType
from typing import Any

from tts_diffvoc.coqui import patches

# Where Coqui's load_config and setup_model look: module name there -> our module and the class wanted of it.
OFFERED: dict[str, tuple[str, str]] = {
    "TTS.vocoder.configs.diffvoc_diffwave_config": ("tts_diffvoc.coqui.configs", "DiffvocDiffwaveConfig"),
    "TTS.vocoder.configs.diffvoc_wavegrad_config": ("tts_diffvoc.coqui.configs", "DiffvocWavegradConfig"),
    "TTS.vocoder.configs.diffvoc_waveglow_config": ("tts_diffvoc.coqui.configs", "DiffvocWaveglowConfig"),
    "TTS.vocoder.models.diffvoc_diffwave": ("tts_diffvoc.coqui.models", "DiffvocDiffwave"),
    "TTS.vocoder.models.diffvoc_wavegrad": ("tts_diffvoc.coqui.models", "DiffvocWavegrad"),
    "TTS.vocoder.models.diffvoc_waveglow": ("tts_diffvoc.coqui.models", "DiffvocWaveglow"),
    "TTS.tts.configs.diffvoc_acoustic_config": ("tts_diffvoc.coqui.acoustic", "DiffvocAcousticConfig"),
    "TTS.tts.models.diffvoc_acoustic": ("tts_diffvoc.coqui.acoustic", "DiffvocAcoustic"),
    "TTS.tts.configs.diffvoc_forward_tts_config": ("tts_diffvoc.coqui.slt", "DiffvocForwardTTSConfig"),
    "TTS.tts.models.diffvoc_forward_tts": ("tts_diffvoc.coqui.slt", "DiffvocForwardTTS"),
}

# The server reads its command line and loads its models while it is imported.
PROGRAM = "TTS.server.server"


def offer(name: str, source: str, wanted: str) -> ModuleType:
    """A module that holds the class ``wanted`` of our module ``source``, which is imported once it is asked for."""

    def look_up(attribute: str) -> Any:
        if attribute != wanted:
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
        return getattr(import_module(source), wanted)

    module = ModuleType(name)
    module.__getattr__ = look_up  # type: ignore[method-assign]
    return module


class WatchedLoader:
    """Coqui's own loader, with something done around the execution of the module."""

    def __init__(self, loader: Any, run: Callable[[Callable[[], None], ModuleType], None]) -> None:
        self._loader, self._run = loader, run

    def exec_module(self, module: ModuleType) -> None:
        self._run(lambda: self._loader.exec_module(module), module)

    def get_code(self, name: str) -> CodeType | None:
        """For ``python -m``: run the program as imported, since what is run as __main__ is not watched."""
        if name in ("TTS.bin.synthesize", PROGRAM):
            return compile(f"from {name} import main\nmain()\n", f"<{name}>", "exec")
        return self._loader.get_code(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class Plug:
    """Meta-path finder for Coqui's modules that we change."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in patches.CHANGED and name != PROGRAM:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run = patches.run_server if name == PROGRAM else _run_and_change
            spec.loader = WatchedLoader(spec.loader, run)  # type: ignore[assignment]
        return spec


def _run_and_change(execute: Callable[[], None], module: ModuleType) -> None:
    execute()
    patches.change(module)


def register() -> None:
    """Make Coqui TTS know the vocoders and the acoustic model of this package; calling it again does nothing.

    The start-up line of an installed package does this by itself when TTS is first imported. By hand it also
    works after TTS was imported. It imports neither torch nor TTS.
    """
    if not any(isinstance(finder, Plug) for finder in sys.meta_path):
        sys.meta_path.insert(0, Plug())
        sys.modules.update({name: offer(name, *what) for name, what in OFFERED.items()})
    for name in patches.CHANGED:
        module = sys.modules.get(name)
        if module is not None and not getattr(module.__spec__, "_initializing", False):
            patches.change(module)
