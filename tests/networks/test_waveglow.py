"""WaveGlow: it inverts, its determinant is autograd's, and NVIDIA's layouts load."""

import math

import pytest
import torch

from tts_diffvoc import DiffvocError
from tts_diffvoc.networks.waveglow import (
    WaveGlow,
    WaveGlowConfig,
    bias_spectrum,
    denoise,
    fold_weight_norm,
    log_likelihood,
    published_weights,
)

SMALL = WaveGlowConfig(
    n_mels=5, flows=5, early_every=2, layers=3, channels=6, hop_length=16, upsample_window=64, kernel_size=3
)


def random_network(config=SMALL, scale=0.1):
    """Random weights, the couplings' last layers too, which start at zero."""
    torch.manual_seed(0)
    network = WaveGlow(config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not name.startswith("convinv"):
                parameter.normal_(0, scale)
    return network


@torch.inference_mode()
def test_forward_then_inverse_returns_the_waveform():
    network = random_network(scale=0.25)
    mel, waveform = torch.randn(2, 5, 7), 0.3 * torch.randn(2, 7 * 16)
    z, log_s, log_det = network(waveform, mel)
    assert z.shape == (2, 8, 14) and log_s.shape == (2,) and log_det.shape == ()
    assert log_s.abs().min() > 0.1 and not torch.allclose(z[:, 0], waveform[:, ::8])
    torch.testing.assert_close(network.inverse(mel, z), waveform, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_inverse_then_forward_returns_the_noise():
    network = random_network()
    mel = torch.randn(1, 5, 6)
    noise = 0.7 * torch.randn((1, 8, 12), generator=torch.Generator().manual_seed(3))
    waveform = network.inverse(mel, noise)
    assert waveform.shape == (1, 6 * 16)
    torch.testing.assert_close(network(waveform, mel)[0], noise, atol=1e-4, rtol=0)


def test_the_determinant_is_that_of_autograds_jacobian():
    network = random_network(scale=0.3).double()
    with torch.no_grad():
        for mix in network.convinv:
            mix.conv.weight.add_(0.2 * torch.randn_like(mix.conv.weight))  # no longer orthogonal
    mel, waveform = torch.randn(1, 5, 2).double(), 0.3 * torch.randn(1, 32).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x, mel)[0].flatten(), waveform)[:, 0]
    z, log_s, log_det = network(waveform, mel)
    volume = torch.linalg.slogdet(jacobian)[1]
    torch.testing.assert_close(log_s[0] + log_det, volume, atol=1e-5, rtol=0)
    assert abs(float(volume)) > 0.5
    normal = torch.distributions.Normal(0.0, torch.tensor(0.8, dtype=torch.float64)).log_prob(z).sum() + volume
    torch.testing.assert_close(log_likelihood(z, log_s, log_det, sigma=0.8)[0], normal, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_an_untrained_network_mixes_only_and_keeps_the_volume():
    network = WaveGlow(SMALL)
    mel, waveform = torch.randn(2, 5, 4), torch.randn(2, 64)
    z, log_s, log_det = network(waveform, mel)
    torch.testing.assert_close(z.square().sum((1, 2)), waveform.square().sum(1))
    assert log_s.abs().max() == 0 and abs(float(log_det)) < 1e-4
    expected = -waveform.square().sum(1) / 2 - 32 * math.log(2 * math.pi)
    torch.testing.assert_close(log_likelihood(z, log_s, log_det), expected)


@torch.inference_mode()
def test_each_clip_of_a_batch_is_on_its_own():
    network = random_network()
    mel, waveform = torch.randn(2, 5, 4), 0.3 * torch.randn(2, 64)
    both = log_likelihood(*network(waveform, mel))
    torch.testing.assert_close(both[1:], log_likelihood(*network(waveform[1:], mel[1:])))


def test_a_waveform_may_be_shorter_than_its_mel_but_not_longer():
    network = random_network()
    mel = torch.randn(1, 5, 4)
    assert network(torch.zeros(1, 40), mel)[0].shape == (1, 8, 5)
    for length in (72, 36, 0):
        with pytest.raises(DiffvocError, match=f"of {length} samples does not go with 4 mel frames"):
            network(torch.zeros(1, length), mel)


@pytest.mark.parametrize(
    "change", [{"flows": 0}, {"kernel_size": 2}, {"hop_length": 20}, {"upsample_window": 8}, {"early_size": 4}]
)
def test_impossible_sizes_are_refused(change):
    with pytest.raises(DiffvocError):
        WaveGlowConfig.from_dict({**vars(SMALL), **change})


def test_the_names_are_nvidias():
    names = set(WaveGlow(WaveGlowConfig(channels=2, layers=2)).state_dict())
    assert {n for n in names if not n.startswith(("WN.", "convinv."))} == {"upsample.weight", "upsample.bias"}
    assert {n for n in names if n.startswith("convinv.11.")} == {"convinv.11.conv.weight"}
    leaves = {n.removeprefix("WN.11.") for n in names if n.startswith("WN.11.")}
    modules = ("start", "cond_layer", "in_layers.0", "in_layers.1", "res_skip_layers.0", "res_skip_layers.1", "end")
    assert leaves == {f"{module}.{leaf}" for module in modules for leaf in ("weight", "bias")}
    assert WaveGlowConfig().widths == (8,) * 4 + (6,) * 4 + (4,) * 4


def normalised(state):
    """The state dict as it is while NVIDIA trains: all but the last layers and the mixing matrices normalised."""
    out = {}
    for name, value in state.items():
        if name.endswith(".weight") and name.startswith("WN.") and ".end." not in name:
            scale = torch.rand(value.shape[0], 1, 1) + 0.5
            norm = value.flatten(1).norm(dim=1).reshape(-1, 1, 1)
            out[f"{name}_g"], out[f"{name}_v"] = norm, value * scale
        else:
            out[name] = value
    return out


def test_weight_normalisation_is_multiplied_out():
    network = random_network()
    state = network.state_dict()
    published = normalised(state)
    assert "WN.0.in_layers.1.weight_g" in published
    again = published_weights(published)
    assert again.keys() == state.keys()
    for name, value in state.items():
        torch.testing.assert_close(again[name], value, atol=1e-6, rtol=1e-6)
    with pytest.raises(DiffvocError, match="WN.0.start.weight_v is missing"):
        fold_weight_norm({n: v for n, v in published.items() if n != "WN.0.start.weight_v"})


def test_folding_is_torchs():
    conv = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(3, 4, 5))
    with torch.no_grad():
        conv.parametrizations.weight.original0.mul_(1.7)
    folded = fold_weight_norm({f"x.{name}": value for name, value in conv.state_dict().items()})
    assert set(folded) == {"x.weight", "x.bias"}
    torch.testing.assert_close(folded["x.weight"], conv.weight.detach())


