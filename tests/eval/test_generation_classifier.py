"""The classifier of digits: the bundled one, its blocks, its folders."""

import json

import numpy as np
import pytest
import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.generation import classifier as classifiers
from tts_diffvoc_eval.generation.classifier import BUNDLED, Classifier, ClassifierConfig


@pytest.fixture(scope="module")
def bundled():
    return classifiers.load()


def test_the_bundled_classifier(bundled):
    """Small, trained, and with a card that says on what and how well."""
    assert (BUNDLED / "model.safetensors").stat().st_size < 2e6
    card = (BUNDLED / "README.md").read_text()
    assert "Free Spoken Digit Dataset" in card and "CC BY-SA 4.0" in card and "500 held back" in card
    right = int(card.split(" of 500 right")[0].split("| ")[-1])
    assert right >= 490
    assert bundled.config.labels == tuple("0123456789") and bundled.config.length == 8192
    assert "epochs" in bundled.training_said and not bundled.training


def test_classify(bundled):
    """Probabilities and features of each clip, whatever its batch; the features lead to the probabilities."""
    clips = 0.1 * torch.randn(5, 8192, generator=torch.Generator().manual_seed(1))
    p, features = bundled.classify(clips)
    assert p.shape == (5, 10) and features.shape == (5, 128) and p.dtype == features.dtype == np.float64
    assert np.allclose(p.sum(1), 1, atol=1e-12) and (p > 0).all()
    again = bundled.classify(clips.numpy(), batch=2)
    assert np.allclose(again[0], p, atol=1e-5) and np.allclose(again[1], features, atol=1e-4)
    weight, bias = (x.detach().double().numpy() for x in (bundled.head.weight, bundled.head.bias))
    logits = features @ weight.T + bias
    assert np.allclose(np.log(p), logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), atol=1e-4)


def test_classify_refuses_what_it_does_not_know(bundled):
    for bad, said in (
        (torch.zeros(8192), "\\[N, 8192\\]"),
        (torch.zeros(1, 100), "takes"),
        (torch.full((1, 8192), torch.nan), "finite"),
    ):
        with pytest.raises(DiffvocError, match=said):
            bundled.classify(bad)


def test_grouped_blocks_are_resnexts():
    """A group of one stage sees only its own channels, and the parameters are those of grouped convolutions."""
    config = ClassifierConfig(stem=8, widths=(8, 16), inner=(8, 8), blocks=1, cardinality=4)
    made = Classifier(config).eval()
    grouped = made.blocks[1].transform[3]
    assert grouped.weight.shape == (8, 2, 3, 3) and grouped.stride == (2, 2)
    x = torch.randn(1, 8, 6, 6, requires_grad=True)
    grouped(x)[0, 0].sum().backward()
    assert x.grad[0, :2].abs().sum() > 0 and x.grad[0, 2:].abs().sum() == 0
    assert made(torch.randn(2, 32, 64))[1].shape == (2, 16)
    same, other = made.blocks
    with torch.no_grad():  # without its transformation a block is its shortcut
        same.transform[-1].weight.zero_()
        same.transform[-1].bias.zero_()
    inside = torch.rand(1, 8, 6, 6)
    assert torch.equal(same(inside), inside) and other(inside).shape == (1, 16, 3, 3)


def test_a_classifier_is_what_was_saved(tmp_path):
    made = Classifier(ClassifierConfig(stem=8, widths=(8, 8), inner=(8, 8), blocks=1, cardinality=2)).eval()
    made.training_said = "a test"
    classifiers.save(made, tmp_path, "a card")
    found = classifiers.load(tmp_path)
    clips = 0.1 * torch.randn(2, 8192)
    assert found.config == made.config and found.training_said == "a test"
    assert np.allclose(found.classify(clips)[1], made.classify(clips)[1], atol=1e-2)  # weights are kept as float16


def test_damaged_classifiers_are_refused(tmp_path):
    config = ClassifierConfig(stem=8, widths=(8,), inner=(8,), blocks=1, cardinality=2)
    classifiers.save(Classifier(config), tmp_path, "a card")
    values = json.loads((tmp_path / "config.json").read_text())
    for changed, said in (
        ({"format": "other/1"}, "not the folder of a classifier"),
        ({"colour": 3}, "unknown entry 'colour'"),
        ({"blocks": 0}, "says blocks: 0"),
        ({"widths": [16]}, "does not belong to its config.json"),
        ({"inner": [7]}, "multiples of 2"),
        ({"widths": [8, 8]}, "give one of both"),
        ({"length": 8000}, "multiple of the hop"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**values, **changed}))
        with pytest.raises(DiffvocError, match=said):
            classifiers.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(values))
    (tmp_path / "model.safetensors").write_bytes(b"short")
    with pytest.raises(DiffvocError, match="cannot be read"):
        classifiers.load(tmp_path)
