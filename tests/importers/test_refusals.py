"""Files that are missing, damaged, foreign or pickled; places that are taken; and nothing half-written, ever."""

import pathlib

import pytest
import torch
from importing import run_import
from safetensors.torch import save_file

from tts_diffvoc import DiffvocError
from tts_diffvoc.checkpoint import load_vocoder
from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.importers import KINDS, import_checkpoint, kind_of
from tts_diffvoc.networks.diffwave import DiffWave, DiffWaveConfig


@pytest.fixture
def state():
    """Weights of a small DiffWave under the names of LMNT's package, which are ours."""
    sizes = DiffWaveConfig(residual_channels=4, residual_layers=2)
    return DiffWave(sizes, published_schedule("diffwave-50")).state_dict()


@pytest.fixture
def refused(tmp_path, capsys):
    """Import a file that must be refused: one sentence on stderr, no folder, nothing beside it."""

    def run(path, *options):
        before = sorted(tmp_path.iterdir())
        assert run_import(path, "-o", tmp_path / "out", *options) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1
        assert sorted(tmp_path.iterdir()) == before
        return error

    return run


def write(path, content):
    path.write_bytes(content)
    return path


def test_a_missing_file(refused, tmp_path):
    assert "is not there" in refused(tmp_path / "none.pt")


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_truncated_file(ending, zipped, refused, tmp_path, state):
    path = tmp_path / f"weights{ending}"
    if ending == ".pt":
        torch.save({"model": state}, path, _use_new_zipfile_serialization=zipped)
    else:
        save_file(state, path)
    path.write_bytes(path.read_bytes()[:3000])
    assert "download it again" in refused(path)


def test_files_that_are_no_checkpoints(refused, tmp_path):
    assert "is empty" in refused(write(tmp_path / "a.pt", b""))
    assert "no checkpoint" in refused(write(tmp_path / "b.pt", b"<html>Not found</html>"))
    torch.save([torch.zeros(2)], tmp_path / "c.pt")
    assert "holds a list" in refused(tmp_path / "c.pt")
    torch.save({"step": 1}, tmp_path / "d.pt")
    assert "holds no weights" in refused(tmp_path / "d.pt")
    torch.save({"encoder.weight": torch.zeros(2)}, tmp_path / "e.pt")
    assert "for example encoder.weight" in refused(tmp_path / "e.pt")


