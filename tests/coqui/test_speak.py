"""The user's commands: ``tts``, ``tts-server`` and ``TTS`` from Python, with the bundled weights."""

import importlib
import io
import os
import shutil
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from tts_diffvoc import DiffvocError, voices

ADA = voices.ACOUSTIC["ada"]
FAST = "diffwave?steps=2&seed=1"


@pytest.fixture(scope="module")
def api():
    from TTS.api import TTS

    return TTS(vocoder_name=FAST, progress_bar=False)


@pytest.fixture(scope="module")
def other_acoustic(tmp_path_factory):
    """Checkpoints of a small, untrained FastPitch of Coqui's own, by kind of mel."""
    from TTS.config import BaseAudioConfig
    from TTS.tts.configs.fast_pitch_config import FastPitchConfig
    from TTS.tts.models.forward_tts import ForwardTTS, ForwardTTSArgs

    kinds = {
        "decibel": {"mel_fmax": 8000.0},
        "narrow": {"mel_fmin": 50.0, "mel_fmax": 7600.0, "hop_length": 275},
    }
    layers = {"hidden_channels_ffn": 16, "num_heads": 1, "num_layers": 1, "dropout_p": 0.0}
    made = {}
    for kind, audio in kinds.items():
        folder = tmp_path_factory.mktemp(kind)
        sizes = ForwardTTSArgs(hidden_channels=16, encoder_params=layers, decoder_params=layers)
        config = FastPitchConfig(
            model_args=sizes, use_phonemes=False, audio=BaseAudioConfig(do_trim_silence=False, **audio)
        )
        torch.manual_seed(0)
        model = ForwardTTS(config)
        torch.save({"model": model.state_dict()}, folder / "model.pth")
        config.save_json(folder / "config.json")
        made[kind] = ["--model_path", str(folder / "model.pth"), "--config_path", str(folder / "config.json")]
    return made


@pytest.mark.parametrize(
    "name",
    [
        "wavegrad?steps=2",
        "vocoder_models/en/diffvoc/diffwave?steps=2&seed=3",
        str(voices.VOCODERS["diffwave"]),
    ],
)
def test_every_way_to_name_a_vocoder(name, tts, tmp_path):
    out = tmp_path / "new folder" / "out.wav"
    status, _, error = tts("--text", "Hello.", "--vocoder_name", name, "--out_path", str(out))
    assert status == 0, error
    assert error.count("Using the bundled acoustic model tts_models/en/diffvoc/ada") == 1
    samples, rate = soundfile.read(out)
    assert rate == 22050 and 0.6 < len(samples) / rate < 3.0 and np.abs(samples).max() > 0.5
    assert os.listdir(out.parent) == ["out.wav"]


def test_the_acoustic_model_alone_brings_its_vocoder(tts, tmp_path):
    out = tmp_path / "out.wav"
    arguments = ["--text", "Hello.", "--model_name", "tts_models/en/diffvoc/slt", "--out_path", str(out)]
    status, _, error = tts(*arguments)
    assert status == 0 and out.is_file()
    assert "Using the bundled" not in error


def test_speed_and_pitch_on_the_command_line(tts, tmp_path):
    seconds = {}
    for speed, name in ((0.5, ()), (2.0, ()), (2.0, ("--model_name", "tts_models/en/diffvoc/joe"))):
        out = tmp_path / "out.wav"
        arguments = ["--text", "Good morning.", *name, "--vocoder_name", FAST, "--out_path", str(out)]
        status, _, error = tts(*arguments, "--speed", str(speed), "--pitch", "-1.5")
        assert status == 0, error
        seconds[speed, name] = soundfile.info(out).duration - 10000 / 22050  # Coqui's silence at the end
    assert seconds[0.5, ()] == pytest.approx(4 * seconds[2.0, ()], rel=0.05)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--speed", "99"], "a speed of 99.0 was asked for; give one from 0.25 to 4"),
        (["--pitch", "nan"], "a pitch of nan semitones was asked for"),
    ],
)
def test_impossible_speeds_and_pitches_are_refused(arguments, message, tts, tmp_path):
    status, _, error = tts("--text", "hi", "--vocoder_name", FAST, *arguments, "--out_path", str(tmp_path / "out.wav"))
    assert status == 2 and message in error


def test_speed_is_refused_with_a_foreign_model(tts, other_acoustic):
    status, _, error = tts("--text", "hi", *other_acoustic["decibel"], "--vocoder_name", FAST, "--speed", "2")
    assert status == 2 and "--speed and --pitch are for the voices of tts-diffvoc" in error


