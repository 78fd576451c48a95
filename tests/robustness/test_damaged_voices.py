"""Voices, in Coqui's folders, with anything wrong: they speak or end in one sentence (kind 5)."""

import json

import pytest
from damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_voice import save_voice

from tts_diffvoc.errors import DiffvocError


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    """A small voice, untrained."""
    return save_voice(tmp_path_factory.mktemp("voice"))


def load(folder) -> None:
    from TTS.utils.synthesizer import Synthesizer

    Synthesizer(tts_checkpoint=folder / "model.safetensors", tts_config_path=folder / "config.json")


def test_a_whole_one(voice):
    load(voice)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_configuration_with_something_wrong(voice, tmp_path, data):
    values = json.loads((voice / "config.json").read_text())
    shown = {name: values[name] for name in ("model", "model_args", "audio", "use_phonemes")}
    changed = data.draw(damaged(shown).filter(lambda drawn: isinstance(drawn, dict)))
    (tmp_path / "config.json").write_text(json.dumps({**values, **changed, "model": values["model"]}))
    (tmp_path / "model.safetensors").write_bytes((voice / "model.safetensors").read_bytes())
    try:
        load(tmp_path)
    except DiffvocError as error:
        assert "\n" not in str(error)
