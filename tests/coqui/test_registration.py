"""Coqui finds our models, and still finds its own."""

import logging
import subprocess
import sys

import pytest
from small_vocoders import CONFIGS, SPECTRAL

import tts_diffvoc
from tts_diffvoc import DiffvocError, voices
from tts_diffvoc.coqui import patches, plug, support
from tts_diffvoc.flow import FlowConfig
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.waveglow import WaveGlowConfig


def test_register_again_changes_nothing():
    import TTS.api
    import TTS.utils.synthesizer

    before = TTS.api.TTS.__init__, TTS.utils.synthesizer.Synthesizer._run_vocoder
    tts_diffvoc.register()
    tts_diffvoc.register()
    assert sum(isinstance(finder, plug.Plug) for finder in sys.meta_path) == 1
    assert before == (TTS.api.TTS.__init__, TTS.utils.synthesizer.Synthesizer._run_vocoder)
    assert support.problems == []


def test_register_by_hand_after_tts_was_imported(environment):
    code = (
        "from TTS.api import TTS\n"
        "from TTS.utils.manage import ModelManager\n"
        "import tts_diffvoc\n"
        "name = 'vocoder_models/en/diffvoc/diffwave'\n"
        "print(name in ModelManager().list_vocoder_models())\n"
        "tts_diffvoc.register()\n"
        "print(name in ModelManager().list_vocoder_models(), TTS.__init__.diffvoc)\n"
    )
    environment = {**environment, "TTS_DIFFVOC_DISABLE": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.stdout.splitlines() == ["False", "True True"], result.stderr


CORES = {**CONFIGS, **SPECTRAL, "waveglow": FlowConfig(sizes=WaveGlowConfig(flows=4, layers=2, channels=8))}


@pytest.mark.parametrize("kind", CORES)
def test_a_saved_configuration_loads_and_builds_its_model(kind, tmp_path):
    from TTS.config import load_config
    from TTS.vocoder.models import setup_model

    from tts_diffvoc.coqui import configs

    core, network = CORES[kind], kind.split()[-1]
    path = tmp_path / "config.json"
    configs.from_core(core).save_json(path)
    config = load_config(path)
    assert type(config) is configs.CONFIGS[network]
    assert configs.to_core(config) == core
    assert setup_model(config).vocoder.config == core


@pytest.mark.parametrize("network", ["diffwave", "wavegrad"])
def test_default_configuration_is_the_published_base_model(network):
    from tts_diffvoc.coqui import configs

    core = configs.to_core(configs.CONFIGS[network]())
    assert core.mel == MelConfig() and core.sizes.in_channels == 1
    assert core.sizes.positions_per_frame == 256


def test_a_configuration_with_coquis_level_changes_is_refused():
    from tts_diffvoc.coqui import configs

    config = configs.DiffvocDiffwaveConfig()
    config.audio.signal_norm = True
    with pytest.raises(DiffvocError, match="audio.signal_norm .* set it to False"):
        configs.to_core(config)


def test_coquis_own_wavegrad_is_untouched(tmp_path):
    from TTS.config import load_config
    from TTS.vocoder.configs import WavegradConfig
    from TTS.vocoder.models import setup_model
    from TTS.vocoder.models.wavegrad import Wavegrad

    path = tmp_path / "config.json"
    WavegradConfig().save_json(path)
    config = load_config(path)
    assert type(config) is WavegradConfig
    assert type(setup_model(config)) is Wavegrad


def test_coquis_names_are_not_ours():
    from TTS.utils.manage import ModelManager

    from tts_diffvoc.coqui import zoo

    models = ModelManager().models_dict
    assert not zoo.is_our_vocoder("vocoder_models/en/ek1/wavegrad", models)
    assert zoo.is_our_vocoder("wavegrad", models)
    assert zoo.download("vocoder_models/en/ek1/wavegrad") is None


def test_models_are_listed_and_explained(tts, caplog):
    caplog.set_level(logging.INFO, logger="TTS")
    assert tts("--list_models")[0] == 0
    listed = [record.getMessage() for record in caplog.records]
    ours = [line for line in listed if "/diffvoc/" in line]
    assert [line.split()[1] for line in ours] == [
        "tts_models/en/diffvoc/ada",
        "tts_models/en/diffvoc/joe",
        "tts_models/en/diffvoc/slt",
        "vocoder_models/en/diffvoc/diffwave",
        "vocoder_models/en/diffvoc/wavegrad",
    ]
    number = ours[3].split(":")[0].strip()
    for query in (
        ["--model_info_by_name", "vocoder_models/en/diffvoc/diffwave"],
        ["--model_info_by_name", "diffwave"],
        ["--model_info_by_idx", f"vocoder_models/{number}"],
    ):
        caplog.clear()
        assert tts(*query)[0] == 0
        told = caplog.text
        assert "Model name: diffwave" in told
        assert voices.card(voices.VOCODERS["diffwave"])["description"] in told


def test_nothing_is_downloaded_for_a_bundled_model():
    from TTS.utils.manage import ModelManager

    checkpoint, config, item = ModelManager().download_model("vocoder_models/en/diffvoc/wavegrad?steps=3")
    assert str(checkpoint) == f"{voices.VOCODERS['wavegrad']}?steps=3"
    assert config.parent == voices.VOCODERS["wavegrad"] and item["model_type"] == "vocoder_models"
    checkpoint, config, item = ModelManager().download_model("tts_models/en/diffvoc/joe")
    assert checkpoint.is_file() and config.is_file()
    checkpoint, config, item = ModelManager().download_model("tts_models/en/diffvoc/joe?speed=2")
    assert checkpoint.name == "model.safetensors?speed=2" and config.is_file()
    assert item["default_vocoder"] == "vocoder_models/en/diffvoc/diffwave"


def test_a_missing_part_of_coqui_is_named_where_our_model_is_asked_for(monkeypatch):
    import types

    from TTS.api import TTS

    monkeypatch.setattr(support, "problems", [])
    changed = types.ModuleType("TTS.utils.manage")
    changed.ModelManager = type("ModelManager", (), {})
    patches.change(changed)
    with pytest.raises(DiffvocError, match=r"no TTS\.utils\.manage\.ModelManager\.download_model.*0\.28\.x"):
        TTS(vocoder_name="diffwave")


def test_another_coqui_that_fails_is_named(tts, monkeypatch):
    from TTS.utils.synthesizer import Synthesizer

    def changed(self, *args):  # one argument fewer than in 0.28
        return None

    monkeypatch.setattr(Synthesizer, "_load_tts", changed)
    monkeypatch.setattr(support, "version", lambda: "0.31.2")
    status, _, error = tts("--text", "hi", "--vocoder_name", "diffwave")
    assert status == 2
    last = error.splitlines()[-1]
    assert last.startswith("error: coqui-tts 0.31.2 does not do what tts-diffvoc needs (TypeError: "), error
    assert last.endswith("install coqui-tts 0.28.x.")


def test_python_dash_m_runs_the_changed_program(environment):
    code = (
        "import runpy, sys, tts_diffvoc_hook\n"
        "sys.argv = ['tts', '--text', '', '--vocoder_name', 'diffwave']\n"
        "runpy.run_module('TTS.bin.synthesize', run_name='__main__', alter_sys=True)"
    )
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("error: the text '' holds no letter")


def test_wrapping_keeps_name_and_documentation():
    class Owner:
        def method(self, x):
            """Adds."""
            return x + 1

    patches.wrap(Owner, "method", lambda original, self, x: 10 * original(self, x))
    patches.wrap(Owner, "method", lambda original, self, x: -original(self, x))
    assert Owner().method(1) == 20
    assert Owner.method.__name__ == "method" and Owner.method.__doc__ == "Adds."
