"""The bundled acoustic model: text to symbols, alignment of the recipe, checkpoint reading, speech."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tts_diffvoc import voices
from tts_diffvoc.errors import DiffvocError

pytest.importorskip("TTS")
acoustic = pytest.importorskip("tts_diffvoc.coqui.acoustic")
sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "slt"))

VOICE = voices.ACOUSTIC["slt"]


@pytest.fixture(scope="module", autouse=True)
def registered():
    import tts_diffvoc

    tts_diffvoc.register()


@pytest.fixture(scope="module")
def model(registered):
    from TTS.config import load_config

    config = load_config(VOICE / "config.json")
    model = acoustic.DiffvocForwardTTS(config)
    model.load_checkpoint(config, VOICE / "model.safetensors", eval=True)
    return model


def said(text: str) -> str:
    return "".join(acoustic.phonemes(text))


@pytest.mark.parametrize(
    "text, same",
    [
        ("25", "twenty five"),
        ("Dr. Smith", "doctor Smith"),
        ("THIS IS LOUD", "this is loud"),
        ("café", "cafe"),
        ("don’t", "don't"),
        ("3 + 4", "three plus four"),
        ("xkcd", "X K C D"),
        ("line\nbreak", "line break"),
        ("$3.50", "three dollars fifty cents"),
    ],
)
def test_numbers_signs_and_abbreviations_are_read_as_words(text, same):
    assert said(text).replace(",", "") == said(same).replace(",", "")


def test_every_symbol_is_known_and_sentences_end_in_a_break():
    for text in (
        "hello",
        "Is it?",
        "Blorptastic, fnord; zzyzx!",
        "10:30am - 50% & more",
        "O'Brien's 1,234,567 toys",
    ):
        symbols = acoustic.phonemes(text)
        assert symbols[0] == acoustic.START and symbols[-1] in acoustic.BREAKS
        assert set(symbols) <= set(acoustic.SYMBOLS)
    assert said("Is it?").endswith("?") and said("It is!").endswith("!") and said("hello").endswith(".")


@pytest.mark.parametrize("text", ["", "   ", "...", "?!", "\x00", "你好"])
def test_text_without_a_word_is_refused(text):
    with pytest.raises(DiffvocError, match="no word that can be spoken"):
        acoustic.GruutTokenizer().text_to_ids(text)


def test_speech_lasts_as_long_as_its_words_and_has_a_plausible_mel(model):
    frames = []
    for text in ("hello", "The train to London leaves from platform nine."):
        mel = model.synthesize(text)["outputs"]["model_outputs"]
        assert mel.shape[0] == 1 and mel.shape[2] == 80 and torch.isfinite(mel).all()
        assert -12 < mel.min() < -8 and -1 < mel.max() < 4  # silence, and loud vowels, on a natural-log scale
        frames.append(mel.shape[1])
    assert 0.4 < frames[0] * 256 / 22050 < 1.3
    assert 2.0 < frames[1] * 256 / 22050 < 4.5


def test_length_scale_slows_speech(model):
    short = model.synthesize("good morning")["outputs"]["model_outputs"].shape[1]
    model.length_scale = 2.0
    try:
        assert 1.8 < model.synthesize("good morning")["outputs"]["model_outputs"].shape[1] / short < 2.2
    finally:
        model.length_scale = 1.0


def test_the_coqui_audio_settings_are_the_mel_contract():
    from TTS.config import load_config
    from TTS.utils.audio import AudioProcessor

    from tts_diffvoc.mel import MelConfig, log_mel

    audio = 0.1 * np.random.default_rng(0).standard_normal(22050) * (0.02 + np.hanning(22050))
    theirs = AudioProcessor(load_config(VOICE / "config.json").audio).melspectrogram(audio)
    ours = log_mel(torch.from_numpy(audio).float()[None], MelConfig())[0].numpy()
    # Coqui's own floor is lower; at and below ours both are silence
    np.testing.assert_allclose(ours, np.maximum(theirs, np.log(1e-5)), atol=2e-3)


def test_damaged_and_foreign_checkpoints_are_refused(model, tmp_path):
    from safetensors.torch import save_file

    cut = tmp_path / "model.safetensors"
    cut.write_bytes((VOICE / "model.safetensors").read_bytes()[:1000])
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, foreign)
    for path in (cut, foreign, tmp_path / "missing.safetensors"):
        with pytest.raises(DiffvocError, match="not a readable checkpoint"):
            model.load_checkpoint(model.config, path)


def test_alignment_gives_every_phone_to_its_symbol():
    from prepare import align

    phones = [["pau", 0.1], ["hh", 0.2], ["ax", 0.25], ["l", 0.3], ["ow", 0.5], ["pau", 0.6]]
    ends, price = align(("^", "h", "ɛ", "l", "ˈoʊ", "."), phones)
    assert ends == [end for _, end in phones]
    assert price < 0.1
    # a symbol that flite did not say lasts no time, a phone too many goes to its neighbour
    ends, _ = align(("^", "h", "ɛ", "l", "d", "ˈoʊ", "."), phones)
    assert ends == [0.1, 0.2, 0.25, 0.3, 0.3, 0.5, 0.6]
    ends, _ = align(("^", "h", "l", "ˈoʊ", "."), phones)
    assert ends[-1] == 0.6 and sorted(ends) == ends
    # another word altogether is dear
    assert align(("^", "ˈaɪ", "s", "ʃ", "ˈu", "t", "."), phones)[1] > 0.3


def test_pitch_of_a_harmonic_tone_is_found_and_silence_has_none():
    from prepare import pitch

    time = np.arange(22050) / 22050
    tone = sum(np.sin(2 * np.pi * 180 * k * time) / k for k in range(1, 9)).astype(np.float32) * 0.1
    found = pitch(np.concatenate([tone, np.zeros(22050, np.float32)]), 173)
    assert np.abs(found[5:80] - 180).max() < 4
    assert (found[95:] == 0).all()
