"""Other packages' mels: presets against these packages' own arithmetic, conversion, and what is suspected."""

import re
import warnings

import librosa
import numpy as np
import pytest
import torch
import torchaudio
from small_vocoders import random_vocoder

from tts_diffvoc.checkpoint import save_checkpoint
from tts_diffvoc.cli import main
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import PRESETS, MelConfig, log_mel
from tts_diffvoc.mel_kinds import LEVELS, convert, kind_of, likely_kind, take_mel

OWN = MelConfig()


def librosas(speech: torch.Tensor, rate: int, n_fft: int, hop: int, bands: int, low: float, high: float, power: float):
    return librosa.feature.melspectrogram(
        y=speech[0].numpy(), sr=rate, n_fft=n_fft, hop_length=hop, n_mels=bands, fmin=low, fmax=high, power=power,
        pad_mode="reflect",
    )  # fmt: skip


def test_espnet(speech):
    theirs = np.log10(np.maximum(librosas(speech, 22050, 1024, 256, 80, 80, 7600, 1), 1e-10))
    np.testing.assert_allclose(log_mel(speech, PRESETS["espnet"])[0], theirs, atol=1e-3)


def test_whisper(speech):
    level = np.log10(np.maximum(librosas(speech, 16000, 400, 160, 80, 0, 8000, 2), 1e-10))
    np.testing.assert_allclose(log_mel(speech, PRESETS["whisper"])[0], (level + 4) / 4, atol=1e-3)


def test_vocos(speech):
    spectrogram = torchaudio.transforms.MelSpectrogram(24000, 1024, hop_length=256, n_mels=100, power=1)
    theirs = spectrogram(speech).clamp_min(1e-7).log()
    torch.testing.assert_close(log_mel(speech, PRESETS["vocos"]), theirs, atol=1e-3, rtol=0)


def test_coqui(speech):
    from TTS.config import BaseAudioConfig
    from TTS.utils.audio import AudioProcessor

    theirs = AudioProcessor(BaseAudioConfig(do_trim_silence=False)).melspectrogram(speech[0].numpy())
    np.testing.assert_allclose(log_mel(speech, PRESETS["coqui"])[0], theirs, atol=1e-3)


@pytest.mark.parametrize("name, bands, rate, fmax", [("hifigan", 80, 22050, 8000), ("bigvgan", 100, 24000, 12000)])
def test_hifigan_and_bigvgan_lie_half_a_hop_later(speech, name, bands, rate, fmax):
    padded = torch.nn.functional.pad(speech, (384, 384), mode="reflect")
    spectrum = torch.stft(padded, 1024, 256, window=torch.hann_window(1024), center=False, return_complex=True)
    magnitude = (torch.view_as_real(spectrum).square().sum(-1) + 1e-9).sqrt()[0].numpy()
    filters = librosa.filters.mel(sr=rate, n_fft=1024, n_mels=bands, fmin=0, fmax=fmax)
    theirs = np.log(np.maximum(filters @ magnitude, 1e-5))
    ours = log_mel(speech[:, 128:], PRESETS[name])[0].numpy()
    np.testing.assert_allclose(ours[:, 3:80], theirs[:, 3:80], atol=5e-3)


