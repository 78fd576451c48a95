"""Mels of real Coqui AudioProcessors, turned into ours."""

import numpy as np
import pytest
import torch
from TTS.config import BaseAudioConfig
from TTS.utils.audio import AudioProcessor

from tts_diffvoc import DiffvocError
from tts_diffvoc.coqui import synthesis
from tts_diffvoc.importers.lmnt import mel_config
from tts_diffvoc.mel import MelConfig, log_mel

# Plain settings whose mel is the vocoder's but for the levels.
SAME = {"mel_fmax": 8000.0, "do_trim_silence": False}
LEVELS = {
    "natural log": {"log_func": "np.log", "spec_gain": 1, "signal_norm": False},
    "log10": {"log_func": "np.log10", "spec_gain": 1, "signal_norm": False},
    "decibel": {"log_func": "np.log10", "spec_gain": 20, "signal_norm": False},
    "odd gain": {"log_func": "np.log", "spec_gain": 7, "signal_norm": False},
    "symmetric": {"min_level_db": -160, "ref_level_db": 30, "symmetric_norm": True, "max_norm": 4.0},
    "one-sided": {"min_level_db": -160, "ref_level_db": 20, "symmetric_norm": False, "max_norm": 1.0},
    "unclipped": {"min_level_db": -60, "ref_level_db": 0, "clip_norm": False},
    "magnitudes": {"do_amp_to_db_mel": False, "signal_norm": False},
}

TARGETS = {"natural": MelConfig(), "ten": MelConfig(log_base="10", gain=3.0, floor=1e-4)}


@pytest.fixture(scope="module")
def waveform():
    """A second and a half of a gliding, breathing tone with harmonics, in [-1, 1]."""
    t = np.arange(33075) / 22050
    phase = 2 * np.pi * np.cumsum(120 + 60 * np.sin(2 * np.pi * 1.5 * t)) / 22050
    tone = sum(np.sin(k * phase) / k for k in range(1, 30)) * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * t))
    noise = np.random.default_rng(0).normal(size=t.size)
    return (0.2 * tone + 0.01 * noise).astype(np.float32)


def acoustic(**settings):
    return AudioProcessor(BaseAudioConfig(**{**SAME, **settings}))


def convert(processor, waveform, config, approximate=False):
    mel = torch.from_numpy(processor.melspectrogram(waveform)).T
    return synthesis.converter(processor, config, approximate, "diffwave")(mel)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
def test_levels_convert_exactly(levels, target, waveform):
    converted = convert(acoustic(**levels), waveform, target)
    expected = log_mel(torch.from_numpy(waveform)[None], target)
    assert converted.shape == expected.shape and converted.dtype == torch.float32
    torch.testing.assert_close(converted, expected, atol=2e-4, rtol=0)


def test_coquis_own_renormalisation_is_not_exact(waveform):
    """Why this module is there: Coqui passes decibels on to a vocoder that takes natural logarithms."""
    decibels, natural = acoustic(**LEVELS["decibel"]), acoustic(**LEVELS["natural log"])
    passed_on = natural.normalize(decibels.denormalize(decibels.melspectrogram(waveform)))
    assert np.abs(passed_on - natural.melspectrogram(waveform)).max() > 10


def test_mean_and_deviation_convert_exactly(waveform):
    processor = acoustic(**LEVELS["decibel"])
    rng = np.random.default_rng(1)
    processor.signal_norm = True
    bins = processor.fft_size // 2 + 1
    processor.setup_scaler(rng.normal(-40, 5, 80), rng.uniform(5, 15, 80), np.zeros(bins), np.ones(bins))
    expected = log_mel(torch.from_numpy(waveform)[None], MelConfig())
    torch.testing.assert_close(convert(processor, waveform, MelConfig()), expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"hop_length": 275}, "hop_length 275 against 256"),
        ({"sample_rate": 16000}, "sample_rate 16000 Hz against 22050 Hz"),
        ({"mel_fmin": 50.0}, "fmin 50 Hz against 0 Hz"),
        ({"mel_fmax": 7600.0}, "fmax 7600 Hz against 8000 Hz"),
        ({"mel_fmax": None}, "fmax 11025 Hz against 8000 Hz"),
        ({"num_mels": 40}, "n_mels 40 against 80"),
        ({"win_length": 800}, "win_length 800 against 1024"),
        ({"fft_size": 2048}, "n_fft 2048 against 1024"),
        ({"preemphasis": 0.97}, "preemphasis 0.97 against 0"),
    ],
)
def test_another_spectrogram_is_refused_naming_both_sides(settings, told):
    with pytest.raises(DiffvocError) as refused:
        synthesis.converter(acoustic(**settings), MelConfig(), False, "diffwave")
    assert f"({told}, acoustic model first)" in str(refused.value)
    assert "diffwave?mel=approximate" in str(refused.value)


def test_htk_bands_are_another_filter_bank():
    with pytest.raises(DiffvocError, match="mel_scale slaney against htk"):
        synthesis.converter(acoustic(), MelConfig(mel_scale="htk"), False, "diffwave")


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"mel_fmin": 50.0, "mel_fmax": 7600.0}, 0.35),
        ({"hop_length": 275, "win_length": 1100, "fft_size": 2048}, 0.35),
        ({"num_mels": 100}, 0.25),
        ({"preemphasis": 0.97}, 0.35),
    ],
)
def test_approximate_conversion_is_close(settings, error, waveform):
    """Mean error of the natural log-mel; a factor of two in magnitude would be 0.69."""
    converted = convert(acoustic(**settings), waveform, MelConfig(), approximate=True)[0]
    expected = log_mel(torch.from_numpy(waveform)[None], MelConfig())[0]
    frames = min(converted.shape[1], expected.shape[1])
    assert abs(converted.shape[1] - expected.shape[1]) <= 2
    inner = slice(3, frames - 3), slice(2, 78)
    difference = converted[inner[1], inner[0]] - expected[inner[1], inner[0]]
    assert difference.abs().mean() < error


@pytest.mark.parametrize("levels, fmax", [("symmetric", None), ("natural log", 8000.0)])
def test_an_imported_diffwave_takes_coquis_mels_at_the_right_level(levels, fmax, waveform):
    """LMNT's logarithm is in units of 0.2 for a factor of ten."""
    lmnt = mel_config(22050, 1024, 256, 80)
    converted = convert(acoustic(**LEVELS[levels], mel_fmax=fmax), waveform, lmnt, approximate=True)
    expected = log_mel(torch.from_numpy(waveform)[None], lmnt)
    assert converted.shape == expected.shape and converted.min() >= 0 and converted.max() <= 1
    difference = (converted - expected)[0, 2 : 70 if fmax else 79]
    assert difference.abs().mean() < 0.04  # a factor of 1.6 in magnitude
    assert difference.mean().abs() < 0.02


def test_asking_for_approximation_changes_nothing_when_mels_are_the_same(waveform):
    processor = acoustic(**LEVELS["symmetric"])
    exact, asked = (convert(processor, waveform, MelConfig(), choice) for choice in (False, True))
    assert torch.equal(exact, asked)


def test_what_is_not_a_mel_is_refused():
    run = synthesis.converter(acoustic(), MelConfig(), False, "diffwave")
    with pytest.raises(DiffvocError, match=r"shape \[5, 513\] and not mel frames \[F, 80\]"):
        run(torch.zeros(5, 513))
