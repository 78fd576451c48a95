"""Mels that are no speech: nothing is NaN, no burst is more than 6 dB above the input, silence stays silent.

With magnitudes as they are without training, and with corrections as large as a trained network's.
"""

import math

import pytest
import torch
from torch import Tensor

from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc.spectral.magnitude import MagnitudeConfig
from tts_diffvoc.spectral.network import DiffWaveSizes, WaveGradSizes
from tts_diffvoc.spectral.pitch import PitchConfig
from tts_diffvoc.spectral.vocoder import SpectralConfig, SpectralVocoder

FRAMES = 40
TIME = torch.arange(FRAMES * 256) / 22050
SIZES = {"diffwave": DiffWaveSizes(16, 2, 2), "wavegrad": WaveGradSizes(16, (2, 1))}


@pytest.fixture(params=[(kind, trained) for kind in SIZES for trained in (False, True)], ids=str)
def spectral(request) -> SpectralVocoder:
    kind, trained = request.param
    torch.manual_seed(0)
    vocoder = SpectralVocoder(SpectralConfig(kind, SIZES[kind], PitchConfig(8, 1), MagnitudeConfig(8, 1))).eval()
    if trained:
        torch.nn.init.normal_(vocoder.denoiser.output.weight, std=0.02)
        torch.nn.init.normal_(vocoder.magnitude.last.weight, std=0.3)  # corrections of a neper or so
    return vocoder


def random_noise(seed: int = 0) -> Tensor:
    return torch.randn(len(TIME), generator=torch.Generator().manual_seed(seed))


def buzz(f0: float, harmonics: int = 30) -> Tensor:
    numbers = torch.arange(1, min(harmonics, int(10000 / f0)) + 1).unsqueeze(1)
    return 0.3 * (torch.sin(2 * math.pi * f0 * numbers * TIME) / numbers).sum(0)


def tone(frequency: float) -> Tensor:
    return 0.5 * torch.sin(2 * math.pi * frequency * TIME)


def whisper() -> Tensor:
    """Noise through two formants."""
    spectrum = torch.fft.rfft(random_noise())
    frequency = torch.fft.rfftfreq(len(TIME), 1 / 22050)
    shape = sum(torch.exp(-0.5 * ((frequency - centre) / 150).square()) for centre in (700, 1800))
    return 0.3 * torch.fft.irfft(spectrum * shape, len(TIME))


def music() -> Tensor:
    """A chord whose notes decay, and a drum."""
    notes = sum(tone(f) * torch.exp(-4 * TIME) for f in (261.6, 329.6, 392.0, 1046.5)) / 4
    return notes + 0.2 * random_noise() * torch.exp(-60 * (TIME % 0.15))


SOUNDS = {
    "white noise": 0.1 * random_noise(),
    "loud noise": 0.9 * random_noise().clamp(-1, 1),
    "music": music(),
    "tone of 100 Hz": tone(100),
    "tone of 440 Hz": tone(440),
    "tone of 1 kHz": tone(1000),
    "tone of 5 kHz": tone(5000),
    "a voice of 30 Hz": buzz(30),
    "a voice of 900 Hz": buzz(900),
    "two speakers": buzz(110) + 0.7 * buzz(197),
    "whisper": whisper(),
    "a click": 0.9 * (torch.arange(len(TIME)) == 5000),
}


def loudest(waveform: Tensor) -> Tensor:
    """Greatest level of 1,024 samples."""
    return waveform.square().unfold(-1, 1024, 256).mean(-1).amax().sqrt()


@pytest.mark.parametrize("sound", SOUNDS)
def test_no_burst(spectral, sound):
    waveform = SOUNDS[sound].unsqueeze(0)
    made = spectral.generate(log_mel(waveform, MelConfig())[..., :FRAMES], steps=2, seed=0, consistency=1)
    assert torch.isfinite(made).all()
    assert loudest(made) < 2 * loudest(waveform)


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_silence_stays_silent(spectral, steps):
    made = spectral.generate(log_mel(torch.zeros(1, FRAMES * 256), MelConfig())[..., :FRAMES], steps=steps, seed=0)
    assert 20 * made.square().mean().sqrt().log10() < -70
