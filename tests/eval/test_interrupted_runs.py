"""Runs that are killed, whose files are damaged, or whose systems and metrics never come back."""

import json
import math
import subprocess
import sys
import time
from unittest.mock import patch

import psutil
import pytest

from tts_diffvoc import cli
from tts_diffvoc_eval import functions, records
from tts_diffvoc_eval.metrics import METRICS

OPTIONS = "--clips 2 --seconds 1 --seeds 2 --workers 1 --threads 1 --no-speed".split()
OWN = """
import os, time
import numpy as np
import torch

BETTER = "lower"

def slow(mel, seed):
    time.sleep(0.2)
    return 0.1 * torch.randn(len(mel), mel.shape[-1] * 256, generator=torch.Generator().manual_seed(seed))

def hangs(mel):
    while True:
        try:
            time.sleep(60)
        except Exception:
            time.sleep(60)

def deadly(preds, target, sample_rate):
    if np.array_equal(preds, target):
        os._exit(1)
    return 1.0
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(OWN)
    return path


def command(output, own, *more: str) -> list[str]:
    systems = ["--systems", "original", f"{own}:slow", "--metrics", "log_mel_l1"]
    return ["compare", *OPTIONS, *systems, "--output", str(output), *more]


def content(run) -> dict[str, list[str]]:
    """Every record of a run, in one order."""
    return {kind: sorted(map(json.dumps, records.lines(run, kind))) for kind in ("quality", "diversity")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, own):
    output = tmp_path_factory.mktemp("whole") / "run"
    assert cli.main(command(output, own)) == 0
    return output


def copied(whole, output) -> None:
    output.mkdir()
    for name in ("manifest.json", "systems.json", "quality.jsonl", "diversity.jsonl"):
        (output / name).write_bytes((whole / name).read_bytes())


def test_a_killed_run_loses_nothing_and_leaves_no_worker(whole, own, tmp_path):
    """Only the parent is killed, as soon as two records of six are there."""
    output = tmp_path / "run"
    start = "import sys; from tts_diffvoc.cli import main; sys.exit(main(sys.argv[1:]))"
    run = subprocess.Popen([sys.executable, "-c", start, *command(output, own)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(records.lines(output, "quality"))) < 2:
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    workers = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.wait()
    assert workers and not psutil.wait_procs(workers, timeout=30)[1]
    kept = content(output)
    assert cli.main(command(output, own, "--resume")) == 0
    assert content(output) == content(whole) and all(set(kept[kind]) <= set(content(whole)[kind]) for kind in kept)
    assert not list(output.rglob("*.part"))


def test_damaged_and_foreign_records_are_measured_again(whole, own, tmp_path, capsys):
    output = tmp_path / "run"
    copied(whole, output)
    lines = (output / "quality.jsonl").read_bytes().splitlines(keepends=True)
    record = json.loads(lines[0])
    infinite = {"values": {"log_mel_l1": math.inf}}
    changes = ({"system": "other"}, {"clip": "other"}, {"clip": []}, {"seed": {}}, {"values": 3}, infinite)
    foreign = [b"\0" * 40, b"\xff\xfe", b"[1, 2]", b"7", b"[" * 100_000, b'{"clip": "a"}', b'{"system": 3}', b""]
    foreign += [json.dumps({**record, **change}).encode() for change in changes]
    damaged = [*lines[1:3], *(line + b"\n" for line in foreign), lines[3][:25]]
    (output / "quality.jsonl").write_bytes(b"".join(damaged))
    (output / "diversity.jsonl").write_bytes(b"\0" * 100)
    (output / "speed.jsonl").write_bytes(lines[0])
    assert cli.main(command(output, own, "--resume")) == 0
    assert f"{len(foreign) + 3} lines of {output} are no record of this run" in capsys.readouterr().err
    assert content(output) == content(whole)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (b"{", "manifest.json is damaged"),
        (b"\xff\0", "manifest.json is damaged"),
        (b"[]", "manifest.json is not a JSON object"),
        (b"{}", "was started with other device and seeds"),
        (b'{"options": 3}', "was started with other device and seeds"),
    ],
)
def test_a_damaged_manifest_is_said_in_a_sentence(whole, own, tmp_path, capsys, damage, told):
    output = tmp_path / "run"
    copied(whole, output)
    (output / "manifest.json").write_bytes(damage)
    assert cli.main(command(output, own, "--resume")) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_a_system_that_hangs_is_tried_once(own, tmp_path):
    hanging = ["--systems", f"{own}:hangs", "--metrics", "lsd", "--timeout", "0.5", "--seeds", "1"]
    assert cli.main(["compare", *OPTIONS, *hanging, "--output", str(tmp_path / "run")]) == 0
    errors = [one["error"] for one in records.lines(tmp_path / "run", "quality")]
    assert errors == ["it took more than 0.5 s.", "it took more than 0.5 s before, and was not tried again."]


@patch.dict(METRICS)
def test_a_metric_that_ends_its_process_costs_its_own_sound_alone(own, tmp_path):
    systems = ["--systems", "original", f"{own}:slow", "--metrics", "lsd", f"{own}:deadly"]
    one = ["--clips", "1", "--seeds", "1", "--output", str(tmp_path / "run")]
    assert cli.main(["compare", *OPTIONS, *systems, *one]) == 0
    found = list(records.lines(tmp_path / "run", "quality"))
    assert len(found) == 2
    for one in found:
        died = one["error"] is not None and "process" in one["error"]
        assert died == (one["system"] == "original") and (died or one["values"]["deadly"] == 1)


def test_a_file_that_imports_its_neighbour_as_if_it_were_installed_is_told_how(tmp_path):
    (tmp_path / "beside.py").write_text("TWO = 2\n")
    (tmp_path / "own.py").write_text("from beside import TWO\n")
    with pytest.raises(functions.DiffvocError, match="write `from .beside import`"):
        functions.load(f"{tmp_path}/own.py:double", "doubles")
