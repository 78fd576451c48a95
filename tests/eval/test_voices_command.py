"""The bundled voices measured: closed forms, the rules of the sentences, a teacher's folder, and the command."""

import json
import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pysbd
import pytest
import soundfile
import torch

from tts_diffvoc.english.normalize import normalize
from tts_diffvoc.english.phonemes import phonemes
from tts_diffvoc.english.symbols import SYMBOL_IDS
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import program, prosody
from tts_diffvoc_eval import voices as command
from tts_diffvoc_eval.metrics.recognition import words
from tts_diffvoc_eval.prosody import Utterance

SENTENCES = command.read_sentences(command.SENTENCES)


def numbers(*symbols):
    return np.array([SYMBOL_IDS[symbol] for symbol in symbols])


def utterance(durations=(4, 6, 5, 8, 3), seed=0):
    """^, a vowel, a consonant, a vowel and a full stop, with F0 of chance in the vowels."""
    rng = np.random.default_rng(seed)
    durations = np.array(durations, np.float32)
    f0 = np.repeat([0, 1, 0, 1, 0], durations.astype(int)) * rng.uniform(100, 200, int(durations.sum()))
    return Utterance(numbers("^", "ˈæ", "s", "ə", "."), durations, rng.normal(size=(len(f0), 80)), f0)


def slowed(one, times):
    """Every frame repeated."""
    return Utterance(one.symbols, one.durations * times, *(np.repeat(x, times, axis=0) for x in (one.mel, one.f0)))


# Measures


def test_f0_of_a_stretched_copy_and_of_one_in_another_key_correlates_fully():
    one = utterance()
    assert prosody.f0_correlation(slowed(one, 3), one) == pytest.approx(1)
    assert prosody.f0_correlation(one._replace(f0=1.5 * one.f0), one) == pytest.approx(1)


def test_a_contour_turned_upside_down_correlates_by_minus_one():
    one = utterance()
    turned = np.where(one.f0 > 0, 150**2 / np.maximum(one.f0, 1), 0)
    assert prosody.f0_correlation(one._replace(f0=turned), one) == pytest.approx(-1)


def test_f0_counts_only_where_both_voice_the_whole_symbol():
    one = utterance()
    partly = one.f0.copy()
    partly[4:9] = 600  # all but the last frame of the first vowel
    partly[9] = 0
    partly[10:15] = 50  # the consonant, which the teacher does not voice
    assert prosody.f0_correlation(one._replace(f0=partly), one) == pytest.approx(1)
    assert np.isnan(prosody.f0_correlation(one._replace(f0=0 * one.f0), one))


def test_f0_is_aligned_by_symbols_not_by_time():
    one = utterance()
    late = Utterance(
        one.symbols, one.durations + [5, 0, 0, 0, 0], np.pad(one.mel, ((5, 0), (0, 0))), np.pad(one.f0, (5, 0))
    )
    assert prosody.f0_correlation(late, one) == pytest.approx(1)


def test_duration_error_is_the_mean_over_all_symbols_but_the_first_and_the_last():
    one = utterance()
    other = one._replace(durations=one.durations + [50, 1, -2, 0.5, 50])
    assert prosody.duration_error(other, one) == pytest.approx(3.5 / 3)
    assert prosody.duration_error(one, one) == 0


def test_contrast_of_a_blurred_mel_falls_and_of_a_louder_one_does_not():
    one = utterance()
    blurred = one._replace(mel=(one.mel + np.roll(one.mel, 1, axis=1) + np.roll(one.mel, -1, axis=1)) / 3)
    measured = prosody.compared(blurred, one)
    assert measured["contrast"] < 0.7
    assert prosody.compared(one._replace(mel=one.mel + 2), one)["contrast"] == pytest.approx(1)


def test_contrast_is_the_step_between_bands_in_the_frames_of_phones():
    one = utterance()
    mel = np.tile([0.0, 0.25], 40) * np.ones((len(one.mel), 1))
    mel[:4], mel[-3:] = np.tile([0.0, 9.0], 40), np.tile([0.0, 9.0], 40)  # before the first phone and after the last
    assert prosody.contrast(one._replace(mel=mel)) == pytest.approx(0.25)


def test_words_wrong_is_a_share_of_all_words():
    """One of 2 and none of 6 words is 12.5 %, not 25 %."""
    rows = [{"spoken": "a b", "word_error": 50.0}, {"spoken": "a b c d e f", "word_error": 0.0}]
    assert command.cell({"sentences": rows}, "word_error", 1).startswith("12.5 [")
    assert command.cell({"sentences": rows}, "dnsmos", 2) == "–"


def test_speed_is_seconds_of_mel_in_a_second_of_cpu_time(monkeypatch):
    """200 frames of 256 samples at 25,600 Hz are 2 s."""

    class Model:
        tokenizer = SimpleNamespace(text_to_ids=lambda text: [1, 2, 3])
        config = SimpleNamespace(audio={"hop_length": 256, "sample_rate": 25600})

        def inference(self, symbols, given):
            return {"model_outputs": torch.zeros(1, 200, 80)}

    monkeypatch.setattr(command.time, "process_time", iter([1.0, 1.25]).__next__)
    assert command.speed(Model(), "hello") == pytest.approx(8)


def test_loudness_of_a_sine_is_that_of_bs_1770():
    """A sine of 997 Hz at full scale has -3.01 LUFS."""
    pytest.importorskip("pyloudnorm")
    sine = 0.1 * np.sin(2 * np.pi * 997 * np.arange(22050) / 22050).astype(np.float32)
    assert command.loudness([sine, sine], 22050) == pytest.approx(-23.01, abs=0.1)


