"""The bundled voices through Coqui: what they say, speed and pitch, their files, the deprecated first voice."""

import numpy as np
import pytest
import torch

from tts_diffvoc import voices
from tts_diffvoc.coqui.acoustic import EnglishTokenizer
from tts_diffvoc.errors import DiffvocError


@pytest.fixture(scope="module")
def load():
    from TTS.config import load_config
    from TTS.tts.models import setup_model

    def load(name, options=""):
        config = load_config(voices.ACOUSTIC[name] / "config.json")
        model = setup_model(config)
        model.load_checkpoint(config, f"{voices.ACOUSTIC[name] / voices.WEIGHTS}{options}", eval=True)
        return model

    return load


@pytest.fixture(scope="module")
def ada(load):
    return load("ada")


def mel_of(model, text, **options):
    return model.synthesize(text, **options)["outputs"]["model_outputs"][0]


@pytest.mark.parametrize("name", ["ada", "joe", "slt"])
def test_speech_lasts_as_long_as_its_words_and_has_a_plausible_mel(load, name):
    model, seconds = load(name), []
    for text in ("hello", "The train to London leaves from platform nine."):
        mel = mel_of(model, text)
        assert mel.shape[1] == 80 and torch.isfinite(mel).all()
        assert -12 < mel.min() < -8 and -1 < mel.max() < 4  # silence, and loud vowels, on a natural-log scale
        seconds.append(len(mel) * 256 / 22050)
    assert 0.4 < seconds[0] < 1.3 and 2.0 < seconds[1] < 4.5


def test_a_long_sentence_does_not_degrade(ada):
    sentence = "the farmer sold his apples to the people of the village, and then he walked home along the river"
    mel = mel_of(ada, ", ".join([sentence] * 10))
    part = len(mel) // 10
    assert len(mel) * 256 / 22050 > 40
    early, late = mel[part : 2 * part], mel[-2 * part : -part]
    assert (early.mean(0) - late.mean(0)).abs().max() < 0.6
    assert (early.std(0) - late.std(0)).abs().max() < 0.6


def test_speed_and_pitch_of_a_call_of_the_name_and_of_coquis_attribute(load, ada):
    normal = len(mel_of(ada, "good morning"))
    assert len(mel_of(ada, "good morning", speed=2.0)) == pytest.approx(normal / 2, abs=2)
    assert len(mel_of(load("ada", "?speed=0.5&pitch=-2"), "good morning")) == pytest.approx(2 * normal, abs=3)
    ada.length_scale = 2.0
    try:
        assert len(mel_of(ada, "good morning")) == pytest.approx(2 * normal, abs=3)
    finally:
        ada.length_scale = 1.0
    higher = mel_of(ada, "good morning", pitch=4.0)
    assert len(higher) == normal and (higher - mel_of(ada, "good morning")).abs().mean() > 0.05


@pytest.mark.parametrize("options, message", [("?speed=fast", "give a number"), ("?tempo=2", "knows speed and pitch")])
def test_bad_options_of_a_voice_are_refused(load, options, message):
    with pytest.raises(DiffvocError, match=message):
        load("ada", options)


@pytest.mark.parametrize("text", ["", "   ", "...", "?!", "\x00", "你好"])
def test_text_without_a_word_is_refused(text):
    with pytest.raises(DiffvocError, match="no word that can be spoken"):
        EnglishTokenizer().text_to_ids(text)


def test_the_coqui_audio_settings_are_the_mel_contract():
    from TTS.config import load_config
    from TTS.utils.audio import AudioProcessor

    from tts_diffvoc.mel import MelConfig, log_mel

    audio = 0.1 * np.random.default_rng(0).standard_normal(22050) * (0.02 + np.hanning(22050))
    theirs = AudioProcessor(load_config(voices.ACOUSTIC["ada"] / "config.json").audio).melspectrogram(audio)
    ours = log_mel(torch.from_numpy(audio).float()[None], MelConfig())[0].numpy()
    # Coqui's own floor is lower; at and below ours both are silence
    np.testing.assert_allclose(ours, np.maximum(theirs, np.log(1e-5)), atol=2e-3)


@pytest.mark.parametrize("name", ["ada", "slt"])
def test_damaged_and_foreign_checkpoints_are_refused(load, name, tmp_path):
    from safetensors.torch import save_file

    model = load(name)
    cut = tmp_path / "model.safetensors"
    cut.write_bytes((voices.ACOUSTIC[name] / voices.WEIGHTS).read_bytes()[:1000])
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, foreign)
    for path, says in ((cut, "cannot be read"), (foreign, "1 unknown"), (tmp_path / "missing.safetensors", "has no")):
        with pytest.raises(DiffvocError, match=says):
            model.load_checkpoint(model.config, path)
