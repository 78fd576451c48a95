"""The mel contract against Coqui's own AudioProcessor and librosa, and its refusals."""

import librosa
import numpy as np
import pytest
import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, check_mel, compress, expand, log_mel, mel_filters


def speechlike(samples: int, seed: int = 0) -> torch.Tensor:
    """Harmonics of a gliding pitch under a slow envelope, with a noise floor: [samples] in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(samples) / 22050
    phase = 2 * torch.pi * (120 * time + 40 * time.square())
    tone = torch.stack([torch.sin(k * phase) / k for k in range(1, 30)]).sum(0)
    envelope = 0.5 + 0.5 * torch.sin(2 * torch.pi * 3 * time)
    return 0.2 * envelope * tone + 0.003 * torch.randn(samples, generator=generator)


@pytest.mark.parametrize("fmax, n_mels, hop", [(8000.0, 80, 256), (11025.0, 100, 300)])
def test_mel_equals_coquis_audio_processor(fmax, n_mels, hop):
    from TTS.config.shared_configs import BaseAudioConfig
    from TTS.utils.audio import AudioProcessor

    audio = BaseAudioConfig(
        sample_rate=22050, fft_size=1024, win_length=1024, hop_length=hop, num_mels=n_mels, mel_fmin=0.0,
        mel_fmax=fmax, log_func="np.log", spec_gain=1.0, signal_norm=False, preemphasis=0.0, do_amp_to_db_mel=True,
        stft_pad_mode="reflect", power=1.0, do_trim_silence=False,
    )  # fmt: skip
    processor = AudioProcessor(audio)
    waveform = speechlike(22050)
    theirs = processor.melspectrogram(waveform.numpy())
    config = MelConfig(fmax=fmax, n_mels=n_mels, hop_length=hop)
    ours = log_mel(waveform.unsqueeze(0), config)[0].numpy()
    assert ours.shape == theirs.shape
    # Both are float32 short-time Fourier transforms of different make: rounding is absolute in the magnitude.
    np.testing.assert_allclose(np.exp(ours), np.exp(theirs), atol=3e-7, rtol=5e-6)


def test_filter_bank_equals_librosas():
    for scale in ("slaney", "htk"):
        theirs = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=80, fmin=0, fmax=8000, htk=scale == "htk")
        np.testing.assert_allclose(mel_filters(MelConfig(mel_scale=scale)).numpy(), theirs, atol=2e-7)


LEVELS = {
    "plain": MelConfig(),
    "log10": MelConfig(log_base="10", gain=20.0),
    "scaled": MelConfig(log_base="10", ceiling=20.0, scale=0.2, shift=0.8),
    "each band": MelConfig(n_mels=5, scale=(1.0, 2.0, 3.0, 4.0, 0.5), shift=[0.0, -1.0, 2.0, 1.0, 5.0]),
}


@pytest.mark.parametrize("config", LEVELS.values(), ids=LEVELS)
def test_expand_inverts_compress(config):
    magnitude = torch.logspace(-4, 1, 50).reshape(1, 5, 10)
    torch.testing.assert_close(expand(compress(magnitude, config), config), magnitude, rtol=1e-5, atol=0)


def test_the_ceiling_and_the_floor_cut():
    config = MelConfig(floor=0.1, ceiling=10.0, log_base="10", scale=0.5, shift=0.5)
    assert compress(torch.tensor([[0.0], [0.1], [1.0], [100.0]]), config).tolist() == [[0.0], [0.0], [0.5], [1.0]]


def test_powers_are_squares_before_the_bands():
    import torchaudio

    waveform = speechlike(8192).unsqueeze(0)
    config = MelConfig(power=2, mel_norm="none", mel_scale="htk", log_base="10", floor=1e-12)
    theirs = torchaudio.transforms.MelSpectrogram(22050, 1024, hop_length=256, f_max=8000.0, n_mels=80)(waveform)
    torch.testing.assert_close(log_mel(waveform, config), theirs.log10(), atol=1e-4, rtol=0)


def test_settings_for_each_band_survive_json():
    import json

    config = LEVELS["each band"]
    again = MelConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config and hash(again) == hash(config)
    # As the bundled voices were saved, before there were these settings.
    old = {name: value for name, value in MelConfig().to_dict().items() if name not in ("mel_norm", "power", "ceiling")}
    assert MelConfig.from_dict(old) == MelConfig()


@pytest.mark.parametrize(
    "change, says",
    [
        ({"mel_norm": "l2"}, "mel_norm"),
        ({"power": 3}, "power"),
        ({"ceiling": 1e-6}, "ceiling"),
        ({"scale": 0.0}, "scale"),
        ({"shift": (1.0, 2.0)}, "shift has 2 numbers"),
        ({"hop_length": 0}, "hop_length"),
        ({"fmin": 9000.0}, "fmin"),
        ({"fmax": 20000.0}, "fmax"),
        ({"log_base": "2"}, "log_base"),
        ({"mel_scale": "bark"}, "mel_scale"),
        ({"floor": 0.0}, "floor"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(change, says):
    with pytest.raises(DiffvocError, match=says):
        MelConfig(**change)


def test_unknown_settings_are_refused():
    with pytest.raises(DiffvocError, match="colour"):
        MelConfig.from_dict({"colour": "blue"})
    assert MelConfig.from_dict(MelConfig(hop_length=300).to_dict()) == MelConfig(hop_length=300)


@pytest.mark.parametrize(
    "mel, says",
    [
        (torch.zeros(1, 79, 5), "79"),
        (torch.zeros(1, 5, 80), "transpose"),
        (torch.zeros(1, 80, 0), "no frames"),
        (torch.full((1, 80, 5), float("nan")), "holds nan"),
        (torch.full((1, 80, 5), float("inf")), "holds inf"),
        (np.zeros((1, 80, 5)), "ndarray"),
    ],
)
def test_bad_mels_are_refused(mel, says):
    with pytest.raises(DiffvocError, match=says):
        check_mel(mel, MelConfig())


def test_a_single_mel_gains_a_batch():
    assert check_mel(torch.zeros(80, 5, dtype=torch.float64), MelConfig()).shape == (1, 80, 5)


def test_bad_waveforms_are_refused():
    with pytest.raises(DiffvocError, match="\\[B, T\\]"):
        log_mel(torch.zeros(5000), MelConfig())
    with pytest.raises(DiffvocError, match="at least 513"):
        log_mel(torch.zeros(1, 512), MelConfig())
