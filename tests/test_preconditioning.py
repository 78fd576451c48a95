"""Generators on spectra: exact transforms, and networks that answer with gains."""

import pytest
import torch
from small_generators import CONFIGS, HOP, random_generator

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import GeneratorConfig
from tts_diffvoc.preconditioning import LEAST_POWER, MDCT, STFT, with_gains

KIND = "spectra with labels"


@pytest.mark.parametrize("block, blocks", [(2, 3), (64, 5), (256, 2)])
def test_the_mdct_is_orthonormal(block, blocks):
    mdct = MDCT(block)
    identity = torch.eye(block * blocks)
    matrix = mdct(identity).transpose(1, 2).reshape(len(identity), -1)
    torch.testing.assert_close(matrix @ matrix.T, identity, atol=1e-5, rtol=0)
    torch.testing.assert_close(mdct.inverse(mdct(identity)), identity, atol=1e-5, rtol=0)


def test_the_mdct_puts_a_tone_into_its_bin():
    time = torch.arange(256 * 40) / 22050
    power = MDCT(256)(torch.sin(2 * torch.pi * 1000 * time).unsqueeze(0)).square().mean(-1)[0]
    assert int(power.argmax()) == int(1000 / (22050 / 512))


def test_the_stft_inverts_and_keeps_variance():
    stft = STFT(256)
    waveform = torch.randn(2, 256 * 30, generator=torch.Generator().manual_seed(0))
    spectrum = stft(waveform)
    assert spectrum.shape == (2, 1026, 30)
    assert 0.97 < spectrum[..., 4:-4].var().item() < 1.03
    torch.testing.assert_close(stft.inverse(spectrum), waveform, atol=1e-5, rtol=0)


def test_frames_are_centred_on_their_hop():
    click = torch.zeros(1, 256 * 9)
    click[0, 4 * 256 + 128] = 1.0
    energy = STFT(256)(click).square().sum(1)[0]
    assert int(energy.argmax()) == 4
    torch.testing.assert_close(energy[3], energy[5])


def spectra(bins=5, frames=7):
    return torch.randn(2, 2 * bins, frames, generator=torch.Generator().manual_seed(0))


def test_the_network_sees_the_log_power_of_each_bin():
    seen = []

    def network(x, noise_level):
        seen.append((x, noise_level))
        return torch.zeros_like(x)

    given, level = spectra(), torch.tensor([0.3, 0.8])
    assert torch.equal(with_gains(network)(given, level), torch.zeros_like(given))
    (x, told), real, imaginary = seen[0], given[:, :5], given[:, 5:]
    assert torch.equal(x[:, :10], given) and torch.equal(told, level)
    torch.testing.assert_close(x[:, 10:].exp(), torch.complex(real, imaginary).abs().square() + LEAST_POWER)


def test_a_gain_scales_its_bin_and_keeps_its_phase():
    given, gain = spectra(), torch.rand(2, 5, 7) + 0.5
    correction = torch.randn(2, 10, 7)

    def network(x, noise_level):
        return torch.cat([correction, gain], dim=1)

    found = with_gains(network)(given, torch.ones(2)) - correction
    before, after = (torch.complex(x[:, :5], x[:, 5:]) for x in (given, found))
    torch.testing.assert_close(after, gain * before)


def test_its_channels_are_checked():
    assert GeneratorConfig.from_dict(CONFIGS[KIND].to_dict()) == CONFIGS[KIND]
    values = CONFIGS[KIND].to_dict()
    values["sizes"]["in_channels"] -= 1
    with pytest.raises(DiffvocError, match=f"needs {6 * HOP + 3}"):
        GeneratorConfig.from_dict(values)


def test_it_learns_where_a_signal_is_loud():
    """Noise that comes and goes: the linear estimate is one for all, a gain can follow the bursts."""
    torch.manual_seed(0)
    generator = random_generator(KIND)
    for parameter in generator.parameters():
        parameter.requires_grad_(True)
    draw = torch.Generator().manual_seed(2)
    clips = torch.randn(16, 512, generator=draw) * (torch.rand(16, 8, generator=draw) > 0.5).repeat_interleave(64, 1)
    clips = 0.1 * clips
    generator.measure(clips)
    torch.nn.init.zeros_(generator.network.output_projection.weight)
    torch.nn.init.zeros_(generator.network.output_projection.bias)
    labels = [0] * 16
    seeds = list(range(16))
    first = generator.eval().loss(clips, labels, seeds).item()
    optimiser = torch.optim.Adam(generator.parameters(), 5e-3)
    for step in range(60):
        loss = generator.train().loss(clips, labels, [1000 + 16 * step + i for i in range(16)])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert generator.eval().loss(clips, labels, seeds).item() < 0.85 * first