class Evil:
    """What runs when a pickle is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (pathlib.Path.touch, (self.path,))


def test_a_pickled_module_is_refused_with_the_code_that_saves_its_weights(refused, tmp_path):
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "waveglow_256channels.pt")
    error = refused(tmp_path / "waveglow_256channels.pt", "--kind", "nvidia-waveglow")
    assert "torch.nn.modules.linear.Linear" in error and "never does" in error
    assert "state_dict" in error and "'waveglow_256channels-weights.pt'" in error


def test_the_code_that_is_told_makes_a_file_that_can_be_read(refused, tmp_path, state, monkeypatch):
    import numpy as np

    torch.save({"model": state, "loss": np.float64(1.5), "params": {"sample_rate": 16000}}, tmp_path / "old.pt")
    error = refused(tmp_path / "old.pt", "--kind", "lmnt-diffwave")
    assert "numpy" in error
    monkeypatch.chdir(tmp_path)
    exec(error.split("`")[1], {})
    assert run_import(tmp_path / "old-weights.pt", "-o", tmp_path / "out") == 0
    assert load_vocoder(tmp_path / "out").sample_rate == 16000


def test_nothing_is_run_that_a_file_holds(refused, tmp_path, state):
    torch.save({"model": state, "x": Evil(tmp_path / "ran")}, tmp_path / "evil.pt")
    refused(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "lmnt-diffwave"])
def test_a_wrong_kind_names_the_right_one(kind, refused, tmp_path, state):
    torch.save({"model": state}, tmp_path / "weights.pt")
    assert "it looks like lmnt-diffwave: give --kind lmnt-diffwave" in refused(tmp_path / "weights.pt", "--kind", kind)


def test_weights_that_are_missing_unknown_or_of_another_shape(refused, tmp_path, state):
    path = tmp_path / "weights.pt"
    gone = {name: value for name, value in state.items() if name != "skip_projection.bias"}
    torch.save({"model": gone}, path)
    assert "1 weights missing, 0 unknown, 0 of another shape, for example network.skip_projection.bias" in refused(path)
    torch.save({"model": {**state, "postnet.weight": torch.zeros(1)}}, path)
    assert "1 unknown, 0 of another shape, for example network.postnet.weight" in refused(path)
    torch.save({"model": {**state, "skip_projection.bias": torch.zeros(9)}}, path)
    assert "skip_projection.bias" in refused(path)
    torch.save({"model": {**state, "skip_projection.bias": torch.full((4,), float("nan"))}}, path)
    assert "holds NaN" in refused(path)


def test_safetensors_are_read_too(tmp_path, state):
    save_file(state, tmp_path / "weights.safetensors")
    assert run_import(tmp_path / "weights.safetensors", "-k", "lmnt-diffwave", "-o", tmp_path / "out") == 0
    mine = load_vocoder(tmp_path / "out").network.state_dict()
    assert all(torch.equal(value, mine[name]) for name, value in state.items())


def test_a_folder_that_holds_something(refused, tmp_path, state, capsys):
    path, out = tmp_path / "weights.pt", tmp_path / "out"
    torch.save({"model": state}, path)
    out.mkdir()
    assert run_import(path, "-o", out) == 0
    first = (out / "model.safetensors").stat().st_mtime_ns
    assert "is not empty" in refused(path)
    assert run_import(path, "-o", out, "--force") == 0
    assert (out / "model.safetensors").stat().st_mtime_ns > first
    (out / "thesis.tex").write_text("years of work")
    assert "holds thesis.tex" in refused(path, "--force")
    assert (out / "thesis.tex").read_text() == "years of work"
    assert run_import(path, "-o", path) == 2
    assert "is a file" in capsys.readouterr().err


def test_an_interrupted_write_leaves_nothing(tmp_path, state, monkeypatch):
    from tts_diffvoc import checkpoint

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    torch.save({"model": state}, tmp_path / "weights.pt")
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(checkpoint, "write_weights", fail)
    with pytest.raises(DiffvocError, match="No space left on device"):
        import_checkpoint(tmp_path / "weights.pt", None, tmp_path / "deep" / "out")
    assert [p for p in tmp_path.iterdir() if p.name != "deep"] == before
    assert not list((tmp_path / "deep").iterdir())


def test_a_folder_that_cannot_be_replaced_stays(tmp_path, state, monkeypatch):
    from tts_diffvoc import files

    torch.save({"model": state}, tmp_path / "weights.pt")
    out, replace = tmp_path / "out", files.os.replace
    import_checkpoint(tmp_path / "weights.pt", None, out)

    def fail(source, target):
        if pathlib.Path(source).name == "new":
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(DiffvocError, match="Input/output error"):
        import_checkpoint(tmp_path / "weights.pt", None, out, force=True)
    load_vocoder(out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "weights.pt"]


def test_others_may_read_what_was_imported(tmp_path, state):
    torch.save({"model": state}, tmp_path / "weights.pt")
    import_checkpoint(tmp_path / "weights.pt", None, tmp_path / "out")
    assert len({path.stat().st_mode for path in (tmp_path / "out").iterdir()}) == 1


def test_an_unknown_kind(tmp_path):
    with pytest.raises(DiffvocError, match="the kind 'melgan' is unknown"):
        import_checkpoint(tmp_path / "weights.pt", "melgan", tmp_path / "out")


def test_bad_settings(refused, tmp_path, state):
    torch.save({"model": state}, tmp_path / "weights.pt")
    config = write(tmp_path / "params.json", b"{nonsense")
    assert "is not valid JSON" in refused(tmp_path / "weights.pt", "--config", config)
    write(config, b"[1]")
    assert "holds no settings" in refused(tmp_path / "weights.pt", "--config", config)
    write(config, b'{"dilation_cycle_length": "ten"}')
    assert 'says dilation_cycle_length: "ten"; it must be a whole number' in refused(
        tmp_path / "weights.pt", "--config", config
    )
    assert "there is no file" in refused(tmp_path / "weights.pt", "--config", tmp_path / "none.json")


def test_no_kind_is_told_from_nothing():
    assert kind_of([]) is None
