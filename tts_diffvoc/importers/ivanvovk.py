"""WaveGrad checkpoints of github.com/ivanvovk/WaveGrad, in the layout since October 2020.

The network resamples linearly and encodes 5000 times the noise level. Scale and shift of the modulation are two
convolutions there and one here. The mel is torchaudio's power mel (HTK bands of unit height) as log10, without
a floor: digital silence is minus infinity there, here it stays at 1e-12.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from tts_diffvoc.diffusion.schedules import linear_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import AnyVocoder
from tts_diffvoc.importers import wavegrad
from tts_diffvoc.importers.reading import Checkpoint, PublisherSettings, renamed, vocoder_of
from tts_diffvoc.importers.wavegrad import DILATIONS, SHORT
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.wavegrad import WaveGradConfig

FLOOR = 1e-12
NOTES = [
    SHORT,
    "",
    "The publisher trains with noise of deviation 1 - a^2 at the noise level a, not sqrt(1 - a^2), and tells the "
    "network the level of the next cleaner step when it samples. This package samples as the papers say.",
]
BLOCKS = range(16)
NAMES = [
    (".conv1d.", "."),
    ("dblock_preconv.", "downsample.0."),
    ("ublock_preconv.", "first_conv."),
    ("ublock_postconv.", "last_conv."),
    *((f"dblocks.{i}.", f"downsample.{i + 1}.") for i in BLOCKS),
    (".residual_branch.0.", ".residual_dense."),
    *((f".main_branch.{i + 1}.convolution.", f".conv.{i}.") for i in range(3)),
    ("ublocks.", "upsample."),
    (".first_block_residual_branch.0.", ".block1."),
    (".first_block_main_branch.upsampling.2.", ".block2.0."),
    (".first_block_main_branch.modulation.convolution.", ".block2.1."),
    (".second_block_main_branch.modulation_0.convolution.", ".block3.0."),
    (".second_block_main_branch.modulation_1.convolution.", ".block3.1."),
    ("films.", "film."),
    (".signal_conv.0.", ".input_conv."),
]


def joined(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without constants, a level's shift and scale in one convolution."""
    kept = {name: value for name, value in weights.items() if "." in name and ".scale_conv." not in name}
    for name in [name for name in kept if ".shift_conv." in name]:
        scale = weights.get(name.replace(".shift_conv.", ".scale_conv."), kept[name][:0])
        kept[name.replace(".shift_conv.", ".output_conv.")] = torch.cat([kept.pop(name), scale])
    return kept


def convert_wavegrad(checkpoint: Checkpoint, settings: PublisherSettings) -> tuple[AnyVocoder, list[str]]:
    """WaveGrad: widths from the shapes, the rest from the publisher's JSON, or its default one."""
    if any(name.endswith("positional_encoding.pe") for name in checkpoint.weights):
        raise DiffvocError(
            f"{checkpoint.path} is of a version from before October 2020, which encodes positions; "
            "give a checkpoint of a later one."
        )
    checkpoint = renamed(replace(checkpoint, weights=joined(checkpoint.weights)), NAMES)
    sizes = wavegrad.sizes_of(
        checkpoint,
        factors=tuple(settings.get("model_config.factors", [5, 5, 3, 2, 2])),
        dilations=tuple(map(tuple, settings.get("model_config.upsampling_dilations", list(map(list, DILATIONS))))),
        level_scale=5000.0,
        interpolation="linear",
    )
    down = settings.get("model_config.downsampling_dilations", [[1, 2, 4]] * (len(sizes.factors) - 1))
    if any(one != [1, 2, 4] for one in down):
        raise DiffvocError(f"{settings.source} says downsampling_dilations: {down}; each must be [1, 2, 4].")
    betas = settings.get("training_config.training_noise_schedule.betas_range", [1e-6, 0.01])
    if len(betas) != 2:
        raise DiffvocError(f"{settings.source} says betas_range: {betas}; it must be the first and the last beta.")
    steps = settings.get("training_config.training_noise_schedule.n_iter", 1000)
    config = wavegrad.config_of(
        sizes, linear_schedule(betas[0], betas[1], steps), mel_config(settings, sizes), settings
    )
    return vocoder_of(config, checkpoint), NOTES


def mel_config(settings: PublisherSettings, sizes: WaveGradConfig) -> MelConfig:
    """The publisher's mel; its last frame is dropped there, and kept here."""
    return MelConfig(
        sample_rate=settings.get("data_config.sample_rate", 22050),
        n_fft=settings.get("data_config.n_fft", 1024),
        win_length=settings.get("data_config.win_length", 1024),
        hop_length=settings.get("data_config.hop_length", sizes.positions_per_frame),
        n_mels=settings.get("data_config.n_mels", sizes.n_mels),
        fmin=settings.get("data_config.f_min", 80.0),
        fmax=settings.get("data_config.f_max", 8000.0),
        mel_scale="htk",
        mel_norm="none",
        power=2,
        log_base="10",
        floor=FLOOR,
    )
