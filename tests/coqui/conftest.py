"""What the tests of the Coqui adapter share: the real programs, run in this process or in another."""

import logging
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# As an installed package does through its start-up line; here it must also work from a plain checkout.
PROGRAM = "import sys, tts_diffvoc_hook; sys.argv[0] = {name!r}; from {module} import main; main()"


@pytest.fixture(scope="session", autouse=True)
def registered():
    import tts_diffvoc

    tts_diffvoc.register()


@pytest.fixture(scope="session")
def environment():
    """The environment of a subprocess that finds this checkout, one thread, and no GPU."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="session")
def program():
    """The command line that runs one of Coqui's programs with the hook armed."""

    def command(name: str, module: str, *arguments: str) -> list[str]:
        return [sys.executable, "-c", PROGRAM.format(name=name, module=module), *arguments]

    return command


@pytest.fixture
def tts(capsys):
    """Run the real ``main`` of ``tts`` in this process: exit status, stdout and stderr."""
    from TTS.bin.synthesize import main

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    yield run
    logging.getLogger("TTS").handlers.clear()  # Coqui adds one at each call, to a stream that pytest closes
