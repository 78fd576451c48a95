"""An acoustic model by name, folder or file, its weights read as tensors and plain values only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from TTS.config import load_config
from TTS.tts.models.base_tacotron import BaseTacotron
from TTS.tts.models.glow_tts import GlowTTS
from TTS.utils.generic_utils import find_module
from TTS.utils.manage import ModelManager

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import read_safetensors
from tts_diffvoc.coqui import zoo
from tts_diffvoc.coqui.acoustic import DiffvocAcoustic
from tts_diffvoc.coqui.gta.adapters import Adapter, adapter_of
from tts_diffvoc.coqui.slt import DiffvocForwardTTS
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.importers.reading import read_torch


def locate(spec: str) -> tuple[Path, Path]:
    """Weights and configuration of an acoustic model: a name, a folder, or a file beside its config.json.

    Raises: DiffvocError when there is no such model.
    """
    if voices.bundled_acoustic(spec) is not None or spec.startswith("tts_models/"):
        weights, config, _ = zoo.fetch(ModelManager(), spec)
        if weights is None or config is None or not Path(weights).is_file():
            raise DiffvocError(f"{spec} predicts no mel spectrogram; choose a Tacotron, FastPitch or GlowTTS model.")
        return Path(weights), Path(config)
    path = Path(spec).expanduser()
    if not path.exists():
        known = [voices.full_name(name) for name in voices.ACOUSTIC]
        raise voices.unknown(spec, known, "acoustic model, folder or file")
    return zoo.find_trained(path)


def load_adapter(weights: Path, config_path: Path, device: str = "cpu") -> Adapter:
    """The acoustic model, ready to be led. Weights are read as tensors and plain values only.

    Raises: DiffvocError for a model that cannot be led along a recording, or weights that are not its own.
    """
    try:
        config = load_config(config_path)
        kind = find_module("TTS.tts.models", (getattr(config, "base_model", None) or config.model).lower())
    except DiffvocError:
        raise
    except Exception as error:  # whatever a foreign file makes Coqui raise
        raise DiffvocError(
            f"{config_path} is no configuration of a Coqui acoustic model ({first_line(error)}); give the one that "
            "its training wrote."
        ) from None
    adapter = adapter_of(kind)
    try:
        model = kind(config)
    except Exception as error:
        raise DiffvocError(
            f"the {kind.__name__} of {config_path} cannot be set up ({first_line(error)}); check that what its "
            "configuration names (speakers, statistics, phonemizer) is there."
        ) from None
    _load_weights(model, weights)
    model.eval().requires_grad_(False)
    if isinstance(model, GlowTTS):
        model.store_inverse()
    return adapter(model.to(device))


def _load_weights(model: Any, path: Path) -> None:
    if isinstance(model, (DiffvocAcoustic, DiffvocForwardTTS)):
        model.load_checkpoint(model.config, path, eval=True)
        return
    state = {"model": read_safetensors(path)} if path.suffix == ".safetensors" else read_torch(path)
    try:
        model.load_state_dict(state["model"])
    except (KeyError, IndexError, RuntimeError, AttributeError, TypeError) as error:
        raise DiffvocError(
            f"{path} does not hold the weights of the {type(model).__name__} that its config.json describes "
            f"({first_line(error)}); give the two that belong together."
        ) from None
    if isinstance(model, BaseTacotron):
        # As Coqui: gradual training may have ended at another number of frames a step than it began with.
        trained = state.get("config")
        model.decoder.set_r(state.get("r") or (trained["r"] if isinstance(trained, dict) else model.config.r))


def first_line(error: Exception) -> str:
    """What a foreign error says, in a line that fits into a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (" ".join(lines[:2]) or type(error).__name__)[:160].rstrip(".:")
