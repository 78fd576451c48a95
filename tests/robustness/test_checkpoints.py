"""Checkpoint folders with anything wrong end in one sentence, soon and in little memory (kinds 4 and 5)."""

import json
import resource
import shutil
import warnings

import pytest
import torch
from damage import PUT, damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save
from small_generators import CONFIGS as GENERATORS
from small_generators import random_generator
from small_vocoders import CONFIGS, SPECTRAL, random_vocoder

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import load_generator, load_vocoder, save_checkpoint
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import build
from tts_diffvoc.flow import FlowConfig
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.waveglow import WaveGlowConfig

FLOW = FlowConfig(sizes=WaveGlowConfig(80, 2, 8, 4, 2, 2, 8, 3, 16, 16), mel=MelConfig(hop_length=16))
KINDS = (*CONFIGS, *SPECTRAL, "flow", *GENERATORS)
QUICK = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A whole checkpoint of each kind."""
    root = tmp_path_factory.mktemp("checkpoints")
    for kind in KINDS:
        if kind in GENERATORS:
            save_checkpoint(random_generator(kind), root / kind, "# A\n")
        else:
            save_checkpoint(build(FLOW) if kind == "flow" else random_vocoder(kind), root / kind, "# A\n")
    return root


@pytest.fixture
def folder(request, folders, tmp_path):
    """A copy of one kind's, to be spoilt."""
    return shutil.copytree(folders / request.param, tmp_path / "mine", dirs_exist_ok=True)


def outcome(folder, kind: str) -> str:
    """What loading comes to and, where it loads, making a sound: "sound", or a sentence. Anything else is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if kind in GENERATORS:
                made = load_generator(folder).generate(steps=1, seed=1, length=64)
            else:
                vocoder = load_vocoder(folder)
                made = vocoder.generate(torch.full((vocoder.mel_config.n_mels, 3), -4.0), seed=1, **one_step(vocoder))
        except DiffvocError as error:
            assert "\n" not in str(error) and len(str(error)) < 1000 and str(error).endswith(".")
            return str(error)
    assert made.isfinite().all() and made.abs().max() <= 1
    return "sound"


def one_step(vocoder) -> dict:
    return {"steps": 1} if "steps" in vocoder.GENERATE_OPTIONS else {}


@pytest.mark.parametrize("folder, kind", [(kind, kind) for kind in KINDS], indirect=["folder"])
def test_a_whole_one_makes_sound(folder, kind):
    assert outcome(folder, kind) == "sound"


@pytest.mark.parametrize("folder, kind", [(kind, kind) for kind in KINDS], indirect=["folder"])
@QUICK
@given(st.data())
def test_a_configuration_with_something_wrong(folder, kind, data):
    path = folder / "config.json"
    whole = folder / "whole.json"
    if not whole.exists():
        whole.write_bytes(path.read_bytes())
    path.write_text(json.dumps(data.draw(damaged(json.loads(whole.read_text())))))
    outcome(folder, kind)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 3 << 20  # kB


@pytest.mark.parametrize("folder", [*SPECTRAL, "plain with labels"], indirect=True)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "README.md"])
@pytest.mark.parametrize("put", PUT)
def test_another_thing_in_a_files_place(folder, name, put, request):
    (folder / name).unlink()
    put(folder / name)
    said = outcome(folder, request.node.callspec.params["folder"])
    assert said == "sound" if name == "README.md" else name in said
    assert isinstance(voices.card(folder)["description"], str)


@pytest.mark.parametrize("folder, kind", [(kind, kind) for kind in (*SPECTRAL, "plain")], indirect=["folder"])
@QUICK
@given(st.data())
def test_weights_with_something_wrong(folder, kind, data):
    path, whole = folder / "model.safetensors", folder / "whole"
    if not whole.exists():
        whole.write_bytes(path.read_bytes())
    content = whole.read_bytes()
    how = data.draw(st.sampled_from(["cut", "flipped", "missing", "extra", "shape", "type"]))
    if how == "cut":
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    elif how == "flipped":
        place = data.draw(st.integers(0, min(len(content), 20_000) - 1))
        path.write_bytes(
            content[:place] + bytes([content[place] ^ data.draw(st.integers(1, 255))]) + content[place + 1 :]
        )
    else:
        weights = load_file(whole)
        name = data.draw(st.sampled_from(sorted(weights)))
        value = weights.pop(name)
        if how == "extra":
            weights |= {name: value, "extra.weight": value.clone()}
        elif how == "shape":
            weights[name] = value.flatten()[:-1].clone() if value.numel() > 1 else value.expand(2).clone()
        elif how == "type":
            weights[name] = value.to(data.draw(st.sampled_from([torch.int32, torch.uint8, torch.bool])))
        path.write_bytes(save(weights))
    said = outcome(folder, kind)
    assert said != "sound" or how == "flipped"


@pytest.mark.parametrize("name", ["best_model.pth", "checkpoint_1000.pth", "model.pth.tar"])
@pytest.mark.parametrize("as_folder", [True, False])
def test_coquis_own_checkpoints_are_told_how_to_be_imported(tmp_path, name, as_folder):
    (tmp_path / "config.json").write_text('{"model": "wavegrad"}')
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / name)
    with pytest.raises(DiffvocError, match="tts-diffvoc import"):
        load_vocoder(tmp_path if as_folder else tmp_path / name)


@pytest.mark.parametrize(
    "name",
    ["a" * 300, "a/" * 3000, "a\0b", "..", "a\nb", "~nosuchuser", "~nosuchuser/x", "", "?", "a" * 10**6, "\ud800"],
)
@pytest.mark.parametrize("load", [load_vocoder, load_generator])
def test_any_name_is_answered(name, load):
    with pytest.raises(DiffvocError) as caught:
        load(name)
    assert "\n" not in str(caught.value) and "\0" not in str(caught.value) and len(str(caught.value)) < 1000
