"""Networks, discriminators and training settings of every system that the benchmark trains, in two sizes.

"published" is the paper's (WaveGlow's and WaveRNN's: NVIDIA's and Coqui's), "small" ours, for CPUs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from TTS.vocoder import configs as coqui

from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import published
from tts_diffvoc.naming import unknown
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.networks.waveglow import WaveGlowConfig
from tts_diffvoc.networks.wavegrad import WaveGradConfig
from tts_diffvoc_eval.mels import MEL

SIZES = ("published", "small")


@dataclass(frozen=True)
class SizeConfig:
    """A system in one size.

    Attributes:
        network: settings of the generator, or a whole vocoder's configuration.
        frames, batch: mel frames of a training crop, and crops a step.
        learning_rate: the highest.
        discriminator: settings of ``gan.make_discriminator``; None where there is none.
        discriminator_from: share of the budget after which the discriminator joins in.
        ema_decay: of the averaged weights; 0 for the last ones.
    """

    network: dict[str, Any]
    frames: int
    batch: int
    learning_rate: float
    discriminator: dict[str, Any] | None = None
    discriminator_from: float = 0.0
    ema_decay: float = 0.0


@dataclass(frozen=True)
class BaselineConfig:
    """A system that the benchmark trains.

    Attributes:
        label: its name for people.
        kind: a key of ``networks.KINDS``, of which "vocoder" is a vocoder of this package.
        published, small: its two sizes.
        coqui: Coqui's configuration, for losses, their weights, betas and clipping; None for a vocoder of this package.
        family: as a ``System`` has it.
        deterministic: whether the seed of synthesis changes nothing.
        normalised: whether mels are scaled to mean 0 and deviation 1 in each band, as its authors do.
        usual: the size to build where none is asked for. WaveRNN's is small: as published it takes 20 seconds of a core
            for one of audio.
    """

    label: str
    kind: str
    published: SizeConfig
    small: SizeConfig
    coqui: Any = None
    family: str = "gan"
    deterministic: bool = True
    normalised: bool = True
    usual: str = "published"

    def size(self, name: str) -> SizeConfig:
        if name not in SIZES:
            raise DiffvocError(f"there is no size {name!r}; choose {' or '.join(SIZES)}.")
        return self.published if name == "published" else self.small

    def label_of(self, size: str) -> str:
        return self.label if size == "published" else f"{self.label} ({size})"


# Coqui's GANs and WaveRNN


def _hifigan(label: str, channels: int, small_channels: int) -> BaselineConfig:
    """Generator of Kong et al. 2020, appendix A.1, table 5."""
    published, small = (
        {"in_channels": 80, "out_channels": 1, **HIFIGAN.generator_model_params, "upsample_initial_channel": count}
        for count in (channels, small_channels)
    )
    return BaselineConfig(
        label,
        "hifigan",
        SizeConfig(published, 32, 16, 2e-4, {"name": "hifigan"}),
        SizeConfig(small, 32, 4, 1e-3, {"name": "hifigan", "narrower": 16}, 0.4),
        HIFIGAN,
        normalised=False,
    )


def _wavegan(channels: int, blocks: int, stacks: int) -> dict[str, Any]:
    return {
        "num_res_blocks": blocks,
        "stacks": stacks,
        "res_channels": channels,
        "gate_channels": 2 * channels,
        "skip_channels": channels,
        "upsample_factors": [4, 4, 4, 4],
    }


def _wavernn(hidden: int, features: int, blocks: int, bits: int) -> dict[str, Any]:
    # Ten bits: a mixture of logistics, Coqui's default, needs days before it is better than mu-law.
    return {
        "rnn_dims": hidden,
        "fc_dims": hidden,
        "compute_dims": features,
        "res_out_dims": features,
        "num_res_blocks": blocks,
        "mode": bits,
        "mulaw": True,
    }


def _melgan(label: str, config: Any, channels: int, large: SizeConfig) -> BaselineConfig:
    """MelGAN in Coqui's layout, with one band or several."""
    network, discriminator = config.generator_model_params, config.discriminator_model_params
    narrow = {"name": "melgan", "base_channels": 8, "max_channels": 128, "downsample_factors": [4, 4, 4]}
    return BaselineConfig(
        label,
        config.generator_model.removesuffix("_generator").replace("_", "-"),
        replace(
            large, network={**network, "base_channels": channels}, discriminator={"name": "melgan", **discriminator}
        ),
        SizeConfig({**network, "base_channels": 128}, large.frames, 4, 1e-3, narrow, 0.4),
        config,
    )


