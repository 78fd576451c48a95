"""A voice whose mel varies as its teacher's."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import torch

from tts_diffvoc.acoustic import AcousticModel, expand

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "voices" / "acoustic"


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPE))
    monkeypatch.delitem(sys.modules, "train", raising=False)  # that of the vocoders
    yield runpy.run_path(str(RECIPE / "export.py"))
    sys.modules.pop("train", None)


def test_each_coefficient_of_the_mel_gets_the_teachers_deviation_and_keeps_its_mean(recipe):
    torch.manual_seed(0)
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
    recipe["raise_variance"](model, rows, 0.0)
    np.testing.assert_allclose(cepstrum(), before, atol=1e-3)
    recipe["raise_variance"](model, rows, 1.0)
    after = cepstrum()
    np.testing.assert_allclose(after.std(0), wanted.std(0), rtol=0.01)
    np.testing.assert_allclose(after.mean(0), before.mean(0), atol=5e-3)
