"""The command ``bound`` on generators that know their data: an untrained one on spectra knows a Gaussian exactly."""

import math
import re

import numpy as np
import pytest
import soundfile
import torch
from small_generators import CONFIGS, HOP, falling, gaussian, random_generator

from tts_diffvoc.arguments import Parser
from tts_diffvoc.checkpoint import save_checkpoint
from tts_diffvoc.commands import bound
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import Generator

CARD = "# Gaussian\n\nA generator for tests.\n"
# Deviations of the coefficients of what is diffused; the waveform is 10 times smaller.
SPREAD = falling(HOP) / 2
LENGTH = CONFIGS["spectra"].length


def saved_model(tmp_path, spread):
    """An untrained generator, which is the best linear estimate for its deviations."""
    generator = Generator(CONFIGS["spectra"], "gaussian").eval()
    generator.deviation.copy_(spread)
    save_checkpoint(generator, tmp_path / "gaussian", CARD)
    return tmp_path / "gaussian"


def saved_data(tmp_path, spread, clips):
    """Clips of Gaussian noise of those deviations."""
    folder = tmp_path / "data"
    folder.mkdir()
    for i, clip in enumerate(gaussian(spread, clips, LENGTH // HOP) / CONFIGS["spectra"].scale):
        soundfile.write(folder / f"{i:02d}.wav", clip.numpy(), 8000, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved_model(tmp_path_factory.mktemp("model"), SPREAD)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return saved_data(tmp_path_factory.mktemp("clips"), SPREAD, 80)


def run(*words):
    parser = Parser()
    bound.add_arguments(parser)
    bound.run(parser.parse_args([str(word) for word in words]))


def figures(said):
    """Bits, their standard error, and the three parts."""
    total = re.search(r"at most ([\d.]+) ± ([\d.]+|nan) bits", said)
    return float(total[1]), float(total[2]), [float(part) for part in re.findall(r"^  .*: ([-\d.]+)$", said, re.M)]


def expected_bits(bits, variance="beta"):
    """Of a Gaussian's best denoiser in ``bits``-bit samples whose bins are narrow beside the last step's noise."""
    config, total = CONFIGS["spectra"], 0.0
    levels = [1.0, *config.schedule.noise_levels.tolist()]
    for v in SPREAD.double().square().tolist():
        left = [v * (1 - a * a) / (a * a * v + 1 - a * a) for a in levels]
        last = levels[-1] ** 2
        total += 0.5 * (last * v - last - math.log(1 - last))
        for t in range(2, len(levels)):
            a, u = levels[t], levels[t - 1]
            beta = 1 - (a / u) ** 2
            tilde = (1 - u * u) / (1 - a * a) * beta
            chosen = tilde if variance == "beta_tilde" else beta
            apart = (u * beta / (1 - a * a)) ** 2 * left[t]
            total += 0.5 * (tilde / chosen - 1 - math.log(tilde / chosen) + apart / chosen)
        beta = 1 - levels[1] ** 2
        total += 0.5 * math.log(2 * math.pi * beta) + left[1] / (2 * beta)
    return total / len(SPREAD) / math.log(2) - math.log2(config.scale) + bits - 1


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_a_gaussian_takes_the_bits_that_theory_says(model, data, capsys, variance):
    run("--model", model, "--data", data, "--clips", 80, "--variance", variance, "--terms", 25)
    said = capsys.readouterr().out
    bits, error, parts = figures(said)
    assert "gaussian: 80 clips of 512 samples at 8,000 Hz" in said and "label" not in said
    assert bits == pytest.approx(expected_bits(16, variance), abs=4 * error) and 0 < error < 0.05
    assert len(parts) == 3 and sum(parts) == pytest.approx(bits, abs=2e-4)


def test_fewer_bits_are_fewer_bits_and_seeds_repeat(model, data, capsys):
    found = []
    for words in (["--bits", 16], ["--bits", 12], ["--bits", 16], ["--bits", 16, "--seed", 1]):
        run("--model", model, "--data", data, "--clips", 4, "--terms", 5, *words)
        found.append(figures(capsys.readouterr().out)[0])
    assert found[0] - found[1] == pytest.approx(4, abs=0.01)
    assert found[0] == found[2] != found[3]


def test_a_fitted_decoder_takes_fewer_bits(tmp_path, capsys):
    """What is as quiet as the last step's noise is known better than the schedule's first beta says."""
    model, data, parts = saved_model(tmp_path, SPREAD / 30), saved_data(tmp_path, SPREAD / 30, 16), {}
    for decoder in ("beta", "fitted"):
        run("--model", model, "--data", data, "--clips", 8, "--terms", 3, "--decoder", decoder)
        parts[decoder] = figures(capsys.readouterr().out)[2]
    assert parts["fitted"][2] < parts["beta"][2] - 0.1
    assert parts["fitted"][0] == pytest.approx(parts["beta"][0], abs=0.01)
    with pytest.raises(DiffvocError, match="needs 18 for --clips 9"):
        run("--model", model, "--data", data, "--clips", 9, "--decoder", "fitted")


def test_labels_come_from_names(tmp_path, capsys):
    torch.manual_seed(0)
    save_checkpoint(random_generator("spectra with labels"), tmp_path / "model", CARD)
    data = tmp_path / "data"
    noise = 0.05 * np.random.default_rng(0).standard_normal((4, 700))
    for name, clip in zip(("two_x_1.wav", "one/5.wav", "2-b.flac", "five_x_2.wav"), noise):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(data / name, clip, 8000)
    words = ["--model", tmp_path / "model", "--data", data, "--terms", 4]
    run(*words)
    named = capsys.readouterr().out
    run(*words, "--without-labels")
    without = capsys.readouterr().out
    assert "4 clips" in named and "3 with a label" in named and "0 with a label" in without
    assert figures(named)[0] != figures(without)[0]


def test_clips_are_padded_cut_and_resampled(model, tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    wave = 0.1 * np.sin(0.2 * np.arange(4000))
    soundfile.write(data / "a.wav", wave, 16000)
    soundfile.write(data / "b.flac", np.stack([wave[:100], wave[:100]], 1), 8000)
    soundfile.write(data / "empty.wav", np.zeros(0), 8000)
    soundfile.write(data / "nan.wav", np.full(600, np.nan), 8000, subtype="FLOAT")
    (data / "text.wav").write_text("no sound")
    run("--model", model, "--data", data, "--terms", 3)
    said = capsys.readouterr()
    assert "2 clips" in said.out
    assert said.err.count("left out") == 3 and "NaN" in said.err and "no samples" in said.err


@pytest.mark.parametrize(
    "words, message",
    [
        (["--clips", "0"], "from 1 to"),
        (["--bits", "40"], "from 1 to 16"),
        (["--terms", "1000"], "99 between"),
        (["--device", "nowhere"], "no device 'nowhere'"),
    ],
)
def test_bad_words(model, data, words, message):
    with pytest.raises(DiffvocError, match=message):
        run("--model", model, "--data", data, *words)


def test_bad_folders(model, tmp_path):
    with pytest.raises(DiffvocError, match="holds 0 usable recordings"):
        run("--model", model, "--data", tmp_path / "nowhere")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "text.wav").write_text("no sound")
    with pytest.raises(DiffvocError, match="holds 0 usable recordings"):
        run("--model", model, "--data", tmp_path / "data")
