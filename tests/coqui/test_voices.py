"""Names, options and cards of voices."""

import subprocess
import sys

import pytest

from tts_diffvoc import DiffvocError, voices


def test_names_and_options():
    assert voices.parse("diffwave") == ("diffwave", {})
    assert voices.parse("runs/mine?steps=50&seed=1") == ("runs/mine", {"steps": "50", "seed": "1"})
    assert voices.parse("diffwave?") == ("diffwave", {})


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("", "has no name"),
        ("?steps=3", "has no name"),
        ("a?steps=", "no value"),
        ("a?=3", "no value"),
        ("a?steps=1&steps=2", "given twice"),
    ],
)
def test_bad_specs(spec, told):
    with pytest.raises(DiffvocError, match=told):
        voices.parse(spec)


def test_resolve(tmp_path):
    folder = voices.VOCODERS["wavegrad"]
    assert voices.resolve("wavegrad") == voices.resolve("vocoder_models/en/diffvoc/wavegrad") == folder
    assert voices.resolve(str(folder)) == voices.resolve(str(folder / "model.safetensors")) == folder
    assert voices.resolve(str(tmp_path)) == tmp_path
    with pytest.raises(DiffvocError, match="no vocoder or checkpoint folder 'diffwav'; the closest names are diffwave"):
        voices.resolve("diffwav")


def test_bundled():
    assert voices.names() == ["diffwave", "wavegrad"] and list(voices.ACOUSTIC) == ["ada", "joe", "slt"]
    for name in ("diffwave", "wavegrad", "ada", "joe", "slt"):
        item = voices.model_item(name)
        assert item["license"] and item["author"] and len(item["description"]) > 5
    assert voices.model_item("ada")["default_vocoder"] == "vocoder_models/en/diffvoc/diffwave"


def test_card(tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: MIT\nauthor: A. Person\n---\n# Title\n\nSays: much.\nMore.\n")
    assert voices.card(tmp_path) == {"license": "MIT", "author": "A. Person", "description": "Says: much."}
    (tmp_path / "README.md").unlink()
    assert voices.card(tmp_path) == {"description": ""}


def test_voices_import_neither_torch_nor_tts(environment):
    code = "import sys, tts_diffvoc.voices; print(*{'torch', 'TTS', 'numpy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "\n"), result.stderr
