"""`tts-diffvoc compare` from its command line, on real systems: what a run holds, failures, going on, known answers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from small_vocoders import CONFIGS, random_vocoder

from tts_diffvoc import cli
from tts_diffvoc.checkpoint import save_checkpoint
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.vocoder import Vocoder
from tts_diffvoc_eval import records, registry, runner, speech, systems
from tts_diffvoc_eval.mels import MEL

EVAL = Path(__file__).parents[2] / "eval"
SMALL = (
    "--threads 1 --clips 2 --seconds 1 --seeds 2 --workers 1 --lengths 0.5 --batch-sizes 1 --repeats 2 --cap 1"
).split()

ADAPTER = """
import time
import torch

LABEL, FAMILY, TRAINING = "Sleeper", "signal", "none"

def sleep(mel):
    time.sleep(0.5)
    return torch.zeros(mel.shape[0], mel.shape[-1] * 256)

def noise(mel, seed):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(mel.shape[0], mel.shape[-1] * 256, generator=generator)

def broken(mel):
    raise RuntimeError("it is broken")

def short(mel):
    return torch.zeros(mel.shape[0], 100)

def nan(mel):
    return torch.full((mel.shape[0], mel.shape[-1] * 256), float("nan"))

def quits(mel):
    raise SystemExit(3)

def elsewhere(mel):
    return torch.zeros(mel.shape[0], mel.shape[-1] * 256, device="meta")

def spoils(mel):
    mel.zero_()
    return None
