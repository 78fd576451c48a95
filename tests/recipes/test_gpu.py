"""The GPU job: stages in order and within the minutes, and nothing imported that is not there."""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

import clips
import pytest

RECIPES = Path(clips.__file__).parent
MISSING = ("TTS", "librosa", "coqpit", "trainer", "torchaudio", "pandas", "transformers")


@pytest.fixture
def gpu():
    spec = importlib.util.spec_from_file_location("gpu_job", RECIPES / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def options(tmp_path, **changes) -> argparse.Namespace:
    values = {"data": ["a=1", "b"], "voices": [], "texts": None, "hours": 1.0, "output": tmp_path / "out"}
    values |= {"minutes": 9.0, "device": "cuda", "jobs": 2}
    return argparse.Namespace(**{**values, **changes})


@pytest.fixture
def job(gpu, tmp_path):
    """A job whose commands do nothing, and are noted down."""

    class Noted(gpu.Job):
        commands: list[list[str]] = []

        def start(self, name, script, *arguments):
            self.commands.append([name, script, *map(str, arguments)])
            self.running[name] = subprocess.Popen([sys.executable, "-S", "-c", "pass"])

    Noted.commands = []
    return Noted(options(tmp_path, voices=["ada=hibari"], texts=Path("texts.txt")))


def value(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


def test_stages_come_in_order_and_share_the_minutes(job):
    job.run()
    names = [command[0] for command in job.commands]
    assert names[:5] == ["ada-speech", "prepare", "pitch", "targets", "magnitude"]
    assert sorted(names[5:]) == ["ada", "diffwave", "wavegrad"]
    minutes = {command[0]: float(value(command, "--minutes")) for command in job.commands if "--minutes" in command}
    assert minutes["diffwave"] == pytest.approx(minutes["wavegrad"], rel=0.05)
    assert minutes["pitch"] + minutes["magnitude"] + minutes["diffwave"] < 9 * 1.1
    diffwave = job.commands[names.index("diffwave")]
    rows, frames = int(value(diffwave, "--batch-size")), int(value(diffwave, "--frames"))
    assert rows * frames * 256 / 22050 == pytest.approx(128, abs=2) and "--bf16" in diffwave


def test_a_stage_that_fails_ends_the_job(gpu, tmp_path):
    job = gpu.Job(options(tmp_path))
    job.running["pitch"] = subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(3)"])
    with pytest.raises(SystemExit, match="the stage pitch failed; .*pitch.log says why"):
        job.finish("pitch")


def test_no_stage_outlasts_the_minutes(gpu, tmp_path, monkeypatch):
    job = gpu.Job(options(tmp_path, minutes=0.005))
    slow = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(job, "start", lambda name, *_: job.running.update({name: subprocess.Popen(slow)}))
    with pytest.raises(SystemExit, match="the minutes ended in the stage prepare"):
        job.run()
    assert job.running["prepare"].poll() is not None


def test_nothing_is_imported_that_a_bare_machine_lacks():
    text = f"""
import runpy, sys
for name in {MISSING}:
    sys.modules[name] = None
for script in ("train.py", "acoustic/train.py", "gpu.py"):
    sys.path.insert(0, {str(RECIPES)!r})
    sys.argv = [script, "--help"]
    try:
        runpy.run_path({str(RECIPES)!r} + "/" + script, run_name="__main__")
    except SystemExit as end:
        assert not end.code
from tts_diffvoc.mel import MelConfig, log_mel
import torch
log_mel(torch.zeros(1, 2048), MelConfig())
"""
    subprocess.run([sys.executable, "-c", text], check=True, stdout=subprocess.DEVNULL)
