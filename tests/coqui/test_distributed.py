"""Two processes learn what one learns from batches of twice the size, however they are started."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_corpus import training_config, write_corpus
from training_runs import largest_difference, train

from tts_diffvoc.errors import DiffvocError

SETTINGS = {"optimizer": "SGD", "optimizer_params": {}, "lr": 0.05, "gain_db": 6.0, "run_eval_steps": 1}
RECIPE = """
import sys
sys.path.insert(0, {tests!r})
import tts_diffvoc; tts_diffvoc.register()
from small_corpus import training_config
from tts_diffvoc.coqui.training import train_from_recipe
if __name__ == "__main__":
    train_from_recipe(training_config("diffwave", {data!r}, {output!r}, **{settings!r}))
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def alone(corpus, tmp_path_factory):
    """The weights after two steps of one process with batches of 8."""
    config = training_config("diffwave", corpus, tmp_path_factory.mktemp("alone"), batch_size=8, **SETTINGS)
    return train(config, 2).weights()


@pytest.fixture
def launch(corpus, tmp_path, environment):
    """Run the recipe, batches of 4 in each process, through a launcher; gives the run's folder, and checks it."""
    output, temporary, programs = (tmp_path / name for name in ("runs", "temporary", "bin"))
    for folder in (temporary, programs):
        folder.mkdir()
    script = tmp_path / "recipe.py"
    script.write_text(
        RECIPE.format(tests=str(Path(__file__).parents[1]), data=str(corpus), output=str(output), settings=SETTINGS)
    )
    python = programs / "python3"  # which is what trainer.distribute starts
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    environment = {**environment, "TMPDIR": str(temporary), "PATH": f"{programs}:{environment['PATH']}"}

    def run(launcher: list[str], *arguments: str) -> Path:
        command = [sys.executable, "-m", *launcher, *arguments]
        result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stdout + result.stderr
        assert result.stdout.count("Speak with what it learnt") == 1
        folders = list(output.iterdir())
        assert len(folders) == 1, result.stdout + result.stderr
        assert (folders[0] / "trainer_0_log.txt").is_file() and not (folders[0] / "trainer_1_log.txt").exists()
        assert list(temporary.glob("tts-diffvoc-*")) == []
        return folders[0]

    run.script = str(script)
    return run


@pytest.fixture
def port() -> str:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return str(free.getsockname()[1])


def learnt(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"checkpoint_{step}.pth", weights_only=True)["model"]


def test_torchrun_goes_on_from_one_process(launch, port, corpus, tmp_path):
    torchrun = ["torch.distributed.run", "--nproc_per_node", "2", "--master_port", port]
    one = train(training_config("diffwave", corpus, tmp_path / "one", batch_size=8, **SETTINGS), 4)
    two = train(training_config("diffwave", corpus, tmp_path / "runs", batch_size=8, **SETTINGS), 2)
    continued = ["--continue_path", str(two.folder), "--max_steps=4", "--max_minutes=9", "--coqpit.batch_size=4"]
    folder = launch(torchrun, launch.script, *continued)
    assert largest_difference(learnt(folder, 3), one.weights()) < 1e-6


def test_coquis_distribute(launch, alone, port):
    distribute = ["trainer.distribute", "--gpus", "0,1", "--script"]
    url = f"--coqpit.distributed_url=tcp://localhost:{port}"
    folder = launch(distribute, launch.script, "--max_steps", "2", url)
    assert largest_difference(learnt(folder, 1), alone) < 1e-6


def test_accelerate(launch, alone, port):
    pytest.importorskip("accelerate")
    accelerate = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", port]
    folder = launch(accelerate, launch.script, "--max_steps", "2")
    assert largest_difference(learnt(folder, 1), alone) < 1e-6


def test_the_option_use_accelerate_is_refused_with_several_processes(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(DiffvocError, match="leave the option out: accelerate launch works without it"):
        train(training_config("diffwave", corpus, tmp_path / "runs"), 1, use_accelerate=True)
    assert list((tmp_path / "runs").iterdir()) == []
