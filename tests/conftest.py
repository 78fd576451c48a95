"""Fixtures that tests of several rooms share."""

import gc

import pytest
import torch
from hypothesis import settings
from small_vocoders import CONFIGS, random_vocoder

from tts_diffvoc.spectral.vocoder import SpectralVocoder
from tts_diffvoc.vocoder import Vocoder

# The same inputs each time; `--hypothesis-profile=default` draws new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# The files that take longest come first: a worker that began one of them last would keep the others waiting.
LONGEST = """
    test_onnx test_training test_compare test_extract_mels test_report test_interrupted_runs test_generation_page
    test_speak test_metrics test_readme test_speed test_distributed test_generator test_baselines test_device
    test_benchmark test_bench test_train_vocoder test_digits_vocoder test_voices_command test_page test_answer
""".split()


def pytest_collection_modifyitems(items):
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))


def pytest_collection_finish():
    """Holm's correction in statsmodels, and whoever measures memory, collects garbage at each call, which takes a fifth
    of a second with torch and Coqui imported: these are left out."""
    gc.freeze()


@pytest.fixture(autouse=True)
def one_thread():
    """Tests run side by side, and threads that wait for a core spin."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=CONFIGS)
def vocoder(request) -> Vocoder:
    """Each published network in turn, every weight random so that no path is silent."""
    return random_vocoder(request.param)


@pytest.fixture
def diffwave() -> Vocoder:
    return random_vocoder("diffwave")


@pytest.fixture
def spectral() -> SpectralVocoder:
    return random_vocoder("spectral diffwave")


@pytest.fixture
def speech() -> torch.Tensor:
    """One second of a gliding buzz in a little noise, [1, 22016]: 86 whole mel frames."""
    time = torch.arange(22016) / 22050
    phase = 2 * torch.pi * (120 * time + 40 * time.square())
    tone = torch.stack([torch.sin(k * phase) / k for k in range(1, 30)]).sum(0)
    noise = torch.randn(22016, generator=torch.Generator().manual_seed(0))
    return (0.1 * (1 + torch.sin(19 * time)) * tone + 0.002 * noise).unsqueeze(0)