HIFIGAN, UNIVNET = coqui.HifiganConfig(), coqui.UnivnetConfig()
# Coqui computes the loss on sub-bands and weighs it 0; Yang et al. 2020, equation 7, weigh both alike.
MULTIBAND = coqui.MultibandMelganConfig(subband_stft_loss_weight=0.5)
COQUI = {
    "hifigan-v1": _hifigan("HiFi-GAN V1", 512, 96),
    "hifigan-v2": _hifigan("HiFi-GAN V2", 128, 64),
    "parallel-wavegan": BaselineConfig(
        "Parallel WaveGAN",
        "parallel-wavegan",
        SizeConfig(_wavegan(64, 30, 3), 100, 6, 2e-4, {"name": "parallel-wavegan"}, 0.25),
        SizeConfig(_wavegan(24, 20, 2), 32, 2, 1e-3, {"name": "parallel-wavegan", "conv_channels": 24}, 0.5),
        coqui.ParallelWaveganConfig(),
        deterministic=False,
    ),
    "melgan": _melgan("MelGAN", coqui.MelganConfig(), 512, SizeConfig({}, 32, 16, 2e-4)),
    "multiband-melgan": _melgan(
        "multi-band MelGAN", MULTIBAND, 384, SizeConfig({}, 64, 64, 2e-4, discriminator_from=0.25)
    ),
    # The paper's c16 and c32 (Jang et al. 2021, figure 1) are 16 and 32 hidden channels.
    "univnet": BaselineConfig(
        "UnivNet",
        "univnet",
        SizeConfig(UNIVNET.generator_model_params, 32, 32, 1e-4, {"name": "univnet"}, 0.25),
        SizeConfig(
            {**UNIVNET.generator_model_params, "hidden_channels": 16, "kpnet_hidden_channels": 32},
            *(32, 4, 1e-3, {"name": "univnet", "narrower": 8}, 0.5),
        ),
        UNIVNET,
        deterministic=False,
    ),
    # Of the package vocos; its losses are HiFi-GAN's, its discriminators UnivNet's.
    "vocos": BaselineConfig(
        "Vocos",
        "vocos",
        SizeConfig({"channels": 512, "hidden": 1536, "layers": 8}, 64, 16, 5e-4, {"name": "univnet"}),
        SizeConfig(
            {"channels": 384, "hidden": 1152, "layers": 8}, 64, 4, 1e-3, {"name": "univnet", "narrower": 12}, 0.4
        ),
        HIFIGAN,
        normalised=False,
    ),
    "wavernn": BaselineConfig(
        "WaveRNN",
        "wavernn",
        SizeConfig(_wavernn(512, 128, 10, 10), 5, 256, 5e-4),
        SizeConfig(_wavernn(128, 32, 3, 9), 4, 16, 2e-3),
        coqui.WavernnConfig(),
        family="autoregressive",
        deterministic=False,
        usual="small",
    ),
}


# DiffWave, WaveGrad and WaveGlow in their published layouts, which work on waveforms; small ones have fewer channels.


def _vocoder(
    label: str, network: str, small: Any, training: tuple[SizeConfig, SizeConfig], *short: str
) -> BaselineConfig:
    """A vocoder of this package; ``short``: published schedules of few steps to sample by."""
    config: Any = published(network, MEL)
    schedules = [published_schedule(name) for name in short]
    inference = {"inference": {schedule.num_steps: schedule.betas for schedule in schedules}} if short else {}
    large, little = (
        replace(size, network={**one.to_dict(), **inference})
        for size, one in zip(training, (config, replace(config, sizes=small)))
    )
    family = "diffusion" if short else "flow"
    return BaselineConfig(label, "vocoder", large, little, None, family, deterministic=False, normalised=False)


SMALL_DIFFWAVE = DiffWaveConfig(residual_channels=32, residual_layers=20)
SMALL_WAVEGRAD = WaveGradConfig(
    (4, 4, 4, 2, 2), (128, 128, 64, 32, 32), first_channels=192, down_channels=(8, 32, 32, 64, 128), n_mels=80
)
SMALL_WAVEGLOW = WaveGlowConfig(flows=6, early_every=3, layers=4, channels=96, upsample_window=512)
DIFFUSION = SizeConfig({}, 64, 16, 2e-4, ema_decay=0.999), SizeConfig({}, 32, 4, 1e-3, ema_decay=0.998)
FLOW = SizeConfig({}, 64, 16, 1e-4, ema_decay=0.999), SizeConfig({}, 16, 4, 6e-4, ema_decay=0.995)
VOCODERS = {
    "diffwave-waveform": _vocoder("DiffWave on waveforms", "diffwave", SMALL_DIFFWAVE, DIFFUSION, "diffwave-fast-6"),
    "wavegrad-waveform": _vocoder(
        "WaveGrad on waveforms",
        "wavegrad",
        SMALL_WAVEGRAD,
        DIFFUSION,
        *("wavegrad-6", "wavegrad-25", "wavegrad-50"),
    ),
    "waveglow": _vocoder("WaveGlow", "waveglow", SMALL_WAVEGLOW, FLOW),
}
BASELINES = {**VOCODERS, **COQUI}


def find(name: str) -> BaselineConfig:
    """Raises: DiffvocError for an unknown name, with the closest."""
    if name not in BASELINES:
        raise unknown(name, [*BASELINES], "baseline")
    return BASELINES[name]
