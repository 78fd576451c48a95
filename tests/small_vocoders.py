"""Small vocoders with random weights, one of each kind, for tests that need no trained voice."""

import torch

from tts_diffvoc.diffusion.schedules import NoiseSchedule, published_schedule
from tts_diffvoc.estimator import EstimatorConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.networks.wavegrad import WaveGradConfig
from tts_diffvoc.vocoder import Vocoder, VocoderConfig

FOLDED = {"n_mels": 256, "in_channels": 1026}
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
    "folded diffwave": VocoderConfig(
        "diffwave",
        DiffWaveConfig(residual_channels=8, residual_layers=3, dilation_cycle=3, upsample_factors=(1,), **FOLDED),
        NoiseSchedule.log_snr(0.9999, 0.05, 50),
        folded=True,
        estimator=EstimatorConfig(channels=16, blocks=1, iterations=4),
        defaults={"steps": 3, "sampler": "ddim", "start": "estimate", "level": 0.9},
    ),
    "folded wavegrad": VocoderConfig(
        "wavegrad",
        WaveGradConfig(
            factors=(1, 1),
            channels=(8, 8),
            dilations=((1, 2, 1, 2),) * 2,
            first_channels=8,
            down_channels=(8, 8),
            level_scale=5000.0,
            **FOLDED,
        ),
        NoiseSchedule.log_snr(0.9999, 0.05, 50),
        folded=True,
        estimator=EstimatorConfig(channels=16, blocks=1, iterations=4),
    ),
}


def random_vocoder(kind: str) -> Vocoder:
    torch.manual_seed(0)
    vocoder = Vocoder(CONFIGS[kind], kind.replace(" ", "-")).eval()
    with torch.no_grad():
        for parameter in vocoder.network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
            if vocoder.config.network == "wavegrad":
                # Its blocks multiply: untrained, at full size, a few steps overflow.
                parameter.mul_(0.3)
    return vocoder
