"""NVIDIA's WaveGlow state dict, compared with the published network as written here from its layout."""

import json

import pytest
import torch
import torch.nn.functional as F
from importing import assert_agree, run_import
from safetensors.torch import load_file

from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.waveglow import WaveGlow, WaveGlowConfig

BANDS, CHANNELS, LAYERS, FLOWS = 8, 6, 3, 5


def state_dict():
    """Random weights under the published names: five flows, two channels out before the third and the fifth."""
    torch.manual_seed(0)
    state = {"upsample.weight": 0.1 * torch.randn(BANDS, BANDS, 1024), "upsample.bias": 0.1 * torch.randn(BANDS)}

    def conv(name, outputs, inputs, size, normalised=True):
        weight = 0.2 * torch.randn(outputs, inputs, size)
        if normalised:
            state[f"{name}.weight_g"] = 0.5 + 0.5 * torch.rand(outputs, 1, 1)
            state[f"{name}.weight_v"] = weight
        else:
            state[f"{name}.weight"] = weight
        state[f"{name}.bias"] = 0.1 * torch.randn(outputs)

    for k in range(FLOWS):
        width = 8 - 2 * (k // 2)
        state[f"convinv.{k}.conv.weight"] = torch.linalg.qr(torch.randn(width, width))[0].unsqueeze(-1)
        conv(f"WN.{k}.start", CHANNELS, width // 2, 1)
        conv(f"WN.{k}.cond_layer", 2 * CHANNELS * LAYERS, 8 * BANDS, 1)
        conv(f"WN.{k}.end", width, CHANNELS, 1, normalised=False)
        for i in range(LAYERS):
            conv(f"WN.{k}.in_layers.{i}", 2 * CHANNELS, CHANNELS, 3)
            conv(f"WN.{k}.res_skip_layers.{i}", CHANNELS * (1 if i == LAYERS - 1 else 2), CHANNELS, 1)
    return state


class Reference:
    """Sampling, by the published names."""

    def __init__(self, state):
        self.state = state

    def conv(self, name, x, dilation=1):
        weight = self.state.get(f"{name}.weight")
        if weight is None:
            weight = torch._weight_norm(self.state[f"{name}.weight_v"], self.state[f"{name}.weight_g"], 0)
        padding = dilation * (weight.shape[2] // 2)
        return F.conv1d(x, weight, self.state[f"{name}.bias"], dilation=dilation, padding=padding)

    def coupling(self, k, x, mel):
        audio, output = self.conv(f"WN.{k}.start", x), 0
        mel = self.conv(f"WN.{k}.cond_layer", mel)
        for i in range(LAYERS):
            both = self.conv(f"WN.{k}.in_layers.{i}", audio, 2**i) + mel[:, 2 * CHANNELS * i : 2 * CHANNELS * (i + 1)]
            gated = torch.tanh(both[:, :CHANNELS]) * torch.sigmoid(both[:, CHANNELS:])
            both = self.conv(f"WN.{k}.res_skip_layers.{i}", gated)
            if i < LAYERS - 1:
                audio, both = audio + both[:, :CHANNELS], both[:, CHANNELS:]
            output = output + both
        return self.conv(f"WN.{k}.end", output)

    def sample(self, mel, noise):
        """mel [B, M, F], noise [B, 8, F * 32] as the flows take it, the earliest channels first."""
        up = F.conv_transpose1d(mel, self.state["upsample.weight"], self.state["upsample.bias"], stride=256)
        up = up[:, :, : -(1024 - 256)]
        batch, bands, length = up.shape
        up = up.reshape(batch, bands, length // 8, 8).permute(0, 1, 3, 2).reshape(batch, bands * 8, length // 8)
        audio, taken = noise[:, 4:], 4
        for k in reversed(range(FLOWS)):
            half = audio.shape[1] // 2
            output = self.coupling(k, audio[:, :half], up)
            changed = (audio[:, half:] - output[:, :half]) / torch.exp(output[:, half:])
            weight = torch.linalg.inv(self.state[f"convinv.{k}.conv.weight"][:, :, 0])
            audio = F.conv1d(torch.cat([audio[:, :half], changed], 1), weight.unsqueeze(-1))
            if k in (2, 4):
                audio = torch.cat([noise[:, taken - 2 : taken], audio], 1)
                taken -= 2
        return audio.transpose(1, 2).reshape(batch, -1)


def loaded(folder):
    """The network of an imported folder, and its mel contract."""
    config = json.loads((folder / "config.json").read_text())
    assert config["format"] == "tts-diffvoc/1" and config["network"] == "waveglow"
    network = WaveGlow(WaveGlowConfig(**config["sizes"])).eval()
    weights = load_file(folder / "model.safetensors")
    network.load_state_dict({name.removeprefix("network."): value for name, value in weights.items()})
    return network, MelConfig.from_dict(config["mel"])


@pytest.mark.parametrize("place", ["model", "state_dict", None])
@torch.inference_mode()
def test_an_imported_network_agrees(place, tmp_path):
    state = state_dict()
    torch.save({place: state, "iteration": 5} if place else state, tmp_path / "waveglow.pt")
    assert run_import(tmp_path / "waveglow.pt", "--kind", "nvidia-waveglow", "-o", tmp_path / "mine") == 0
    network, mel_config = loaded(tmp_path / "mine")
    assert mel_config == MelConfig(n_mels=BANDS)
    assert (network.config.early_every, network.config.early_size, network.config.flows) == (2, 2, 5)
    mel, noise = torch.randn(2, BANDS, 4), torch.randn(2, 8, 4 * 32)
    theirs = Reference(state).sample(mel, noise)
    assert_agree(network.inverse(mel, noise), theirs)
    torch.testing.assert_close(network(theirs, mel)[0], noise, atol=2e-4, rtol=1e-4)


def test_the_oldest_layout_is_refused_by_name(tmp_path, capsys):
    state = {**state_dict(), "WN.0.skip_layers.0.bias": torch.zeros(CHANNELS)}
    torch.save(state, tmp_path / "waveglow.pt")
    assert run_import(tmp_path / "waveglow.pt", "-o", tmp_path / "mine") == 2
    assert "convert_model.py" in capsys.readouterr().err
