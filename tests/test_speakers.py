"""Mel vocoders that know several speakers by number and by name."""

import json
from dataclasses import replace

import pytest
import torch
from small_vocoders import CONFIGS

from tts_diffvoc.checkpoint import load_checkpoint, parse_options, read_config, save_checkpoint
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.vocoder import Vocoder, VocoderConfig


@pytest.fixture
def speaking() -> Vocoder:
    """A vocoder with three speakers, every weight random."""
    config = CONFIGS["diffwave"]
    torch.manual_seed(0)
    vocoder = Vocoder(replace(config, sizes=replace(config.sizes, labels=3)), "three").eval()
    with torch.no_grad():
        for parameter in vocoder.network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return vocoder


def test_each_speaker_sounds_otherwise(speaking, speech):
    mel = speaking.mel(speech)[..., :20]
    options = {"steps": 2, "seed": 1}
    clips = [speaking.generate(mel, speaker=speaker, **options) for speaker in (None, 0, 2, 2)]
    assert clips[0].shape == (1, 20 * 256)
    assert torch.equal(clips[2], clips[3])
    assert not torch.equal(clips[0], clips[1]) and not torch.equal(clips[1], clips[2])


def test_a_default_speaker(speaking, speech, tmp_path):
    save_checkpoint(speaking, tmp_path / "three", "# Three\n", dtype=torch.float32)
    again = load_checkpoint(tmp_path / "three")
    assert again.config == speaking.config
    mel = speaking.mel(speech)[..., :10]
    again.defaults.update(parse_options(again, {"speaker": "1"}))
    expected = speaking.generate(mel, steps=2, seed=1, speaker=1)
    assert torch.equal(again.generate(mel, steps=2, seed=1), expected)


def test_labels_are_learnt(speaking, speech):
    mel = speaking.mel(speech)[..., :86]
    loss = speaking.loss(speech, mel, seeds=[3], labels=torch.tensor([2]))
    loss.backward()
    rows = speaking.network.label_embedding.weight.grad.abs().sum(1)
    assert rows[2] > 0 and rows[[0, 1, 3]].max() == 0
    assert speaking.loss(speech, mel, seeds=[3]).item() != loss.item()


def test_in_training_some_rows_go_without(speaking, speech):
    mel = speaking.mel(speech)[..., :4].expand(32, -1, -1)
    waveform = speech[:, : 4 * 256].expand(32, -1)
    labels = torch.zeros(32, dtype=torch.long)
    speaking.train().loss(waveform, mel, seeds=list(range(32)), labels=labels).backward()
    gradient = speaking.network.label_embedding.weight.grad.abs().sum(1)
    assert gradient[0] > 0 and gradient[3] > 0
    speaking.zero_grad()
    speaking.eval().loss(waveform, mel, seeds=list(range(32)), labels=labels).backward()
    assert speaking.network.label_embedding.weight.grad[3].abs().max() == 0


def test_a_vocoder_without_speakers_has_none_to_choose(vocoder, speech):
    mel = vocoder.mel(speech)[..., :8]
    with pytest.raises(DiffvocError, match="no speakers"):
        vocoder.generate(mel, steps=1, speaker=0)
    with pytest.raises(DiffvocError, match="no speakers"):
        vocoder.loss(speech[:, : 8 * 256], mel, labels=torch.tensor([0]))
    with pytest.raises(DiffvocError, match="no speakers"):
        parse_options(vocoder, {"speaker": "0"})


def test_bad_speakers_are_refused(speaking, speech):
    mel = speaking.mel(speech)[..., :8]
    for speaker, says in ((3, "give 0 to 2"), (-1, "whole number")):
        with pytest.raises(DiffvocError, match=says):
            speaking.generate(mel, steps=1, speaker=speaker)
    with pytest.raises(DiffvocError, match="0 to 2"):
        parse_options(speaking, {"speaker": "7"})


def test_configurations_keep_their_speakers(speaking):
    again = VocoderConfig.from_dict(json.loads(json.dumps(speaking.config.to_dict())))
    assert again.speakers == 3 and again.sizes == speaking.config.sizes


# Names


@pytest.fixture
def named(speaking) -> Vocoder:
    """The same, with names, two of which are numbers as well."""
    vocoder = Vocoder(replace(speaking.config, speaker_names=("ann", "2", "0")), "named").eval()
    vocoder.load_state_dict(speaking.state_dict())
    return vocoder


def test_a_name_is_as_good_as_a_number(named, speech):
    mel = named.mel(speech)[..., :8]
    by_number = [named.generate(mel, steps=1, seed=1, speaker=number) for number in range(3)]
    for name, expected in zip(("ann", "2", "0"), by_number):
        assert torch.equal(named.generate(mel, steps=1, seed=1, speaker=name), expected)
    assert torch.equal(named.generate(mel, steps=1, seed=1, speaker="1"), by_number[1])  # no name, hence a number
    named.defaults.update(parse_options(named, {"speaker": "0"}))
    assert torch.equal(named.generate(mel, steps=1, seed=1), by_number[2])
    assert torch.equal(named.generate(mel, steps=1, seed=1, speaker=0), by_number[0])


def test_names_are_kept(named, tmp_path):
    save_checkpoint(named, tmp_path / "named", "# Named\n", dtype=torch.float32)
    again = load_checkpoint(tmp_path / "named")
    assert again.config == named.config and again.speaker_number("0") == 2
    values = read_config(tmp_path / "named")
    assert values.pop("speaker_names") == ["ann", "2", "0"]
    old = VocoderConfig.from_dict(values)
    assert old.speaker_names == () and old.speakers == 3


def test_unknown_names(named, speaking, vocoder):
    for speaker in ("bob", "3", 3, -1, "-1", "1.0", ""):
        with pytest.raises(
            DiffvocError, match=r"is unknown to named; give 0 to 2, a whole number, or a name: ann, 2, 0"
        ):
            named.speaker_number(speaker)
    with pytest.raises(DiffvocError, match="speaker=ann is unknown to three; give 0 to 2, a whole number[.]"):
        parse_options(speaking, {"speaker": "ann"})
    with pytest.raises(DiffvocError, match="no speakers"):
        parse_options(vocoder, {"speaker": "ann"})


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "b"), ("a", "b", "c", "d"), ("a", "b", "")])
def test_names_that_do_not_fit(speaking, names):
    with pytest.raises(DiffvocError, match="the network has 3 speakers and their names are .*; give one name for each"):
        replace(speaking.config, speaker_names=names)
