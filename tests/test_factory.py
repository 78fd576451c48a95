"""Every kind of checkpoint says its kind and version, and is read without them too."""

import json

import pytest
from small_generators import random_generator
from small_vocoders import random_vocoder

from tts_diffvoc.checkpoint import load_checkpoint, load_generator, save_checkpoint
from tts_diffvoc.errors import DiffvocError

KINDS = {"diffwave": "diffusion", "wavegrad": "diffusion", "waveglow": "flow", "generator": "generator"}


@pytest.mark.parametrize("name, kind", KINDS.items())
def test_config_json_says_kind_and_version(name, kind, tmp_path):
    model = random_generator("spectra") if name == "generator" else random_vocoder(name)
    load = load_generator if name == "generator" else load_checkpoint
    save_checkpoint(model, tmp_path, "# Card\n")
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    assert (values["kind"], values["version"]) == (kind, 1)
    path.write_text(json.dumps({name: value for name, value in values.items() if name not in ("kind", "version")}))
    assert load(tmp_path).config == model.config
    path.write_text(json.dumps({**values, "version": 2}))
    with pytest.raises(DiffvocError, match="is of version 2 and this tts-diffvoc reads 1; update it"):
        load(tmp_path)
    if name != "generator":
        path.write_text(json.dumps({**values, "kind": ["cubist"]}))
        with pytest.raises(DiffvocError, match="kind .*cubist.* is unknown"):
            load(tmp_path)
