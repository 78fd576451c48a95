"""State dicts of NVIDIA's WaveGlow, with weight normalisation or without it.

The mel is Tacotron 2's: natural logarithm of Slaney bands from 0 to 8000 Hz, floor 1e-5.
"""

from __future__ import annotations

from dataclasses import replace

from tts_diffvoc.factory import AnyVocoder
from tts_diffvoc.flow import FlowConfig
from tts_diffvoc.importers.reading import Checkpoint, PublisherSettings, count, shape, vocoder_of
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.waveglow import WaveGlowConfig, published_weights


def convert_waveglow(checkpoint: Checkpoint, settings: PublisherSettings) -> tuple[AnyVocoder, list[str]]:
    """WaveGlow: all sizes from the shapes but the hop, which is a quarter of the upsampling window if not told."""
    checkpoint = replace(checkpoint, weights=published_weights(checkpoint.weights))
    bands, _, window = shape(checkpoint, "upsample.weight", 3)
    channels, _, kernel = (
        shape(checkpoint, "WN.0.start.weight", 3)[0],
        *shape(checkpoint, "WN.0.in_layers.0.weight", 3)[1:],
    )
    widths = [shape(checkpoint, f"convinv.{k}.conv.weight", 3)[0] for k in range(count(checkpoint, "convinv.{}."))]
    every, size = early(widths)
    mel = mel_config(settings, bands, window // 4)
    sizes = WaveGlowConfig(
        n_mels=bands,
        flows=len(widths),
        group=widths[0],
        early_every=every,
        early_size=size,
        layers=count(checkpoint, "WN.0.in_layers.{}."),
        channels=channels,
        kernel_size=kernel,
        hop_length=mel.hop_length,
        upsample_window=window,
    )
    return vocoder_of(FlowConfig("waveglow", sizes, mel), checkpoint), [
        "NVIDIA samples with noise of deviation 0.6 to 1, then denoises."
    ]


def early(widths: list[int]) -> tuple[int, int]:
    """Every how many flows channels leave early, and how many; after the last flow when none do."""
    for k, width in enumerate(widths):
        if width < widths[0]:
            return k, widths[0] - width
    return len(widths), 2


def mel_config(settings: PublisherSettings, n_mels: int, hop: int) -> MelConfig:
    return MelConfig(
        sample_rate=settings.get("data_config.sampling_rate", 22050),
        n_fft=settings.get("data_config.filter_length", 1024),
        win_length=settings.get("data_config.win_length", 1024),
        hop_length=settings.get("data_config.hop_length", hop),
        n_mels=n_mels,
        fmin=settings.get("data_config.mel_fmin", 0.0),
        fmax=settings.get("data_config.mel_fmax", 8000.0),
    )
