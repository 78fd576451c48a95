"""Magnitudes: an envelope from the mel alone, the mel that was given, and a network that learns harmonics."""

import torch

from tts_diffvoc.mel import MelConfig, log_mel, mel_filters
from tts_diffvoc.spectral.magnitude import (
    LEAST,
    MagnitudeConfig,
    MagnitudeNetwork,
    carry_mel,
    match_mel,
    within,
)
from tts_diffvoc.spectral.transform import Transform

MEL = MelConfig()


def test_matched_magnitudes_have_the_wanted_mel():
    random = torch.Generator().manual_seed(0)
    wanted = torch.rand(1, 6, 80, generator=random) + 0.1
    filters = mel_filters(MEL)
    guess = torch.rand(1, 6, 513, generator=random) + 0.1
    errors = [(match_mel(guess, wanted, filters, n) @ filters.T / wanted).log().abs().mean().item() for n in (0, 3, 30)]
    assert errors[0] > 5 * errors[1] > 5 * errors[2]


def test_an_untrained_network_spreads_flat_bands_flat():
    network = MagnitudeNetwork(MagnitudeConfig(8, 1), MEL)
    flat = torch.full((1, 4, 513), 0.7)
    mel = (mel_filters(MEL) @ flat.transpose(1, 2)).log()
    assert torch.allclose(network(mel, torch.zeros(1, 4, 513)), flat, rtol=1e-3)


def test_silence_has_the_least_magnitude():
    network = MagnitudeNetwork(MagnitudeConfig(8, 1), MEL)
    made = network(torch.full((1, 80, 3), -11.5129), torch.zeros(1, 3, 513))
    assert torch.all(made == LEAST)


def test_the_network_learns_what_the_source_tells(speech):
    torch.manual_seed(0)
    network = MagnitudeNetwork(MagnitudeConfig(32, 1), MEL)
    waveform = speech[:, : 40 * 256]
    batch = {"waveform": waveform, "source": 3 * waveform, "bandwidth": torch.tensor([11025.0])}
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = network.loss(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_nothing_beyond_a_recordings_bandwidth_counts():
    heard = within(torch.tensor([8000.0, 11025.0]), MEL)[:, 0]
    frequency = torch.arange(513) * 22050 / 1024
    assert frequency[heard[0]].max() < 7850 < frequency[heard[0]].max() + 22
    assert heard[1].sum() > heard[0].sum() > 360


def test_a_spectrum_is_carried_towards_a_mel(speech):
    transform, waveform, filters = Transform(), speech[:, : 40 * 256], mel_filters(MEL)
    mel = log_mel(waveform, MEL)[..., :40]
    spectrum = transform(waveform) * torch.linspace(0.3, 3, 513)
    errors = []
    for _ in range(3):
        errors.append((log_mel(transform.inverse(spectrum), MEL)[..., :40] - mel).abs().mean().item())
        spectrum = carry_mel(spectrum, mel.exp().transpose(1, 2), filters)
    assert errors[0] > 2 * errors[1] > errors[1] > errors[2]
