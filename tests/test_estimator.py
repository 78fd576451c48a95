"""The first estimate: magnitudes that match the mel, phases by Griffin-Lim, seeds and shapes."""

import pytest
import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.estimator import Estimator, EstimatorConfig, griffin_lim, match_mel
from tts_diffvoc.mel import MelConfig, log_mel, mel_filters, stft

MEL = MelConfig()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spectral_error(waveform, magnitude):
    """Relative distance of a waveform's magnitudes from the wanted ones, away from the edges."""
    present = stft(waveform, MEL).abs()[..., : magnitude.shape[-1]]
    return ((present - magnitude)[..., 4:-4].norm() / magnitude[..., 4:-4].norm()).item()


def test_griffin_lim_finds_a_waveform_with_the_magnitudes(speech):
    magnitude = stft(speech, MEL).abs()[..., :86]
    errors = [spectral_error(griffin_lim(magnitude, MEL, n, seeded()), magnitude) for n in (1, 8, 60)]
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.15


def test_matching_gives_the_wanted_mel(speech):
    filters = mel_filters(MEL)
    magnitude = stft(speech, MEL).abs()
    wanted = filters @ magnitude
    matched = match_mel(torch.full_like(magnitude, 0.1), wanted, filters, iterations=10)
    error = (filters @ matched - wanted).norm() / wanted.norm()
    assert error < 0.05
    torch.testing.assert_close(match_mel(magnitude, wanted, filters), magnitude, rtol=1e-4, atol=1e-6)


def test_an_untrained_estimator_is_the_mels_envelope(speech):
    """Its last layer starts at zero, so that the estimate's level is right before any training."""
    estimator = Estimator(EstimatorConfig(channels=8, blocks=1), MEL).eval()
    mel = log_mel(speech, MEL)[..., :86]
    magnitude = estimator.magnitude(mel)
    assert magnitude.shape == (1, 513, 86)
    again = (mel_filters(MEL) @ magnitude).clamp_min(1e-5).log()
    assert (again - mel).abs()[mel > -6].mean() < 0.15


@torch.no_grad()
def test_estimate_has_a_waveforms_shape_and_follows_its_seed(speech):
    estimator = Estimator(EstimatorConfig(channels=8, blocks=1, iterations=3), MEL).eval()
    mel = log_mel(speech, MEL)[..., :86]
    one, again, other = (estimator(mel, seeded(s)) for s in (1, 1, 2))
    assert one.shape == (1, 86 * 256)
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert estimator(mel[..., :1]).shape == (1, 256)


def test_bad_sizes_are_refused():
    with pytest.raises(DiffvocError, match="below one"):
        EstimatorConfig(iterations=0)
