"""What the tests of the importers share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def waveform():
    """One second of a gliding buzz, a pause of near silence and a click, [22050] in [-1, 1]."""
    time = torch.arange(22050) / 22050
    phase = 2 * torch.pi * (120 * time + 40 * time.square())
    tone = torch.stack([torch.sin(k * phase) / k for k in range(1, 40)]).sum(0)
    noise = torch.randn(22050, generator=torch.Generator().manual_seed(0))
    envelope = (torch.sin(19 * time) > -0.3).float()
    wave = 0.2 * envelope * tone + (0.001 + 0.05 * envelope) * 0.1 * noise
    wave[15000] = 0.9
    return wave


@pytest.fixture
def randomised():
    """A function that gives every parameter of a network, biases too, random values of a deviation."""

    def randomise(network, scale=0.08):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(0, scale)
        return network.eval()

    return randomise
