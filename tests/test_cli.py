"""The command tts-diffvoc, run in this process: what it writes, and what it refuses without leaving a file."""

import sys

import numpy as np
import pytest
import torch

from tts_diffvoc.checkpoint import save_checkpoint
from tts_diffvoc.cli import main


@pytest.fixture
def folder(diffwave, tmp_path):
    save_checkpoint(diffwave, tmp_path / "voice", "# Voice\n\nA voice for tests.\n")
    return tmp_path / "voice"


def test_list_and_info(folder, capsys):
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert "diffwave" in listed and "vocoder_models/en/diffvoc/wavegrad" in listed
    assert main(["info", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "A voice for tests." in told and '"residual_channels": 8' in told
    assert main(["info", "diffwave"]) == 0


def test_threads_are_those_of_the_flag_or_of_the_environment(folder, tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "mel.npy", np.full((80, 3), -4.0))
    command = ["vocode", str(tmp_path / "mel.npy"), "-o", str(tmp_path / "out.wav"), "--vocoder", str(folder)]
    for threads, flag, wanted in (("2", [], 2), ("2", ["--threads", "3"], 3), ("", ["--threads", "1"], 1)):
        monkeypatch.setenv("TTS_DIFFVOC_THREADS", threads)
        assert main([*command, *flag]) == 0 and torch.get_num_threads() == wanted
    for threads, flag in (("two", []), ("0", []), ("1", ["--threads", "0"])):
        monkeypatch.setenv("TTS_DIFFVOC_THREADS", threads)
        capsys.readouterr()
        assert main([*command, *flag]) == 2
        assert "whole number from 1 to 1024" in capsys.readouterr().err


def test_the_benchmark_says_what_it_lacks(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tts_diffvoc_eval.compare", None)
    assert main(["compare", "--quick"]) == 2
    assert "is not installed: pip install 'tts-diffvoc[eval]'" in capsys.readouterr().err
