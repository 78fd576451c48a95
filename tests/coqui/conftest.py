"""What the tests of the Coqui adapter share: Coqui's programs, run in this process."""

import logging
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def registered():
    import tts_diffvoc

    tts_diffvoc.register()


@pytest.fixture(autouse=True)
def without_handlers():
    """Coqui's programs add a handler to their log at each call, for a stream that pytest closes."""
    yield
    logging.getLogger("TTS").handlers.clear()


@pytest.fixture(scope="session")
def environment():
    """The environment of a subprocess that finds this checkout, one thread, and no GPU."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def tts(capsys):
    """Run the real ``main`` of ``tts`` in this process: exit status, stdout and stderr."""
    from TTS.bin.synthesize import main

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return run


@pytest.fixture
def train_vocoder():
    """Run the real ``main`` of Coqui's program that trains vocoders, in this process."""
    from TTS.bin.train_vocoder import main

    def run(*arguments: str) -> None:
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        assert stop.value.code == 0

    return run
