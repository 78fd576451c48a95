"""What the WaveGrads of all publishers have alike: widths that their weights tell, and this package's schedules."""

from __future__ import annotations

from typing import Any

from tts_diffvoc.diffusion.schedules import NoiseSchedule, published_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.importers.reading import Checkpoint, PublisherSettings, shape
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.wavegrad import WaveGradConfig
from tts_diffvoc.vocoder import VocoderConfig

DILATIONS = ((1, 2, 1, 2), (1, 2, 1, 2), (1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8))
SHORT = "The schedules of 6, 25 and 50 steps are this package's, not searched for these weights (`tts-diffvoc tune`)."


def sizes_of(checkpoint: Checkpoint, **given: Any) -> WaveGradConfig:
    """The network's configuration: ``given``, with the factors in it, and widths from the shapes of the weights."""

    def width(name: str, axis: int = 0) -> int:
        return shape(checkpoint, f"{name}.weight", 3)[axis]

    blocks = range(len(given["factors"]))
    return WaveGradConfig(
        channels=tuple(width(f"upsample.{i}.block1") for i in blocks),
        first_channels=width("first_conv"),
        down_channels=(width("downsample.0"), *(width(f"downsample.{i}.residual_dense") for i in blocks[1:])),
        n_mels=width("first_conv", 1),
        **given,
    )


def config_of(
    sizes: WaveGradConfig, training: NoiseSchedule, mel: MelConfig, settings: PublisherSettings
) -> VocoderConfig:
    """A WaveGrad vocoder with this package's short schedules; DiffvocError where settings and weights differ."""
    if (mel.n_mels, mel.hop_length) != (sizes.n_mels, sizes.positions_per_frame):
        raise DiffvocError(
            f"{settings.source} asks for {mel.n_mels} bands every {mel.hop_length} samples; the weights and factors "
            f"take {sizes.n_mels} every {sizes.positions_per_frame}: give the config.json that belongs to them."
        )
    short = {n: published_schedule(f"wavegrad-{n}").betas for n in (6, 25, 50) if n <= training.num_steps}
    defaults = {"steps": 25 if 25 in short else training.num_steps}
    return VocoderConfig("wavegrad", sizes, training, mel, inference=short, defaults=defaults)
