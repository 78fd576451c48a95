"""Small vocoders with random weights, one of each kind, for tests that need no trained voice."""

import torch

from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.factory import AnyVocoder, build
from tts_diffvoc.flow import FlowConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.networks.waveglow import WaveGlowConfig
from tts_diffvoc.networks.wavegrad import WaveGradConfig
from tts_diffvoc.spectral.magnitude import MagnitudeConfig
from tts_diffvoc.spectral.network import DiffWaveSizes, WaveGradSizes
from tts_diffvoc.spectral.pitch import PitchConfig
from tts_diffvoc.spectral.vocoder import SpectralConfig, SpectralVocoder
from tts_diffvoc.vocoder import VocoderConfig

CONFIGS = {
    "diffwave": VocoderConfig(
        "diffwave",
        DiffWaveConfig(residual_channels=8, residual_layers=3, dilation_cycle=3),
        published_schedule("diffwave-50"),
        inference={6: published_schedule("diffwave-fast-6").betas},
    ),
    "wavegrad": VocoderConfig(
        "wavegrad",
        WaveGradConfig(
            factors=(8, 8, 4),
            channels=(8, 8, 8),
            dilations=((1, 2, 1, 2),) * 3,
            first_channels=8,
            down_channels=(4, 8, 8),
            n_mels=80,
        ),
        published_schedule("wavegrad-1000"),
    ),
}
FLOW = {"waveglow": FlowConfig(sizes=WaveGlowConfig(flows=4, layers=2, channels=8, early_every=2))}
SMALL = {"pitch": PitchConfig(8, 1), "magnitude": MagnitudeConfig(8, 1)}
SPECTRAL = {
    "spectral diffwave": SpectralConfig("diffwave", DiffWaveSizes(16, 2, 2), **SMALL, defaults={"steps": 2}),
    "spectral wavegrad": SpectralConfig("wavegrad", WaveGradSizes(16, (2, 1)), **SMALL),
}


def random_vocoder(kind: str) -> AnyVocoder:
    """A vocoder, every weight random so that no path is silent: one of CONFIGS, FLOW or SPECTRAL."""
    torch.manual_seed(0)
    vocoder = build({**CONFIGS, **FLOW, **SPECTRAL}[kind], kind.replace(" ", "-")).eval()
    if isinstance(vocoder, SpectralVocoder):
        torch.nn.init.normal_(vocoder.denoiser.output.weight, std=0.02)
        torch.nn.init.normal_(vocoder.magnitude.last.weight, std=0.02)
        return vocoder
    with torch.no_grad():
        for parameter in vocoder.network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
            if kind == "wavegrad":
                # Its blocks multiply: untrained, at full size, a few steps overflow.
                parameter.mul_(0.3)
    return vocoder
