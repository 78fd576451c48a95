"""What a teacher tells, what an acoustic voice learns from it, and a voice whose mel varies as its teacher's."""

import runpy
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import scipy.fft
import torch

from tts_diffvoc.acoustic import AcousticModel, expand

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "voices" / "acoustic"


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPE))
    monkeypatch.delitem(sys.modules, "train", raising=False)  # that of the vocoders
    yield lambda name: runpy.run_path(str(RECIPE / name))
    sys.modules.pop("train", None)


def test_a_graph_is_cut_to_the_part_that_makes_durations(recipe):
    session = recipe("render.py")["session"]
    nodes = [onnx.helper.make_node("Ceil", ["x"], ["d"]), onnx.helper.make_node("Neg", ["d"], ["sound"])]
    x, sound = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in ("x", "sound"))
    graph = onnx.helper.make_graph(nodes, "teacher", [x], [sound])
    feed = {"x": np.array([0.5, 2.25], np.float32)}
    for whole, expected in ((True, [[-1, -3], [1, 3]]), (False, [[1, 3]])):
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
        assert [one.tolist() for one in session(model, "d", whole).run(None, feed)] == expected


def test_the_pitch_of_a_low_voice_is_found_and_none_in_pauses(recipe):
    piper = (teacher := recipe("render.py")["Piper"]).__new__(teacher)  # without its voice
    piper.f0_range = (57.0, 177.0)
    time = np.arange(3 * 22050) / 22050
    voice = sum(np.cos(2 * np.pi * 80 * k * time) / k for k in range(2, 40))  # no fundamental, as in joe's recordings
    spoken = np.where(time % 1 < 0.7, 0.1 * voice, 0.0).astype(np.float32)
    f0 = piper.f0(spoken, None, len(spoken) // 256)
    place = np.arange(len(f0)) * 256 / 22050 % 1
    np.testing.assert_allclose(f0[(place > 0.05) & (place < 0.65)], 80, rtol=0.005)
    assert not f0[(place > 0.75) & (place < 0.95)].any()


def write_shard(path: Path, counts: list[int], sound: bool) -> None:
    """Utterances of so many symbols of three frames each."""
    frames = [3 * count for count in counts] if sound else [0] * len(counts)
    rows = {"symbols": np.full(sum(counts), 7, np.uint8), "durations": np.full(sum(counts), 3, np.float32)}
    if sound:
        rows |= {"mel": np.zeros((sum(frames), 80), np.float16), "f0": np.zeros(sum(frames), np.float16)}
    np.savez(path, lengths=np.array([counts, frames]).T, **rows)


def test_texts_without_sound_join_batches_of_like_length(recipe, tmp_path):
    for name, counts, sound in (("heard", [5, 20, 22, 6], True), ("silent", [*range(4, 30)], False)):
        (tmp_path / name).mkdir()
        write_shard(tmp_path / name / "00000.npz", counts, sound)
    train = recipe("train.py")
    heard, silent = (train["load"](tmp_path / name) for name in ("heard", "silent"))
    assert [len(row) for row in heard + silent] == [4] * 4 + [2] * 26
    batches = train["batches"](heard, 150, "cpu", 0, silent)
    for batch in (next(batches) for _ in range(4)):
        count = len(batch["mel"])
        own, more = batch["lengths"][:count], batch["lengths"][count:]
        assert 0 < len(more) <= 2 * count and 0.7 * own.max() <= more.min() and more.max() <= own.max()
        assert torch.equal(batch["durations"].sum(1), 3.0 * batch["lengths"])
        assert torch.isfinite(AcousticModel().loss(batch)["loss"])


def test_each_coefficient_of_the_mel_gets_the_teachers_deviation_and_keeps_its_mean(recipe):
    torch.manual_seed(0)
    raise_variance = recipe("export.py")["raise_variance"]
    model = AcousticModel().eval()
    model.mel_mean.copy_(torch.linspace(-3, -6, 80))
    model.mel_std.copy_(torch.linspace(1, 3, 80))
    rows = []
    for _ in range(3):
        mel = (torch.randn(60, 80) - 5).half()
        rows.append((torch.randint(1, 20, (12,)), torch.full((12,), 5.0), mel, torch.full((60,), 120.0)))

    def cepstrum() -> np.ndarray:
        made = []
        with torch.no_grad():
            for symbols, durations, *_ in rows:
                hidden, _ = model.encode(symbols[None], torch.tensor([12]))
                x, place = expand(hidden, durations[None], 60)
                made.append(model.decode_frames(x, place, torch.ones(1, 60, 1))[0])
        return scipy.fft.dct(torch.cat(made).numpy(), norm="ortho")

    before, wanted = cepstrum(), scipy.fft.dct(torch.cat([row[2] for row in rows]).float().numpy(), norm="ortho")
    raise_variance(model, rows, 0.0)
    np.testing.assert_allclose(cepstrum(), before, atol=1e-3)
    raise_variance(model, rows, 1.0)
    after = cepstrum()
    np.testing.assert_allclose(after.std(0), wanted.std(0), rtol=0.01)
    np.testing.assert_allclose(after.mean(0), before.mean(0), atol=5e-3)
