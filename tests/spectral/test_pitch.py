"""Pitch: decoding that no single frame can mislead, bins and frequencies, and a network that learns."""

import math

import pytest
import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc.spectral.pitch import PitchConfig, PitchNetwork, viterbi


def bumps(path: list[int], bins: int = 96) -> torch.Tensor:
    """Log-probabilities [1, F, bins] with a bump at each place of ``path``."""
    distance = torch.arange(bins).unsqueeze(1) - torch.tensor(path)
    return (-0.5 * distance.square() / 4).log_softmax(0).T.unsqueeze(0)


def test_viterbi_follows_a_glide():
    path = [20 + i // 2 for i in range(60)]
    assert (viterbi(bumps(path))[0] - torch.tensor(path)).abs().max() <= 1


def test_viterbi_removes_an_octave_jump():
    path = [30] * 20 + [30 + 53] * 6 + [30] * 20
    frames = bumps(path)
    frames = torch.logaddexp(frames, bumps([30] * 46) - 1.5)  # the truth is there, less likely
    assert frames.argmax(-1)[0].tolist() == path
    assert viterbi(frames)[0].tolist() == [30] * 46


def test_viterbi_is_the_best_path_of_all():
    """Against every path of a small lattice."""
    scores = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(1)).double()
    paths = torch.cartesian_prod(*[torch.arange(4)] * 5)
    moves = paths.diff(dim=1).abs()
    total = scores[0][torch.arange(5), paths].sum(1) - 0.7 * moves.sum(1)
    total[(moves > 2).any(1)] = -math.inf
    assert viterbi(scores, cost=0.7, reach=2)[0].tolist() == paths[total.argmax()].tolist()


def test_places_and_frequencies_are_inverse():
    network = PitchNetwork(PitchConfig(8, 1), MelConfig())
    f0 = torch.tensor([50.0, 123.4, 600.0])
    assert torch.allclose(network.frequency(network.place(f0)), f0)
    assert torch.allclose(network.place(f0)[[0, 2]], torch.tensor([0.0, 191.0]))


def buzz(f0: float, frames: int = 24) -> torch.Tensor:
    time = torch.arange(frames * 256) / 22050
    return 0.05 * torch.stack([torch.cos(2 * math.pi * k * f0 * time) for k in range(1, 20)]).sum(0)


def test_the_network_learns_pitch_and_voicing():
    torch.manual_seed(0)
    network = PitchNetwork(PitchConfig(32, 1, bins=48), MelConfig())
    pitches = torch.tensor([90.0, 140.0, 210.0, 0.0])
    waveform = torch.stack([buzz(float(f)) if f else 0.05 * torch.randn(24 * 256) for f in pitches])
    f0 = pitches.unsqueeze(1).expand(-1, 24)
    batch = {"waveform": waveform, "f0": f0, "sure": torch.ones(4, 24)}
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        network.loss(batch)["loss"].backward()
        optimizer.step()
    made = network.eval()(log_mel(waveform, MelConfig())[..., :24])
    assert torch.equal(made.voiced, f0 > 0)
    cents = 1200 * (made.f0[:3] / f0[:3]).log2()
    assert cents.abs().median() < 30  # bins are 91 cents wide


@pytest.mark.parametrize("change", [{"channels": 0}, {"bins": 1}, {"lowest": 0.0}, {"lowest": 700.0}])
def test_bad_sizes_are_refused(change):
    with pytest.raises(DiffvocError):
        PitchConfig.from_dict(change)
