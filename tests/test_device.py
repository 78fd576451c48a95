"""On a GPU, which these tests pretend: everything is on the device, and the host waits for it where it is stated.

And, on a CPU: one evaluation of every network is one graph for torch.compile, and bf16 casts each weight once.
"""

import pytest
import torch
from pretended_device import Pretending, place
from small_vocoders import CONFIGS, SPECTRAL, random_vocoder
from torch.utils._python_dispatch import TorchDispatchMode

from tts_diffvoc.diffusion.samplers import SAMPLERS
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.networks.diffwave import DiffWave
from tts_diffvoc.networks.wavegrad import WaveGrad, WaveGradConfig
from tts_diffvoc.spectral.network import Denoiser, DiffWaveSizes, WaveGradSizes
from tts_diffvoc.spectral.source import Source
from tts_diffvoc.spectral.vocoder import SpectralVocoder

KINDS = [*CONFIGS, *SPECTRAL, "waveglow"]
# The mel is looked at on the CPU; noise goes to the device before the first step; the peak is looked at in the end.
SAMPLED = ["mel_kinds.take_mel", "noise.draws", "audio.scale_peaks"]
STATED = {
    "diffwave": SAMPLED,
    "wavegrad": SAMPLED,
    "waveglow": ["mel_kinds.take_mel", "noise.__call__", "audio.scale_peaks"],
    # Pitch is decoded on the CPU, and the source that it gives goes back.
    "spectral": ["mel_kinds.take_mel", "pitch.<genexpr>", "pitch.<genexpr>", "noise.__call__", "vocoder.excitation",
                 "noise.__call__", "audio.scale_peaks"],
}  # fmt: skip


def waits(mode: Pretending) -> list[str]:
    return [wait.partition(":")[0] for wait in mode.waits]


@pytest.fixture
def mel() -> torch.Tensor:
    return torch.randn(2, 80, 24, generator=torch.Generator().manual_seed(0)) - 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:.* made a peak")
def test_synthesis_is_the_same_on_the_device_and_waits_where_it_is_stated(kind, mel):
    vocoder = random_vocoder(kind)
    counts = [{"steps": 2}, {"steps": 5}] if kind != "waveglow" else [{}, {"sigma": 0.3}]
    wanted = [vocoder.generate(mel, seed=3, **options) for options in counts]
    place(vocoder)
    with Pretending() as mode:
        given = mel.to("cuda")
        vocoder.generate(given, seed=3)  # what is copied to the device once
        for options, one in zip(counts, wanted):
            mode.waits.clear()
            made = vocoder.generate(given, seed=3, **options)
            assert made.device.type == "cuda" and made.dtype == torch.float32
            torch.testing.assert_close(made.held, one, atol=1e-5, rtol=1e-5)
            assert waits(mode) == STATED[kind.split()[0]]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.filterwarnings("ignore:.* made a peak")
def test_no_sampler_waits_between_its_steps(sampler, mel):
    vocoder = place(random_vocoder("diffwave"))
    with Pretending() as mode:
        found = []
        vocoder.generate(mel, seed=1, sampler=sampler, callback=lambda *_: found.append(len(mode.waits)))
    assert len(found) == (7 if sampler == "langevin" else 6) and found[0] == found[-1]


@pytest.mark.filterwarnings("ignore:.* made a peak")
def test_consistency_and_streams_on_the_device(mel):
    vocoder = random_vocoder("spectral diffwave")
    wanted = torch.cat(list(vocoder.stream(mel, 12, seed=3, consistency=2)), 1)
    place(vocoder)
    with Pretending() as mode:
        made = list(vocoder.stream(mel.to("cuda"), 12, seed=3, consistency=2))
        counted = len(mode.waits)
    assert all(one.device.type == "cuda" for one in made) and len(made) == 2
    torch.testing.assert_close(torch.cat([one.held for one in made], 1), wanted, atol=1e-4, rtol=1e-4)
    assert counted <= 1 + 2 * 8  # of each chunk as of a call, whatever the iterations


@pytest.mark.parametrize("kind", KINDS)
def test_no_loss_waits(kind, mel):
    """The backward pass is left out: autograd asks CUDA itself for its streams."""
    vocoder = place(random_vocoder(kind).train())
    waveform = 0.1 * torch.randn(2, 24 * 256).clamp(-1, 1)

    def losses(waveform, mel, bandwidth, f0):
        if not isinstance(vocoder, SpectralVocoder):
            return [vocoder.loss(waveform, mel)]
        batch = {"waveform": waveform, "recording": waveform, "source": waveform.flip(1), "bandwidth": bandwidth}
        batch |= {"f0": f0, "sure": f0 / 120}
        return [part.loss(batch)["loss"] for part in (vocoder, vocoder.magnitude, vocoder.pitch)]

    with Pretending() as mode:
        batch = [one.to("cuda") for one in (waveform, mel, torch.tensor([11025.0, 8e3]), torch.full((2, 24), 120.0))]
        losses(*batch)  # what is copied to the device once
        mode.waits.clear()
        for _ in range(4):  # of batches there are two kinds
            assert all(one.held.isfinite() for one in losses(*batch))
        for parameter in vocoder.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer = torch.optim.AdamW(vocoder.parameters(), foreach=True)
        torch.nn.utils.clip_grad_norm_(vocoder.parameters(), 1.0)
        optimizer.step()
        assert mode.waits == []


