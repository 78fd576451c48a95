"""The short-time Fourier transform: torch's forwards, exact backwards, and Griffin-Lim's step."""

import pytest
import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.spectral.transform import Transform, magnitude, project, rescale, rotate


def random_waveform(frames: int, hop: int = 256, rows: int = 2) -> torch.Tensor:
    return torch.randn(rows, frames * hop, generator=torch.Generator().manual_seed(frames))


def test_forward_is_torchs():
    waveform = random_waveform(20)
    expected = torch.stft(waveform, 1024, 256, window=torch.hann_window(1024), return_complex=True)[..., :20]
    made = Transform()(waveform)
    assert made.shape == (2, 20, 2, 513)
    assert torch.allclose(made, torch.stack([expected.real, expected.imag], 1).permute(0, 3, 1, 2), atol=1e-4)


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("n_fft, hop", [(1024, 256), (512, 64), (128, 32)])
def test_the_inverse_is_exact(frames, n_fft, hop):
    waveform, transform = random_waveform(frames, hop), Transform(n_fft, hop)
    assert torch.allclose(transform.inverse(transform(waveform)), waveform, atol=1e-5)


def test_the_inverse_is_the_nearest_waveform():
    """Least squares: what is left over of a spectrum that no waveform has is orthogonal to those that one has."""
    transform = Transform(128, 32)
    wanted = torch.randn(1, 12, 2, 65, generator=torch.Generator().manual_seed(0))

    def distance(waveform: torch.Tensor) -> torch.Tensor:
        frames = torch.nn.functional.pad(waveform, (64, 32)).unfold(-1, 128, 32) * transform.window
        target = torch.fft.irfft(torch.complex(*wanted.unbind(2)), 128)
        return (frames - target).square().sum()

    waveform = transform.inverse(wanted).requires_grad_()
    gradient = torch.autograd.grad(distance(waveform), waveform)[0]
    assert gradient.abs().max() < 1e-4


@pytest.mark.parametrize("n_fft, hop", [(1024, 300), (1024, 512), (1024, 0)])
def test_hops_that_do_not_fit_are_refused(n_fft, hop):
    with pytest.raises(DiffvocError, match="does not divide"):
        Transform(n_fft, hop)


def test_complex_arithmetic():
    spectrum, phase = torch.randn(1, 3, 2, 5), torch.randn(1, 3, 5)
    numbers = torch.complex(*spectrum.unbind(2))
    assert torch.allclose(torch.complex(*rotate(spectrum, phase).unbind(2)), numbers * torch.exp(1j * phase), atol=1e-6)
    assert torch.allclose(magnitude(spectrum), numbers.abs(), atol=1e-5)
    expected = 3 * numbers / numbers.abs()
    assert torch.allclose(torch.complex(*rescale(spectrum, 3.0).unbind(2)), expected, atol=1e-5)


def test_a_projection_keeps_what_a_waveform_has_and_nears_what_it_has_not():
    transform, waveform = Transform(), random_waveform(30)
    spectrum = transform(waveform)
    assert torch.allclose(project(spectrum, magnitude(spectrum), transform), spectrum, atol=1e-3)
    wanted = magnitude(transform(random_waveform(31)[:, : 30 * 256]))
    state, errors = spectrum, []
    for _ in range(4):
        state = project(state, wanted, transform)
        errors.append((magnitude(state) - wanted).square().mean().item())
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.8 * errors[0]
