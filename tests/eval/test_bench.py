"""eval/bench.py, rehearsed on the CPU: every part is run, agrees and is written down; a bare machine will do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import bench, program

QUICK = ["--device", "cpu", "--quick", "--threads", "1"]
MISSING = ("TTS", "librosa", "soundfile", "soxr", "pandas", "scipy", "safetensors", "pydantic", "annotated_types")


def test_a_rehearsal_measures_everything(tmp_path):
    pytest.importorskip("diffwave.model")
    assert program.main(bench, [*QUICK, "--output", str(tmp_path)]) == 0
    values = json.loads((tmp_path / "bench.json").read_text())
    assert not values["left_out"]
    assert values["differences"]["small"] <= 1e-4
    timed = values["rows"]
    assert all(row["error"] is None and row["repetitions"] == 2 and row["took"] > 0 for row in timed)
    found = {(row["task"], row["system"], row["arithmetic"]) for row in timed}
    assert {("small, six steps", one, "bf16") for one in ("public diffwave", "ours", "ours, compiled")} <= found
    assert {("small, a step of training", one, "float32") for one in ("public diffwave", "ours")} <= found
    assert {("bundled", f"diffwave, {quality}", "float32") for quality in ("fast", "default", "best")} <= found
    assert {("bundled", f"diffwave, default{way}", "bf16") for way in ("", ", compiled", ", graphs")} <= found
    page = (tmp_path / "README.md").read_text()
    assert "in float32: small " in page and page.count("| public diffwave |") == 4


def test_wrong_sums_are_not_timed(tmp_path, monkeypatch):
    pytest.importorskip("diffwave.model")
    monkeypatch.setattr(bench, "sample_public", lambda predict, noises, *betas: noises[0].clamp(-1, 1))
    assert program.main(bench, [*QUICK, "--minutes", "0", "--output", str(tmp_path)]) == 1
    left_out = json.loads((tmp_path / "bench.json").read_text())["left_out"]
    assert any("away from the public network" in one for one in left_out)
    assert not any("six steps" in one for one in left_out)


def test_arithmetic_is_restored():
    before = torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(DiffvocError), bench.arithmetic("tf32"):
        assert torch.backends.cuda.matmul.allow_tf32
        raise DiffvocError("as it may")
    assert torch.backends.cuda.matmul.allow_tf32 == before


def test_a_bare_machine_measures_what_it_can(tmp_path):
    script = Path(__file__).parents[2] / "eval" / "bench.py"
    text = f"""
import runpy, sys
for name in {MISSING}:
    sys.modules[name] = None
sys.argv = ["bench.py", *{QUICK}, "--minutes", "0", "--output", {str(tmp_path)!r}]
runpy.run_path({str(script)!r}, run_name="__main__")
"""
    run = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    left_out = json.loads((tmp_path / "bench.json").read_text())["left_out"]
    assert any(one.startswith("the bundled vocoders: no package") for one in left_out)
    assert sum(one.endswith("the minutes were over") for one in left_out) == 4
