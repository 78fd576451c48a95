"""Noise predictors: DiffWave and WaveGrad, one file each, torch only."""

from tts_diffvoc.networks.diffwave import DiffWave, DiffWaveConfig
from tts_diffvoc.networks.wavegrad import WaveGrad, WaveGradConfig

__all__ = ["DiffWave", "DiffWaveConfig", "WaveGrad", "WaveGradConfig"]
