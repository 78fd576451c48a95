"""Coqui configurations of our vocoders."""

# Coqpit reads type hints at run time, so this module must not postpone them.

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trainer import TrainerArgs
from TTS.config import BaseAudioConfig
from TTS.vocoder.configs.shared_configs import BaseVocoderConfig

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import AnyConfig, config_from_dict, published
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.spectral.vocoder import SpectralConfig
from tts_diffvoc.training.conditions import expression, names_of, numbered, shown
from tts_diffvoc.training.corpus import Recording
from tts_diffvoc.training.learner import PRECISIONS
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
class RecipeArgs(TrainerArgs):
    """Coqui's arguments, and a budget in all: so many steps, or minutes of training; None for no end."""

    max_steps: int | None = None
    max_minutes: float | None = None


@dataclass
class DiffvocConfig(BaseVocoderConfig):
    """What our vocoders share.

    Attributes:
        audio: the mel contract, as far as Coqui's audio settings express it.
        mel_extra: the rest of the contract: floor, gain, mel_scale and so on of ``tts_diffvoc.mel.MelConfig``.
        vocoder: the rest of the vocoder's configuration, of any kind; empty for the published Base model.
        start_from: a vocoder's name or checkpoint folder whose weights a new training begins with.
        global_condition: what tells the speakers (or other classes) apart that a DiffWave is conditioned on: "folder"
            for one folder a speaker in ``data_path``, or a regular expression whose one group is the speaker in a
            clip's path below it, without suffix. Empty for none. Their names end up in ``vocoder``.
        seq_len: samples of a training crop, a multiple of the hop; 0 for 64 mel frames.
        epoch_passes: times that an epoch goes through the corpus.
        gain_db: each crop is made louder or softer by up to this many decibels, at random.
        warmup_steps: over which the learning rate rises to ``lr``.
        lr_end: share of ``lr`` that a cosine falls to at the end of a budget of steps or minutes.
        ema_decay: of the averaged weights, which are what is validated, saved for use and spoken with.
        data_check: listen to every recording before training (silence, clipping, invalid samples).
        highpass: take off what lies below 20 Hz when recordings are read.
        test_clips: held-back clips to synthesise for the dashboard after an epoch.
        test_seconds: of each of them.
    """

    audio: BaseAudioConfig = field(default_factory=audio_config)
    mel_extra: dict = field(default_factory=dict)
    vocoder: dict = field(default_factory=dict)
    start_from: str = ""
    global_condition: str = ""
    # Data
    seq_len: int = 0
    batch_size: int = 16
    eval_batch_size: int = 16
    eval_split_size: int = 16
    num_loader_workers: int = 2
    epoch_passes: int = 1
    gain_db: float = 0.0
    data_check: bool = True
    highpass: bool = True
    # Optimisation
    lr: float = 2e-4
    optimizer: str = "AdamW"
    optimizer_params: dict = field(default_factory=lambda: {"betas": [0.9, 0.999], "weight_decay": 0.0})
    grad_clip: float = 1.0
    scheduler_after_epoch: bool = False
    warmup_steps: int = 0
    lr_end: float = 1.0
    ema_decay: float = 0.9999
    precision: str = "bf16"
    # Checkpoints and dashboard
    save_step: int = 2000
    save_n_checkpoints: int = 3
    target_loss: str = "loss"
    test_delay_epochs: int = 5
    test_clips: int = 1
    test_seconds: float = 4.0

    def check_values(self) -> None:
        """Raise DiffvocError for settings that fit no vocoder, a hop that cannot be upsampled to for one."""
        super().check_values()
        for name in ("mel_extra", "vocoder", "optimizer_params", "lr_scheduler_params"):
            if getattr(self, name) is None:  # what Coqpit makes of an empty dictionary when it reads a command line
                setattr(self, name, {})
        core = to_core(self)
        if self.global_condition:
            expression(self.global_condition)
            if not isinstance(core, VocoderConfig) or core.network != "diffwave":
                raise DiffvocError(
                    f"global_condition is {self.global_condition!r} and a {core.network} takes none; leave it empty, "
                    "or train a published DiffWave."
                )
        hop = core.mel.hop_length
        if self.seq_len < 0 or self.seq_len % hop:
            near = max(1, round(self.seq_len / hop)) * hop
            raise DiffvocError(f"seq_len is {self.seq_len}; it must be a multiple of the hop, {hop}: use {near}.")
        if not 0 <= self.ema_decay < 1:
            raise DiffvocError(f"ema_decay is {self.ema_decay}; it must lie between 0 and 1.")
        if self.precision not in PRECISIONS:
            raise DiffvocError(f"precision is {self.precision!r}; it must be one of {', '.join(PRECISIONS)}.")

    def from_dict(self, data: dict[str, Any]) -> None:
        """Read a plain dictionary, as Coqui's ``load_config`` does, and check it."""
        super().from_dict(data)
        self.check_values()


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


@dataclass
class DiffvocWaveglowConfig(DiffvocConfig):
    """Coqui configuration of a WaveGlow vocoder (Prenger et al. 2019) of this package."""

    model: str = "diffvoc_waveglow"
    lr: float = 1e-4


CONFIGS = {"diffwave": DiffvocDiffwaveConfig, "wavegrad": DiffvocWavegradConfig, "waveglow": DiffvocWaveglowConfig}


def from_core(core: AnyConfig) -> DiffvocConfig:
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


def to_core(config: DiffvocConfig) -> AnyConfig:
    """The vocoder that a Coqui configuration describes; DiffvocError when it describes none."""
    network = config.model.removeprefix("diffvoc_")
    if not config.vocoder:
        return published(network, mel_config(config))
    core = config_from_dict({**config.vocoder, "mel": mel_config(config).to_dict()})
    if core.network != network:
        raise DiffvocError(
            f"the model {config.model} cannot hold a {core.network} network; use diffvoc_{core.network}."
        )
    return core


def check_trainable(core: AnyConfig) -> None:
    """Raise DiffvocError for a vocoder that Coqui's Trainer does not train."""
    if isinstance(core, SpectralConfig):
        raise DiffvocError(
            "Coqui's Trainer trains the published networks and this is a spectral vocoder; fine-tune it with "
            "tts-diffvoc finetune, or train a new one with recipes/voices/train.py."
        )


def learn_speakers(config: DiffvocConfig, train: Sequence[Recording], held: Sequence[Recording]) -> None:
    """Give the network of ``config`` a speaker for each condition of the clips to train on, if it has none yet.

    A run that goes on has them, and so may a configuration that wants certain speakers in a certain order.

    Raises: DiffvocError for clips without a condition, for held-back ones with a condition that is not trained on, and
    for speakers that do not fit the corpus.
    """
    if not config.global_condition:
        return
    core = to_core(config)
    assert isinstance(core, VocoderConfig) and isinstance(core.sizes, DiffWaveConfig)
    names = core.speaker_names or names_of(train)
    numbered([*train, *held], names)
    if len(names) < 2:
        raise DiffvocError(
            f"global_condition={config.global_condition!r} finds one condition in all clips, {shown(names)}, which "
            "tells nothing apart; give another one, or leave it empty."
        )
    if core.speakers not in (0, len(names)):
        raise DiffvocError(
            f"the network has {core.speakers} speakers and the corpus {len(names)} ({shown(names)}); set "
            f"vocoder.sizes.labels to {len(names)}, or leave it out."
        )
    sizes = replace(core.sizes, labels=len(names))
    config.vocoder = from_core(replace(core, sizes=sizes, speaker_names=names)).vocoder
