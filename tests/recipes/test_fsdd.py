"""Corpora of digits: who is held back, how clips are read, and the training of the classifier that judges."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tts_diffvoc_eval.generation import classifier as classifiers
from tts_diffvoc_eval.generation import corpus

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "recipes" / "fsdd"))

import train_classifier as recipe  # noqa: E402

from tts_diffvoc.errors import DiffvocError  # noqa: E402
from tts_diffvoc_eval.generation import fsdd, sc09  # noqa: E402

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def tone(pitch, length, rate, loudness=0.3):
    return loudness * np.sin(2 * np.pi * pitch * np.arange(length) / rate)


def write(path, samples, rate=8000, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


# The split


def test_of_the_whole_corpus_500_clips_are_held_back():
    clips = [(digit, speaker, take) for digit in range(10) for speaker in SPEAKERS for take in range(50)]
    held = fsdd.held_back(*zip(*clips))
    kept = [clip for clip, one in zip(clips, held) if one]
    assert len(kept) == 500 and len(clips) - len(kept) == 2500
    assert all(len([1 for d, s, t in kept if (d, s) == pair and t < 8]) == 8 for pair in {(d, s) for d, s, _ in clips})
    ninth = {(d, s) for d, s, t in kept if t == 8}
    assert len(ninth) == 20 and {t for _, _, t in kept} == set(range(9))
    assert {(0, "george"), (3, "george"), (2, "jackson"), (0, "nicolas"), (8, "jackson")} <= ninth
    assert (1, "george") not in ninth and (0, "jackson") not in ninth
    for name in SPEAKERS:
        assert 3 <= len([1 for _, s in ninth if s == name]) <= 4


def test_load_and_split(tmp_path):
    """Every clip in one part, whatever the order of the files; names, labels and speakers of the right clip."""
    for digit in range(3):
        for speaker in ("b_2", "a"):
            for take in (7, 8, 9, 10):
                write(tmp_path / "recordings" / f"{digit}_{speaker}_{take}.flac", tone(200 * (digit + 1), 2000, 8000))
    found = fsdd.load(tmp_path)
    assert len(found) == 24 and found.waveforms.shape == (24, 8192) and found.waveforms.dtype == torch.float32
    assert found.labels.dtype == torch.int64 and found.names == sorted(found.names) and found.sample_rate == 8000
    train, held = fsdd.split(found)
    assert held.names == [
        "0_a_7", "0_a_8", "0_b_2_7", "1_a_7", "1_b_2_7", "2_a_7", "2_b_2_7", "2_b_2_8"
    ]  # fmt: skip
    assert set(train.names) == set(found.names) - set(held.names) and len(train.waveforms) == 16
    assert held.labels.tolist() == [0, 0, 0, 1, 1, 2, 2, 2] and set(held.speakers) == {"a", "b_2"}
    for i, label in enumerate(held.labels.tolist()):
        spectrum = torch.fft.rfft(held.waveforms[i]).abs()
        assert spectrum.argmax() * 8000 / 8192 == pytest.approx(200 * (label + 1), abs=3)
    assert len(fsdd.load(tmp_path / "recordings")) == 24


# Reading


def test_short_clips_get_silence_on_both_sides_and_long_ones_lose_it():
    x = np.arange(1, 6, dtype=np.float32)
    assert fsdd.fit(x, 8).tolist() == [0, 1, 2, 3, 4, 5, 0, 0]
    assert fsdd.fit(x, 5).tolist() == x.tolist()
    assert fsdd.fit(x, 3).tolist() == [2, 3, 4] and fsdd.fit(x, 2).tolist() in ([2, 3], [3, 4])


def test_read_of_formats_channels_and_rates(tmp_path):
    x = tone(440, 3000, 8000)
    wav = fsdd.read(write(tmp_path / "a.wav", x), 8000)
    assert wav.dtype == np.float32 and np.abs(wav - x).max() < 1e-4
    assert np.abs(fsdd.read(write(tmp_path / "a.flac", x), 8000) - wav).max() < 1e-4
    two = fsdd.read(write(tmp_path / "two.wav", np.stack([x, np.zeros(3000)], 1)), 8000)
    assert np.abs(two - x / 2).max() < 1e-4
    fast = fsdd.read(write(tmp_path / "fast.wav", tone(440, 3 * 3000, 24000), 24000), 8000)
    assert len(fast) == 3000 and np.abs(fast - x)[100:-100].max() < 2e-3


def test_of_two_formats_of_a_clip_one_is_read(tmp_path):
    write(tmp_path / "3_ann_9.flac", np.zeros(100))
    write(tmp_path / "3_ann_9.wav", np.full(100, 0.5))
    found = fsdd.load(tmp_path)
    assert found.names == ["3_ann_9"] and found.waveforms.max() == 0.5


def test_folders_that_hold_no_digits(tmp_path):
    with pytest.raises(DiffvocError, match="there is no folder"):
        fsdd.load(tmp_path / "none")
    with pytest.raises(DiffvocError, match="digit_speaker_take"):
        fsdd.load(tmp_path)
    write(tmp_path / "LJ001-0001.wav", np.zeros(100))
    with pytest.raises(DiffvocError, match="digit_speaker_take"):
        fsdd.load(tmp_path)
    (tmp_path / "1_ann_0.wav").write_bytes(b"no audio")
    with pytest.raises(DiffvocError, match="1_ann_0.wav cannot be read as audio"):
        fsdd.load(tmp_path)
    write(tmp_path / "1_ann_0.wav", np.zeros(0))
    with pytest.raises(DiffvocError, match="holds no samples"):
        fsdd.load(tmp_path)
    write(tmp_path / "1_ann_0.wav", np.zeros(100))
    with pytest.raises(DiffvocError, match="no clip to train on"):
        corpus.load(tmp_path)


# SC09


@pytest.fixture
def commands(tmp_path):
    """Speech Commands with three clips a word, one of them for each part, and a word that is no digit."""
    lists = {"testing_list.txt": [], "validation_list.txt": []}
    for place, word in enumerate((*sc09.WORDS, "cat")):
        for k, part in enumerate((None, *lists)):
            name = f"{word}/{k}a_nohash_{k}.wav"
            write(tmp_path / name, tone(300 + 100 * place, 16000, 16000), 16000)
            if part:
                lists[part].append(name)
    for part, names in lists.items():
        (tmp_path / part).write_text("\n".join(names) + "\n")
    return tmp_path


def test_sc09(commands):
    found = sc09.load(commands)
    assert len(found) == 30 and found.waveforms.shape == (30, 16384) and found.sample_rate == 16000
    train, held = sc09.split(found)
    assert train.labels.tolist() == held.labels.tolist() == list(range(10))
    assert held.names[3] == "three/1a_nohash_1" and set(train.speakers) == {"0a"}
    assert len(found.part("validation")) == 10
    assert not held.waveforms[:, :192].any() and not held.waveforms[:, -192:].any()
    write(commands / "one/9z_nohash_0.wav", np.zeros(16000), 16000)
    assert len(sc09.load(commands)) == 31 and len(sc09.load(commands, limit=1)) == 30
    data = corpus.load(commands)
    assert (data.name, data.sample_rate, data.length) == ("SC09", 16000, 16384)


def test_sc09_that_is_not_whole(commands):
    assert sc09.is_here(commands) and not sc09.is_here(commands / "one")
    (commands / "validation_list.txt").unlink()
    with pytest.raises(DiffvocError, match="has no validation_list.txt"):
        sc09.load(commands)


# The classifier's training


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """Ten digits of one speaker, 8 takes each, of which the first is held back."""
    folder = tmp_path_factory.mktemp("tones")
    for digit in range(10):
        for take in (0, *range(10, 17)):
            write(folder / f"{digit}_ann_{take}.wav", tone(150 * 1.3**digit + take, 4000, 8000))
    return folder


def options(tones, output, *more):
    words = ["--data", tones, "--output", output, "--batch-size", 10, *more]
    return recipe.parse([str(word) for word in words])


def test_training_learns_and_leaves_a_classifier(tones, tmp_path, capsys):
    recipe.train(options(tones, tmp_path, "--epochs", 10))
    found = classifiers.load(tmp_path)
    data = corpus.load(tones)
    p, _ = found.classify(data.held.waveforms)
    assert (p.argmax(1) == data.held.labels.numpy()).sum() >= 6  # one would be chance
    card, said = (tmp_path / "README.md").read_text(), capsys.readouterr().out
    right = (p.argmax(1) == data.held.labels.numpy()).sum()
    assert f"{right} of 10 right" in card and f"{right} of 10 held-back clips right" in said
    assert "10 epochs of 70 clips" in card and "CPU minutes" in found.training_said and str(tmp_path) not in card
    mel = found.spectrogram(data.train.waveforms)
    assert float(mel.mean()) == pytest.approx(0, abs=0.1) and float(mel.std()) == pytest.approx(1, abs=0.1)


def test_training_goes_on_where_it_stopped(tones, tmp_path, monkeypatch):
    recipe.train(options(tones, tmp_path / "whole", "--epochs", 3))
    keep = recipe.Run.keep

    def stop(self, path):
        keep(self, path)
        if self.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(recipe.Run, "keep", stop)
    with pytest.raises(KeyboardInterrupt):
        recipe.train(options(tones, tmp_path / "parts", "--epochs", 3))
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    monkeypatch.setattr(recipe.Run, "keep", keep)
    recipe.train(options(tones, tmp_path / "parts", "--epochs", 3))
    whole, parts = (classifiers.load(tmp_path / name).state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_training_by_minutes_stops_in_time(tones, tmp_path, capsys):
    recipe.train(options(tones, tmp_path, "--minutes", 0.001))
    assert "1 epochs" in classifiers.load(tmp_path).training_said


def test_training_refuses(tones, tmp_path, capsys, monkeypatch):
    for words, said in ((["--epochs", 0], "above 0"), (["--batch-size", 1], "at least 2"), (["--minutes", 0], "above")):
        with pytest.raises(DiffvocError, match=said):
            recipe.train(options(tones, tmp_path, *words))
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(DiffvocError, match="delete it to begin anew"):
        recipe.train(options(tones, tmp_path))
    monkeypatch.setattr(sys, "argv", ["train_classifier.py", "--data", str(tmp_path), "--output", str(tmp_path)])
    assert recipe.main() == 1 and "digit_speaker_take" in capsys.readouterr().err


def test_augmentation():
    """What is varied stays the same word: no NaN, the same length, at most two tenths of a second away."""
    draw = torch.Generator().manual_seed(0)
    x = torch.zeros(32, 8192)
    x[:, 4096] = 0.5
    varied = recipe.vary(x, 8000, draw)
    assert varied.shape == x.shape and varied.abs().max() <= 1 and torch.isfinite(varied).all()
    peaks = varied.abs().argmax(1)
    loud = varied.abs().amax(1) > 0.1  # where noise is softer than the click
    assert loud.sum() > 16 and (peaks[loud] - 4096).abs().max() <= 1000 and peaks[loud].unique().numel() > 8
    mel = torch.ones(16, 32, 64)
    masked = recipe.mask(mel, draw)
    hidden = (masked == 0).float().mean((1, 2))
    assert hidden.max() <= 1 - (1 - 7 / 32) * (1 - 13 / 64) and hidden.mean() > 0.02 and mel.min() == 1
    target = torch.eye(10)[torch.arange(16) % 10]
    mixed, blend = recipe.mix(torch.arange(16.0)[:, None, None].expand(16, 2, 2), target, draw)
    assert torch.allclose(blend.sum(1), torch.ones(16)) and (blend.amax(1) >= 0.5).all()
    changed = (mixed[:, 0, 0] != torch.arange(16.0)).sum()
    assert 2 <= changed <= 14


def test_the_learning_rate_rises_and_falls():
    rates = [recipe.rate(share / 100) for share in range(101)]
    assert max(rates) == pytest.approx(1, abs=0.01) and rates.index(max(rates)) == 3
    assert rates[0] < 0.1 and rates[-1] == pytest.approx(0.005) and sorted(rates[3:], reverse=True) == rates[3:]
