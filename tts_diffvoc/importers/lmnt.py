"""Checkpoints of the packages ``diffwave`` and ``wavegrad`` by LMNT; the names of their weights are ours.

Their mel (``preprocess.py`` of either): torchaudio's MelSpectrogram with the window's energy divided out, HTK bands
of unit height from 20 Hz, then (20 log10(max(m, 1e-5)) - 20 + 100) / 100, cut to [0, 1]. That is
0.2 log10(m) + 0.8 of m cut to [1e-4, 10].
"""

from __future__ import annotations

import math

from tts_diffvoc.diffusion.schedules import NoiseSchedule, linear_schedule, published_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import AnyVocoder
from tts_diffvoc.importers import wavegrad
from tts_diffvoc.importers.reading import Checkpoint, PublisherSettings, count, shape, vocoder_of
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.vocoder import VocoderConfig

LINEAR = {"diffwave": (1e-4, 0.05, 50), "wavegrad": (1e-6, 0.01, 1000)}


def mel_config(sample_rate: int, n_fft: int, hop_length: int, n_mels: int) -> MelConfig:
    """The mel that LMNT's packages are trained on."""
    window = 4 * hop_length
    return MelConfig(
        sample_rate=sample_rate,
        n_fft=n_fft,
        win_length=window,
        hop_length=hop_length,
        n_mels=n_mels,
        fmin=20.0,
        fmax=sample_rate / 2,
        mel_scale="htk",
        log_base="10",
        floor=1e-4,
        gain=1 / math.sqrt(3 / 8 * window),  # the energy of a periodic Hann window is 3/8 of its length
        mel_norm="none",
        ceiling=10.0,
        scale=0.2,
        shift=0.8,
    )


def schedule(settings: PublisherSettings, network: str) -> NoiseSchedule:
    """The betas of training; the package's own where the file does not say."""
    betas = settings.find("noise_schedule")
    first, last, steps = LINEAR[network]
    if betas is None:
        settings.assumed["noise_schedule"] = f"{steps} steps from {first} to {last}"
        return linear_schedule(first, last, steps)
    values = tuple(settings.checked("noise_schedule", betas, [0.0]))
    published = linear_schedule(first, last, len(values)) if values else None
    if published and max(abs(a - b) for a, b in zip(values, published.betas)) < 1e-9:
        return published
    return NoiseSchedule(values)


def fast_schedule(settings: PublisherSettings, training: NoiseSchedule) -> dict[int, tuple[float, ...]]:
    """The publisher's short schedule by its number of steps, if it keeps within the levels of training."""
    fast = list(published_schedule("diffwave-fast-6").betas)
    short = NoiseSchedule(tuple(settings.get("inference_noise_schedule", fast)))
    own, limits = short.noise_levels, training.noise_levels
    fits = float(own[0]) <= float(limits[0]) + 1e-6 and float(own[-1]) >= float(limits[-1]) - 1e-6
    return {short.num_steps: short.betas} if fits and short.num_steps <= training.num_steps else {}


def convert_diffwave(checkpoint: Checkpoint, settings: PublisherSettings) -> tuple[AnyVocoder, list[str]]:
    """DiffWave: sizes from the shapes; the dilation cycle, rates and schedules from the parameters saved with it."""
    if "spectrogram_upsampler.conv1.weight" not in checkpoint.weights:
        raise DiffvocError(
            f"{checkpoint.path} is an unconditional DiffWave, which takes no mel; give one that was trained with mels."
        )
    channels = shape(checkpoint, "input_projection.weight", 3)[0]
    layers = count(checkpoint, "residual_layers.{}.")
    n_mels = shape(checkpoint, "residual_layers.0.conditioner_projection.weight", 3)[1]
    factors = tuple(shape(checkpoint, f"spectrogram_upsampler.conv{i}.weight", 4)[3] // 2 for i in (1, 2))
    hop = settings.get("hop_samples", math.prod(factors))
    if hop != math.prod(factors):
        raise DiffvocError(f"{settings.source} says hop_samples: {hop}; the weights upsample by {math.prod(factors)}.")
    sizes = DiffWaveConfig(channels, layers, settings.get("dilation_cycle_length", 10), n_mels, factors)
    training = schedule(settings, "diffwave")
    inference = fast_schedule(settings, training)
    mel = mel_config(settings.get("sample_rate", 22050), settings.get("n_fft", 1024), hop, n_mels)
    steps = min([*inference, training.num_steps])
    config = VocoderConfig("diffwave", sizes, training, mel, inference=inference, defaults={"steps": steps})
    checkpoint.weights.pop("diffusion_embedding.embedding", None)  # a constant, which old versions save
    return vocoder_of(config, checkpoint), []


def convert_wavegrad(checkpoint: Checkpoint, settings: PublisherSettings) -> tuple[AnyVocoder, list[str]]:
    """WaveGrad: widths from the shapes; the factors and dilations are written into the package."""
    blocks, hop = count(checkpoint, "upsample.{}."), settings.get("hop_samples", 300)
    if blocks != 5 or hop != 300:
        raise DiffvocError(
            f"{checkpoint.path} has {blocks} blocks and a hop of {hop}; the package wavegrad has 5 and 300."
        )
    sizes = wavegrad.sizes_of(checkpoint, factors=(5, 5, 3, 2, 2), dilations=wavegrad.DILATIONS)
    n_fft = 2 ** (4 * hop - 1).bit_length()
    mel = mel_config(settings.get("sample_rate", 22050), n_fft, hop, sizes.n_mels)
    config = wavegrad.config_of(sizes, schedule(settings, "wavegrad"), mel, settings)
    return vocoder_of(config, checkpoint), [wavegrad.SHORT]
