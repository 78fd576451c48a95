"""The bundled generator of digits: it says what it is told, takes noise off, and answers by name, offline."""

import pytest
import soundfile
import torch

import tts_diffvoc
from tts_diffvoc import cli
from tts_diffvoc_eval import denoising
from tts_diffvoc_eval.generation.classifier import load as load_classifier
from tts_diffvoc_eval.generation.metrics import accuracy


@pytest.fixture(scope="module")
def sevens_and_all():
    """Two clips of each digit by the bundled generator with labels, in half its usual steps."""
    generator = tts_diffvoc.load_generator("digits")
    labels = [str(i % 10) for i in range(20)]
    return generator, labels, generator.generate(20, labels, steps=12, seed=0)


def test_digits_says_what_it_is_told(sevens_and_all):
    """By the classifier, which knows every held-back clip; a generator that ignores its labels has 2 right of 20."""
    generator, labels, clips = sevens_and_all
    assert generator.labels == tuple("0123456789") and clips.shape == (20, 8192)
    p, _ = load_classifier().classify(clips)
    assert accuracy(p, [int(label) for label in labels]).value >= 0.7


def test_digits_takes_noise_off_what_it_never_learnt_to(sevens_and_all):
    generator, labels, clips = sevens_and_all
    noisy, deviations = denoising.add_white_noise(clips, 0.1, relative=False)
    denoised = denoising.diffusion(generator, 1, True, noisy, deviations)
    known = torch.tensor([int(label) for label in labels])
    assert denoising.measure(denoised, noisy, clips, known, load_classifier())["gain"].low > 3


@pytest.mark.parametrize("labels", ([], ["--label", "7"]))
def test_it_answers_by_name(labels, tmp_path, capsys):
    words = ["generate", "--count", "2", "--steps", "4", "--seed", "1", *labels, "-o", str(tmp_path)]
    assert cli.main(words) in (None, 0)
    assert "2 clips" in capsys.readouterr().out
    files = sorted(tmp_path.glob("*.wav"))
    assert len(files) == 2
    clips = [soundfile.read(path) for path in files]
    assert all(rate == 8000 and len(samples) == 8192 and samples.std() > 1e-4 for samples, rate in clips)
    assert not (clips[0][0] == clips[1][0]).all()


def test_the_card_says_whose_digits_these_are(capsys):
    cli.main(["info", "digits"])
    said = capsys.readouterr().out
    assert "Free Spoken Digit Dataset" in said and "CC BY-SA 4.0" in said and "CPU minutes" in said
