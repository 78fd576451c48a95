"""Zero-shot denoising: the scores by known answers, the methods against what theory says, and the command."""

import csv
import json
import math
from dataclasses import replace

import pytest
import torch
from digit_corpus import write_corpus
from small_generators import CONFIGS, HOP, falling, gaussian, random_generator

from tts_diffvoc.checkpoint import save_checkpoint
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import Generator
from tts_diffvoc_eval import denoising, program

CARD = "---\nlicense: MIT\nauthor: us\ntraining: none\n---\n# test\n"


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# Scores


def test_si_sdr_of_orthogonal_noise_is_its_level_at_any_scale():
    angle = 2 * math.pi * torch.arange(4000, dtype=torch.float64) / 100
    signal, noise = angle.sin(), angle.cos() * 10 ** (-13 / 20)
    mixed = torch.stack([signal + noise, 0.1 * (signal + noise) + 3.0])
    assert denoising.si_sdr(mixed, signal.expand(2, -1)).tolist() == pytest.approx([13, 13], abs=1e-6)


def test_noise_is_as_loud_as_asked_and_each_clips_own():
    clean = torch.cat([torch.zeros(2, 3000), torch.tensor([[0.5], [0.05]]).expand(2, 4000)], dim=1)
    full = denoising.add_white_noise(clean, 0.1, relative=False)
    relative = denoising.add_white_noise(clean, 0.1, relative=True)
    assert full[1].tolist() == [0.1, 0.1]
    assert relative[1].tolist() == pytest.approx([0.05, 0.005])  # silence before the clip does not count
    for noisy, deviations in (full, relative):
        assert (noisy - clean).std(1).tolist() == pytest.approx(deviations.tolist(), rel=0.05)
    assert abs(float(torch.corrcoef(full[0] - clean)[0, 1])) < 0.05
    assert torch.equal(denoising.add_white_noise(clean[:1], 0.1, relative=False)[0][0], full[0][0])
    assert not torch.equal(denoising.add_white_noise(clean, 0.1, relative=False, seed=1)[0], full[0])
    with pytest.raises(DiffvocError, match="above 0"):
        denoising.add_white_noise(clean, 0.0, relative=False)


# Methods


def tones(count=6):
    """Clips [N, 2048] of a tone each."""
    pitch = torch.linspace(300, 900, count).unsqueeze(1)
    return 0.3 * torch.sin(2 * math.pi * pitch * torch.arange(2048) / 8000)


def test_spectral_subtraction_helps_a_tone():
    noisy, deviations = denoising.add_white_noise(tones(), 0.1, relative=False)
    denoised = denoising.spectral_subtraction(noisy, deviations)
    assert (denoising.si_sdr(denoised, tones()) - denoising.si_sdr(noisy, tones())).min() > 3


def test_the_linear_estimate_of_gaussian_data_is_the_wiener_gain():
    """Data of independent coefficients: each is scaled by its power over its power and the noise's."""
    config = replace(CONFIGS["spectra"], scale=10.0)
    generator = Generator(config).eval()
    generator.deviation.copy_(falling(HOP))
    clean = gaussian(falling(HOP), 16, 512 // HOP) / 10
    data = denoising.add_white_noise(clean, 0.01, relative=False)
    restored = denoising.diffusion(denoising.linear(generator), 1, True, *data)
    power = falling(HOP).double().square()
    expected = (power * 0.01 / (power + 0.01)).mean()
    got = 100 * (restored - clean).double().square().mean()
    assert float(got) == pytest.approx(float(expected), rel=0.15)
    assert float(got) < 0.75 * 0.01


def test_a_trained_network_is_not_taken_for_its_linear_estimate():
    generator = random_generator("spectra")
    data = denoising.add_white_noise(0.1 * tones(2)[:, :512], 0.1, relative=False)
    own, linear = (denoising.diffusion(one, 1, True, *data) for one in (generator, denoising.linear(generator)))
    assert not torch.allclose(own, linear)
    with pytest.raises(DiffvocError, match="no linear estimate"):
        denoising.linear(random_generator("plain"))


def test_methods_do_as_they_say():
    """Known and estimated noise, and clips of one batch or one by one."""
    generator = random_generator("spectra with labels")
    clean = 0.1 * tones(3)[:, :512]
    noisy, deviations = denoising.add_white_noise(clean, 0.1, relative=True)
    known = denoising.diffusion(generator, 1, True, noisy, deviations)
    for i, deviation in enumerate(deviations.tolist()):
        assert torch.allclose(known[i], generator.denoise(noisy[i], noise=deviation, steps=1)[0], atol=1e-6)
    estimated = denoising.diffusion(generator, 1, False, noisy, deviations)
    assert torch.allclose(estimated, generator.denoise(noisy, steps=1), atol=1e-6)


# The command


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """40 clips, of which 20 are held back."""
    return write_corpus(tmp_path_factory.mktemp("fsdd"), (0, 9))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small"
    save_checkpoint(random_generator("spectra"), folder, CARD)
    return folder


def test_the_command_writes_what_it_measured(data, model, tmp_path, capsys):
    words = ["--data", data, "--model", model, "--noise", "0.1", "--steps", 1, 2, "--threads", 1]
    assert program.main(denoising, [str(word) for word in [*words, "--output", tmp_path / "run"]]) == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "run" / "denoising.json").read_text())
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == [
        "noisy", "spectral-subtraction", "small-linear-1", "small-1", "small-2", "small-1-estimated",
    ]  # fmt: skip
    before = rows["noisy"]["values"]["after"]["value"]
    assert before == pytest.approx(20 * math.log10(0.3 / math.sqrt(2) / 0.1 * math.sqrt(4000 / 8192)), abs=0.2)
    for name, row in rows.items():
        assert row["clips"] == 20 and 0 <= row["values"]["accuracy"]["value"] <= 1
        if name != "noisy":
            gain = row["values"]["gain"]["value"]
            assert gain == pytest.approx(row["values"]["after"]["value"] - before, abs=1e-6)
            assert f"{gain:.2f} [" in said
    with (tmp_path / "run" / "denoising.csv").open() as file:
        lines = {row["name"]: row for row in csv.DictReader(file)}
    assert float(lines["small-1"]["gain"]) == rows["small-1"]["values"]["gain"]["value"]
    assert "/" not in found["manifest"]["command"].replace("eval/denoising.py", "").replace("N/A", "")


@pytest.mark.parametrize(
    "change, message",
    [
        (["--noise", "loud"], "loud is not a number"),
        (["--noise", "-1"], "above 0"),
        (["--count", "0"], "argument --count"),
        (["--model", "nobody"], "nobody"),
    ],
)
def test_bad_words(change, message, data, model, tmp_path, capsys):
    words = ["--data", data, "--model", model, "--threads", 1, "--output", tmp_path / "run", *change]
    assert program.main(denoising, [str(word) for word in words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
