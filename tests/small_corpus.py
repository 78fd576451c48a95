"""A small corpus of tones at 8 kHz, and small vocoders for it, for tests that really train."""

import dataclasses
from pathlib import Path

import numpy as np
import soundfile

from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.networks.wavegrad import WaveGradConfig
from tts_diffvoc.vocoder import VocoderConfig

MEL = MelConfig(sample_rate=8000, n_fft=256, win_length=256, hop_length=64, n_mels=20, fmax=4000.0)
SMALL = {"residual_channels": 8, "residual_layers": 2, "dilation_cycle": 2}
VOCODERS = {
    "diffwave": VocoderConfig(
        "diffwave", DiffWaveConfig(n_mels=20, upsample_factors=(8, 8), **SMALL), published_schedule("diffwave-50"), MEL
    ),
    "wavegrad": VocoderConfig(
        "wavegrad",
        WaveGradConfig((4, 4, 4), (8, 8, 8), ((1, 2, 1, 2),) * 3, 8, (4, 8, 8), n_mels=20),
        published_schedule("wavegrad-1000"),
        MEL,
    ),
}


def tones(
    seed: int, seconds: float = 0.6, rate: int = 8000, channels: int = 1, pitch: float | None = None
) -> np.ndarray:
    """Harmonics of a pitch, at random unless given, in a little noise, [samples] or [samples, channels]."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = pitch or random.uniform(80, 250)
    wave = sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, 6))
    one = 0.1 * wave * (1.2 + np.sin(9 * time)) + 0.005 * random.standard_normal(len(time))
    if channels == 1:
        return one
    return np.stack([one * (c + 1) / channels for c in range(channels)], axis=1)


def write_corpus(
    folder: Path, clips: int = 6, seconds: float = 0.6, rate: int = 8000, pitch: float | None = None
) -> Path:
    """``clips`` wav files of tones in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(clips):
        soundfile.write(folder / f"clip{i}.wav", tones(i, seconds, rate, 1, pitch), rate, subtype="FLOAT")
    return folder


def training_config(kind: str, data: Path, output: Path, **changes):
    """Coqui's configuration of a short training of a small vocoder: 8 frames a crop, 4 crops a batch, no workers."""
    from tts_diffvoc.coqui.configs import from_core

    values = {
        "run_name": "small",
        "data_path": str(data),
        "output_path": str(output),
        "seq_len": 8 * 64,
        "batch_size": 4,
        "eval_split_size": 2,
        "num_loader_workers": 0,
        "num_eval_loader_workers": 0,
        "lr": 2e-3,
        "epochs": 1000,
        "plot_step": 1,
        "print_step": 1000,
        "save_step": 1000,
        "test_delay_epochs": 1000,
        "ema_decay": 0.9,
    }
    config = from_core(VOCODERS[kind])
    return dataclasses.replace(config, **{**values, **changes})
