"""Pulses stand where the pitch says, filters are of minimum phase, and rebuilt phases keep the magnitudes."""

import math

import pytest
import torch

from tts_diffvoc.spectral.source import MinimumPhase, periods, pulses, rebuild_phases, source_level, turn
from tts_diffvoc.spectral.transform import Transform, magnitude, rescale

RATE, HOP = 22050, 256


def constant(f0: float, frames: int = 100) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((1, frames), f0), torch.ones(1, frames, dtype=torch.bool)


@pytest.mark.parametrize("f0", [50.0, 97.3, 203.7, 600.0])
def test_pulses_have_the_asked_pitch_and_a_flat_spectrum(f0):
    made = pulses(*constant(f0), HOP, RATE)[0, :RATE]
    assert made.shape == (RATE,)
    spectrum = torch.fft.rfft(made * torch.hann_window(RATE)).abs()
    line = torch.tensor([spectrum[round(f0 * k) - 2 : round(f0 * k) + 3].max() for k in range(1, int(8000 / f0))])
    between = torch.tensor([spectrum[round(f0 * (k + 0.5))] for k in range(1, int(8000 / f0))])
    assert spectrum[20 : int(1.5 * f0)].argmax() + 20 == pytest.approx(f0, abs=1)
    assert line.max() / line.min() < 1.25  # a Hann window loses up to 15 % between two bins
    assert between.max() < 1e-3 * line.min()  # rounded to samples, pulses would leave far more
    assert line.mean() == pytest.approx(220 / RATE * RATE / 2, rel=0.2)  # at any pitch


def test_pulses_go_on_from_a_phase():
    f0 = 120 + 40 * torch.linspace(0, 3, 61).sin().repeat(2, 1)
    voiced = torch.ones_like(f0, dtype=torch.bool)
    voiced[1, 20:30] = False
    whole = pulses(f0, voiced, HOP, RATE)
    phase = periods(f0[:, :31], voiced[:, :31], HOP, RATE)[:, : 30 * HOP].sum(1) % 1
    rest = pulses(f0[:, 30:], voiced[:, 30:], HOP, RATE, phase)
    assert torch.allclose(rest[:, 8:], whole[:, 30 * HOP + 8 :], atol=1e-4)  # but for taps that reach over the cut


def test_a_pulse_ends_each_period():
    made = pulses(*constant(220.5), HOP, RATE)[0]  # a period of exactly 100 samples
    assert torch.nonzero(made > 0.9).flatten().tolist()[:3] == [99, 199, 299]
    assert made[99] == pytest.approx(220 / 220.5, abs=1e-3)


def test_nothing_sounds_where_it_is_unvoiced():
    f0, voiced = constant(150.0)
    voiced[:, 40:60] = False
    made = pulses(f0, voiced, HOP, RATE)[0]
    assert made[41 * HOP : 59 * HOP].abs().max() == 0
    assert made[: 39 * HOP].abs().max() > 1 and made[61 * HOP :].abs().max() > 1


def test_minimum_phase_of_a_known_filter():
    """1 / (1 - 2 r cos(w) z^-1 + r^2 z^-2), all of whose poles lie within the unit circle."""
    z = torch.exp(-1j * 2 * math.pi * torch.arange(513) / 1024)
    response = 1 / (1 - 2 * 0.8 * math.cos(0.6) * z + 0.64 * z**2)
    made = MinimumPhase()(response.abs().log().float().view(1, 1, -1))[0, 0]
    assert torch.allclose(made, response.angle().float(), atol=1e-4)
    # Its mirror image, of maximum phase, has the same magnitudes and not these phases.
    assert (made - response.conj().angle()).abs().max() > 0.5


def test_a_turned_source_has_the_filters_phase():
    transform = Transform()
    spectrum = transform(pulses(*constant(120.0, 30), HOP, RATE))
    phase = torch.randn(1, 30, 513, generator=torch.Generator().manual_seed(0))
    source = turn(spectrum, phase, source_level(spectrum))
    before, after = (torch.complex(*x.unbind(2)) for x in (spectrum, source.phases))
    loud = magnitude(spectrum) > 0.5
    assert torch.allclose((after / before).angle()[loud], torch.angle(torch.exp(1j * phase))[loud], atol=1e-3)
    assert torch.allclose(magnitude(source.phases)[loud], torch.ones(()), atol=1e-4)
    assert magnitude(source.spectrum).max() <= 1
    assert torch.allclose(source.level[loud], magnitude(spectrum)[loud].log(), atol=0.05)


def test_rebuilt_phases_keep_magnitudes_and_come_from_the_source(speech):
    transform, minimum_phase = Transform(), MinimumPhase()
    waveform = speech[:, : 60 * HOP]
    sources = [pulses(*constant(f0, 60), HOP, RATE) + 0.01 * torch.randn(1, 60 * HOP) for f0 in (150.0, 160.0)]
    wanted = magnitude(transform(waveform))
    made, other = (rebuild_phases(waveform, source, transform, minimum_phase, 8) for source in sources)
    once = rebuild_phases(waveform, sources[0], transform, minimum_phase, 0)
    errors = [((magnitude(transform(x)) - wanted).square().sum() / wanted.square().sum()).item() for x in (once, made)]
    assert errors[1] < 0.6 * errors[0] < 0.6
    own = (rescale(transform(made), 1.0) * rescale(transform(once), wanted)).sum() / wanted.sum()
    foreign = (rescale(transform(other), 1.0) * rescale(transform(once), wanted)).sum() / wanted.sum()
    assert own > 0.5 > foreign
