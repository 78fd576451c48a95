"""Exported vocoders make what torch makes, without torch; each kind is exported once, its parts or one whole graph."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from small_vocoders import random_vocoder

import tts_diffvoc_eval
from tts_diffvoc.audio import read_audio, resample
from tts_diffvoc.checkpoint import load_vocoder, save_checkpoint
from tts_diffvoc.cli import main
from tts_diffvoc.diffusion.noise import FrameNoise
from tts_diffvoc.diffusion.samplers import ddim, ddpm, langevin, sample
from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc.onnx import OnnxVocoder
from tts_diffvoc.onnx.export import export, plan, to_int8

CLOSE = 2e-4
pytestmark = pytest.mark.filterwarnings("ignore:.*made a peak")  # random networks do


def export_kind(kind: str, options: str, output, folder):
    """Save a small vocoder and let the command export it."""
    vocoder = random_vocoder(kind)
    save_checkpoint(vocoder, folder, "card", torch.float32)
    assert main(["export", f"{folder}{options}", str(output)]) == 0
    return vocoder


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The bundled voice and its folder."""
    folder = tmp_path_factory.mktemp("parts") / "onnx"
    assert main(["export", "diffwave", str(folder)]) == 0
    return load_vocoder("diffwave"), folder


@pytest.fixture(scope="module")
def runtime(parts):
    return OnnxVocoder(parts[1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A spectral vocoder and its file, of a step and an iteration of consistency."""
    folder = tmp_path_factory.mktemp("whole")
    output = folder / "vocoder.onnx"
    return export_kind("spectral wavegrad", "?steps=1&consistency=1", output, folder / "torch"), output


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A published network and its folder, sampled by DDIM, whose only noise is the first."""
    folder = tmp_path_factory.mktemp("published")
    return export_kind("diffwave", "?sampler=ddim&steps=4", folder / "onnx", folder / "torch"), folder / "onnx"


@pytest.fixture(scope="module")
def published_whole(tmp_path_factory):
    """A published network and its file, of two ancestral steps."""
    folder = tmp_path_factory.mktemp("published-whole")
    output = folder / "vocoder.onnx"
    return export_kind("wavegrad", "?steps=2", output, folder / "torch"), output


def random_mel(rows: int, frames: int) -> torch.Tensor:
    return 0.5 * torch.randn(rows, 80, frames, generator=torch.Generator().manual_seed(frames)) - 4


@pytest.mark.parametrize(
    "frames, options", [(86, {"steps": 5, "consistency": 2}), (16, {"steps": 0}), (2, {"quality": "fast"}), (1, {})]
)
def test_parts_equal_torch(parts, runtime, speech, frames, options):
    vocoder, (rows, seeds) = parts[0], (2, [7, 8])
    mel = log_mel(torch.cat([speech, 0.5 * speech.flip(1)]), MelConfig())[..., :frames]
    expected = vocoder.generate(mel, seed=seeds, **options).numpy()
    made = runtime.generate(mel.numpy(), seed=seeds, **options)
    assert made.shape == (rows, frames * 256) and made.dtype == np.float32
    assert np.abs(made - expected).max() < CLOSE < 0.1 * np.abs(expected).max()


def test_rows_of_several_lengths_are_what_they_are_alone(runtime):
    mel = random_mel(2, 9).numpy()
    made = runtime.generate(mel, seed=[7, 8], lengths=[4, 9])
    assert made.shape == (2, 9 * 256) and not made[0, 4 * 256 :].any()
    assert np.array_equal(made[:1, : 4 * 256], runtime.generate(mel[:1, :, :4], seed=7))
    with pytest.raises(DiffvocError, match="whole numbers from 1 to 9"):
        runtime.generate(mel, lengths=[4, 10])


def test_int8_sounds_as_good(parts, tmp_path):
    pytest.importorskip("pesq")
    from tts_diffvoc_eval.metrics.perceptual import pesq_wb

    shutil.copytree(parts[1], tmp_path / "int8")
    path = tmp_path / "int8" / "denoise.onnx"
    before = path.stat().st_size
    onnx.save(to_int8(onnx.load(path)), path)
    assert path.stat().st_size < 0.6 * before
    onnx.checker.check_model(path, full_check=True)
    folders = [parts[1], tmp_path / "int8"]
    scores = []
    for clip in sorted((Path(tts_diffvoc_eval.__file__).parent / "clips").glob("*.flac")):
        original = resample(*read_audio(clip), 22050)
        mel = log_mel(original.unsqueeze(0), MelConfig()).numpy()
        made = [OnnxVocoder(folder).generate(mel, seed=0)[0, : len(original)] for folder in folders]
        scores.append([pesq_wb(one, original.numpy(), 22050) for one in made])
    exact, small = np.mean(scores, 0)
    assert small > exact - 0.02 and exact > 3


@pytest.mark.parametrize("rows, frames", [(2, 37), (1, 1), (1, 2)])
def test_a_whole_equals_torch(whole, rows, frames):
    vocoder, path = whole
    mel = random_mel(rows, frames)
    expected = vocoder.generate(mel, steps=1, consistency=1, seed=3).numpy()
    assert np.abs(OnnxVocoder(path).generate(mel.numpy(), seed=3) - expected).max() < CLOSE


@pytest.mark.parametrize("steps", [4, 6])
def test_published_networks_equal_torch(published, steps):
    vocoder, folder = published
    mel = random_mel(2, 9)
    expected = vocoder.generate(mel, steps=steps, sampler="ddim", seed=[3, 4]).numpy()
    with pytest.warns(UserWarning, match="torch made a peak"):
        made = OnnxVocoder(folder).generate(mel.numpy(), steps=steps, seed=[3, 4])
    assert np.abs(made - expected).max() < CLOSE


def test_a_published_whole_equals_torch(published_whole):
    vocoder, path = published_whole
    mel = random_mel(2, 9)
    expected = vocoder.generate(mel, steps=2, seed=5).numpy()
    assert np.abs(OnnxVocoder(path).generate(mel.numpy(), seed=5) - expected).max() < CLOSE


@pytest.mark.parametrize("sampler", [ddpm, ddim, langevin])
def test_a_plan_is_its_sampler(sampler):
    def denoiser(x, level):
        return torch.tanh(x) * level.unsqueeze(1).float()

    schedule = published_schedule("diffwave-fast-6")
    draw, again = (FrameNoise([1, 2]).draws(0, 3, 10) for _ in range(2))
    expected, x = sample(sampler, denoiser, draw(), schedule, generator=draw), again()
    for level, keep, take, renew in plan(schedule, sampler.__name__):
        x = keep * x + take * denoiser(x, torch.full((2,), level, dtype=torch.float64))
        x = x + renew * again() if renew else x
    torch.testing.assert_close(x, expected)


ALONE = """
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocked())
import numpy as np
from tts_diffvoc.onnx import OnnxVocoder
np.save(sys.argv[2], OnnxVocoder(sys.argv[1]).generate(np.full((1, 80, 5), -4, np.float32), seed=0))
"""


def run_without(blocked: tuple[str, ...], folder, output) -> subprocess.CompletedProcess:
    code = ALONE.format(blocked=blocked)
    return subprocess.run([sys.executable, "-c", code, str(folder), str(output)], capture_output=True, text=True)


def test_no_torch_is_needed(parts, tmp_path):
    vocoder, folder = parts
    run = run_without(("torch", "onnx", "TTS"), folder, tmp_path / "made.npy")
    assert run.returncode == 0, run.stderr
    expected = vocoder.generate(torch.full((1, 80, 5), -4.0), seed=0).numpy()
    assert np.abs(np.load(tmp_path / "made.npy") - expected).max() < CLOSE


def test_without_onnxruntime_it_says_what_to_install(parts, tmp_path):
    run = run_without(("onnxruntime", ""), parts[1], tmp_path / "made.npy")
    assert run.stderr.endswith("an exported vocoder needs onnxruntime; install it with pip install onnxruntime.\n")


def test_graphs_are_real_dynamic_and_tell_nothing_of_this_machine(parts, whole, published, published_whole):
    paths = [*parts[1].glob("*.onnx"), whole[1], *published[1].glob("*.onnx"), published_whole[1]]
    assert len(paths) == 7
    for path in paths:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        assert {entry.domain: entry.version >= 17 for entry in model.opset_import} == {"": True}
        assert not {node.op_type for node in model.graph.node} & {"DFT", "STFT"}
        assert not {tensor.data_type for tensor in model.graph.initializer} & {14, 15}  # the two complex types
        for value in [*model.graph.input, *model.graph.output]:
            named = [size.dim_param for size in value.type.tensor_type.shape.dim]
            assert named[0] == "batch" and (len(named) == 1 or any("frames" in name for name in named))
        assert b".py" not in path.read_bytes()


def test_a_folder_explains_itself(parts):
    text = (parts[1] / "README.md").read_text()
    for path in parts[1].glob("*.onnx"):
        assert f"`{path.name}`" in text
    assert "`z` [batch, frames, 2, 513]" in text


def test_seeds(runtime):
    mel = random_mel(2, 4).numpy()
    assert np.array_equal(runtime.generate(mel[:1], seed=2), runtime.generate(mel, seed=[2, 3])[:1])
    assert not np.allclose(runtime.generate(mel), runtime.generate(mel), atol=1e-3)


@pytest.mark.parametrize(
    "mel, options, says",
    [
        (np.zeros((1, 4, 80), np.float32), {}, r"shape \[1, 4, 80\] was given; this vocoder takes \[B, 80, F\]"),
        (np.zeros((1, 80, 0), np.float32), {}, "shape"),
        (np.full((1, 80, 2), np.nan), {}, "from nan to nan"),
        (np.full((1, 80, 2), -80), {}, "from -80 to -80; that of audio lies between -14.5 and"),
        (np.zeros((1, 80, 2), complex), {}, "complex128"),
        (np.zeros((2, 80, 2)), {"seed": [1]}, "1 seeds were given for 2 mels"),
        (np.zeros((1, 80, 2)), {"seed": -1}, "seed='-1'"),
        (np.zeros((1, 80, 2)), {"steps": 1.5}, "steps='1.5'"),
        (np.zeros((1, 80, 2)), {"quality": "superb"}, "quality=superb is unknown; choose one of fast, default, best"),
    ],
)
def test_bad_input(runtime, mel, options, says):
    with pytest.raises(DiffvocError, match=says):
        runtime.generate(mel, **options)


def test_what_was_fixed_cannot_be_chosen(whole, published):
    with pytest.raises(DiffvocError, match="steps was fixed when the vocoder was exported; what can be chosen is seed"):
        OnnxVocoder(whole[1]).generate(np.zeros((1, 80, 2)), steps=2)
    with pytest.raises(DiffvocError, match=r"steps=5 was not exported; give one of 4, 6, or export VOCODER\?steps=5"):
        OnnxVocoder(published[1]).generate(np.zeros((1, 80, 2)), steps=5)


def test_places_that_hold_no_export(tmp_path):
    with pytest.raises(DiffvocError, match="there is no exported vocoder"):
        OnnxVocoder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"format": "tts-diffvoc/1"}))
    with pytest.raises(DiffvocError, match="not written by this version of tts-diffvoc export"):
        OnnxVocoder(tmp_path)
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(DiffvocError, match="cannot be opened as a graph"):
        OnnxVocoder(tmp_path / "text.onnx")


def test_what_cannot_be_exported(tmp_path):
    vocoder = random_vocoder("diffwave")
    vocoder.defaults["sampler"] = "dpm_solver_pp_2m"
    with pytest.raises(DiffvocError, match="sampler=dpm_solver_pp_2m cannot be exported to a folder"):
        export(vocoder, tmp_path / "out")
    with pytest.raises(DiffvocError, match="cannot be in int8"):
        export(vocoder, tmp_path / "out", int8=True)
    with pytest.raises(DiffvocError, match="cannot be written"):
        export(random_vocoder("diffwave"), tmp_path / "nowhere" / "vocoder.onnx")
    assert not list(tmp_path.iterdir())
