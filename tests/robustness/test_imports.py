"""Published checkpoints with anything wrong: a folder that loads, or one sentence and nothing written (kind 5)."""

import json

import pytest
import torch
from damage import WRONG, damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tts_diffvoc.checkpoint import load_vocoder
from tts_diffvoc.cli import main
from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.networks.diffwave import DiffWave, DiffWaveConfig

SIZES = DiffWaveConfig(residual_channels=4, residual_layers=2)
# As LMNT's package writes them into a checkpoint.
PARAMS = {
    "sample_rate": 22050,
    "n_mels": 80,
    "n_fft": 1024,
    "hop_samples": 256,
    "residual_layers": 2,
    "residual_channels": 4,
    "dilation_cycle_length": 2,
    "unconditional": False,
    "noise_schedule": list(published_schedule("diffwave-50").betas),
    "inference_noise_schedule": [1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5],
}
QUICK = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return DiffWave(SIZES, published_schedule("diffwave-50")).state_dict()


def imported(folder, capsys, *options) -> int:
    """The exit status of an import, which is 0 with a folder that loads, or 2 with a line and nothing else."""
    status = main(["import", str(folder / "weights.pt"), "-o", str(folder / "out"), "--force", *options])
    printed = capsys.readouterr()
    if status == 0:
        load_vocoder(folder / "out")
    else:
        assert status == 2 and printed.err.count("\n") == 1 and "Traceback" not in printed.err
    assert not list(folder.glob("*.part")) and not list(folder.glob(".*"))
    return status


@QUICK
@given(st.data())
def test_settings_with_something_wrong(state, tmp_path, capsys, data):
    torch.save({"model": state}, tmp_path / "weights.pt")
    (tmp_path / "config.json").write_text(json.dumps(data.draw(damaged(PARAMS))))
    imported(tmp_path, capsys)


@QUICK
@given(st.data())
def test_a_file_with_something_wrong(state, tmp_path, capsys, data):
    whole = {"model": dict(state), "params": PARAMS}
    how = data.draw(st.sampled_from(["cut", "flipped", "value", "shape", "type", "missing", "nan"]))
    name = data.draw(st.sampled_from(sorted(state)))
    if how == "value":
        whole["model"][name] = data.draw(WRONG)
    elif how == "shape":
        whole["model"][name] = state[name].flatten()[:-1].clone()
    elif how == "type":
        kinds = [torch.int8, torch.bool, torch.complex64, torch.float64]
        whole["model"][name] = state[name].to(data.draw(st.sampled_from(kinds)))
    elif how == "missing":
        del whole["model"][name]
    elif how == "nan":
        whole["model"][name] = torch.full_like(state[name], torch.nan)
    path = tmp_path / "weights.pt"
    torch.save(whole, path)
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    elif how == "flipped":
        place = data.draw(st.integers(0, len(content) - 1))
        path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
    imported(tmp_path, capsys)


def test_a_whole_one(state, tmp_path, capsys):
    torch.save({"model": state, "params": PARAMS}, tmp_path / "weights.pt")
    assert imported(tmp_path, capsys) == 0
