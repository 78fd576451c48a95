"""The ladder of a spectral vocoder: its rungs, its table, and the command on two short clips."""

import json

import pytest
import torch

from tts_diffvoc.checkpoint import save_checkpoint
from tts_diffvoc.mel import log_mel
from tts_diffvoc.spectral.magnitude import MagnitudeConfig
from tts_diffvoc.spectral.network import DiffWaveSizes
from tts_diffvoc.spectral.pitch import PitchConfig
from tts_diffvoc.spectral.transform import magnitude
from tts_diffvoc.spectral.vocoder import SpectralConfig, SpectralVocoder
from tts_diffvoc_eval import ablation, program


@pytest.fixture
def spectral() -> SpectralVocoder:
    torch.manual_seed(0)
    return SpectralVocoder(SpectralConfig("diffwave", DiffWaveSizes(8, 1), PitchConfig(8, 1), MagnitudeConfig(8, 1)))


def record(system: str, clip: str, pesq: float, dnsmos: float | None, cpu: float | None = 0.1) -> dict:
    values = {"pesq_wb": pesq, "dnsmos": dnsmos}
    return {"system": system, "clip": clip, "seconds": 2.0, "cpu_seconds": cpu, "values": values, "reasons": {}}


def test_the_table_pairs_each_rung_with_its_control():
    rungs = [ablation.Rung(name, torch.neg, control) for name, control in
             (("recording", None), ("prior", None), ("network", "prior"))]  # fmt: skip
    found = [record("recording", clip, 4.6, 3.2, None) for clip in "abc"]
    found += [record("prior", clip, base, None) for clip, base in zip("abc", (1.0, 2.0, 3.0))]
    found += [record("network", clip, base + 0.5, 3.0, 0.05) for clip, base in zip("abc", (1.01, 2.0, 2.99))]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in ablation.table(found, rungs).splitlines()]
    assert lines[2] == ["recording", "4.60", "", "3.20", "", ""]
    assert lines[3] == ["prior", "2.00", "", "", "", "20.0"]
    assert lines[4] == ["network", "2.50", "**+0.50 [+0.48, +0.52]**", "3.00", "", "40.0"]


def test_griffin_lim_nears_the_vocoders_magnitudes(spectral, speech, monkeypatch):
    mel = log_mel(speech, spectral.config.mel)[..., :20]
    noise = torch.randn(1, 20 * 256, generator=torch.Generator().manual_seed(0))
    wanted = spectral.conditions(mel, spectral.excitation(spectral.pitch(mel), noise)).magnitude.detach()
    errors = []
    for iterations in (0, 20):
        monkeypatch.setattr(ablation, "GRIFFIN_LIM", iterations)
        made = ablation.griffin_lim(spectral, mel, 0)
        errors.append((magnitude(spectral.transform(made)) - wanted).square().sum() / wanted.square().sum())
    assert errors[1] < 0.5 * errors[0]


def test_the_command_writes_table_and_records(spectral, tmp_path, monkeypatch, capsys):
    save_checkpoint(spectral, tmp_path / "mine", "card")
    monkeypatch.setattr(ablation, "SCORES", ("pesq_wb",))
    monkeypatch.setattr(ablation, "GRIFFIN_LIM", 2)
    options = ["--clips", "2", "--seconds", "1", "--steps", "1", "2", "--output", str(tmp_path / "out")]
    assert program.main(ablation, ["--vocoder", str(tmp_path / "mine"), *options]) == 0
    rows = (tmp_path / "out" / "ablation.md").read_text("utf-8")
    assert rows in capsys.readouterr().out
    names = [line.split(" | ")[0].strip("| ") for line in rows.splitlines() if line.startswith("|")][2:]
    bent = [f"recording, late by up to {late} ms" for late in (1, 2, 3)]
    alone = ["prior", "network, 1 step", "network, 2 steps"]
    both = [*alone, *(f"{name}, consistency 12" for name in alone)]
    assert names == ["recording", *bent, *both, "Griffin-Lim, 2 iterations"]
    written = json.loads((tmp_path / "out" / "ablation.json").read_text("utf-8"))
    assert len(written["records"]) == 2 * len(names) and written["manifest"]["seeds"] == [0]
    assert all(one["values"]["pesq_wb"] for one in written["records"])


def test_another_kind_of_vocoder_is_refused(vocoder, tmp_path, capsys):
    save_checkpoint(vocoder, tmp_path / "old", "card")
    assert program.main(ablation, ["--vocoder", str(tmp_path / "old")]) == 2
    assert "old is no spectral vocoder" in capsys.readouterr().err
