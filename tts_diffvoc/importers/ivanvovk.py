"""WaveGrad checkpoints of github.com/ivanvovk/WaveGrad, in the layout since October 2020.

The network resamples linearly and encodes 5000 times the noise level. Scale and shift of the modulation are two
convolutions there and one here. The mel is torchaudio's power mel (HTK bands of unit height) as log10, without
a floor: digital silence is minus infinity there, here it stays at 1e-12.
"""

from __future__ import annotations

from tts_diffvoc.diffusion.schedules import linear_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import AnyVocoder
from tts_diffvoc.importers import wavegrad
from tts_diffvoc.importers.reading import Checkpoint, Settings, vocoder_of
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
UP = {
    "block1": "first_block_residual_branch.0.conv1d",
    "block2.0": "first_block_main_branch.upsampling.2.conv1d",
    "block2.1": "first_block_main_branch.modulation.convolution.conv1d",
    "block3.0": "second_block_main_branch.modulation_0.convolution.conv1d",
    "block3.1": "second_block_main_branch.modulation_1.convolution.conv1d",
}
ENDS = {
    "downsample.0": "dblock_preconv.conv1d",
    "first_conv": "ublock_preconv.conv1d",
    "last_conv": "ublock_postconv.conv1d",
}


def theirs(name: str) -> tuple[str, ...]:
    """The publisher's names for one of our vocoder's weights."""
    stem, _, leaf = name.removeprefix("network.").rpartition(".")
    if stem in ENDS:
        return (f"{ENDS[stem]}.{leaf}",)
    place, number, part = stem.split(".", 2)
    if place == "upsample":
        return (f"ublocks.{number}.{UP[part]}.{leaf}",)
    if place == "film":
        convs = ("signal_conv.0",) if part == "input_conv" else ("shift_conv", "scale_conv")
        return tuple(f"films.{number}.{conv}.conv1d.{leaf}" for conv in convs)
    block = f"dblocks.{int(number) - 1}"
    if part == "residual_dense":
        return (f"{block}.residual_branch.0.conv1d.{leaf}",)
    return (f"{block}.main_branch.{int(part.removeprefix('conv.')) + 1}.convolution.conv1d.{leaf}",)


def convert_wavegrad(checkpoint: Checkpoint, settings: Settings) -> tuple[AnyVocoder, list[str]]:
    """WaveGrad: widths from the shapes, the rest from the publisher's JSON, or its default one."""
    if any(name.endswith("positional_encoding.pe") for name in checkpoint.weights):
        raise DiffvocError(
            f"{checkpoint.path} is of a version from before October 2020, which encodes positions; "
            "give a checkpoint of a later one."
        )
    sizes = wavegrad.sizes_of(
        checkpoint,
        theirs,
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
    return vocoder_of(config, checkpoint, theirs, ignored=lambda name: "." not in name), NOTES


def mel_config(settings: Settings, sizes: WaveGradConfig) -> MelConfig:
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
