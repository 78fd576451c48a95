"""The denoisers: untrained they are one Griffin-Lim step, and every input and the level reach the output."""

import pytest
import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.spectral.network import Denoiser, DiffWaveSizes, WaveGradSizes
from tts_diffvoc.spectral.source import Source

SIZES = {
    "diffwave": DiffWaveSizes(8, 3, 2),
    "wavegrad": WaveGradSizes(8, (2, 2, 1)),
}
BINS, FRAMES = 9, 7


def random_inputs(rows: int = 2) -> dict:
    torch.manual_seed(1)
    spectra = [torch.randn(rows, FRAMES, 2, BINS) for _ in range(4)]
    source = Source(spectra[2], spectra[3], torch.randn(rows, FRAMES, BINS))
    return {"z": spectra[0], "projected": spectra[1], "noise_level": torch.rand(rows), "source": source}


def evaluate(denoiser: Denoiser, inputs: dict, log_magnitude: torch.Tensor) -> torch.Tensor:
    return denoiser(**inputs, condition=denoiser.condition(log_magnitude, inputs["source"]))


@pytest.mark.parametrize("kind", SIZES)
def test_an_untrained_denoiser_returns_the_projection(kind):
    torch.manual_seed(0)
    inputs = random_inputs()
    made = evaluate(Denoiser(SIZES[kind], BINS), inputs, torch.randn(2, FRAMES, BINS))
    assert torch.equal(made, inputs["projected"])


@pytest.mark.parametrize("kind", SIZES)
def test_every_input_reaches_the_output(kind):
    torch.manual_seed(0)
    denoiser = Denoiser(SIZES[kind], BINS)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    inputs, log_magnitude = random_inputs(), torch.randn(2, FRAMES, BINS)
    before = evaluate(denoiser, inputs, log_magnitude)
    source = inputs["source"]
    changes = [
        {"z": inputs["z"] + 0.1},
        {"projected": inputs["projected"] + 0.1},
        {"noise_level": inputs["noise_level"] + 0.1},
        {"source": source._replace(spectrum=source.spectrum + 0.1)},
        {"source": source._replace(level=source.level + 0.1)},
    ]
    for change in changes:
        assert not torch.allclose(evaluate(denoiser, {**inputs, **change}, log_magnitude), before), list(change)
    assert not torch.allclose(evaluate(denoiser, inputs, log_magnitude + 0.1), before)


@pytest.mark.parametrize("kind", SIZES)
def test_rows_are_independent(kind):
    torch.manual_seed(0)
    denoiser = Denoiser(SIZES[kind], BINS)
    torch.nn.init.normal_(denoiser.output.weight)
    inputs, log_magnitude = random_inputs(), torch.randn(2, FRAMES, BINS)
    both = evaluate(denoiser, inputs, log_magnitude)
    alone = {name: value[1:] for name, value in inputs.items() if name != "source"}
    source = Source(*(part[1:] for part in inputs["source"]))
    assert torch.allclose(both[1:], evaluate(denoiser, {**alone, "source": source}, log_magnitude[1:]), atol=1e-5)


@pytest.mark.parametrize(
    "sizes, change",
    [
        (DiffWaveSizes, {"residual_layers": 0}),
        (WaveGradSizes, {"factors": [99]}),
        (WaveGradSizes, {"channels": 0}),
    ],
)
def test_bad_sizes_are_refused(sizes, change):
    with pytest.raises(DiffvocError):
        sizes.from_dict(change)
