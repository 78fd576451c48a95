"""A step of the sampler is what its formulas say, written plainly: torch.stft, complex numbers, modules as they are."""

import math

import pytest
import torch
from torch import Tensor, nn

from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc.spectral.magnitude import MagnitudeConfig
from tts_diffvoc.spectral.network import DiffWaveSizes, WaveGradSizes
from tts_diffvoc.spectral.pitch import PitchConfig
from tts_diffvoc.spectral.vocoder import LIMIT, SCALE, SHARE, SpectralConfig, SpectralVocoder

WINDOW = torch.hann_window(1024)
SIZES = {
    "diffwave": ("diffwave", DiffWaveSizes(24, 3, 2)),
    "wavegrad": ("wavegrad", WaveGradSizes(16, (2, 1))),
}


@pytest.fixture(params=SIZES)
def random_spectral(request) -> SpectralVocoder:
    """A vocoder whose every layer says something."""
    torch.manual_seed(0)
    network, sizes = SIZES[request.param]
    vocoder = SpectralVocoder(SpectralConfig(network, sizes, PitchConfig(16, 2), MagnitudeConfig(16, 2))).eval()
    nn.init.normal_(vocoder.denoiser.output.weight, std=0.02)
    nn.init.normal_(vocoder.magnitude.last.weight, std=0.02)
    for name, parameter in vocoder.named_parameters():
        if name.endswith(("level.weight", "bias")):
            nn.init.normal_(parameter, std=0.05)
    return vocoder.requires_grad_(False)


