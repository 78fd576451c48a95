"""Checkpoints in the layout of github.com/ivanvovk/WaveGrad, compared with a network written here from its layout."""

import json

import pytest
import torch
import torch.nn.functional as F
from importing import assert_agree, run_import

from tts_diffvoc.checkpoint import load_vocoder

CONFIG = {
    "model_config": {
        "factors": [5, 4, 3],
        "upsampling_preconv_out_channels": 10,
        "upsampling_out_channels": [12, 8, 6],
        "upsampling_dilations": [[1, 2, 1, 2], [1, 2, 4, 8], [1, 2, 4, 8]],
        "downsampling_preconv_out_channels": 8,
        "downsampling_out_channels": [6, 10],
        "downsampling_dilations": [[1, 2, 4], [1, 2, 4]],
    },
    "data_config": {
        "sample_rate": 22050, "n_fft": 1024, "win_length": 1024, "hop_length": 60, "f_min": 80.0, "f_max": 8000,
        "n_mels": 80,
    },
    "training_config": {"training_noise_schedule": {"n_iter": 1000, "betas_range": [1e-6, 0.01]}},
}  # fmt: skip


class Reference:
    """The published network as functions of a flat dictionary of weights, which it fills at the first call."""

    def __init__(self):
        self.weights = {}

    def conv(self, name, x, outputs, kernel=3, dilation=1):
        """A convolution that keeps the length; its weights are made up when they are first asked for."""
        name = f"nn.{name}.conv1d"
        if f"{name}.weight" not in self.weights:
            self.weights[f"{name}.weight"] = 0.12 * torch.randn(outputs, x.shape[1], kernel)
            self.weights[f"{name}.bias"] = 0.1 * torch.randn(outputs)
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.conv1d(x, weight, bias, dilation=dilation, padding=dilation * (kernel // 2))

    def resized(self, x, length):
        return F.interpolate(x, size=length, mode="linear", align_corners=False)

    def film(self, k, x, level, outputs):
        """Scale and shift from signal features, to which 5000 times the level is added as sines and cosines."""
        h = F.leaky_relu(self.conv(f"films.{k}.signal_conv.0", x, x.shape[1]), 0.2)
        half = x.shape[1] // 2
        angles = torch.stack([5000 * level * 10 ** (-4 * i / half) for i in range(half)], dim=1)
        h = h + torch.cat([angles.sin(), angles.cos()], dim=1)[:, :, None]
        return [self.conv(f"films.{k}.{name}_conv", h, outputs) for name in ("scale", "shift")]

    def down(self, k, x, outputs, factor):
        length = x.shape[2] // factor
        h = self.resized(x, length)
        for i, dilation in enumerate((1, 2, 4)):
            name = f"dblocks.{k}.main_branch.{i + 1}.convolution"
            h = self.conv(name, F.leaky_relu(h, 0.2), outputs, 3, dilation)
        return h + self.resized(self.conv(f"dblocks.{k}.residual_branch.0", x, outputs, 1), length)

    def up(self, k, x, outputs, factor, dilations, scale, shift):
        def modulated(name, h, dilation):
            h = F.leaky_relu(scale * h + shift, 0.2)
            return self.conv(f"ublocks.{k}.{name}.convolution", h, outputs, 3, dilation)

        length = x.shape[2] * factor
        h = self.resized(F.leaky_relu(x, 0.2), length)
        h = self.conv(f"ublocks.{k}.first_block_main_branch.upsampling.2", h, outputs, 3, dilations[0])
        h = modulated("first_block_main_branch.modulation", h, dilations[1])
        h = h + self.resized(self.conv(f"ublocks.{k}.first_block_residual_branch.0", x, outputs, 1), length)
        out = modulated("second_block_main_branch.modulation_0", h, dilations[2])
        return h + modulated("second_block_main_branch.modulation_1", out, dilations[3])

    def __call__(self, mel, x, level):
        """mel [B, M, F], x [B, T], level [B] -> noise [B, T]."""
        sizes = CONFIG["model_config"]
        ups = sizes["upsampling_out_channels"]
        h = self.conv("dblock_preconv", x.unsqueeze(1), sizes["downsampling_preconv_out_channels"], 5)
        films = [self.film(0, h, level, ups[-1])]
        for k, outputs in enumerate(sizes["downsampling_out_channels"]):
            h = self.down(k, h, outputs, sizes["factors"][-1 - k])
            films.append(self.film(k + 1, h, level, ups[-2 - k]))
        h = self.conv("ublock_preconv", mel, sizes["upsampling_preconv_out_channels"])
        for k, (outputs, factor, dilations) in enumerate(zip(ups, sizes["factors"], sizes["upsampling_dilations"])):
            h = self.up(k, h, outputs, factor, dilations, *films[-1 - k])
        return self.conv("ublock_postconv", h, 1).squeeze(1)


@pytest.fixture
def reference():
    network = Reference()
    network(torch.randn(1, 80, 2), torch.randn(1, 120), torch.ones(1))
    return network


@pytest.fixture
def saved(tmp_path, reference):
    constants = {"betas": torch.linspace(1e-6, 0.01, 1000), "posterior_mean_coef1": torch.zeros(1000)}
    torch.save({"iteration": 5, "model": {**constants, **reference.weights}}, tmp_path / "checkpoint_5.pt")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path / "checkpoint_5.pt"


@torch.inference_mode()
def test_the_network_agrees(saved, reference, tmp_path):
    assert run_import(saved, "--kind", "ivanvovk-wavegrad", "-o", tmp_path / "mine") == 0
    vocoder = load_vocoder(tmp_path / "mine")
    assert vocoder.config.schedule.to_dict() == {"name": "wavegrad-1000"}
    mel, x = torch.randn(2, 80, 5), torch.randn(2, 5 * 60)
    for level in (0.999, 0.5, 0.05):
        level = torch.full((2,), level)
        mine = vocoder.network(x, level, vocoder.network.condition(mel))
        assert_agree(mine, reference(mel, x, level))
    assert torch.isfinite(vocoder.generate(mel, seed=0)).all()


def test_the_mel_is_the_publishers(saved, waveform, tmp_path):
    import torchaudio

    data = CONFIG["data_config"]
    theirs = torchaudio.transforms.MelSpectrogram(
        sample_rate=22050, n_fft=1024, win_length=1024, hop_length=60, f_min=80.0, f_max=data["f_max"], n_mels=80,
        window_fn=torch.hann_window,
    )(waveform)[:, :-1].log10()  # fmt: skip
    assert run_import(saved, "-o", tmp_path / "mine") == 0
    mine = load_vocoder(tmp_path / "mine").mel(waveform)[0]
    torch.testing.assert_close(mine[:, : theirs.shape[1]], theirs, atol=1e-4, rtol=0)


def test_the_default_configuration_is_assumed(tmp_path):
    """Only the widths of the published network are in its weights."""
    from tts_diffvoc.importers import ivanvovk
    from tts_diffvoc.networks.wavegrad import WaveGrad, WaveGradConfig

    names = WaveGrad(WaveGradConfig(n_mels=80, channels=(8,) * 5, down_channels=(4,) * 5, first_channels=4))
    weights = {}
    for name, value in names.state_dict().items():
        for theirs, ours in reversed(ivanvovk.NAMES[1:]):
            name = name.replace(ours, theirs)
        parts = ("shift_conv", "scale_conv") if "output_conv" in name else ("output_conv",)
        for part, share in zip(parts, value.chunk(len(parts))):
            weights[f"nn.{name.replace('output_conv', part)}"] = share.clone()
    torch.save({"model": weights}, tmp_path / "weights.pt")
    assert run_import(tmp_path / "weights.pt", "-o", tmp_path / "mine") == 0
    vocoder = load_vocoder(tmp_path / "mine")
    assert vocoder.config.sizes.factors == (5, 5, 3, 2, 2)
    assert (vocoder.mel_config.hop_length, vocoder.mel_config.fmin, vocoder.mel_config.power) == (300, 80.0, 2)
    assert "`model_config.factors`: [5, 5, 3, 2, 2]" in (tmp_path / "mine" / "README.md").read_text()


def test_the_layout_of_before_october_2020_is_refused(saved, reference, tmp_path, capsys):
    weights = {**reference.weights, "nn.films.0.positional_encoding.pe": torch.zeros(8, 10)}
    torch.save({"model": weights}, saved)
    assert run_import(saved, "-o", tmp_path / "mine") == 2
    assert "before October 2020" in capsys.readouterr().err


@pytest.mark.parametrize(
    "section, change, told",
    [
        ("model_config", {"downsampling_dilations": [[1, 1, 1]] * 2}, "each must be [1, 2, 4]"),
        ("data_config", {"hop_length": 300}, "80 bands every 300 samples"),
        ("training_config", {"training_noise_schedule": {"betas_range": [1e-6]}}, "the first and the last beta"),
        ("training_config", {"training_noise_schedule": {"n_iter": 10**9}}, "give 1 to 10000"),
    ],
)
def test_settings_that_do_not_fit_are_refused(section, change, told, saved, tmp_path, capsys):
    config = {**CONFIG, section: {**CONFIG[section], **change}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert run_import(saved, "-o", tmp_path / "mine") == 2
    assert told in capsys.readouterr().err