def test_a_model_that_the_user_names_is_respected_even_if_it_is_coquis_default(tts, monkeypatch, tmp_path):
    """Offline, the download of that model must be tried and fail; without the option it is not."""
    import requests

    def no_network(*args, **kwargs):
        raise requests.ConnectionError("no network in this test")

    monkeypatch.setattr(requests, "get", no_network)
    monkeypatch.setenv("TTS_HOME", str(tmp_path))
    name = "tts_models/en/ljspeech/tacotron2-DDC"
    for given in (["--model_name", name], [f"--model_name={name}"], ["--model_n", name]):
        status, _, error = tts("--text", "hi", "--vocoder_name", FAST, *given)
        assert status == 1
        assert f"error: the model {name} cannot be downloaded (ConnectionError)" in error
        assert "Traceback" not in error


def test_model_path_with_a_vocoder_name(tts, tmp_path, other_acoustic):
    out = tmp_path / "out.wav"
    for model in (
        ["--model_path", str(ADA / "model.safetensors"), "--config_path", str(ADA / "config.json")],
        other_acoustic["decibel"],
    ):
        status, _, error = tts("--text", "Hello.", *model, "--vocoder_name", FAST, "--out_path", str(out))
        assert status == 0, error
        assert soundfile.info(out).frames > 10_000
        out.unlink()


def test_paths_of_a_vocoder(tts, tmp_path):
    out, folder = tmp_path / "out.wav", voices.VOCODERS["diffwave"]
    paths = ["--vocoder_path", str(folder / "model.safetensors")]
    paths += ["--vocoder_config_path", str(folder / "config.json")]
    model = ["--model_path", str(ADA / "model.safetensors"), "--config_path", str(ADA / "config.json")]
    status, _, error = tts("--text", "Hello.", *model, *paths, "--out_path", str(out))
    assert status == 0 and out.is_file(), error


def test_another_mel_is_refused_or_approximated(tts, tmp_path, other_acoustic):
    out = tmp_path / "out.wav"
    arguments = ["--text", "Hello.", *other_acoustic["narrow"], "--out_path", str(out)]
    status, _, error = tts(*arguments, "--vocoder_name", FAST)
    assert status == 2 and not out.exists()
    assert "hop_length 275 against 256; fmin 50 Hz against 0 Hz; fmax 7600 Hz against 8000 Hz" in error
    status, _, error = tts(*arguments, "--vocoder_name", f"{FAST}&mel=approximate")
    assert status == 0 and out.is_file(), error


def test_python_api_gives_the_same_samples_for_the_same_seed(api):
    assert api.synthesizer.output_sample_rate == 22050
    first, second = (np.asarray(api.tts("Hello there.")) for _ in range(2))
    assert np.array_equal(first, second) and first.size > 10_000
    api.to("cpu")
    assert next(api.synthesizer.vocoder_model.parameters()).device.type == "cpu"


def test_python_api_takes_a_named_acoustic_model(api, tmp_path):
    from TTS.api import TTS

    both = TTS("tts_models/en/diffvoc/ada", vocoder_name=FAST)
    path = both.tts_to_file("Hello there.", file_path=str(tmp_path / "x.wav"))
    assert soundfile.info(path).samplerate == 22050
    assert np.array_equal(both.tts("Hello there."), api.tts("Hello there."))


def test_a_sentence_of_punctuation_is_left_out(api):
    assert len(api.tts("Hello there. ?!")) == len(api.tts("Hello there."))


@pytest.mark.parametrize("text", ["", " ", "...", "?! -"])
def test_nothing_to_say(api, text):
    with pytest.raises(DiffvocError, match="no letter or digit"):
        api.tts(text)


def test_a_bad_checkpoint(tts, tmp_path):
    folder = shutil.copytree(voices.VOCODERS["diffwave"], tmp_path / "broken")
    os.truncate(folder / "model.safetensors", 5000)
    assert_refused(tts, tmp_path, ["--vocoder_name", str(folder)], "model.safetensors cannot be read")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--text", ""], "the text '' holds no letter or digit"),
        (["--text", "?!..."], "the text '?!...' holds no letter or digit"),
        (["--vocoder_name", "difwave"], "the closest names are diffwave"),
        (["--vocoder_name", "wavgrad"], "the closest names are wavegrad"),
        (["--vocoder_name", "waveglow"], "waveglow is no longer bundled; import NVIDIA's with 'tts-diffvoc import"),
        (["--vocoder_name", "vocoder_models/en/diffvoc/waveglow"], "waveglow is no longer bundled"),
        (["--vocoder_name", "vocoder_models/en/diffvoc/difwave"], "vocoder_models/en/diffvoc/diffwave"),
        (
            ["--vocoder_name", "vocoder_models/en/ljspeech/hifigan_v3"],
            "vocoder_models/en/ljspeech/hifigan_v2",
        ),
        (["--vocoder_name", ""], "has no name"),
        (["--vocoder_name", "./runs/nowhere"], "there is no vocoder or checkpoint folder './runs/nowhere'"),
        (["--vocoder_name", "diffwave?steps=-1"], "steps='-1'"),
        (["--vocoder_name", "diffwave?steps=many"], "steps='many'"),
        (["--vocoder_name", "diffwave?quality=finest"], "quality=finest is unknown"),
        (["--vocoder_name", "diffwave?speed=2"], "speed"),
        (["--vocoder_name", "diffwave?steps"], "'steps' in 'diffwave?steps' has no value"),
        (["--vocoder_name", "diffwave?mel=roughly"], "mel=roughly is unknown"),
        (["--model_name", "tts_models/en/diffvoc/stl"], "the closest names are tts_models/en/diffvoc/slt"),
        (["--model_name", "tts_models/en/ljspeech/tacotron"], "there is no acoustic model"),
        (["--out_path", "/dev/null/out.wav"], "the output path /dev/null/out.wav cannot be written"),
        (["--out_path", "/"], "is a folder"),
        (["--device", "warp"], "there is no device 'warp' here"),
        (["--device", "cuda:99"], "there is no device 'cuda:99' here"),
    ],
)
def test_bad_input(arguments, told, tts, tmp_path):
    assert_refused(tts, tmp_path, arguments, told)


