"""The command ``tune`` from end to end on untrained vocoders: what it saves, keeps, prints and refuses."""

import json
import math
import shutil

import numpy as np
import pytest
import soundfile
import torch
from small_vocoders import random_vocoder

from tts_diffvoc import tuning, voices
from tts_diffvoc.audio import resample
from tts_diffvoc.checkpoint import FILES, load_checkpoint, load_vocoder, save_checkpoint, save_schedules
from tts_diffvoc.cli import main
from tts_diffvoc.commands.tune import told
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.diffusion.search import is_valid
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.corpus import scan

QUICK = ["--clips", "2", "--seconds", "0.3", "--trials", "16", "--seed", "1"]


@pytest.fixture
def folder(tmp_path):
    save_checkpoint(random_vocoder("diffwave"), tmp_path / "voice", "# Voice\n\nA voice for tests.\n")
    return tmp_path / "voice"


@pytest.fixture
def data(tmp_path, speech):
    """Four recordings in two folders: of different rates, mono and stereo."""
    (tmp_path / "data" / "more").mkdir(parents=True)
    for name, rate, channels in [
        ("a.wav", 22050, 1),
        ("b.flac", 16000, 2),
        ("more/c.WAV", 44100, 2),
        ("d.flac", 24000, 1),
    ]:
        samples = resample(speech[0].roll(1000 * rate), 22050, rate)
        soundfile.write(tmp_path / "data" / name, np.stack([samples] * channels, axis=1), rate)
    return tmp_path / "data"


def run(folder, data, *arguments, steps=("3",)):
    return main(["tune", str(folder), "--steps", *steps, "--data", str(data), *QUICK, *arguments])


def config(folder):
    return json.loads((folder / "config.json").read_text())


def test_a_tuned_checkpoint_serves_its_steps(folder, data, capsys):
    before, weights = config(folder), (folder / "model.safetensors").read_bytes()
    mel = load_checkpoint(folder).mel(torch.from_numpy(soundfile.read(data / "a.wav", dtype="float32")[0]))[..., :20]
    old = load_checkpoint(folder).generate(mel, steps=3, seed=1)
    assert run(folder, data, steps=("4", "3")) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith("steps=3: 16 schedules tried; log-mel L1 ") and "->" in lines[0]
    assert lines[1].startswith("steps=4: ") and "steps=3: " in printed.err and "16/16" in printed.err

    after = config(folder)
    assert list(after["inference"]) == ["3", "4", "6"]
    assert {**after, "inference": before["inference"]} == before and after["inference"]["6"] == before["inference"]["6"]
    assert (folder / "model.safetensors").read_bytes() == weights and not list(folder.glob(".*"))

    vocoder = load_checkpoint(folder)
    betas = tuple(after["inference"]["3"])
    assert vocoder.inference_schedule(3).betas == betas
    assert is_valid(NoiseSchedule(betas), vocoder.config.schedule)
    tuned = vocoder.generate(mel, steps=3, seed=1)
    assert not torch.equal(tuned, old)
    assert torch.equal(load_vocoder(f"{folder}?steps=3&seed=1").generate(mel), tuned)


def test_coquis_models_use_it(folder, data):
    pytest.importorskip("TTS")
    from tts_diffvoc.coqui.configs import from_core
    from tts_diffvoc.coqui.models import DiffvocVocoder

    assert run(folder, data) == 0
    core = load_checkpoint(folder)
    model = DiffvocVocoder(from_core(core.config))
    model.load_checkpoint(model.config, f"{folder}?steps=3&seed=1", eval=True)
    mel = torch.zeros(1, 80, 9)
    assert torch.equal(model.inference(mel)[0], core.generate(mel, steps=3, seed=1))
    assert model.vocoder.inference_schedule(3).betas == tuple(config(folder)["inference"]["3"])


@pytest.mark.parametrize("method", ["grid", "dp"])
def test_the_same_seed_finds_the_same_schedule(folder, data, method, tmp_path):
    found = []
    for name in ("one", "two"):
        assert run(folder, data, "--method", method, "--trials", "6", "-o", str(tmp_path / name)) == 0
        found.append(config(tmp_path / name)["inference"])
    assert found[0] == found[1]


def test_dry_run_writes_nothing(folder, data, capsys):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run(folder, data, "--dry-run") == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert "nothing was written" in capsys.readouterr().out


