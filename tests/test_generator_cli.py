"""The commands generate, denoise and interpolate, run in this process with a small saved generator."""

import re

import numpy as np
import pytest
import soundfile
import torch
from small_generators import HOP, falling, gaussian, random_generator

from tts_diffvoc import generators
from tts_diffvoc.checkpoint import load_generator, save_checkpoint
from tts_diffvoc.cli import main

CARD = "# Spoken\n\nA generator for tests.\n"


@pytest.fixture
def folder(tmp_path):
    save_checkpoint(random_generator("spectra with labels"), tmp_path / "spoken", CARD)
    return str(tmp_path / "spoken")


@pytest.fixture
def noisy(tmp_path):
    """A clip of noise, 0.2 s at 8,000 Hz, of which the first tenth is quieter."""
    clip = gaussian(falling(HOP), 1, 100)[0].numpy() / 10
    clip[:400] = 0
    clip += 0.02 * np.random.default_rng(0).standard_normal(1600).astype(np.float32)
    soundfile.write(tmp_path / "noisy.wav", clip, 8000)
    return str(tmp_path / "noisy.wav")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_generate(folder, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    command = ["generate", "--model", folder, "--count", "3", "--steps", "2", "--seed", "1"]
    assert main([*command, "-o", str(out)]) == 0
    assert names(out) == ["000.wav", "001.wav", "002.wav"]
    said = capsys.readouterr().out
    assert "3 clips" in said and "0.06 s" in said and "spoken" in said and "seed 1" in said
    expected = load_generator(folder).generate(3, steps=2, seed=1)
    for i in range(3):
        samples, rate = soundfile.read(out / f"00{i}.wav")
        assert rate == 8000 and np.abs(samples - expected[i].numpy()).max() < 1e-4


def test_generate_of_a_class(folder, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--guidance", "1", "--sampler", "ddim", "--seconds", "0.1", "--steps", "2"]
    assert main(["generate", "--model", folder, "-o", str(out), "--count", "3", "--label", "two", "2", *options]) == 0
    assert names(out) == ["000-two.wav", "001-2.wav", "002-two.wav"]
    assert {len(soundfile.read(out / name)[0]) for name in names(out)} == {800}
    said = capsys.readouterr().out
    seed = int(re.search(r"seed (\d+)", said)[1])
    again = tmp_path / "again"
    assert main(["generate", "--model", folder, "-o", str(again), "--count", "3", "--label", "two", "2", *options,
                 "--seed", str(seed)]) == 0  # fmt: skip
    assert np.array_equal(soundfile.read(out / "002-two.wav")[0], soundfile.read(again / "002-two.wav")[0])


def test_more_clips_than_go_at_a_time(folder, tmp_path):
    out = tmp_path / "out"
    assert main(["generate", "--model", folder, "-o", str(out), "--count", "18", "--steps", "1"]) == 0
    assert len(names(out)) == 18
    clips = [soundfile.read(out / name)[0] for name in names(out)]
    assert all(np.abs(clips[i] - clips[j]).max() > 0 for i in range(18) for j in range(i))


@pytest.mark.parametrize("how, says", [
    (["--t", "25"], "noise of deviation"),
    (["--noise", "0.02"], "noise of deviation 0.0200"),
    ([], "estimated noise of deviation 0.0"),
])  # fmt: skip
def test_denoise(folder, noisy, tmp_path, capsys, how, says):
    target = tmp_path / "clean.wav"
    assert main(["denoise", noisy, "-o", str(target), "--model", folder, "--steps", "3", *how]) == 0
    samples, rate = soundfile.read(target)
    assert (len(samples), rate) == (1600, 8000)
    assert says in capsys.readouterr().out
    given, options = torch.from_numpy(soundfile.read(noisy, dtype="float32")[0]), {}
    if how:
        options = {how[0].removeprefix("--"): float(how[1]) if how[0] == "--noise" else int(how[1])}
    expected = load_generator(folder).denoise(given, steps=3, **options)
    assert np.abs(samples - expected[0].numpy()).max() < 1e-4


def test_denoise_of_another_rate(folder, noisy, tmp_path, capsys):
    samples = soundfile.read(noisy)[0]
    soundfile.write(tmp_path / "stereo.flac", np.stack([samples, samples], 1), 16000)
    target = tmp_path / "clean.wav"
    assert main(["denoise", str(tmp_path / "stereo.flac"), "-o", str(target), "--model", folder, "--t", "3"]) == 0
    assert (len(soundfile.read(target)[0]), soundfile.read(target)[1]) == (800, 8000)
    assert "has 16000 samples a second and was resampled to the 8000" in capsys.readouterr().out


def test_interpolate(folder, noisy, tmp_path, capsys):
    other, out = tmp_path / "b.wav", tmp_path / "out"
    soundfile.write(other, 0.1 * np.sin(0.3 * np.arange(1000)), 8000)
    command = ["interpolate", noisy, str(other), "--model", folder, "--t", "3", "--steps", "4", "--seed", "2"]
    assert main([*command, "--sampling-steps", "2", "--label", "two", "-o", str(out)]) == 0
    assert names(out) == ["000.wav", "001.wav", "002.wav", "003.wav"]
    said = capsys.readouterr().out
    assert "padded with silence to the 1600 samples" in said and "4 clips" in said and "step 3 of 100" in said
    a = torch.from_numpy(soundfile.read(noisy, dtype="float32")[0])
    b = torch.nn.functional.pad(torch.from_numpy(soundfile.read(other, dtype="float32")[0]), (300, 300))
    expected = load_generator(folder).interpolate(a, b, 3, 4, steps=2, seed=2, label="two")
    for i in range(4):
        assert np.abs(soundfile.read(out / f"00{i}.wav")[0] - expected[i].numpy()).max() < 1e-4


def test_info_and_list_know_generators(folder, capsys, monkeypatch):
    assert main(["info", folder]) == 0
    told = capsys.readouterr().out
    assert "A generator for tests." in told and '"sample_rate": 8000' in told and '"two"' in told
    monkeypatch.setattr(generators, "GENERATORS", {"spoken": generators.Path(folder)})
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"^spoken +generator +A generator for tests\.", listed, re.M) and "wavegrad" in listed
    assert main(["info", "spoken"]) == 0 and "A generator for tests." in capsys.readouterr().out
    assert main(["info", "spokn"]) == 2
    assert "vocoder, generator or checkpoint folder 'spokn'; the closest names are spoken" in capsys.readouterr().err


def test_bad_input_is_one_sentence_and_no_file(folder, noisy, tmp_path, capsys):
    (tmp_path / "text.wav").write_text("no audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    (tmp_path / "file").write_text("")
    out, model = ["-o", str(tmp_path / "out")], ["--model", folder]
    wav = ["-o", str(tmp_path / "out.wav")]
    for arguments, says in [
        (["generate", *out, "--model", "digts"], "digts"),
        (["generate", *out, *model, "--count", "0"], "from 1 to"),
        (["generate", *out, *model, "--label", "seven"], "or a name: one, two, 2"),
        (["generate", *out, *model, "--guidance", "1"], "--label"),
        (["generate", *out, *model, "--guidance", "-1", "--label", "one"], "not a number from 0"),
        (["generate", *out, *model, "--steps", "500"], "at most 100"),
        (["generate", *out, *model, "--sampler", "euler"], "ddpm"),
        (["generate", *out, *model, "--seed", "x"], "argument --seed: 'x'"),
        (["generate", *out, *model, "--seconds", "0"], "above 0"),
        (["generate", *out, *model, "--device", "tpu:9"], "no device 'tpu:9'"),
        (["generate", "-o", str(tmp_path / "file" / "out"), *model, "--steps", "1"], "no path that can be used"),
        (["denoise", str(tmp_path / "gone.wav"), *wav, *model], "is not there"),
        (["denoise", str(tmp_path / "text.wav"), *wav, *model], "audio"),
        (["denoise", str(tmp_path / "empty.wav"), *wav, *model], "no samples"),
        (["denoise", noisy, *wav, *model, "--t", "0"], "not a whole number from 1"),
        (["denoise", noisy, *wav, *model, "--noise", "-1"], "not a number above 0"),
        (["denoise", noisy, *wav, *model, "--t", "3", "--noise", "0.1"], "not allowed with"),
        (["denoise", noisy, *wav, *model, "--steps", "many"], "whole number"),
        (["denoise", noisy, "-o", str(tmp_path / "gone" / "x.wav"), *model], "cannot be written"),
        (["interpolate", noisy, noisy, *out, *model, "--t", "101"], "1 to 100"),
        (["interpolate", noisy, noisy, *out, *model, "--steps", "1"], "from 2 to"),
        (["interpolate", noisy, str(tmp_path / "gone.wav"), *out, *model], "is not there"),
    ]:
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err.strip()
        assert error.startswith("error: ") and says in error and "\n" not in error, error
        assert not (tmp_path / "out").exists() and not (tmp_path / "out.wav").exists()
