"""Registration: modules that Coqui looks up by name, and changes to its modules once they are imported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_loader
from types import CodeType, ModuleType
from typing import Any

from tts_diffvoc.coqui import patches, support
from tts_diffvoc.errors import DiffvocError

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


class OfferedModule:
    """Loader of a module under one of Coqui's names that holds one class of ours."""

    def __init__(self, source: str, name: str) -> None:
        self.source, self.name = source, name

    def create_module(self, spec: ModuleSpec) -> None:
        """Take the import system's own module object."""

    def exec_module(self, module: ModuleType) -> None:
        """Import our module, now that Coqui asks for it, and offer the class."""
        try:
            setattr(module, self.name, getattr(import_module(self.source), self.name))
        except (ImportError, AttributeError) as error:
            raise DiffvocError(
                f"tts-diffvoc does not fit coqui-tts {support.version()} ({error}); install {support.SUPPORTED}."
            ) from None


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
    """Meta-path finder for our modules under Coqui's names, and for Coqui's modules that we change."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith("TTS."):
            return None
        if name in OFFERED:
            return spec_from_loader(name, OfferedModule(*OFFERED[name]))  # type: ignore[arg-type]
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
    for name in patches.CHANGED:
        module = sys.modules.get(name)
        if module is not None and not getattr(module.__spec__, "_initializing", False):
            patches.change(module)
