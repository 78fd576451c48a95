"""Vocoders that are told who speaks or what: the recipes for FSDD and Speech Commands, as a user runs them."""

import dataclasses
import runpy
import sys

import numpy as np
import pytest
import soundfile
import torch
from digits import RECIPES, recipe, tone, write, write_speech_commands

import tts_diffvoc

tts_diffvoc.register()

from tts_diffvoc.checkpoint import load_vocoder  # noqa: E402
from tts_diffvoc.cli import main as cli  # noqa: E402
from tts_diffvoc.coqui.configs import learn_speakers, to_core  # noqa: E402
from tts_diffvoc.coqui.training import split_corpus, train_from_recipe  # noqa: E402
from tts_diffvoc.networks.diffwave import DiffWaveConfig  # noqa: E402
from tts_diffvoc_eval.generation import datasets  # noqa: E402

vocoder_recipe = recipe("digits/train_vocoder")
split, configure, take_options = vocoder_recipe.split, vocoder_recipe.configure, vocoder_recipe.take_options
# What makes a step small, whatever the recipe says.
TINY = ["batch_size=2", "num_loader_workers=0", "run_eval=false", "data_check=true"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Two digits by two speakers an octave apart, six takes each, in a checkout's layout."""
    folder = tmp_path_factory.mktemp("fsdd")
    for digit in range(2):
        for speaker, pitch in (("ann", 200), ("bob_2", 400)):
            for take in (0, 7, 8, 9, 10, 11):
                samples = tone(pitch + 40 * digit, 2400)
                write(folder / "recordings" / f"{digit}_{speaker}_{take}.wav", samples)
    return folder


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """Speech Commands with two speakers to train on and one in each list, and folders that hold no digits."""
    words = (*datasets.WORDS, "cat", "_background_noise_")
    return write_speech_commands(tmp_path_factory.mktemp("commands"), words)


@pytest.fixture
def typed(monkeypatch):
    """Set the command line that the recipe reads."""

    def type_words(*words) -> None:
        monkeypatch.setattr(sys, "argv", ["train_vocoder.py", *map(str, words)])

    return type_words


def coqpit(*settings) -> list[str]:
    return [word for setting in settings for word in ("--coqpit." + setting).split("=", 1)]


# FSDD


def test_the_command_trains_a_vocoder_of_named_speakers(digits, tmp_path, typed, capsys):
    typed(*coqpit(f"data_path={digits}", f"output_path={tmp_path / 'runs'}", *TINY), "--max_steps", 2)
    runpy.run_path(str(RECIPES / "digits" / "train_vocoder.py"), run_name="__main__")
    said = capsys.readouterr().out
    (run,) = (tmp_path / "runs").iterdir()
    assert "conditioned on 2: ann, bob_2" in said and f'--vocoder "{run}/vocoder?speaker=ann"' in said
    heard = digits / "recordings" / "1_ann_0.wav"
    made = {}
    for who in ("ann", "0", "bob_2", "1"):
        words = ["vocode", heard, "-o", tmp_path / f"{who}.wav", "--vocoder", f"{run}?seed=1", "--speaker", who]
        assert cli([str(word) for word in words]) == 0
        made[who], rate = soundfile.read(tmp_path / f"{who}.wav")
        assert rate == 8000 and len(made[who]) == 2400
    assert np.array_equal(made["ann"], made["0"]) and np.array_equal(made["bob_2"], made["1"])
    assert not np.array_equal(made["ann"], made["bob_2"])
    assert cli(["vocode", str(heard), "-o", str(tmp_path / "x.wav"), "--vocoder", str(run), "--speaker", "cy"]) == 2
    assert "a name: ann, bob_2" in capsys.readouterr().err
    vocoder = load_vocoder(run)
    assert vocoder.config.mel.n_mels == 40 and vocoder.config.speaker_names == ("ann", "bob_2")


def test_the_run_goes_on(digits, tmp_path, typed, capsys):
    typed(
        *coqpit(f"data_path={digits}", f"output_path={tmp_path / 'runs'}", *TINY), "--max_steps=1", "--condition=label"
    )
    train_from_recipe(take_options(), split)
    (run,) = (tmp_path / "runs").iterdir()
    assert "conditioned on 2: 0, 1" in capsys.readouterr().out
    typed("--continue_path", run, "--max_steps", 2)
    train_from_recipe(take_options(), split)
    said = capsys.readouterr().out
    assert "conditioned on 2: 0, 1" in said and "2 steps." in said
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [run.name]
    assert "after 2 steps" in (run / "vocoder/README.md").read_text()
    typed(f"--continue_path={run}", "--condition", "speaker")
    with pytest.raises(SystemExit, match="are for a new run"):
        take_options()


def test_what_is_held_back_is_what_is_held_back_elsewhere(digits):
    config = dataclasses.replace(configure(), data_path=str(digits), eval_split_size=100)
    _, train, held = split_corpus(config, split)
    elsewhere = datasets.load(digits)
    assert sorted(r.path.stem for r in train) == list(elsewhere.train.names)
    assert sorted(r.path.stem for r in held) == list(elsewhere.held.names) and len(held) > 8
    config.eval_split_size = 3
    _, same, few = split_corpus(config, split)
    assert same == train and len(few) == 3 and set(few) < set(held)


@pytest.mark.parametrize("condition", ["speaker", "label", "none"])
def test_published_sizes(digits, typed, condition):
    typed("--size", "published", "--condition", condition, *coqpit(f"data_path={digits}"))
    config = take_options()
    assert sys.argv[1:] == ["--coqpit.data_path", str(digits)]
    config.data_path = str(digits)
    config.check_values()
    learn_speakers(config, *split_corpus(config, split)[1:])
    labels, names = {"speaker": (2, ("ann", "bob_2")), "label": (2, ("0", "1")), "none": (0, ())}[condition]
    core = to_core(config)
    assert core.sizes == DiffWaveConfig(n_mels=40, upsample_factors=(8, 8), labels=labels)
    assert core.speaker_names == names and len(core.schedule.betas) == 50


def test_folders_that_are_no_fsdd(tmp_path, typed):
    for name, says in (
        ("1_ann_0.wav", "no usable clip to train on"),
        ("hello.wav", "no clip named digit_speaker_take"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        soundfile.write(folder / name, tone(200, 2400), 8000)
        typed(*coqpit(f"data_path={folder}", f"output_path={tmp_path / 'runs'}"))
        with pytest.raises(SystemExit, match=says):
            train_from_recipe(configure(), split)
    assert not (tmp_path / "runs").exists()


# SC09


def test_sc09_of_words(commands, tmp_path, typed, capsys):
    typed(*coqpit(f"data_path={commands}", f"output_path={tmp_path / 'runs'}", *TINY), "--max_steps", "2")
    train_from_recipe(configure("sc09"), split)
    said = capsys.readouterr().out
    assert "20 clips to train on, 10 held back" in said
    assert "conditioned on 10: eight, five, four" in said
    (run,) = (tmp_path / "runs").iterdir()
    vocoder = load_vocoder(f"{run}?speaker=seven")
    assert vocoder.config.mel.n_mels == 80 and vocoder.config.speaker_names == tuple(sorted(datasets.WORDS))
    mel = vocoder.mel(torch.zeros(4096))[..., :32]
    assert torch.equal(vocoder.generate(mel, seed=1), vocoder.generate(mel, seed=1, speaker=5))


def test_sc09_holds_back_what_the_published_lists_say(commands):
    config = dataclasses.replace(configure("sc09"), data_path=str(commands), eval_split_size=100)
    _, train, held = split_corpus(config, split)
    elsewhere = datasets.load(commands)
    assert sorted(r.name for r in train) == sorted(elsewhere.train.names)
    assert sorted(r.name for r in held) == sorted(elsewhere.held.names)
    config.global_condition = configure("sc09", "speaker").global_condition
    _, train, held = split_corpus(config, split)
    assert [r.name for r in held] == ["zero/0a_nohash_0", "zero/1a_nohash_0"] and len(train) == 18
    learn_speakers(config, train, held)
    assert to_core(config).speaker_names == ("0a", "1a")
    (commands / "testing_list.txt").rename(commands / "elsewhere.txt")
    try:
        with pytest.raises(tts_diffvoc.DiffvocError, match="has no testing_list.txt"):
            split_corpus(config, split)
    finally:
        (commands / "elsewhere.txt").rename(commands / "testing_list.txt")


def test_sc09_of_published_sizes(commands, typed):
    typed("--corpus", "sc09", "--size=published")
    config = take_options()
    config.data_path = str(commands)
    learn_speakers(config, *split_corpus(config, split)[1:])
    assert to_core(config).sizes == DiffWaveConfig(n_mels=80, upsample_factors=(8, 16), labels=10)