def stft(waveform: Tensor) -> Tensor:
    """[B, F * 256] to a complex spectrum [B, K, F]."""
    return torch.stft(waveform, 1024, 256, window=WINDOW, return_complex=True)[..., : waveform.shape[1] // 256]


def istft(spectrum: Tensor) -> Tensor:
    frames = torch.fft.irfft(spectrum, 1024, dim=1) * WINDOW.unsqueeze(1)
    length = 256 * (spectrum.shape[-1] - 1) + 1024
    shape = {"output_size": (1, length), "kernel_size": (1, 1024), "stride": (1, 256)}
    weight = WINDOW.square().view(1, -1, 1).expand(1, -1, spectrum.shape[-1])
    made, sums = (
        nn.functional.fold(x, **shape)[:, 0, 0, 512 : 512 + 256 * spectrum.shape[-1]] for x in (frames, weight)
    )
    return made / sums


def channels(*spectra: Tensor) -> Tensor:
    """Spectra, complex ones as two, as channels [B, C, F]."""
    return torch.cat([part for x in spectra for part in ((x.real, x.imag) if x.is_complex() else (x,))], 1)


def convnext(block: nn.Module, x: Tensor) -> Tensor:
    y = block.norm(block.depthwise(x).transpose(1, 2))
    return x + block.narrow(nn.functional.gelu(block.widen(y))).transpose(1, 2)


def layer(block: nn.Module, x: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
    scale, shift = block.level(embedding).unsqueeze(2).chunk(2, 1)
    y = block.norm(block.depthwise(x).transpose(1, 2)).transpose(1, 2) * (1 + scale) + shift
    gate, value = block.widen(y.transpose(1, 2)).transpose(1, 2).chunk(2, 1)
    out = block.output((gate.sigmoid() * value.tanh()).transpose(1, 2)).transpose(1, 2)
    residual, skip = out.chunk(2, 1)
    return x + block.gain[:, None] * residual, skip


def trunk(module: nn.Module, signal: Tensor, condition: Tensor, noise_level: Tensor) -> Tensor:
    if not hasattr(module, "layers"):
        return module(signal.transpose(1, 2), condition.transpose(1, 2), noise_level).transpose(1, 2)
    embedding = module.embedding(noise_level)
    x = skips = signal + condition
    for block in module.layers:
        x, skip = layer(block, x, embedding)
        skips = skips + skip
    return skips / math.sqrt(len(module.layers))


def reference_step(vocoder: SpectralVocoder, z: Tensor, noise_level: Tensor, wanted: Tensor, source: Tensor) -> Tensor:
    """x0 of z at ``noise_level``: complex [B, K, F], ``wanted`` magnitudes and the turned ``source`` likewise."""
    net = vocoder.denoiser
    level = 0.5 * (source.abs().square() + 0.02).log()
    size = (source.abs().square() + 0.02).sqrt()
    projected = stft(istft(z / z.abs() * wanted)) / wanted
    projected = SCALE * projected * (LIMIT / projected.abs()).clamp_max(1)
    powers = [(x.abs().square() + 0.01).log() for x in (z, projected)]
    condition = net.known(channels((wanted.log() + 4) / 2, source / size, level))
    hidden = trunk(net.trunk, net.signal(channels(z, projected, *powers)), condition, noise_level)
    out = net.output(net.norm(hidden.transpose(1, 2)).transpose(1, 2)).unflatten(1, (7, 513)).unbind(1)
    correction, to_source, to_projected = (torch.complex(out[i], out[i + 1]) for i in (0, 3, 5))
    return correction + out[2] * z + to_source * source / size + (1 + to_projected) * projected


def rows(spectrum: Tensor) -> Tensor:
    return torch.stack([spectrum.real, spectrum.imag], 1).permute(0, 3, 1, 2)


def test_a_step_is_the_plain_one(random_spectral, speech):
    vocoder, frames = random_spectral, 30
    mel = log_mel(speech, MelConfig())[..., :frames]
    noise = torch.randn(1, frames * 256, generator=torch.Generator().manual_seed(0))
    excitation = vocoder.excitation(vocoder.pitch(mel), noise)
    with torch.inference_mode():
        conditions = vocoder.conditions(mel, excitation)
    wanted = conditions.magnitude.transpose(1, 2)
    cepstrum = torch.fft.irfft(torch.complex(wanted.log(), torch.zeros_like(wanted)), dim=1)
    folded = torch.zeros_like(cepstrum)
    folded[:, 1:60] = 2 * cepstrum[:, 1:60]
    source = stft(excitation) / 4.6 * torch.exp(1j * torch.fft.rfft(folded, dim=1).imag)
    z = torch.randn(2, 1, 513, frames, generator=torch.Generator().manual_seed(1))
    z = torch.complex(*z)
    for noise_level in (torch.zeros(1), torch.full((1,), 0.4)):
        with torch.inference_mode():
            made = vocoder.denoise(rows(z), noise_level, conditions)
            sound = vocoder.decode(made, conditions.magnitude)
        x0 = reference_step(vocoder, z, noise_level, wanted, source)
        assert torch.allclose(made * conditions.magnitude.unsqueeze(2), rows(x0 * wanted), atol=2e-4)  # of up to 50
        assert torch.allclose(sound, istft(x0 * wanted / SCALE), atol=1e-5)
        degraded = vocoder.degrade(made)
        z = SCALE * SHARE * x0 / x0.abs()
        assert (degraded - rows(z)).abs().median() < 1e-5


def test_networks_of_the_mel_are_the_plain_ones(random_spectral, speech):
    mel = log_mel(speech, MelConfig())[..., :20]
    levels = torch.randn(1, 20, 513)
    natural = (mel + 5) / 2
    pitch, magnitude = random_spectral.pitch, random_spectral.magnitude
    x = pitch.first(natural)
    for block in pitch.blocks:
        x = convnext(block, x)
    expected = pitch.last(x)
    with torch.inference_mode():
        made = pitch.logits(mel)
    assert torch.allclose(made[0], expected[:, :-1].transpose(1, 2), atol=1e-5)
    assert torch.allclose(made[1], expected[:, -1], atol=1e-5)
    x = magnitude.first(natural) + magnitude.source(levels.transpose(1, 2) + 1)
    for block in magnitude.blocks:
        x = convnext(block, x)
    correction, gain = magnitude.last(x).chunk(2, 1)
    envelope = magnitude.spread.T @ (mel.exp() / magnitude.filters.sum(1).unsqueeze(1)).log()
    with torch.inference_mode():
        made = magnitude.log_magnitude(mel, levels)
    assert torch.allclose(made, (envelope + correction).transpose(1, 2) + gain.transpose(1, 2) * levels, atol=1e-5)
