"""Checkpoint folders: they come back as they went, and bad ones are refused in one sentence."""

import json
import os
import stat

import pytest
import torch
from safetensors.torch import save_file

import tts_diffvoc
from tts_diffvoc.checkpoint import load_checkpoint, quantize, save_checkpoint, write_weights
from tts_diffvoc.errors import DiffvocError


def test_a_checkpoint_comes_back(vocoder, speech, tmp_path):
    save_checkpoint(vocoder, tmp_path / "mine", "# Mine\n", dtype=torch.float32)
    assert sorted(p.name for p in (tmp_path / "mine").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = tts_diffvoc.load_vocoder(tmp_path / "mine")
    assert again.name == "mine" and not again.training
    mel = vocoder.mel(speech)[..., :10]
    assert torch.equal(again.generate(mel, seed=1), vocoder.generate(mel, seed=1))


def test_files_have_the_mode_of_any_new_file(diffwave, tmp_path):
    before = os.umask(0o027)
    try:
        save_checkpoint(diffwave, tmp_path / "mine", "# Mine\n")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "mine").iterdir()} == {0o640}


def test_half_precision_is_read_as_float32(diffwave, tmp_path):
    save_checkpoint(diffwave, tmp_path, "# Mine\n")
    again = load_checkpoint(tmp_path)
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    for name, value in diffwave.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=1e-3, rtol=1e-3)


def test_weights_of_a_byte_are_read_as_float32(diffwave, tmp_path):
    save_checkpoint(diffwave, tmp_path, "# Mine\n")
    before = (tmp_path / "model.safetensors").stat().st_size
    write_weights(tmp_path / "model.safetensors", quantize(diffwave.state_dict()))
    assert (tmp_path / "model.safetensors").stat().st_size < 0.75 * before  # small rows, whose scales count
    again = load_checkpoint(tmp_path)
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    for name, value in diffwave.state_dict().items():
        step = value.flatten(1).abs().amax(1) / 127 if value.dim() > 1 else torch.tensor(1e-3)
        error = (again.state_dict()[name] - value).abs()
        assert bool((error.flatten(1).amax(1) if value.dim() > 1 else error).le(0.51 * step + 1e-3).all())


def test_bytes_without_their_scales_are_refused(diffwave, tmp_path):
    save_checkpoint(diffwave, tmp_path, "# Mine\n")
    weights = {name: value for name, value in quantize(diffwave.state_dict()).items() if not name.endswith("scale")}
    write_weights(tmp_path / "model.safetensors", weights)
    with pytest.raises(DiffvocError, match="torch.int8"):
        load_checkpoint(tmp_path)


def test_options_behind_the_name_become_defaults(diffwave, tmp_path):
    save_checkpoint(diffwave, tmp_path, "# Mine\n")
    vocoder = tts_diffvoc.load_vocoder(f"{tmp_path}?steps=2&seed=5&sampler=ddim")
    assert vocoder.defaults == {"steps": 2, "seed": 5, "sampler": "ddim"}
    mel = torch.full((1, 80, 5), -3.0)
    assert torch.equal(vocoder.generate(mel), vocoder.generate(mel, steps=2, seed=5, sampler="ddim"))


@pytest.mark.parametrize("options, says", [("colour=blue", "colour"), ("steps=0", "from 1 to"), ("steps=51", "50")])
def test_bad_options_behind_the_name(diffwave, tmp_path, options, says):
    save_checkpoint(diffwave, tmp_path, "# Mine\n")
    with pytest.raises(DiffvocError, match=says):
        tts_diffvoc.load_vocoder(f"{tmp_path}?{options}")


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_half_precision_by_name_or_type(dtype):
    assert tts_diffvoc.load_vocoder("diffwave", dtype=dtype).autocast == torch.bfloat16


def test_an_unknown_precision():
    with pytest.raises(DiffvocError, match="dtype='int8' is unknown; choose one of float32, bfloat16, float16"):
        tts_diffvoc.load_vocoder("diffwave", dtype="int8")


def spoil_json(folder):
    (folder / "config.json").write_text("{")


def foreign_json(folder):
    (folder / "config.json").write_text('{"model": "hifigan"}')


def truncate(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def other_weights(folder):
    save_file({"weight": torch.zeros(3)}, folder / "model.safetensors")


def other_sizes(folder):
    values = json.loads((folder / "config.json").read_text())
    values["sizes"]["residual_channels"] = 16
    (folder / "config.json").write_text(json.dumps(values))


def unknown_setting(folder):
    values = json.loads((folder / "config.json").read_text())
    values["sizes"]["colour"] = 16
    (folder / "config.json").write_text(json.dumps(values))


@pytest.mark.parametrize(
    "spoil, says",
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (spoil_json, "JSON"),
        (foreign_json, "not a tts-diffvoc checkpoint"),
        (truncate, "cannot be read"),
        (other_weights, "missing"),
        (other_sizes, "another shape"),
        (unknown_setting, "colour"),
    ],
)
def test_bad_checkpoints_are_refused(diffwave, tmp_path, spoil, says):
    save_checkpoint(diffwave, tmp_path, "# Mine\n")
    spoil(tmp_path)
    with pytest.raises(DiffvocError, match=says) as caught:
        load_checkpoint(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [{"folded": True}, {"estimator": {"channels": 256, "blocks": 4, "iterations": 32}}])
def test_a_folder_of_the_first_edition_is_told_how_to_train_again(diffwave, tmp_path, given):
    save_checkpoint(diffwave, tmp_path, "# Mine\n")
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, **given}))
    with pytest.raises(DiffvocError, match="first edition .* train it again with tts-diffvoc finetune"):
        load_checkpoint(tmp_path)


def test_a_folder_that_the_first_edition_imported_still_loads(vocoder, speech, tmp_path):
    """Of a published network: it says that it is not folded and has no estimator."""
    save_checkpoint(vocoder, tmp_path, "# Mine\n", torch.float32)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "folded": False, "estimator": None}))
    mel = vocoder.mel(speech)[..., :10]
    assert torch.equal(load_checkpoint(tmp_path).generate(mel, seed=1), vocoder.generate(mel, seed=1))


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DiffvocError, match="nowhere"):
        load_checkpoint(tmp_path / "nowhere")


def test_an_unwritable_folder_is_refused(diffwave, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DiffvocError, match="cannot be written to .Not a directory"):
        save_checkpoint(diffwave, tmp_path / "file" / "mine", "# Mine\n")
