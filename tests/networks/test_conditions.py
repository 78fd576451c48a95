"""DiffWave with labels, with a mel, with both and with neither: shapes, gradients, sizes, and what is refused."""

import pytest
import torch

from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.networks import diffwave
from tts_diffvoc.networks.diffwave import DiffWave, DiffWaveConfig
from tts_diffvoc.networks.fast import fast_inference

SCHEDULE = published_schedule("diffwave-50")
LEVEL = torch.tensor([0.9, 0.7])


def network(**changes) -> DiffWave:
    """A small network, every weight random so that no path is silent."""
    torch.manual_seed(0)
    sizes = {"residual_channels": 6, "residual_layers": 3, "dilation_cycle": 3, "n_mels": 5, "upsample_factors": (4, 4)}
    made = DiffWave(DiffWaveConfig(**{**sizes, **changes}), SCHEDULE)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def test_a_plain_network_keeps_its_layout():
    plain = network()
    assert not [name for name in plain.state_dict() if "label" in name]
    torch.manual_seed(1)
    first = DiffWave(DiffWaveConfig(residual_channels=6, residual_layers=1), SCHEDULE)
    torch.manual_seed(1)
    labelled = DiffWave(DiffWaveConfig(residual_channels=6, residual_layers=1, labels=2), SCHEDULE)
    assert set(labelled.state_dict()) - set(first.state_dict()) == {
        "label_embedding.weight",
        "residual_layers.0.label_projection.weight",
        "residual_layers.0.label_projection.bias",
    }


def test_without_mel_nothing_of_it_is_there_and_any_length_fits():
    free = network(n_mels=0)
    assert not [name for name in free.state_dict() if "upsampler" in name or "conditioner" in name]
    conditioning = free.condition()
    for length in (1, 37, 200):
        x = torch.randn(2, length)
        assert free(x, LEVEL, conditioning).shape == x.shape
    assert DiffWaveConfig(n_mels=0, upsample_factors=()) == DiffWaveConfig(n_mels=0, upsample_factors=[])


def test_the_shape_of_labels_conditions_does_not_grow_with_the_clip():
    labelled = network(n_mels=0, labels=3)
    layers = labelled.condition(labels=torch.tensor([0, 2]))
    assert [tuple(layer.shape) for layer in layers] == [(2, 12, 1)] * 3


def test_each_row_has_its_own_label():
    labelled = network(n_mels=0, labels=3)
    x, labels = torch.randn(1, 60).expand(4, -1), torch.tensor([0, 1, 2, 3])
    together = labelled(x, torch.full((4,), 0.8), labelled.condition(labels=labels))
    for row in range(4):
        alone = labelled(x[:1], torch.tensor([0.8]), labelled.condition(labels=labels[row : row + 1]))
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-4)
    assert min((together[i] - together[j]).abs().max() for i in range(4) for j in range(i)) > 1e-3


def test_no_labels_are_the_label_none():
    labelled = network(n_mels=0, labels=3)
    x = torch.randn(2, 60)
    none = labelled.condition(labels=torch.full((2,), labelled.no_label))
    assert torch.equal(labelled(x, LEVEL, labelled.condition()), labelled(x, LEVEL, none))


def test_mel_and_label_are_added():
    both, x, mel = network(labels=2), torch.randn(2, 48), torch.randn(2, 5, 3)
    labels = torch.tensor([1, 0])
    layers = both.condition(mel, labels)
    bias = both.label_embedding(labels).unsqueeze(-1)
    for layer, found in zip(both.residual_layers, layers):
        upsampled = both.spectrogram_upsampler(mel)
        expected = layer.conditioner_projection(upsampled) + layer.label_projection(bias)
        torch.testing.assert_close(found, expected)
    assert both(x, LEVEL, both.condition(mel, labels)).shape == x.shape


@pytest.mark.parametrize("changes", [{}, {"n_mels": 0}, {"labels": 3}, {"n_mels": 0, "labels": 3}])
def test_gradients_flow_into_every_weight(changes):
    made = network(**changes)
    mel = torch.randn(2, 5, 3) if made.config.n_mels else None
    labels = torch.tensor([0, 2]) if made.config.labels else None
    eps = made(torch.randn(2, 48), LEVEL, made.condition(mel, labels))
    (eps * torch.randn_like(eps)).sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    if labels is not None:
        rows = made.label_embedding.weight.grad.abs().sum(1)
        assert rows[0] > 0 and rows[2] > 0 and rows[1] == rows[3] == 0


@pytest.mark.parametrize("changes", [{"n_mels": 0}, {"labels": 3}])
def test_the_fast_path_is_for_mels_alone(changes):
    made = network(**changes)
    with torch.inference_mode():
        assert fast_inference(made.eval()) is made


def layer_parameters(channels: int, labels: bool) -> int:
    """Of one residual layer, counted from figure 2 and section 3: three-tap, step, output and label projections."""
    dilated = 3 * channels * 2 * channels + 2 * channels
    step = 512 * channels + channels
    output = channels * 2 * channels + 2 * channels
    return dilated + step + output + (128 * 2 * channels + 2 * channels if labels else 0)


@pytest.mark.parametrize(
    "config, channels, layers, labels",
    [
        (diffwave.SC09, 256, 36, 0),
        (diffwave.SC09_DEEP_THIN, 128, 48, 10),
    ],
)
def test_the_papers_networks_for_spoken_digits(config, channels, layers, labels):
    """The paper gives their layers and channels and no number of weights; Goel et al. (2022) have 24.1 M for SC09."""
    made = DiffWave(config, published_schedule("diffwave-200"))
    embedding = 128 * 512 + 512 + 512 * 512 + 512
    ends = 2 * channels + channels * channels + channels + channels + 1
    expected = layers * layer_parameters(channels, labels > 0) + embedding + ends + (labels and 128 * (labels + 1))
    found = sum(p.numel() for p in made.parameters())
    assert found == expected
    if config is diffwave.SC09:
        assert found == pytest.approx(24.1e6, rel=0.005)
    dilations = [layer.dilated_conv.dilation[0] for layer in made.residual_layers]
    assert dilations == [2 ** (i % 12) for i in range(layers)]
