"""Small generators with random weights, on samples and on spectra, for tests that need no trained one."""

import torch

from tts_diffvoc.diffusion.schedules import NoiseSchedule, published_schedule
from tts_diffvoc.generator import Generator, GeneratorConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig

HOP = 16
SMALL = {"residual_channels": 8, "residual_layers": 4, "dilation_cycle": 4, "n_mels": 0, "upsample_factors": ()}
PLAIN = {"schedule": published_schedule("diffwave-200"), "sample_rate": 8000, "length": 512}
SPECTRA = {
    "schedule": NoiseSchedule.log_snr(0.9999, 0.02, 100),
    "sample_rate": 8000,
    "length": 512,
    "scale": 10.0,
    "hop": HOP,
}


def sizes(hop: int = 0, labels: int = 0, **changes) -> DiffWaveConfig:
    return DiffWaveConfig(**{**SMALL, "in_channels": 6 * hop + 3 if hop else 1, "labels": labels, **changes})


CONFIGS = {
    "plain": GeneratorConfig(sizes(), **PLAIN),
    "plain with labels": GeneratorConfig(sizes(labels=3), labels=("one", "two", "2"), **PLAIN),
    "spectra": GeneratorConfig(sizes(HOP), **SPECTRA),
    "spectra with labels": GeneratorConfig(sizes(HOP, 3), labels=("one", "two", "2"), **SPECTRA),
}


def random_generator(kind: str) -> Generator:
    """A generator, every weight random so that no path is silent, of any expected deviations."""
    torch.manual_seed(0)
    generator = Generator(CONFIGS[kind], kind.replace(" ", "-")).eval()
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        if generator.config.hop:
            generator.deviation.copy_(falling(HOP))
    return generator


def falling(hop: int) -> torch.Tensor:
    """Deviations of transform coefficients, as of speech loud below and quiet above."""
    return torch.logspace(0.4, -1.6, hop)


def gaussian(deviation: torch.Tensor, rows: int, blocks: int, seed: int = 0) -> torch.Tensor:
    """Waveforms [rows, blocks * hop] for which ``deviation`` [hop] says everything, unit scale."""
    from tts_diffvoc.preconditioning import MDCT

    generator = torch.Generator().manual_seed(seed)
    hop = len(deviation)
    return MDCT(hop).inverse(deviation[:, None] * torch.randn(rows, hop, blocks, generator=generator))