def test_matcha_is_hifigans_standardised():
    level = torch.linspace(-11, 1, 80).reshape(1, 80, 1)
    converted = convert((level + 5.536622) / 2.116101, PRESETS["matcha"], OWN)
    torch.testing.assert_close(converted, level, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", LEVELS)
def test_levels_convert_exactly(speech, kind):
    mel = log_mel(speech, OWN)
    torch.testing.assert_close(take_mel(convert(mel, OWN, kind_of(kind, OWN)), OWN, kind), mel, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name, error", [("coqui", 0.3), ("espnet", 0.3), ("vocos", 0.3)])
def test_other_spectrograms_are_approximated_with_a_warning(speech, name, error):
    source = PRESETS[name]
    resampled = torchaudio.functional.resample(speech, 22050, source.sample_rate)
    with pytest.warns(UserWarning, match="approximated: .* against .*, the given one first"):
        taken = take_mel(log_mel(resampled, source), OWN, name)
    expected = log_mel(speech, OWN)
    frames = min(taken.shape[2], expected.shape[2])
    inner = (slice(None), slice(3, 76), slice(3, frames - 3))
    assert abs(taken.shape[2] - expected.shape[2]) <= 1
    assert (taken[inner] - expected[inner]).abs().mean() < error


def test_own_mels_raise_no_suspicion(speech):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for loudness in (1.0, 0.3, 0.1):
            for frames in (20, 86):
                mel = log_mel(loudness * speech, OWN)[..., :frames]
                assert torch.equal(take_mel(mel, OWN), mel)


@pytest.mark.parametrize("kind", ["log10", "normalized", "standardized"])
def test_another_level_is_suspected(speech, kind):
    mel = convert(log_mel(speech, OWN), OWN, kind_of(kind, OWN))
    with pytest.warns(UserWarning, match=f'looks like mel_kind="{kind}"; say so, or mel_kind="own" if it is not'):
        take_mel(mel, OWN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(take_mel(mel, OWN, "own"), mel)


def test_magnitudes_are_suspected(speech):
    with pytest.warns(UserWarning, match="like magnitudes, whose logarithm is to be given"):
        take_mel(log_mel(speech, OWN).exp(), OWN)


def test_what_audio_cannot_have_is_refused_with_the_likely_kind(speech):
    decibels = convert(log_mel(speech, OWN), OWN, kind_of("decibels", OWN))
    with pytest.raises(DiffvocError, match='check its scale; it looks like mel_kind="decibels"'):
        take_mel(decibels, OWN)
    assert take_mel(decibels, OWN, "decibels").shape == decibels.shape


@pytest.mark.parametrize("mel", [torch.zeros(1, 80, 40), torch.zeros(1, 80, 40).long(), torch.full((1, 80, 3), 0.5)])
def test_of_silence_and_scraps_nothing_is_said(mel):
    assert likely_kind(mel, OWN) is None


def test_bad_kinds_and_shapes(speech):
    mel = log_mel(speech, OWN)
    with pytest.raises(DiffvocError, match="mel_kind='espnet3' is unknown; choose one of auto, own, tacotron2"):
        take_mel(mel, OWN, "espnet3")
    with pytest.raises(DiffvocError, match="transpose it"):
        take_mel(mel.transpose(1, 2), OWN, "espnet")


@pytest.mark.parametrize("kind", ["diffwave", "spectral diffwave", "waveglow"])
def test_vocoders_take_other_kinds(speech, kind):
    vocoder, mel = random_vocoder(kind), log_mel(speech, OWN)[..., :9]
    expected = vocoder.generate(mel, seed=0)
    given = vocoder.generate(convert(mel, OWN, PRESETS["matcha"]), seed=0, mel_kind="matcha")
    torch.testing.assert_close(given, expected, atol=1e-3, rtol=0)
    with pytest.raises(DiffvocError, match="mel_kind"):
        vocoder.generate(mel, mel_kind="no")


def test_the_command_takes_a_kind(speech, tmp_path, capsys):
    vocoder, mel = random_vocoder("spectral diffwave"), log_mel(speech, OWN)
    folder, saved, out = (str(tmp_path / name) for name in ("vocoder", "mel.npy", "out.wav"))
    save_checkpoint(vocoder, folder, "card")
    np.save(saved, (mel[0] / np.log(10)).numpy())
    command = ["vocode", saved, "-o", out, "--vocoder", folder]
    assert main([*command, "--mel-kind", "log10"]) == 0 and not capsys.readouterr().err
    assert main(command) == 0 and re.search('warning: .*mel_kind="log10"', capsys.readouterr().err)
    assert main([*command, "--mel-kind", "no"]) == 2
