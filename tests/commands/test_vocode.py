"""``tts-diffvoc vocode``: files, folders and standard input, in one process, in two and on a cluster."""

import io
import os
import signal
import threading
import time

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file
from small_corpus import tones

from tts_diffvoc.audio import FORMATS, write_audio
from tts_diffvoc.checkpoint import save_checkpoint
from tts_diffvoc.cli import main


@pytest.fixture
def voice(spectral, tmp_path):
    """A small vocoder's folder, as the options that name it."""
    save_checkpoint(spectral, tmp_path / "voice", "# Voice\n\nA voice for tests.\n")
    return ["--vocoder", str(tmp_path / "voice"), "--seed", "1"]


@pytest.fixture
def recordings(tmp_path):
    """One of each format, half of them in a sub-folder, and files that are none."""
    folder = tmp_path / "recordings"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(FORMATS):
        place = folder / "more" if number % 2 else folder
        write_audio(place / f"{number}.{name}", torch.from_numpy(tones(number, rate=16000)).float(), 16000)
    (folder / "damaged.wav").write_text("no audio")
    (folder / "notes.txt").write_text("no recording")
    return folder


def outputs(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("rate, suffix", [(22050, "wav"), (16000, "flac")])
def test_a_recording(voice, speech, tmp_path, rate, suffix):
    source, target = tmp_path / f"in.{suffix}", tmp_path / "out.wav"
    soundfile.write(source, np.stack([speech[0], speech[0]], axis=1), rate)
    assert main(["vocode", str(source), "-o", str(target), *voice]) == 0
    samples, written = soundfile.read(target)
    assert written == 22050 and samples.ndim == 1
    assert abs(len(samples) / 22050 - speech.shape[1] / rate) < 0.001
    assert np.abs(samples).max() > 0.01


@pytest.mark.parametrize("suffix", ["npy", "pt", "safetensors"])
def test_a_saved_mel_from_a_file_and_from_standard_input(voice, spectral, speech, tmp_path, suffix, monkeypatch):
    mel, source = spectral.mel(speech)[0], tmp_path / f"mel.{suffix}"
    write = {
        "npy": lambda: np.save(source, mel.numpy()),
        "pt": lambda: torch.save(mel, source),
        "safetensors": lambda: save_file({"mel": mel}, source),
    }
    write[suffix]()
    assert main(["vocode", str(source), "-o", str(tmp_path / "a.wav"), *voice]) == 0
    assert soundfile.info(tmp_path / "a.wav").frames == mel.shape[1] * 256
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(source.read_bytes())))
    assert main(["vocode", "-", "-o", str(tmp_path / "b.wav"), *voice]) == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_a_chosen_channel(voice, tmp_path):
    left, right = tones(1, rate=22050), tones(2, rate=22050)
    soundfile.write(tmp_path / "both.wav", np.stack([left, right], 1), 22050)
    soundfile.write(tmp_path / "right.wav", right, 22050)
    assert main(["vocode", str(tmp_path / "both.wav"), "-o", str(tmp_path / "a.wav"), "--channel", "2", *voice]) == 0
    assert main(["vocode", str(tmp_path / "right.wav"), "-o", str(tmp_path / "b.wav"), *voice]) == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    assert main(["vocode", str(tmp_path / "both.wav"), "-o", str(tmp_path / "c.wav"), "--channel", "3", *voice]) == 2