def test_a_copy_is_tuned_and_the_original_left(folder, data, tmp_path):
    (folder / "best_model.pth").write_bytes(b"state of a training run")
    before, target = config(folder), tmp_path / "new" / "tuned"
    assert run(folder, data, "-o", str(target)) == 0
    assert config(folder) == before and "3" in config(target)["inference"]
    assert sorted(path.name for path in target.iterdir()) == sorted(FILES)
    assert [path.name for path in target.parent.iterdir()] == ["tuned"]
    assert load_checkpoint(target).inference_schedule(3).num_steps == 3


def test_what_is_no_better_on_the_check_clips_is_not_kept(folder, data, capsys, monkeypatch):
    old = load_checkpoint(folder).inference_schedule(3)

    def check(vocoder, schedule, clips, seed):
        return tuning.Checked(schedule, 1.0 if schedule == old else 1.001, math.nan)

    monkeypatch.setattr(tuning, "check_schedule", check)
    before = config(folder)
    assert run(folder, data) == 0
    assert config(folder) == before
    assert "keeps its old schedule: the best one found is no better" in capsys.readouterr().out


def test_a_measure_can_be_chosen(folder, data, capsys, monkeypatch):
    old = load_checkpoint(folder).inference_schedule(3)

    def check(vocoder, schedule, clips, seed):
        return tuning.Checked(schedule, *((1.0, 2.0) if schedule == old else (1.1, 2.5)))

    monkeypatch.setattr(tuning, "check_schedule", check)
    monkeypatch.setattr(tuning, "has_pesq", lambda: True)
    monkeypatch.setattr(tuning, "pesq_wb", lambda vocoder, speech, clips: -float(speech.abs().mean()))
    assert run(folder, data, "--measure", "pesq") == 0
    printed = capsys.readouterr()
    assert "PESQ-WB " in printed.err and "PESQ-WB 2.000 -> 2.500" in printed.out
    assert (
        "log-mel L1 1.0000 -> 1.1000" in printed.out
        and "one measure got worse" in printed.out
        and "3" in config(folder)["inference"]
    )
    monkeypatch.setattr(tuning, "has_pesq", lambda: False)
    assert run(folder, data, "--measure", "pesq") == 2
    assert "needs the package pesq" in capsys.readouterr().err


def test_a_fall_of_pesq_is_told():
    schedules = [NoiseSchedule.from_noise_levels([0.999, level]) for level in (0.5, 0.6)]
    worse = [tuning.Checked(schedules[0], 1.0, 3.0), tuning.Checked(schedules[1], 0.9, 2.9)]
    assert "PESQ-WB 3.000 -> 2.900; betas" in told(tuning.Result(2, *worse, trials=5, measure="log-mel"))
    assert "one measure got worse" in told(tuning.Result(2, *worse, trials=5, measure="log-mel"))
    assert "no better on the check clips" in told(tuning.Result(2, *worse, trials=5, measure="pesq"))
    assert "search clips" in told(tuning.Result(2, worse[0], worse[0], trials=5, measure="pesq"))


def test_search_and_check_clips_differ(folder, data):
    vocoder = load_checkpoint(folder)
    corpus = scan(data, vocoder.mel_config, listen=False)
    search, check = tuning.read_clips(vocoder, corpus, 2, 0.3, seed=0)
    assert len(search.waveform) == len(check.waveform) == 2
    assert search.waveform.shape[1] == search.mel.shape[2] * 256 and search.mel.shape[:2] == (2, 80)
    pairs = [(one - other).abs().max() for one in search.waveform for other in check.waveform]
    assert min(pairs) > 0.01
    one, other = tuning.read_clips(vocoder, corpus, 1, 0.3, seed=0)
    assert len(one.mel) == len(other.mel) == 1


def test_what_cannot_be_used_is_left_out_and_told(folder, data, speech, capsys):
    (data / "notes.wav").write_text("not audio")
    soundfile.write(data / "telephone.wav", resample(speech[0], 22050, 8000), 8000)
    soundfile.write(data / "silent.wav", np.zeros(22050), 22050)
    assert run(folder, data, "--clips", "9", "--dry-run") == 0
    told = capsys.readouterr().err
    assert "skipped 1, cannot be read as audio: notes.wav" in told
    assert "skipped 1, recorded at 8,000 Hz" in told and "searching on 2 clips, checking on 2 others" in told


