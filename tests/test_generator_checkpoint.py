"""Generators on disk: they come back as they went, by folder and by name, and other folders are refused."""

import json
import subprocess
import sys

import pytest
import torch
from small_generators import CONFIGS, random_generator

import tts_diffvoc
from tts_diffvoc import generators, naming, voices
from tts_diffvoc.checkpoint import load_checkpoint, load_generator, save_checkpoint
from tts_diffvoc.errors import DiffvocError

CARD = "---\nlicense: MIT\n---\n# Mine\n\nA generator for tests.\n"


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_generator_comes_back(kind, tmp_path):
    generator = random_generator(kind)
    save_checkpoint(generator, tmp_path / "mine", CARD, dtype=torch.float32)
    assert sorted(p.name for p in (tmp_path / "mine").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = tts_diffvoc.load_generator(tmp_path / "mine")
    assert isinstance(again, tts_diffvoc.Generator) and again.name == "mine" and not again.training
    assert again.config == generator.config and again.labels == generator.labels
    label = again.labels[1] if again.labels else None
    options = {"steps": 3, "seed": 1, "label": label}
    assert torch.equal(again.generate(2, **options), generator.generate(2, **options))


def test_half_precision_is_read_as_float32(tmp_path):
    generator = random_generator("spectra")
    save_checkpoint(generator, tmp_path, CARD)
    again = load_generator(tmp_path)
    assert {value.dtype for value in again.state_dict().values()} == {torch.float32}
    torch.testing.assert_close(again.deviation, generator.deviation, atol=0.0, rtol=1e-3)
    for name, value in generator.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=1e-3, rtol=1e-3)


def test_options_behind_the_name_become_defaults(tmp_path):
    save_checkpoint(random_generator("spectra with labels"), tmp_path, CARD)
    generator = load_generator(f"{tmp_path}?steps=2&seed=5&sampler=ddim&guidance=1.5")
    assert generator.defaults == {"steps": 2, "seed": 5, "sampler": "ddim", "guidance": 1.5}
    expected = generator.generate(1, "one", steps=2, seed=5, sampler="ddim", guidance=1.5)
    assert torch.equal(generator.generate(1, "one"), expected)
    for options, says in (("steps=101", "at most 100"), ("colour=blue", "colour"), ("guidance=much", "from 0 to")):
        with pytest.raises(DiffvocError, match=says):
            load_generator(f"{tmp_path}?{options}")


def test_names(tmp_path, monkeypatch):
    save_checkpoint(random_generator("plain"), tmp_path / "spoken", CARD)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    found = naming.discover(tmp_path)
    assert list(found) == ["spoken"]
    monkeypatch.setattr(generators, "GENERATORS", found)
    assert load_generator("spoken?steps=3").defaults == {"steps": 3}
    with pytest.raises(DiffvocError, match="no generator or checkpoint folder 'spoke'; the closest names are spoken"):
        load_generator("spoke")


def test_paths(tmp_path):
    save_checkpoint(random_generator("plain"), tmp_path / "run" / "generator", CARD)
    folder = tmp_path / "run" / "generator"
    for name in (folder, folder / "model.safetensors", tmp_path / "run"):
        assert generators.resolve(str(name)) == folder
    with pytest.raises(DiffvocError, match="has no name"):
        load_generator("?steps=3")


def test_vocoders_and_generators_are_told_apart(diffwave, tmp_path):
    save_checkpoint(diffwave, tmp_path / "vocoder", "# Mine\n")
    save_checkpoint(random_generator("plain"), tmp_path / "spoken", CARD)
    with pytest.raises(
        DiffvocError, match="not the checkpoint of a tts-diffvoc generator.* is a tts-diffvoc checkpoint"
    ):
        load_generator(tmp_path / "vocoder")
    with pytest.raises(
        DiffvocError, match="not a tts-diffvoc checkpoint.* is the checkpoint of a tts-diffvoc generator"
    ):
        load_checkpoint(tmp_path / "spoken")
    assert voices.is_vocoder(tmp_path / "vocoder") and not voices.is_vocoder(tmp_path / "spoken")


def test_bad_checkpoints_are_refused(tmp_path):
    save_checkpoint(random_generator("spectra"), tmp_path, CARD)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "colour": 1}))
    with pytest.raises(DiffvocError, match="colour"):
        load_generator(tmp_path)
    values["sizes"]["residual_channels"] = 4
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(DiffvocError, match="another shape"):
        load_generator(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"format": ["tts-diffvoc/1"]}))
    with pytest.raises(DiffvocError, match="lacks"):
        load_generator(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DiffvocError, match="cannot be written"):
        save_checkpoint(random_generator("plain"), tmp_path / "file" / "mine", CARD)


def test_names_need_neither_torch_nor_tts():
    code = "import sys, tts_diffvoc.generators; print(*{'torch', 'TTS', 'numpy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "\n"), result.stderr