def assert_refused(tts, tmp_path, arguments, told):
    """One sentence on stderr, status 2, and nothing at the output path or beside it."""
    folder = tmp_path / "out"
    folder.mkdir()
    usual = ["--text", "hi", "--vocoder_name", "diffwave", "--out_path", str(folder / "out.wav")]
    status, _, error = tts(*usual, *arguments)  # the last of two values counts
    lines = [line for line in error.splitlines() if not line.startswith("Using the bundled acoustic model")]
    errors = [line for line in lines if line.startswith("error: ")]
    assert status == 2 and len(errors) == 1 and told in errors[0], error
    assert "Traceback" not in error and errors[0].endswith(".")
    assert list(folder.iterdir()) == []


def test_a_link_is_written_through(api, tmp_path):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "old.wav", tmp_path / "link.wav"
    target.write_bytes(b"old")
    link.symlink_to(target)
    api.synthesizer.save_wav(np.zeros(10), link)
    assert link.is_symlink() and soundfile.info(target).frames == 10
    assert os.listdir(target.parent) == ["old.wav"]


def test_a_failed_write_leaves_no_file(api, tmp_path):
    with pytest.raises(DiffvocError, match="cannot be written; give a file"):
        api.tts_to_file("hi", file_path=str(tmp_path))
    out = tmp_path / "out.wav"
    with pytest.raises(ValueError):
        api.synthesizer.save_wav(np.zeros(0), out)
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_mels_is_refused():
    from TTS.tts.configs.vits_config import VitsConfig
    from TTS.tts.models.vits import Vits, VitsArgs

    from tts_diffvoc.coqui import synthesis

    small = VitsArgs(
        num_chars=4,
        hidden_channels=8,
        num_heads_text_encoder=1,
        num_layers_text_encoder=1,
        num_layers_flow=1,
        num_layers_posterior_encoder=1,
        upsample_initial_channel_decoder=32,
        init_discriminator=False,
    )
    model = SimpleNamespace(tts_model=Vits(VitsConfig(model_args=small)), vc_model=None)
    with pytest.raises(DiffvocError, match="Vits predicts no mel spectrogram"):
        synthesis.acoustic_processor(model)


def start_server(*arguments: str) -> ModuleType:
    """Coqui's server, which reads its command line and loads its models while it is imported."""
    sys.modules.pop("TTS.server.server", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["tts-server", *arguments])
        return importlib.import_module("TTS.server.server")


def test_server_answers_a_request():
    client = start_server("--vocoder_name", FAST).app.test_client()
    answer = client.get("/api/tts?text=hello")
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("audio/")
    samples, rate = soundfile.read(io.BytesIO(answer.data))
    assert rate == 22050 and len(samples) > 10_000
    assert b"<html" in client.get("/").data  # its templates lie beside the watched module
    for place, name, text, says in [
        ("/process", "INPUT_TEXT", "...", "no letter or digit"),
        ("/api/tts", "text", "...", "no letter or digit"),
        ("/api/tts", "text", "世界", "nothing that an English voice can speak"),
        ("/api/tts", "text", "\u200f\0", "no letter or digit"),
        ("/api/tts", "text", "", "required"),
    ]:
        refused = client.get(place, query_string={name: text})
        assert refused.status_code == 400 and says in refused.get_json()["error"]


def test_server_says_what_is_wrong_with_its_command_line(capsys):
    with pytest.raises(SystemExit) as stop:
        start_server("--vocoder_name", "difwave")
    assert stop.value.code == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("error: there is no vocoder")
