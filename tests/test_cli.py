"""The command tts-diffvoc, run in this process: what it writes, and what it refuses without leaving a file."""

import numpy as np
import pytest
import soundfile
import torch

from tts_diffvoc.checkpoint import save_checkpoint
from tts_diffvoc.cli import main


@pytest.fixture
def folder(diffwave, tmp_path):
    save_checkpoint(diffwave, tmp_path / "voice", "# Voice\n\nA voice for tests.\n")
    return tmp_path / "voice"


@pytest.mark.parametrize("rate, suffix", [(22050, "wav"), (16000, "flac")])
def test_vocode_a_recording(folder, speech, tmp_path, rate, suffix):
    source, target = tmp_path / f"in.{suffix}", tmp_path / "out.wav"
    soundfile.write(source, np.stack([speech[0], speech[0]], axis=1), rate)
    assert main(["vocode", str(source), "-o", str(target), "--vocoder", str(folder), "--seed", "1"]) == 0
    samples, written = soundfile.read(target)
    assert written == 22050 and samples.ndim == 1
    assert abs(len(samples) / 22050 - speech.shape[1] / rate) < 0.001
    assert np.abs(samples).max() > 0.01


@pytest.mark.parametrize("suffix", ["npy", "pt"])
def test_vocode_a_saved_mel(folder, diffwave, speech, tmp_path, suffix):
    mel, source, target = diffwave.mel(speech)[0], tmp_path / f"mel.{suffix}", tmp_path / "out.wav"
    np.save(source, mel.numpy()) if suffix == "npy" else torch.save(mel, source)
    assert main(["vocode", str(source), "-o", str(target), "--vocoder", f"{folder}?steps=2&seed=1"]) == 0
    assert len(soundfile.read(target)[0]) == mel.shape[1] * 256


def test_list_and_info(folder, capsys):
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert "diffwave" in listed and "vocoder_models/en/diffvoc/wavegrad" in listed
    assert main(["info", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "A voice for tests." in told and '"residual_channels": 8' in told
    assert main(["info", "diffwave"]) == 0


def test_bad_input_is_one_sentence_and_no_file(folder, speech, tmp_path, capsys):
    good, bad_mel, foreign, target = (tmp_path / n for n in ("in.wav", "mel.npy", "in.txt", "out.wav"))
    soundfile.write(good, speech[0], 22050)
    np.save(bad_mel, np.full((80, 5), np.nan))
    foreign.write_text("not audio")
    voice = ["--vocoder", str(folder)]
    for arguments, says in [
        ([str(tmp_path / "gone.wav"), "-o", str(target), *voice], "is not there"),
        ([str(foreign), "-o", str(target), *voice], "audio"),
        ([str(bad_mel), "-o", str(target), *voice], "frame 0 of the mel holds nan"),
        ([str(good), "-o", str(tmp_path / "gone" / "out.wav"), *voice], "cannot be written"),
        ([str(good), "-o", str(target), *voice, "--steps", "0"], "from 1 to"),
        ([str(good), "-o", str(target), *voice, "--steps", "51"], "at most 50"),
        ([str(good), "-o", str(target), "--vocoder", "difwave"], "diffwave"),
    ]:
        assert main(["vocode", *arguments]) == 2
        error = capsys.readouterr().err.strip()
        assert error.startswith("error: ") and says in error and "\n" not in error
        assert not target.exists() and not list(tmp_path.glob(".*part"))
