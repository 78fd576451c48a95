"""Files given, and files made: pipes, loops and full disks (kind 6)."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import torch
from damage import PUT
from small_vocoders import random_vocoder

from tts_diffvoc.audio import write_audio
from tts_diffvoc.checkpoint import save_checkpoint
from tts_diffvoc.cli import main
from tts_diffvoc.errors import DiffvocError

HERE = Path(__file__).parent


def mountable() -> bool:
    """Whether this user may mount a small disk in a namespace of its own."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """On a disk of 64 kB or, where none can be mounted, with files limited to that."""
    script = f"{sys.executable} {HERE / 'full_disk.py'} {tmp_path}"
    command = ["sh", "-c", f"{script} limited"]
    if mountable():
        command = ["unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o size=64k tmpfs {tmp_path} && {script}"]
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout.splitlines()[-1])
    assert told.pop("parts left") == ""
    assert set(told.values()) == {"kept"}, told


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voice")
    save_checkpoint(random_vocoder("spectral diffwave"), folder, "# A\n")
    return str(folder)


@pytest.mark.parametrize("put", PUT)
@pytest.mark.parametrize("suffix", ["wav", "raw", "mp3", "npy", "pt"])
def test_vocode_answers_anything_in_a_line_and_writes_nothing(voice, put, suffix, tmp_path, capsys):
    source, target = tmp_path / f"a.{suffix}", tmp_path / "out.wav"
    put(source)
    assert main(["vocode", str(source), "-o", str(target), "--vocoder", voice]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1 and printed.out == ""
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


@pytest.mark.parametrize(
    "name", ["a" * 300 + ".wav", "a\0.wav", "folder", "gone/a.wav", "file/a.wav", "~nosuchuser/a.wav"]
)
def test_outputs_that_cannot_be(voice, name, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    soundfile.write(tmp_path / "in.wav", 0.1 * torch.randn(9000).numpy(), 22050)
    output = name if name.startswith("~") else f"{tmp_path}/{name}"
    assert main(["vocode", str(tmp_path / "in.wav"), "-o", output, "--vocoder", voice]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "in.wav"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(DiffvocError, match="may write to"):
            write_audio(tmp_path / "a.wav", torch.zeros(9), 22050)
    finally:
        tmp_path.chmod(0o700)


def test_an_output_that_is_a_link_stays_one(voice, tmp_path):
    soundfile.write(tmp_path / "in.wav", 0.1 * torch.randn(9000).numpy(), 22050)
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    assert main(["vocode", str(tmp_path / "in.wav"), "-o", str(tmp_path / "loop.wav"), "--vocoder", voice]) == 0
    assert soundfile.info(tmp_path / "loop.wav").frames == 9000
