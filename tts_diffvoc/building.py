"""A configuration, and the vocoder it describes, of whatever kind."""

from __future__ import annotations

from typing import Any

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.flow import FlowConfig, FlowVocoder
from tts_diffvoc.spectral.vocoder import SPECTRAL, SpectralConfig, SpectralVocoder
from tts_diffvoc.vocoder import Vocoder, VocoderConfig

AnyConfig = VocoderConfig | FlowConfig | SpectralConfig
AnyVocoder = Vocoder | FlowVocoder | SpectralVocoder
# What the networks of the first edition had and no other; None or False in folders that it imported.
FIRST_EDITION = ("folded", "estimator")


def config_from_dict(values: dict[str, Any]) -> AnyConfig:
    """The configuration in plain values; DiffvocError names what is missing or unknown."""
    if values.get("kind") == SPECTRAL:
        return SpectralConfig.from_dict(values)
    if any(values.get(name) for name in FIRST_EDITION):
        raise DiffvocError(
            "this vocoder was made by the first edition of tts-diffvoc, whose networks are gone; train it again: "
            "python recipes/custom_voice/finetune_vocoder.py --data RECORDINGS --vocoder diffwave --output NEW_FOLDER"
        )
    values = {name: value for name, value in values.items() if name not in FIRST_EDITION}
    return FlowConfig.from_dict(values) if values.get("network") == "waveglow" else VocoderConfig.from_dict(values)


def build(config: AnyConfig, name: str = "vocoder") -> AnyVocoder:
    """The vocoder of a configuration, its weights fresh."""
    if isinstance(config, SpectralConfig):
        return SpectralVocoder(config, name)
    return FlowVocoder(config, name) if isinstance(config, FlowConfig) else Vocoder(config, name)
