"""The benchmark's recipe: its split, and all systems by one command."""

import functools
import importlib.util
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tts_diffvoc import voices
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.baselines import folder
from tts_diffvoc_eval.held_back import held_back

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "recipes" / "benchmark" / "train.py"
CLIPS = ROOT / "eval" / "tts_diffvoc_eval" / "clips"


@pytest.fixture(scope="module")
def recipe():
    """recipes/benchmark/train.py as a module."""
    spec = importlib.util.spec_from_file_location("benchmark_train", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The split


def test_what_no_recipe_learns_from_is_held_back():
    readers = [Path(f"{reader}-1-000{u}.flac") for reader in (1098, 1099, 302) for u in (0, 1)]
    assert held_back(readers) == {*readers[:2], *readers[4:]}
    assert held_back([Path("LJ001-0021.wav"), Path("LJ001-0022.wav")]) == {Path("LJ001-0021.wav")}
    names = [Path(f"clip{k}_1.wav") for k in range(400)]
    assert 10 < len(held_back(names)) < 30
    few = [Path("LJ001-0001.wav"), Path("LJ001-0002.wav")]
    assert not held_back(few) and held_back(few, one=True) == {few[1]}
    assert not held_back([]) and not held_back(few[:1], one=True)


def test_split_is_kept(recipe, tmp_path):
    train, held = recipe.split([str(CLIPS)], tmp_path)
    assert [one.name for one in held] == ["slt-08.flac"] and len(train) == 7
    assert recipe.split([str(CLIPS)], tmp_path) == (train, held)
    with pytest.raises(DiffvocError, match="started with other folders"):
        recipe.split([str(ROOT)], tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DiffvocError, match="cannot be written"):
        recipe.split([str(CLIPS)], tmp_path / "file" / "inside")


# The command


def test_budgets(recipe):
    assert recipe.parse_budget("20m") == {"minutes": 20} and recipe.parse_budget("90s") == {"minutes": 1.5}
    assert recipe.parse_budget("1.5 h") == {"minutes": 90} and recipe.parse_budget("30steps") == {"steps": 30}
    for text in ("20", "0m", "m", "1.5steps", "-3m"):
        with pytest.raises(DiffvocError, match="give for example 20m"):
            recipe.parse_budget(text)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--systems", "mellgan"], "the closest names are melgan"),
        (["--systems", "melgan", "melgan"], "named twice"),
        (["--side-by-side", "0"], "at least 1"),
        (["--device", "nowhere"], "no device 'nowhere'"),
    ],
)
def test_bad_words(recipe, words, message):
    with pytest.raises(DiffvocError, match=message):
        recipe.configure(recipe.parse(["--data", "x", "--output", "y", "--budget", "1m", *words]))


def command(output, *more):
    words = ["--data", CLIPS, "--output", output, "--threads", "1", "--batch", "1", "--frames", "8", *more]
    return [sys.executable, SCRIPT, *map(str, words)]


def test_one_that_fails_stops_no_other(recipe, tmp_path):
    """One whose checkpoint is damaged fails alone; what is done would not be done again."""
    (tmp_path / "univnet").mkdir()
    (tmp_path / "univnet" / "checkpoint.pt").write_bytes(b"nothing")
    line = command(tmp_path, "--budget", "1steps", "--side-by-side", "2", "--systems", "univnet", "melgan")
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 1 and "univnet failed" in done.stderr and "delete it to begin again" in done.stderr
    rows = [row for row in done.stdout.splitlines() if row.startswith("| ")]
    assert [row.split()[1:4] for row in rows[1:]] == [["MelGAN", "|", "small"]]
    assert rows[-1] in (tmp_path / "table.md").read_text()
    folder.load(tmp_path / "melgan" / "vocoder")
    assert voices.card(tmp_path / "melgan" / "vocoder")["data"] == "clips"
    options = recipe.parse([str(word) for word in line[2:]])
    settings = recipe.configure(options)
    assert {name: recipe.is_finished(config, options) for name, config in settings.items()} == {
        "univnet": False,
        "melgan": True,
    }
    assert not recipe.is_finished(replace(settings["melgan"], steps=8), options)


def test_stopped_it_saves(tmp_path):
    """SIGTERM reaches the process of the system too, which saves; also where SIGINT is ignored, as behind "&"."""
    line = command(tmp_path, "--budget", "4000steps", "--systems", "melgan", "univnet")
    ignore = functools.partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, preexec_fn=ignore)
    assert any(text.startswith("step ") for text in process.stdout)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    assert torch.load(tmp_path / "melgan" / "checkpoint.pt", weights_only=True)["step"] < 4000
    assert not (tmp_path / "melgan" / "vocoder").exists()