def test_a_folder_is_vocoded_but_for_what_cannot_be(voice, recordings, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["vocode", str(recordings), "--output-dir", str(out), "--format", "opus", *voice]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert outputs(out) == ["0.opus", "2.opus", "4.opus", "more/1.opus", "more/3.opus"]
    assert {soundfile.info(out / name).subtype for name in outputs(out)} == {"OPUS"}
    assert "damaged.wav cannot be read as audio" in printed.err and "6/6" in printed.err
    assert printed.err.rstrip().endswith("error: 1 of 6 inputs could not be vocoded; the lines above say why.")
    assert printed.out.startswith(f"{out}: 5 of 6 inputs vocoded, 3.00 s by voice")
    (out / "0.opus").unlink()
    before = {name: (out / name).stat().st_mtime_ns for name in outputs(out)}
    assert main([*command, "--skip-existing"]) == 1
    assert "1 of 2 inputs vocoded, 0.60 s by voice, 4 were there" in capsys.readouterr().out
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before


def test_two_processes_write_what_one_does(voice, recordings, tmp_path, capsys):
    for jobs in "1", "2":
        assert main(["vocode", str(recordings), "--output-dir", str(tmp_path / jobs), "--jobs", jobs, *voice]) == 1
        assert capsys.readouterr().err.count("left out: ") == 1
    assert outputs(tmp_path / "2") == outputs(tmp_path / "1") and len(outputs(tmp_path / "2")) == 5
    for name in outputs(tmp_path / "1"):
        assert (tmp_path / "2" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()


def test_a_worker_of_a_cluster_is_killed_and_no_clip_is_lost_or_done_twice(voice, tmp_path, capsys, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")]))
    folder, out, count = tmp_path / "recordings", tmp_path / "out", 12
    folder.mkdir()
    for number in range(count):
        soundfile.write(folder / f"{number}.wav", tones(number, rate=22050), 22050)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        monkeypatch.chdir(tmp_path)  # which the workers do not
        victim = cluster.workers[0].pid

        def kill():
            while not (out.is_dir() and outputs(out)):
                time.sleep(0.02)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        where = ["--backend", "dask", "--scheduler", cluster.scheduler_address]
        assert main(["vocode", "recordings", "--output-dir", "out", *where, "--vocoder", "voice", "--seed", "1"]) == 0
        killer.join()
        with pytest.raises(ProcessLookupError):
            os.kill(victim, 0)
    assert outputs(out) == sorted(f"{number}.wav" for number in range(count))
    assert f"{count} of {count} inputs vocoded, {count * 0.6:.2f} s" in capsys.readouterr().out


def test_bad_use_is_one_sentence_and_nothing_is_written(voice, recordings, tmp_path, capsys):
    good, out = str(recordings / "0.wav"), str(tmp_path / "out")
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "bad.npy", np.full((80, 5), np.nan))
    before = outputs(tmp_path)
    for arguments, says in [
        ([str(tmp_path / "gone.wav"), "-o", f"{out}.wav"], "is not there"),
        ([str(tmp_path / "bad.npy"), "-o", f"{out}.wav"], "frame 0 of the mel holds nan"),
        ([good, "-o", f"{out}/gone/a.wav"], "cannot be written"),
        ([good, "-o", f"{out}.wav", "--steps", "-1"], "from 0 to"),
        ([good], "one of the arguments -o/--output --output-dir is required"),
        ([good, good, "-o", f"{out}.wav"], "-o takes one file"),
        ([str(recordings), "-o", f"{out}.wav"], "-o takes one file"),
        ([good, "-o", f"{out}.aiff"], "names no format to write"),
        ([good, "-o", out], "names no format to write"),
        ([good, "-o", f"{out}.wav", "--speaker", "ada"], "unknown option 'speaker'"),
        ([good, "--output-dir", good], "cannot be written to"),
        ([good, "--output-dir", out, "--format", "xyz"], "names no format to write"),
        ([good, "--output-dir", out, "--jobs", "0"], "from 1 to"),
        ([str(tmp_path / "empty"), "--output-dir", out], "holds no recordings and no mels"),
        ([str(recordings), "--output-dir", str(recordings)], "would take the place of an input"),
        ([good, str(recordings / "more"), f"{recordings}/more/../0.wav", "--output-dir", str(recordings)], "the place"),
        ([good, "--output-dir", out, "--backend", "dask", "--scheduler", "nonsense://x"], "the dask workers gave up"),
    ]:
        assert main(["vocode", *arguments, *voice]) in (1, 2)
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ") and says in error, error
        assert outputs(tmp_path) == before
    np.save(recordings / "more" / "0.npy", np.zeros((80, 3)))
    assert main(["vocode", good, str(recordings / "more"), "--output-dir", out, *voice]) == 2
    assert "would both become" in capsys.readouterr().err
