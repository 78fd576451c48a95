"""Models of every kind: from a configuration, from JSON, and as the papers have them."""

from __future__ import annotations

from typing import Any

from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.errors import DiffvocError, shown
from tts_diffvoc.flow import FlowConfig, FlowVocoder
from tts_diffvoc.generator import Generator, GeneratorConfig
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.networks.factors import upsample_factors
from tts_diffvoc.networks.waveglow import WaveGlowConfig
from tts_diffvoc.networks.wavegrad import WaveGradConfig
from tts_diffvoc.schema import FromJson
from tts_diffvoc.spectral.vocoder import SpectralConfig, SpectralVocoder
from tts_diffvoc.vocoder import Vocoder, VocoderConfig

AnyConfig = VocoderConfig | FlowConfig | SpectralConfig
AnyVocoder = Vocoder | FlowVocoder | SpectralVocoder
CONFIGS: tuple[type[FromJson], ...] = (VocoderConfig, FlowConfig, SpectralConfig, GeneratorConfig)
MODELS: tuple[type, ...] = (Vocoder, FlowVocoder, SpectralVocoder, Generator)  # of these
KINDS = {config.kind: (config, model) for config, model in zip(CONFIGS, MODELS)}
# What the networks of the first edition had and no other; None or False in folders that it imported.
FIRST_EDITION = ("folded", "estimator")


def config_from_dict(values: dict[str, Any]) -> Any:
    """The configuration of any model in plain values; DiffvocError names what is missing or unknown."""
    if any(values.get(name) for name in FIRST_EDITION):
        raise DiffvocError(
            "this vocoder was made by the first edition of tts-diffvoc, whose networks are gone; train it again with "
            "tts-diffvoc finetune."
        )
    kind = values.get("kind", "flow" if values.get("network") == "waveglow" else "diffusion")
    if not isinstance(kind, str) or kind not in KINDS:
        raise DiffvocError(f"the kind {shown(kind)} of model is unknown; this version has {', '.join(KINDS)}.")
    return KINDS[kind][0].from_dict({name: v for name, v in values.items() if name not in FIRST_EDITION})


def build(config: Any, name: str = "vocoder") -> Any:
    """The model of a configuration, its weights fresh."""
    return KINDS[config.kind][1](config, name)


def published(network: str, mel: MelConfig) -> AnyConfig:
    """The sizes and the training schedule of the papers' Base models, for any mel whose hop splits into factors.

    WaveGlow has NVIDIA's sizes, with groups of 4 samples where a hop does not hold 8.
    """
    if network == "waveglow":
        group, hop = (8 if mel.hop_length % 8 == 0 else 4), mel.hop_length
        sizes = WaveGlowConfig(n_mels=mel.n_mels, group=group, hop_length=hop, upsample_window=4 * hop)
        return FlowConfig("waveglow", sizes, mel)
    factors = upsample_factors(network, mel.hop_length)
    if network == "diffwave":
        base = DiffWaveConfig(n_mels=mel.n_mels, upsample_factors=factors)
        return VocoderConfig(network, base, published_schedule("diffwave-50"), mel)
    wide = WaveGradConfig(n_mels=mel.n_mels, factors=factors)
    return VocoderConfig(network, wide, published_schedule("wavegrad-1000"), mel)