"""


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    path = tmp_path_factory.mktemp("adapter") / "mine.py"
    path.write_text(ADAPTER)
    return path


@pytest.fixture(scope="module")
def diffwave(tmp_path_factory):
    """A spectral vocoder with random weights in a folder of that name."""
    folder = tmp_path_factory.mktemp("vocoder") / "diffwave"
    card = "---\ntraining: 3 CPU minutes, somehow\n---\nA test."
    save_checkpoint(random_vocoder("spectral diffwave"), folder, card)
    return folder


def run(output: Path, *arguments: str, small: bool = True) -> int:
    return cli.main(["compare", *(SMALL if small else []), "--output", str(output), *map(str, arguments)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory, adapter, diffwave):
    """A run of working and failing systems."""
    output = tmp_path_factory.mktemp("run") / "whole"
    failing = [f"{adapter}:{name}" for name in ("spoils", "broken", "short", "nan", "quits", "elsewhere")]
    specs = ["original", *failing, "griffin-lim", diffwave, f"{adapter}:noise", f"{adapter}:sleep"]
    assert run(output, "--systems", *specs, "--metrics", "pesq_wb", "log_mel_l1", "lsd") == 0
    return output


def test_a_run_holds_every_file(whole):
    for name in ("README.md", "leaderboard.csv", "leaderboard.json", "index.html"):
        assert (whole / name).stat().st_size > 100
    assert list((whole / "plots").glob("*.png"))
    manifest = records.read(whole, "manifest")
    assert manifest["seeds"] == [0, 1] and len(manifest["clips"]) == 2 and manifest["device"] == "cpu"
    own = ("spoils", "broken", "short", "nan", "quits", "elsewhere", "noise", "sleep")
    assert set(manifest["checkpoints"]) == {"diffwave", *(f"mine-{name}" for name in own)}
    assert manifest["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert str(Path.home()) not in json.dumps(manifest) and "/tmp" not in json.dumps(manifest)


def test_every_system_has_a_record_for_every_clip_and_seed(whole):
    table = records.table(whole, "quality")
    counts = table.groupby("system").size()
    assert counts["diffwave"] == counts["mine-noise"] == 4  # two clips, two seeds
    assert counts["original"] == counts["mine-sleep"] == 2
    assert counts["mine-broken"] == 2


def test_the_original_scores_the_ceiling_and_noise_the_floor(whole):
    means = records.table(whole, "quality").groupby("system")[["pesq_wb", "log_mel_l1", "lsd"]].mean()
    assert means.pesq_wb["original"] == pytest.approx(4.644, abs=1e-3)
    assert means.log_mel_l1["original"] == means.lsd["original"] == 0
    assert means.pesq_wb["mine-noise"] < 1.3 < means.pesq_wb["griffin-lim"]
    assert means.log_mel_l1["mine-noise"] > 5 * means.log_mel_l1["griffin-lim"]


@pytest.mark.parametrize(
    ("system", "told"),
    [
        ("mine-broken", "RuntimeError: it is broken"),
        ("mine-short", "100 samples"),
        ("mine-nan", "NaN"),
        ("mine-quits", "SystemExit: 3"),
        ("mine-elsewhere", "meta tensor"),
        ("mine-spoils", "NoneType"),
    ],
)
def test_a_failure_is_a_record_with_its_reason_shown_in_the_table(whole, system, told):
    table = records.table(whole, "quality")
    own = table[table.system == system]
    assert own.error.str.contains(told).all() and own.pesq_wb.isna().all()
    leaderboard = (whole / "README.md").read_text()
    assert told in leaderboard
    rows = pd.read_csv(whole / "leaderboard.csv")
    assert len(rows) == 11


def test_a_system_that_sleeps_half_a_second_takes_half_a_second(whole):
    speed = records.table(whole, "speed")
    took = speed[speed.system == "mine-sleep"].took
    assert took.median() == pytest.approx(0.5, rel=0.05)


def test_deterministic_systems_have_no_spread_and_the_original_is_the_floor(whole, adapter):
    table = records.table(whole, "diversity")
    spectrum = table.pivot(index="clip", columns="system", values="spread_lsd")
    assert (spectrum["mine-noise"] > 7).all() and (spectrum["original"] < spectrum["diffwave"]).all()
    assert table[table.system == "mine-broken"].error.str.contains("it is broken").all()


def test_what_is_heard_is_what_was_measured(whole):
    record = next(r for r in records.lines(whole, "quality") if r["system"] == "diffwave" and r["audio"])
    samples, rate = soundfile.read(whole / record["audio"], dtype="float32")
    clips, _ = speech.load([], 2, 1.0)
    original = next(c for c in clips if c.name == record["clip"]).samples
    again = runner.score(["pesq_wb"], samples, runner.rounded(original), None)
    assert rate == 22050 and len(samples) == len(original)
    assert again["values"]["pesq_wb"] == pytest.approx(record["values"]["pesq_wb"], abs=0.15)  # what MP3 takes away


def test_every_bundled_system_is_there(tmp_path):
    """``--quick`` with everything it brings, on one short clip."""
    less = "--threads 1 --clips 1 --seconds 0.5 --seeds 1 --workers 1 --lengths 0.3 --repeats 1 --cap 0.5"
    less += " --metrics lsd log_mel_l1"
    assert run(tmp_path / "run", "--quick", *less.split(), small=False) == 0
    table = records.table(tmp_path / "run", "quality")
    assert {spec.replace("?", "-") for spec in registry.default_names()} == set(table.system)
    assert table.error.isna().all()
    entries = records.read(tmp_path / "run", "systems")
    assert {entry["family"] for entry in entries.values()} == {"original", "diffusion", "signal"}
    assert not any(entry["training"] == "untrained" for entry in entries.values())
    assert set(records.table(tmp_path / "run", "speed").system) == set(entries) - {"original"}


def test_baselines_by_name_are_untrained():
    (found,) = registry.find("hifigan-v2", "cpu")
    assert (found.name, found.training, found.digest) == ("hifigan-v2", "untrained", None)
    assert found.label == "HiFi-GAN V2 (untrained)"


def test_a_resumed_run_repeats_nothing(tmp_path, adapter, capsys):
    output = tmp_path / "run"
    chosen = ["--systems", "original", "griffin-lim", f"{adapter}:noise", "--metrics", "log_mel_l1", "--no-speed"]
    assert run(output, *chosen) == 0
    whole = {kind: (output / f"{kind}.jsonl").read_text() for kind in ("quality", "diversity")}
    lines = whole["quality"].splitlines(keepends=True)
    (output / "quality.jsonl").write_text("".join(lines[:4]) + lines[4][:20])  # cut off in the middle of a line
    (output / "diversity.jsonl").write_text(whole["diversity"].splitlines(keepends=True)[0])
    assert run(output, *chosen) == 2  # a run is never overwritten by accident
    assert "--resume" in capsys.readouterr().err
    assert run(output, *chosen, "--resume") == 0
    after = (output / "quality.jsonl").read_text()
    assert after.startswith("".join(lines[:4]))
    assert sorted(after.splitlines()) == sorted(whole["quality"].splitlines())
    assert sorted((output / "diversity.jsonl").read_text().splitlines()) == sorted(whole["diversity"].splitlines())
    other = ["--systems", "original", "griffin-lim", *chosen[4:], "--resume"]
    assert run(output, *other) == 2 and "other systems" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--systems", "difwave"], "diffwave"),
        (["--systems", "nothing.py:speak"], "no Python file nothing.py"),
        (["--systems", "original", "--metrics", "pesq"], "no metric 'pesq'"),
        (["--systems", "original", "--data", "no-such-folder"], "no folder no-such-folder"),
        (["--systems", "original", "--clips", "0"], "argument --clips: '0' is not a whole number"),
        (["--systems", "original", "--seconds", "0.1"], "--seconds 0.1"),
        (["--systems", "original", "--timeout", "nan"], "argument --timeout"),
        (["--systems", "original", "--device", "cuda:99"], "no device 'cuda:99'"),
        (["--systems", "original", "original"], "two systems are named original"),
        (["--systems", "original", "--resume"], "no run to continue"),
    ],
)
def test_what_goes_wrong_is_said_in_a_sentence(arguments, told, tmp_path, capsys):
    assert run(tmp_path / "run", *arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and told in error


def test_a_zoo_that_cannot_be_reached_is_told_and_the_rest_runs(tmp_path, capsys, monkeypatch):
    from TTS.utils.manage import ModelManager

    def refuse(self, name):
        raise ConnectionError("no network")

    monkeypatch.setattr(ModelManager, "download_model", refuse)
    zoo = "vocoder_models/en/ljspeech/hifigan_v2"
    assert run(tmp_path / "run", "--systems", "original", zoo, "--metrics", "lsd", "--no-speed") == 0
    assert f"{zoo} cannot be downloaded (ConnectionError)" in capsys.readouterr().err
    assert list(records.read(tmp_path / "run", "systems")) == ["original"]
    assert run(tmp_path / "none", "--systems", zoo) == 2
    assert "cannot be downloaded" in capsys.readouterr().err and not (tmp_path / "none").exists()


def test_one_checkpoint_at_several_steps_and_by_several_samplers(tmp_path, diffwave):
    save_checkpoint(random_vocoder("diffwave"), tmp_path / "published", "A test.")
    made = registry.find(str(tmp_path / "published"), "cpu", steps=[1, 6], samplers=["ddpm", "ddim"])
    assert [(system.title, system.steps) for system in made] == [
        ("DiffWave (published)", 6),
        *((f"DiffWave (published), {sampler}", steps) for steps in (1, 6) for sampler in ("DDPM", "DDIM")),
    ]
    assert len({system.name for system in made}) == 5 and len({system.digest for system in made}) == 1
    made = registry.find(str(diffwave), "cpu", steps=[1, 2], samplers=["ddim"])  # which has no samplers
    assert [system.label for system in made] == ["DiffWave, 2 steps", "DiffWave, 1 step", "DiffWave, 2 steps"]
    assert len(registry.find(f"{diffwave}?steps=0", "cpu", steps=[1, 2])) == 1  # which says its own


def test_a_folder_of_ours_that_takes_other_mels_hears_its_own(tmp_path):
    for name, mel, told in [
        ("levels", MelConfig(log_base="10"), None),
        ("bands", MelConfig(fmax=11025.0), None),
        ("rate", MelConfig(sample_rate=16000, fmax=8000.0), "16,000 Hz"),
    ]:
        save_checkpoint(Vocoder(replace(CONFIGS["diffwave"], mel=mel)), tmp_path / name, "A test.")
        if told:
            with pytest.raises(DiffvocError, match=told):
                registry.find(str(tmp_path / name), "cpu")
            continue
        (system,) = registry.find(str(tmp_path / name), "cpu")
        assert (system.mel == MEL) == (name == "levels")
        clip = speech.load([], 1, 1.0)[0][0]
        assert runner.synthesise(system, clip, 0, "cpu").shape == clip.samples.shape


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu(tmp_path, diffwave):
    assert run(tmp_path / "run", "--systems", "original", diffwave, "griffin-lim", "--device", "cuda") == 0
    speed = records.table(tmp_path / "run", "speed")
    assert (speed[speed.system == "diffwave"].memory > 0).all()


def test_options_make_a_system_of_its_own_name(diffwave):
    specs = [f"{diffwave}{options}" for options in ("", "?steps=0", "?consistency=2&steps=1", "?quality=fast")]
    found = [(system.name, system.label, system.steps) for system in registry.find_all(specs, "cpu", [], [])[0]]
    assert found == [
        ("diffwave", "DiffWave, 2 steps", 2),
        ("diffwave-steps=0", "DiffWave's prior", 0),
        ("diffwave-consistency=2-steps=1", "DiffWave, 2 iterations of Griffin-Lim, 1 step", 1),
        ("diffwave-quality=fast", "DiffWave, quality=fast, 2 steps", 2),
    ]
    clip = speech.load([], 1, 1.0)[0][0]
    whole, prior = (runner.synthesise(registry.find(spec, "cpu")[0], clip, 0, "cpu") for spec in specs[:2])
    assert whole.shape == prior.shape and not np.array_equal(whole, prior)


def test_options_from_a_file(tmp_path, adapter):
    file = tmp_path / "run.toml"
    file.write_text(
        f'systems = ["original", "{adapter}:noise"]\nmetrics = ["lsd"]\nclips = 3\nseeds = 1\nno-speed = true\n'
        f'data = ["{speech.BUNDLED}"]\n'
    )
    assert run(tmp_path / "run", "--config", file) == 0  # --clips 2 of SMALL goes before it
    table = records.table(tmp_path / "run", "quality")
    assert set(table.system) == {"original", "mine-noise"} and table["clip"].nunique() == 2
    manifest = records.read(tmp_path / "run", "manifest")
    assert manifest["data_sets"] == {"clips": {"place": "clips", "language": "en"}}
    assert "--config run.toml" in manifest["command"]
    file.write_text("sistems = []\n")
    assert run(tmp_path / "other", "--config", file) == 2


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("12.0 CPU minutes, 3,000 steps of 8 crops of 32 frames", (12.0, "CPU")),
        ("15 NVIDIA H100 minutes, 9 steps", (15.0, "NVIDIA H100")),
        ("untrained", (None, None)),
        ("20 days", (None, None)),
    ],
)
def test_minutes_of_training_are_read_from_the_card(words, found):
    assert systems.training_time(words) == found


def test_the_checkpoints_of_one_training_have_its_name(tmp_path):
    for part in ("vocoder", "quarter-2"):
        save_checkpoint(random_vocoder("diffwave"), tmp_path / "mine" / part, "---\ntraining: 3 CPU minutes\n---\nA.")
    made = [registry.find(str(tmp_path / "mine" / part), "cpu")[0] for part in ("vocoder", "quarter-2")]
    assert [system.name for system in made] == ["mine", "mine-quarter-2"]
    assert made[0].describe()["minutes"] == 3.0