def test_tuning_from_python(folder, data):
    vocoder = load_checkpoint(folder)
    clips = tuning.read_clips(vocoder, scan(data, vocoder.mel_config, listen=False), 2, 0.3, seed=1)
    results = tuning.tune(vocoder, clips, [4, 3], trials=16, seed=1)
    assert [(r.steps, r.trials) for r in results] == [(3, 16), (4, 16)]
    save_schedules(folder, tuning.improvements(results))
    saved = config(folder)["inference"]
    assert all(tuple(saved[str(r.steps)]) == r.after.schedule.betas for r in results if r.better)
    assert set(saved) == {"6", *(str(r.steps) for r in results if r.better)}


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"measure": "ear"}, "choose one of log-mel, pesq"),
        ({"steps": [51]}, "at most 50"),
    ],
)
def test_settings_of_no_search_are_refused(folder, settings, says):
    with pytest.raises(DiffvocError, match=says):
        tuning.tune(load_checkpoint(folder), (None, None), **{"steps": [3], **settings})


def test_a_trial_leaves_the_vocoder_as_it_was(folder):
    vocoder = load_checkpoint(folder)
    before, mel = vocoder.config, torch.zeros(1, 80, 4)
    schedule = NoiseSchedule.from_noise_levels([0.999, 0.6])
    speech = tuning.generate(vocoder, schedule, mel, 1)
    assert vocoder.config is before and 2 not in before.inference
    assert not torch.equal(speech, vocoder.generate(mel, steps=2, seed=1))


def test_the_measure_is_zero_for_the_clip_itself(folder, speech):
    vocoder = load_checkpoint(folder)
    mel = vocoder.mel(speech)[..., :86]
    clips = tuning.Clips(speech, mel)
    assert tuning.log_mel_l1(vocoder, speech, clips) == 0
    assert tuning.log_mel_l1(vocoder, speech / 2, clips) == pytest.approx(math.log(2), rel=0.1)


def test_a_vocoder_without_a_schedule_is_refused(spectral, data, tmp_path, capsys):
    save_checkpoint(spectral, tmp_path / "spectral", "# Spectral\n")
    assert run(tmp_path / "spectral", data) == 2
    assert "has no noise schedule to tune" in capsys.readouterr().err


def test_bad_input_is_one_sentence(folder, data, tmp_path, capsys, monkeypatch):
    (tmp_path / "empty").mkdir()
    shutil.copytree(data, tmp_path / "broken")
    for path in (tmp_path / "broken").rglob("*.*"):
        path.write_bytes(b"RIFF not audio")
    shutil.copytree(data, tmp_path / "one")
    for name in ("a.wav", "b.flac", "more/c.WAV"):
        (tmp_path / "one" / name).unlink()
    shutil.copytree(folder, tmp_path / "package" / "bundled")
    monkeypatch.setitem(voices.VOCODERS, "bundled", tmp_path / "package" / "bundled")
    monkeypatch.setattr(voices, "__file__", str(tmp_path / "package" / "__init__.py"))
    before = config(folder)
    for where, speech, arguments, says in [
        (folder, tmp_path / "gone", [], "no folder"),
        (folder, tmp_path / "empty", [], "holds no recordings"),
        (folder, tmp_path / "broken", [], "cannot be read as audio"),
        (folder, tmp_path / "one", [], "1 recordings of at least 0.3 s"),
        (folder, data, ["--seconds", "9"], "at least 9 s"),
        (folder, data, ["--seconds", "0.001"], "window"),
        (folder, data, ["--seconds", "nan"], "--seconds"),
        (folder, data, ["--max-minutes", "0"], "--max-minutes"),
        (folder, data, ["--clips", "0"], "--clips"),
        (folder, data, ["--trials", "0"], "--trials"),
        (folder, data, ["--steps", "51"], "at most 50"),
        (folder, data, ["--steps", "0"], "from 1 to"),
        (folder, data, ["--steps", "six"], "whole number"),
        (folder, data, ["--seed", "-1"], "seed"),
        (folder, data, ["--sampler", "euler"], "ddpm"),
        (folder, data, ["--device", "abacus"], "no device"),
        (folder, data, ["-o", str(data)], "exists already"),
        (folder, data, ["-o", str(data / "a.wav" / "new")], "no path that can be used"),
        ("bundled", data, [], "-o NEWDIR"),
        (tmp_path / "package" / "bundled", data, [], "-o NEWDIR"),
        (tmp_path / "empty", data, [], "config.json"),
    ]:
        assert run(where, speech, *arguments) == 2, says
        error = capsys.readouterr().err.strip()
        assert error.startswith("error: ") and says in error and "\n" not in error, error
    assert config(folder) == before
