"""The table of the papers' claims: verdicts, missing runs, and the checkpoint with the broken schedule."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from small_vocoders import random_vocoder

from tts_diffvoc.checkpoint import load_vocoder, save_checkpoint
from tts_diffvoc_eval import claims, intervals, records

METRICS = {
    "pesq_wb": {"label": "PESQ-WB", "better": "higher", "unit": "", "description": "", "decimals": 2},
    "dnsmos": {"label": "DNSMOS", "better": "higher", "unit": "", "description": "", "decimals": 2},
    "lsd": {"label": "LSD", "better": "lower", "unit": "dB", "description": "", "decimals": 2},
}


def write_run(folder, means, metric="pesq_wb", clips=12, kind="quality"):
    """A run in which each system has a mean, all with the clips' own variation, and a little of their own."""
    folder.mkdir(exist_ok=True)
    records.write(folder, "manifest", {"metrics": METRICS})
    records.write(folder, "systems", {name: {"label": name.title()} for name in means})
    generator = np.random.default_rng(0)
    base = generator.normal(0, 0.3, clips)
    for name, mean in means.items():
        for clip, value in enumerate(mean + base + generator.normal(0, 0.01, clips)):
            records.append(folder, kind, {"system": name, "clip": f"c{clip}", "values": {metric: float(value)}})
    return folder


def difference(mean, half, clips=10):
    return intervals.Difference(mean, mean - half, mean + half, 0.5, clips)


@pytest.mark.parametrize(
    ("found", "sign", "margin", "verdict"),
    [
        (difference(0.3, 0.1), 1, None, claims.AGREES),
        (difference(-0.3, 0.1), 1, None, claims.DIFFERS),
        (difference(0.05, 0.1), 1, None, claims.OPEN),
        (difference(-0.3, 0.1), -1, None, claims.AGREES),
        (difference(-0.1, 0.05), 1, 0.2, claims.AGREES),
        (difference(-0.3, 0.05), 1, 0.2, claims.DIFFERS),
        (difference(-0.2, 0.05), 1, 0.2, claims.OPEN),
        (difference(0.0, 0.0), 1, 0.2, claims.AGREES),
        (difference(0.0, 0.0), 1, None, claims.DIFFERS),
        (intervals.Difference(1.0, math.nan, math.nan, math.nan, 1), 1, None, claims.OPEN),
    ],
)
def test_a_verdict_follows_the_interval(found, sign, margin, verdict):
    assert claims.verdict_of(found, sign, margin) == verdict


def test_the_table_says_what_the_records_say(tmp_path, capsys):
    steps = write_run(tmp_path / "steps", {"diffwave-6-ddim": 3.6, "diffwave-50-ddim": 3.7})
    ablations = write_run(tmp_path / "ablations", {"wavegrad-l1": 1.2, "wavegrad-l2": 1.5})
    command = ["--steps", str(steps), "--ablations", str(ablations), "--output", str(tmp_path / "out"), "--no-speed"]
    assert claims.main(command) == 0
    shown = capsys.readouterr().out
    fast, norm = (next(line for line in shown.splitlines() if words in line) for words in (claims.FAST, claims.NORM))
    assert f"**{claims.AGREES}**" in fast and f"**{claims.DIFFERS}**" in norm
    assert "Difference -0.10" in fast and "12 clips" in fast
    assert claims.WIDE in shown.split("Not measured: ")[1]
    kept = json.loads((tmp_path / "out" / "claims.json").read_text())
    assert [finding["verdict"] for finding in kept] == [claims.AGREES, claims.DIFFERS]


def test_diversity_is_read_from_its_own_records(tmp_path, capsys):
    run = write_run(tmp_path / "run", {"diffwave": 2.0, "hifigan-v1": 0.0}, "spread_lsd", kind="diversity")
    assert claims.main(["--leaderboard", str(run), "--output", str(tmp_path / "out"), "--no-speed"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if claims.DIVERSE in line)
    assert f"**{claims.AGREES}**" in line


def test_a_folder_that_is_no_run_is_told(tmp_path, capsys):
    assert claims.main(["--steps", str(tmp_path), "--output", str(tmp_path / "out")]) == 1
    assert "not a run of compare.py" in capsys.readouterr().err


def test_the_broken_schedule_is_coquis_and_ends_far_from_noise(tmp_path):
    save_checkpoint(random_vocoder("folded wavegrad"), tmp_path / "wavegrad", "---\ntraining: 3 CPU minutes\n---\nA.")
    out = tmp_path / "broken"
    assert claims.main(["--schedules", str(tmp_path / "wavegrad"), "--output", str(out)]) == 0
    broken, whole = load_vocoder(str(out)), load_vocoder(str(tmp_path / "wavegrad"))
    assert float(broken.inference_schedule(50).noise_levels[-1]) == pytest.approx(0.88, abs=0.005)
    assert float(whole.inference_schedule(50).noise_levels[-1]) == pytest.approx(0.05, abs=1e-3)
    assert claims.main(["--schedules", "diffwave", "--output", str(out)]) == 1
