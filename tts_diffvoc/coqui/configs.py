"""Coqui configurations of our vocoders."""

# Coqpit reads type hints at run time, so this module must not postpone them.

from dataclasses import dataclass, field
from typing import Any

from TTS.config import BaseAudioConfig
from TTS.vocoder.configs.shared_configs import BaseVocoderConfig

from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.networks.wavegrad import WaveGradConfig
from tts_diffvoc.vocoder import VocoderConfig

# Settings that Coqui's audio configuration and our mel contract both have: ours -> Coqui's name.
SHARED = {
    "sample_rate": "sample_rate",
    "n_fft": "fft_size",
    "win_length": "win_length",
    "hop_length": "hop_length",
    "n_mels": "num_mels",
    "fmin": "mel_fmin",
    "fmax": "mel_fmax",
}
LOGS = {"e": "np.log", "10": "np.log10"}
# A vocoder takes the plain logarithm of the mel: none of Coqui's level changes.
PLAIN = {"signal_norm": False, "spec_gain": 1, "preemphasis": 0.0, "do_amp_to_db_mel": True}


def audio_config(mel: MelConfig | None = None) -> BaseAudioConfig:
    """Coqui's audio settings for a mel contract, Tacotron 2's by default."""
    mel = mel or MelConfig()
    shared = {theirs: getattr(mel, ours) for ours, theirs in SHARED.items()}
    return BaseAudioConfig(
        **shared,
        **PLAIN,
        log_func=LOGS[mel.log_base],
        ref_level_db=0,
        power=1.0,
        do_trim_silence=False,
    )


@dataclass
class DiffvocConfig(BaseVocoderConfig):
    """What our vocoders share.

    Attributes:
        audio: the mel contract, as far as Coqui's audio settings express it.
        mel_extra: the rest of the contract: floor, gain and mel_scale of ``tts_diffvoc.mel.MelConfig``.
        vocoder: the rest of ``tts_diffvoc.vocoder.VocoderConfig``; empty for the published Base model.
    """

    audio: BaseAudioConfig = field(default_factory=audio_config)
    mel_extra: dict = field(default_factory=dict)
    vocoder: dict = field(default_factory=dict)


@dataclass
class DiffvocDiffwaveConfig(DiffvocConfig):
    """Coqui configuration of a DiffWave vocoder (Kong et al. 2021) of this package."""

    model: str = "diffvoc_diffwave"


@dataclass
class DiffvocWavegradConfig(DiffvocConfig):
    """Coqui configuration of a WaveGrad vocoder (Chen et al. 2021) of this package.

    Coqui's own ``wavegrad`` is another model with another layout of weights.
    """

    model: str = "diffvoc_wavegrad"


CONFIGS = {"diffwave": DiffvocDiffwaveConfig, "wavegrad": DiffvocWavegradConfig}


def from_core(core: VocoderConfig) -> DiffvocConfig:
    """The Coqui configuration of one of our vocoders."""
    values = core.to_dict()
    mel = values.pop("mel")
    in_audio = {*SHARED, "log_base"}
    return CONFIGS[core.network](
        audio=audio_config(core.mel),
        mel_extra={name: value for name, value in mel.items() if name not in in_audio},
        vocoder=values,
    )


def mel_config(config: DiffvocConfig) -> MelConfig:
    """The mel contract that a Coqui configuration asks for.

    Raises: DiffvocError when its audio settings change levels in a way that no vocoder of ours takes.
    """
    audio = config.audio
    for name, plain in PLAIN.items():
        if audio[name] != plain:
            raise DiffvocError(f"audio.{name} of the vocoder is set to {audio[name]}; set it to {plain}.")
    values: dict[str, Any] = {ours: audio[theirs] for ours, theirs in SHARED.items()}
    if values["fmax"] is None:
        values["fmax"] = audio.sample_rate / 2
    base = next(base for base, name in LOGS.items() if name == audio.log_func)
    return MelConfig.from_dict({**values, "log_base": base, **config.mel_extra})


def published(network: str, mel: MelConfig) -> VocoderConfig:
    """The sizes and the training schedule of the papers' Base models, for any mel with a hop of 256."""
    if network == "diffwave":
        base = DiffWaveConfig(n_mels=mel.n_mels)
        return VocoderConfig(network, base, published_schedule("diffwave-50"), mel)
    sizes = WaveGradConfig(n_mels=mel.n_mels, factors=(4, 4, 4, 2, 2))
    return VocoderConfig(network, sizes, published_schedule("wavegrad-1000"), mel)


def to_core(config: DiffvocConfig) -> VocoderConfig:
    """The vocoder that a Coqui configuration describes; DiffvocError when it describes none."""
    network = config.model.removeprefix("diffvoc_")
    if not config.vocoder:
        return published(network, mel_config(config))
    core = VocoderConfig.from_dict({**config.vocoder, "mel": mel_config(config).to_dict()})
    if core.network != network:
        raise DiffvocError(
            f"the model {config.model} cannot hold a {core.network} network; use diffvoc_{core.network}."
        )
    return core