# Sentences


def test_there_are_twelve_sentences_of_each_kind_and_none_twice():
    assert Counter(one.kind for one in SENTENCES) == dict.fromkeys(("news", "fiction", "questions", "numbers"), 12)
    assert len({one.text for one in SENTENCES}) == 48


@pytest.fixture(scope="module")
def dictionary():
    """The words that the recogniser knows."""
    pocketsphinx = pytest.importorskip("pocketsphinx")
    with open(f"{pocketsphinx.get_model_path('en-us')}/cmudict-en-us.dict", encoding="utf-8") as file:
        return {line.split(maxsplit=1)[0] for line in file}


@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda one: one.text[:30])
def test_a_sentence_can_be_recognised(sentence, dictionary):
    """Each spoken word is in the recogniser's dictionary, is what our normaliser reads, and Coqui does not split it."""
    assert set(sentence.spoken.split()) <= dictionary
    assert sentence.spoken == words(sentence.spoken) == words(normalize(sentence.text))
    assert 6 <= len(sentence.text.split()) <= 16
    assert len(pysbd.Segmenter(language="en", clean=True).segment(sentence.text)) == 1


def test_the_sentences_of_numbers_have_digits():
    assert all(bool(re.search(r"\d", one.text)) == (one.kind == "numbers") for one in SENTENCES)


def test_a_line_without_its_spoken_form_is_refused(tmp_path):
    (tmp_path / "texts.txt").write_text("news|Hello there.|hello there\nnews|Hello.\n", "utf-8")
    with pytest.raises(DiffvocError, match=r"'news\|Hello\.'.*kind\|text\|as spoken"):
        command.read_sentences(tmp_path / "texts.txt")


# A teacher's folder


def teacher_of(texts, folder):
    """A folder as render.py --audio writes it, its frames all of the utterance's number."""
    symbols = [np.array([SYMBOL_IDS[s] for s in phonemes(text)], np.uint8) for text in texts]
    lengths = np.array([[len(one), 2 * len(one)] for one in symbols])
    values = np.repeat(np.arange(len(texts)), lengths[:, 1]).astype(np.float16)
    np.savez(
        folder / "00000.npz",
        lengths=lengths,
        symbols=np.concatenate(symbols),
        durations=np.full(lengths[:, 0].sum(), 2, np.float32),
        mel=np.tile(values[:, None], 80),
        f0=values,
    )
    (folder / "audio").mkdir()
    for index in range(len(texts)):
        soundfile.write(folder / "audio" / f"00000-{index:03d}.flac", np.zeros(100), 22050)


def test_a_teachers_utterances_are_found_by_their_symbols(tmp_path):
    texts = ["Hello there.", "Good morning.", "How are you?"]
    teacher_of(texts, tmp_path)
    (last, sound), (first, _) = prosody.read_teacher(tmp_path, [texts[2], texts[0]])
    assert sound.name == "00000-002.flac"
    assert (last.f0 == 2).all() and (first.mel == 0).all() and len(last.f0) == 2 * len(last.symbols)
    with pytest.raises(DiffvocError, match="Nobody knows"):
        prosody.read_teacher(tmp_path, ["Nobody knows."])


# The command


def test_two_sentences_by_slt_and_griffin_lim(tmp_path):
    for package in ("pocketsphinx", "jiwer", "speechmos", "pyloudnorm"):
        pytest.importorskip(package)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join("|".join(one) for one in SENTENCES[1:3]), "utf-8")
    output = tmp_path / "out"
    words = ["--voices", "slt", "--vocoder", "griffin_lim", "--sentences", str(texts), "--output", str(output)]
    assert program.main(command, [*words, "--audio"]) == 0
    found = json.loads((output / "voices.json").read_text("utf-8"))
    assert str(tmp_path) not in found["manifest"]["command"] and found["manifest"]["threads"] == 1
    rows = found["voices"]["slt"]["sentences"]
    assert [row["text"] for row in rows] == [one.text for one in SENTENCES[1:3]]
    assert all(1 < row["dnsmos"] < 4 and row["word_error"] < 60 and row["speed"] > 2 for row in rows)
    assert -40 < found["voices"]["slt"]["loudness"] < 0
    page = (output / "voices.md").read_text("utf-8")
    mean = np.mean([row["dnsmos"] for row in rows])
    assert re.search(rf"\| DNSMOS ↑ +\| {mean:.2f} \[", page) and found["manifest"]["processor"] in page
    sound, rate = soundfile.read(output / "audio" / "slt-00.wav")
    assert rate == 22050 and 1 < len(sound) / rate < 6


def test_an_unknown_voice_and_a_voice_that_no_teacher_fits_are_said_in_one_sentence(tmp_path, capsys):
    assert program.main(command, ["--voices", "stl", "--output", str(tmp_path)]) == 2
    assert "there is no voice 'stl'; the closest names are slt" in capsys.readouterr().err
    texts = tmp_path / "texts.txt"
    texts.write_text("news|Hello there.|hello there\n", "utf-8")
    teacher_of(["Hello there."], tmp_path)
    asked = ["--voices", "slt", "--vocoder", "griffin_lim", "--sentences", str(texts), "--output", str(tmp_path)]
    assert program.main(command, [*asked, "--teachers", f"slt={tmp_path}"]) == 2
    assert "slt is not an AcousticModel" in capsys.readouterr().err
