"""Corpora of digits: which clips are held back, and how they are read."""

import numpy as np
import pytest
import torch
from digits import tone, write, write_speech_commands

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import centred
from tts_diffvoc_eval.generation import datasets

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def test_of_the_whole_corpus_500_clips_are_held_back(tmp_path):
    for digit in range(10):
        for speaker in SPEAKERS:
            for take in range(50):
                (tmp_path / f"{digit}_{speaker}_{take}.wav").touch()
    held = {clip.name for clip in datasets.list_clips(tmp_path) if clip.part == "held"}
    assert len(held) == 500
    assert {f"{digit}_{speaker}_{take}" for digit in range(10) for speaker in SPEAKERS for take in range(8)} < held
    assert sum(name.endswith("_8") for name in held) == 20
    assert {"0_george_8", "2_jackson_8"} < held and "1_george_8" not in held


def test_fsdd(tmp_path):
    """Every clip in one part, with the names, labels and speakers of the right clip."""
    for digit in range(3):
        for speaker in ("b_2", "a"):
            for take in (7, 8, 9, 10):
                write(tmp_path / "recordings" / f"{digit}_{speaker}_{take}.flac", tone(200 * (digit + 1), 2000))
    corpus = datasets.load(tmp_path)
    train, held = corpus.train, corpus.held
    assert " ".join(held.names) == "0_a_7 0_a_8 0_b_2_7 1_a_7 1_b_2_7 2_a_7 2_b_2_7 2_b_2_8"
    assert len(train) == 16 and not set(train.names) & set(held.names)
    assert held.labels.tolist() == [0, 0, 0, 1, 1, 2, 2, 2] and set(held.speakers) == {"a", "b_2"}
    assert (corpus.name, corpus.sample_rate, corpus.length) == ("FSDD", 8000, 8192)
    for waveform, label in zip(held.waveforms, held.labels.tolist()):
        assert torch.fft.rfft(waveform).abs().argmax() * 8000 / 8192 == pytest.approx(200 * (label + 1), abs=3)
    assert len(datasets.load(tmp_path / "recordings").train) == 16


def test_short_clips_are_padded_on_both_sides_and_long_ones_cut():
    x = torch.arange(1, 6)
    assert centred(x, 8).tolist() == [0, 1, 2, 3, 4, 5, 0, 0]
    assert centred(x, 5).tolist() == x.tolist()
    assert centred(x, 3).tolist() == [2, 3, 4] and centred(x, 2).tolist() == [2, 3]


def test_other_rates_are_resampled_and_the_wav_of_two_formats_is_read(tmp_path):
    write(tmp_path / "1_ann_0.wav", tone(440, 3 * 3000, 24000), 24000)
    write(tmp_path / "3_ann_9.flac", np.zeros(100))
    write(tmp_path / "3_ann_9.wav", np.tile([0.5, -0.5], 50))
    corpus = datasets.load(tmp_path)
    middle = corpus.held.waveforms[0, 2596:5596].numpy()
    assert np.abs(middle - tone(440, 3000))[100:-100].max() < 6e-3  # the filter that takes off what lies below 20 Hz
    assert corpus.train.names == ("3_ann_9",) and corpus.train.waveforms.max() == pytest.approx(0.5, abs=0.02)


def test_folders_without_digits(tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(DiffvocError, match="digit_speaker_take"):
            datasets.load(folder)
    (tmp_path / "1_ann_0.wav").write_bytes(b"no audio")
    write(tmp_path / "1_ann_9.wav", np.zeros(100))
    with pytest.raises(DiffvocError, match="1_ann_0.wav cannot be read as audio"):
        datasets.load(tmp_path)
    write(tmp_path / "1_ann_0.wav", np.zeros(0))
    with pytest.raises(DiffvocError, match="has no samples"):
        datasets.load(tmp_path)
    (tmp_path / "1_ann_9.wav").unlink()
    with pytest.raises(DiffvocError, match="no clip to train on"):
        datasets.load(tmp_path)


def test_sc09(tmp_path):
    write_speech_commands(tmp_path, (*datasets.WORDS, "cat"), speakers=(None,))
    corpus = datasets.load(tmp_path)
    assert (corpus.name, corpus.sample_rate, corpus.length) == ("SC09", 16000, 16384)
    assert corpus.train.labels.tolist() == corpus.held.labels.tolist() == list(range(10))
    assert corpus.held.names[3] == "three/1a_nohash_0" and set(corpus.train.speakers) == {"0a"}
    assert not corpus.held.waveforms[:, :192].any() and not corpus.held.waveforms[:, -192:].any()
    (tmp_path / "validation_list.txt").unlink()
    with pytest.raises(DiffvocError, match="has no validation_list.txt"):
        datasets.load(tmp_path)