def test_the_pretended_device_notices():
    with Pretending() as mode:
        x = torch.arange(4.0, device="cuda")
        with pytest.raises(AssertionError, match="mixes the device with a CPU tensor"):
            x + torch.ones(4)
        assert x.device.type == "cuda" and (x + 1).device.type == "cuda" and mode.waits == []
        for number, wait in enumerate((lambda: x.sum().item(), lambda: bool((x > 1).any()), lambda: x[x > 1],
                                       lambda: x.nonzero(), lambda: x.cpu(), lambda: torch.ones(4).to("cuda"),
                                       lambda: torch.linalg.inv(torch.eye(4, device="cuda"))), 1):  # fmt: skip
            wait()
            assert len(mode.waits) == number


def whole(function, *arguments):
    """What ``function`` gives compiled in one graph, beside what it gives by itself."""
    compiled = torch.compile(function, fullgraph=True, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(*arguments), function(*arguments))


@pytest.mark.parametrize("kind", CONFIGS)
def test_an_evaluation_of_a_published_network_is_one_graph(kind, mel):
    network = random_vocoder(kind).network
    level = torch.tensor([0.9, 0.7])
    with torch.no_grad():
        whole(network, torch.randn(2, 24 * 256), level, network.condition(mel))
    whole(network.condition, mel)


def test_an_evaluation_on_another_device_than_the_schedule_is_one_graph():
    config = CONFIGS["diffwave"]
    with torch.device("meta"), torch.no_grad():
        network = DiffWave(config.sizes, NoiseSchedule(config.schedule.betas))
        conditioning = network.condition(torch.zeros(1, 80, 4))
        compiled = torch.compile(network, fullgraph=True, backend="eager")
        assert compiled(torch.zeros(1, 1024), torch.zeros(1), conditioning).shape == (1, 1024)


def test_an_evaluation_of_coquis_wavegrad_is_one_graph(mel):
    sizes = WaveGradConfig((4, 4), (8, 8), ((1, 2, 1, 2),) * 2, 8, (4, 8), 80, level_encoding="added")
    network = WaveGrad(sizes).eval()
    with torch.no_grad():
        whole(network, torch.randn(2, 24 * 16), torch.tensor([0.9, 0.7]), network.condition(mel, 3))


def test_waveglow_is_one_graph(mel):
    network = random_vocoder("waveglow").network
    whole(lambda mel, z: network.inverse(mel, z), mel, torch.randn(2, 8, 24 * 32))


@pytest.mark.parametrize("sizes", [DiffWaveSizes(16, 2, 2), WaveGradSizes(16, (2, 1))])
def test_an_evaluation_of_a_spectral_denoiser_is_one_graph(sizes):
    torch.manual_seed(0)
    denoiser = Denoiser(sizes, 9).eval()
    torch.nn.init.normal_(denoiser.output.weight, std=0.02)
    z, projected, phases, spectrum = torch.randn(4, 2, 7, 2, 9).unbind()
    source = Source(phases, spectrum, torch.randn(2, 7, 9))
    with torch.no_grad():
        condition = denoiser.condition(torch.randn(2, 7, 9), source)
        whole(denoiser, z, projected, torch.tensor([0.0, 0.4]), condition, source)


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.filterwarnings("ignore:.* made a peak")
def test_mixed_precision_casts_each_weight_once(kind, mel):
    class Casts(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += func is torch.ops.aten._to_copy.default and isinstance(args[0], torch.nn.Parameter)
            return func(*args, **(kwargs or {}))

    vocoder = random_vocoder(kind)
    vocoder.autocast = torch.bfloat16
    counts = []
    for steps in (1, 4):
        with Casts() as mode:
            made = vocoder.generate(mel, steps=steps, seed=0)
        counts.append(mode.count)
    assert made.dtype == torch.float32
    assert 0 < counts[0] == counts[1] <= len(list(vocoder.parameters()))


def test_the_networks_of_magnitude_and_pitch_are_one_graph(mel):
    vocoder = random_vocoder("spectral diffwave")
    whole(vocoder.magnitude, mel, torch.randn(2, 24, vocoder.transform.bins))
    whole(vocoder.pitch.logits, mel)
