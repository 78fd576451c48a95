"""Any usual hop and rate: its upsampling factors, a vocoder for it, and words for a hop that has none."""

import json
import math

import pytest
import torch

import tts_diffvoc
from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.networks.factors import PUBLISHED, upsample_factors
from tts_diffvoc.networks.wavegrad import WaveGradConfig
from tts_diffvoc.vocoder import VocoderConfig

HOPS = [200, 256, 300, 441, 480, 512]
NETWORKS = ["diffwave", "wavegrad"]
# Sample rate, window, hop and highest band: hops of 10, 12.5 or 20 ms, and powers of two.
CONTRACTS = [
    (16000, 1024, 200, 8000.0),
    (16000, 1024, 256, 8000.0),
    (22050, 1024, 256, 8000.0),
    (22050, 2048, 300, 11025.0),
    (24000, 1024, 256, 12000.0),
    (24000, 1024, 300, 12000.0),
    (44100, 2048, 441, 16000.0),
    (44100, 2048, 512, 22050.0),
    (48000, 2048, 480, 24000.0),
    (48000, 2048, 512, 24000.0),
]


@pytest.fixture(autouse=True, scope="module")
def registered():
    tts_diffvoc.register()


@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.parametrize("network", NETWORKS)
def test_usual_hops_have_factors(network, hop):
    count, most = PUBLISHED[network]
    factors = upsample_factors(network, hop)
    assert len(factors) == count and math.prod(factors) == hop
    assert max(factors) <= most
    assert list(factors) == sorted(factors, reverse=network == "wavegrad")


def test_the_papers_own_factors():
    assert upsample_factors("diffwave", 256) == (16, 16)
    assert upsample_factors("wavegrad", 300) == (5, 5, 3, 2, 2) == WaveGradConfig().factors


@pytest.mark.parametrize(
    "network, says",
    [
        ("diffwave", "into 2 .* use 255 or 256"),
        ("wavegrad", "into 5 .* use 252 or 256"),
    ],
)
def test_a_hop_that_does_not_split(network, says):
    with pytest.raises(DiffvocError, match=f"a hop of 257 samples does not split {says}"):
        upsample_factors(network, 257)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("hop", [251, 1609, 3001, 65537])
def test_the_nearest_hops_do_split(network, hop):
    with pytest.raises(DiffvocError) as refused:
        upsample_factors(network, hop)
    nearest = [int(number) for number in str(refused.value).split("use ")[1].rstrip(".").split(" or ")]
    assert len(nearest) == 2
    for near in nearest:
        assert math.prod(upsample_factors(network, near)) == near


def small(network: str, mel: MelConfig) -> VocoderConfig:
    """A small vocoder with the published number of factors."""
    factors = upsample_factors(network, mel.hop_length)
    if network == "diffwave":
        sizes = DiffWaveConfig(4, 2, 2, mel.n_mels, factors)
        return VocoderConfig(network, sizes, published_schedule("diffwave-50"), mel)
    blocks = len(factors)
    sizes = WaveGradConfig(factors, (4,) * blocks, ((1, 2, 1, 2),) * blocks, 4, (4,) * blocks, mel.n_mels)
    return VocoderConfig(network, sizes, published_schedule("wavegrad-1000"), mel)


@pytest.mark.parametrize("rate, n_fft, hop, fmax", CONTRACTS)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_configuration_of_any_contract_trains_and_speaks(tmp_path, network, rate, n_fft, hop, fmax):
    from TTS.config import load_config
    from TTS.vocoder.models import setup_model

    from tts_diffvoc.coqui.configs import CONFIGS, audio_config, from_core, to_core

    mel = MelConfig(rate, n_fft, n_fft, hop, 80, 0.0, fmax)
    CONFIGS[network](audio=audio_config(mel)).save_json(tmp_path / "base.json")
    base = to_core(load_config(tmp_path / "base.json"))
    assert base.mel == mel and base.sizes.positions_per_frame == hop
    from_core(small(network, mel)).save_json(tmp_path / "config.json")
    torch.manual_seed(0)  # some first weights of WaveGrad, whose features multiply, overflow in two steps from noise
    vocoder = setup_model(load_config(tmp_path / "config.json")).vocoder
    assert vocoder.config.mel == mel
    waveform = 0.1 * torch.randn(2, 20 * hop, generator=torch.Generator().manual_seed(0))
    columns = vocoder.mel(waveform)[..., :20]
    optimizer = torch.optim.SGD(vocoder.parameters(), lr=1e-3)
    vocoder.loss(waveform, columns, seeds=[1, 2]).backward()
    before = [p.clone() for p in vocoder.parameters()]
    optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, vocoder.parameters()))
    made = vocoder.eval().generate(columns[:1], steps=2, seed=0)
    assert made.shape == (1, 20 * hop) and torch.isfinite(made).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_a_bad_hop_is_refused_when_the_configuration_is_read(tmp_path, network):
    from TTS.config import load_config

    from tts_diffvoc.coqui.configs import CONFIGS, from_core

    path = tmp_path / "config.json"
    for config in (CONFIGS[network](), from_core(small(network, MelConfig()))):
        values = config.to_dict()
        values["audio"]["hop_length"] = 257
        path.write_text(json.dumps(values))
        with pytest.raises(DiffvocError, match="256|257"):
            load_config(path)


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"seq_len": 1000}, "multiple of the hop, 256: use 1024"),
        ({"seq_len": -256}, "multiple of the hop"),
        ({"ema_decay": 1.0}, "between 0 and 1"),
        ({"precision": "fp8"}, "one of bf16, fp16"),
    ],
)
def test_bad_settings_are_refused_when_the_configuration_is_read(tmp_path, changes, says):
    from TTS.config import load_config

    from tts_diffvoc.coqui.configs import DiffvocDiffwaveConfig

    path = tmp_path / "config.json"
    path.write_text(json.dumps({**DiffvocDiffwaveConfig().to_dict(), **changes}))
    with pytest.raises(DiffvocError, match=says):
        load_config(path)
