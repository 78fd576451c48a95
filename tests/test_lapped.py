"""The transforms of a folded vocoder: exact inverses, white noise kept white, and a calibrated prior."""

import pytest
import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.lapped import Frames, LappedTransform, MagnitudePrior
from tts_diffvoc.mel import MelConfig, expand, log_mel, stft

MEL = MelConfig()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("block, blocks", [(2, 3), (64, 5), (256, 2)])
def test_lapped_transform_is_orthonormal(block, blocks):
    transform = LappedTransform(block)
    identity = torch.eye(block * blocks)
    matrix = transform(identity).transpose(1, 2).reshape(len(identity), -1)
    torch.testing.assert_close(matrix @ matrix.T, identity, atol=1e-5, rtol=0)
    torch.testing.assert_close(transform.inverse(transform(identity)), identity, atol=1e-5, rtol=0)


def test_lapped_transform_puts_a_tone_into_its_bin():
    time = torch.arange(256 * 40) / 22050
    power = LappedTransform(256)(torch.sin(2 * torch.pi * 1000 * time).unsqueeze(0)).square().mean(-1)[0]
    assert int(power.argmax()) == int(1000 / (22050 / 512))


def test_frames_invert_and_keep_variance():
    frames = Frames(1024, 256)
    waveform = noise(2, 256 * 30)
    spectrum = frames(waveform)
    assert spectrum.shape == (2, 1026, 30)
    assert 0.97 < spectrum[..., 4:-4].var().item() < 1.03
    torch.testing.assert_close(frames.inverse(spectrum), waveform, atol=1e-5, rtol=0)


def test_frames_are_centred_on_their_hop():
    click = torch.zeros(1, 256 * 9)
    click[0, 4 * 256 + 128] = 1.0
    energy = Frames(1024, 256)(click).square().sum(1)[0]
    assert int(energy.argmax()) == 4
    torch.testing.assert_close(energy[3], energy[5])


@pytest.mark.parametrize("bands", [False, True])
def test_prior_expects_the_level_of_noise(bands):
    """From the mean magnitudes of white noise follows its deviation, so that whitened noise has unit variance."""
    level = 0.05
    waveform = level * noise(1, 256 * 400)
    spectrum = expand(log_mel(waveform, MEL), MEL) if bands else stft(waveform, MEL).abs()
    magnitude = spectrum.mean(-1, keepdim=True).expand(-1, -1, 400)
    white = LappedTransform(256)(waveform) / MagnitudePrior(MEL, 256, bands)(magnitude)
    assert white[:, 2:180].var().item() == pytest.approx(1.0, abs=0.05)


def test_prior_has_a_floor():
    assert MagnitudePrior(MEL, 256, False)(torch.zeros(1, 513, 3)).min().item() == pytest.approx(3e-5)


def test_bad_sizes_are_refused():
    with pytest.raises(DiffvocError, match="even"):
        LappedTransform(7)
    with pytest.raises(DiffvocError, match="multiple"):
        LappedTransform(8)(torch.zeros(1, 9))
    with pytest.raises(DiffvocError, match="overlap"):
        Frames(300, 256)
    with pytest.raises(DiffvocError, match="divide"):
        MagnitudePrior(MEL, 100, False)