def test_the_layout_with_a_mel_convolution_for_each_layer_loads():
    network = random_network()
    older = {}
    for name, value in network.state_dict().items():
        if ".cond_layer." in name:
            for i, part in enumerate(value.chunk(SMALL.layers)):
                older[name.replace("cond_layer", f"cond_layers.{i}")] = part
        else:
            older[name] = value
    again = WaveGlow(SMALL)
    again.load_state_dict(published_weights(normalised(older)))
    mel, waveform = torch.randn(1, 5, 4), 0.3 * torch.randn(1, 64)
    torch.testing.assert_close(again(waveform, mel)[0], network(waveform, mel)[0], atol=1e-5, rtol=1e-5)


def test_the_denoiser_takes_the_bias_off():
    network = random_network()
    bias = bias_spectrum(network, n_fft=64)
    assert bias.shape == (33,) and bias.max() > 0
    waveform = torch.randn(2, 1000)
    torch.testing.assert_close(denoise(waveform, bias, 0.0), waveform, atol=1e-5, rtol=0)
    assert denoise(waveform, bias, 1e6).abs().max() == 0
    before, after = (
        torch.stft(x, 64, 16, window=torch.hann_window(64), return_complex=True).abs().mean((0, 2))
        for x in (waveform, denoise(waveform, torch.full((33,), 2.0), 0.5))
    )
    assert ((before - after) > 0.5).all()
