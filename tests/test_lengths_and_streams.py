"""What every vocoder makes of batches of several lengths, of seeds a row, and of a mel that comes in pieces."""

import numpy as np
import pytest
import torch
from small_vocoders import CONFIGS, FLOW, SPECTRAL, random_vocoder

from tts_diffvoc.base import MelVocoder
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import build
from tts_diffvoc.flow import FlowConfig
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.networks.waveglow import WaveGlowConfig
from tts_diffvoc.networks.wavegrad import WaveGradConfig
from tts_diffvoc.vocoder import VocoderConfig

HOP = 64
MEL = MelConfig(n_fft=512, win_length=512, hop_length=HOP, n_mels=20)
SCHEDULE = CONFIGS["wavegrad"].schedule
# Networks that see many frames, so that too little context shows.
FAR = {
    "diffwave": DiffWaveConfig(4, 9, 8, n_mels=20, upsample_factors=(16, 4)),
    "diffwave with speakers": DiffWaveConfig(4, 9, 8, n_mels=20, upsample_factors=(4, 1, 16), labels=2),
    "wavegrad": WaveGradConfig((4, 4, 4), (4, 4, 4), ((1, 2, 4, 8),) * 3, 4, (4, 4, 4), 20, repeats=2),
    "wavegrad of Coqui's": WaveGradConfig(
        (4, 4, 4), (4, 4, 4), ((1, 2, 4, 8),) * 3, 4, (4, 4, 4), 20, level_encoding="added"
    ),
    "wavegrad of ivanvovk's": WaveGradConfig(
        (8, 4, 2), (4, 4, 4), ((1, 2, 4, 8),) * 3, 4, (4, 4, 4), 20, interpolation="linear"
    ),
    "waveglow": WaveGlowConfig(20, 2, 8, 1, layers=7, channels=4, hop_length=HOP, upsample_window=4 * HOP),
}
pytestmark = pytest.mark.filterwarnings("ignore:.*made a peak")  # random networks do


@pytest.fixture(params=[*CONFIGS, *FLOW, *SPECTRAL])
def any_vocoder(request) -> MelVocoder:
    return random_vocoder(request.param)


def random_mel(rows: int, frames: int, bands: int = 80) -> torch.Tensor:
    noise = torch.randn(rows, bands, frames, generator=torch.Generator().manual_seed(frames))
    return (2.2 * noise - 6.5).clamp(-11, 2)


def far(kind: str) -> MelVocoder:
    """A vocoder of FAR, every weight random."""
    torch.manual_seed(0)
    sizes, network = FAR[kind], kind.split()[0]
    config = FlowConfig(network, sizes, MEL) if network == "waveglow" else VocoderConfig(network, sizes, SCHEDULE, MEL)
    vocoder = build(config, "far").eval()
    with torch.no_grad():
        for parameter in vocoder.network.parameters():
            if network == "wavegrad":
                parameter.mul_(0.5)
            parameter.add_(0.1 * torch.randn_like(parameter))
    return vocoder


def test_rows_are_what_they_would_be_alone_and_silent_after_their_end(any_vocoder):
    mel, lengths, seeds = random_mel(3, 24), [7, 24, 13], [5, 6, 5]
    mel[0, :, 7:] = torch.nan
    made = any_vocoder.generate(mel, lengths=torch.tensor(lengths), seed=seeds)
    assert made.shape == (3, 24 * 256)
    for row, (length, seed) in enumerate(zip(lengths, seeds)):
        alone = any_vocoder.generate(mel[row, :, :length], seed=seed)[0]
        assert torch.equal(made[row, : length * 256], alone) and alone.abs().max() > 0.01
        assert not made[row, length * 256 :].any()


def test_a_rows_noise_is_its_seeds_wherever_it_stands(any_vocoder):
    mel = random_mel(1, 9).expand(3, -1, -1)
    made, turned = (any_vocoder.generate(mel, seed=seeds) for seeds in ([1, 2, 1], (2, 1, 1)))
    one = any_vocoder.generate(mel, seed=1)
    for row, same in zip(made, (one[0], turned[0], one[2])):
        torch.testing.assert_close(row, same, atol=2e-4, rtol=0)
    assert not torch.allclose(made[0], made[1], atol=0.01)
    by_length = any_vocoder.generate(mel, lengths=np.full(3, 9), seed=1)
    assert torch.equal(by_length[0], by_length[2])


def test_what_is_made_is_an_ordinary_tensor_on_the_device_of_the_mel(any_vocoder):
    mel = random_mel(2, 9).double()
    for made in (
        any_vocoder.generate(mel),
        any_vocoder.generate(mel, lengths=[9, 2]),
        next(any_vocoder.stream(mel)),
    ):
        assert made.dtype == torch.float32 and made.device == mel.device and not made.requires_grad
        before = made.clone()
        made *= 0.5
        assert torch.equal(made, 0.5 * before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_mel_on_another_device_gets_its_waveform_there(any_vocoder):
    mel = random_mel(1, 9)
    made = any_vocoder.cuda().generate(mel, seed=0)
    assert made.device == mel.device and next(any_vocoder.stream(mel)).device == mel.device


@pytest.mark.parametrize(
    "lengths",
    [
        [25, 1], [0, 3], [-1, 3], [3], [3, 3, 3], 3, [3.0, 3], "33", None, [[3], [3]], torch.ones(2), torch.tensor(3)
    ],
)  # fmt: skip
def test_bad_lengths_are_refused(lengths):
    vocoder = random_vocoder("diffwave")
    if lengths is None:  # all frames
        assert vocoder.generate(random_mel(2, 24), lengths=lengths).shape == (2, 24 * 256)
        return
    with pytest.raises(DiffvocError, match=r"^lengths=.* for 2 mels of 24 frames; give .* from 1 to 24\.$"):
        vocoder.generate(random_mel(2, 24), lengths=lengths)


def test_bad_mels_are_refused_with_lengths_too():
    vocoder = random_vocoder("diffwave")
    for mel, says in ((torch.zeros(80), r"shape \[80\]"), ([], "list"), (torch.zeros(0, 80, 3), "no frames")):
        with pytest.raises(DiffvocError, match=says):
            vocoder.generate(mel, lengths=[1])


@pytest.mark.parametrize(
    "kind, options",
    [
        *((kind, {}) for kind in FAR),
        ("diffwave", {"sampler": "langevin"}),
        ("diffwave", {"sampler": "dpm_solver_pp_2m"}),
        ("waveglow", {"denoise": 0.5}),
    ],
)
def test_chunks_join_to_exactly_the_whole(kind, options, monkeypatch):
    vocoder = far(kind)
    more = {"steps": 2} if "steps" in vocoder.GENERATE_OPTIONS else {}
    more |= {"speaker": 1} if "speakers" in kind else {}
    mel = random_mel(2, 150, 20)
    whole = vocoder.sample(mel, seed=[1, 2], **options, **more)
    assert whole.abs().max() > 0.1
    pieces = mel.split([1, 70, 79], 2)
    chunks = list(vocoder.stream(iter(pieces), 30, seed=[1, 2], **options, **more))
    assert [chunk.shape[1] for chunk in chunks] == [30 * HOP] * 5
    atol = 1e-5 * max(1.0, float(whole.abs().max()))
    torch.testing.assert_close(torch.cat(chunks, 1), whole.clamp(-1, 1), atol=atol, rtol=0)
    assert 0 < vocoder._context(vocoder._settle(**options, **more)) < 60
    monkeypatch.setattr(vocoder, "_context", lambda settings: 0)
    blind = torch.cat(list(vocoder.stream(mel, 30, seed=[1, 2], **options, **more)), 1)
    assert (blind - whole.clamp(-1, 1)).abs().max() > 100 * atol


@pytest.mark.parametrize("kind", ["diffwave", "waveglow"])
def test_a_minute_and_more_is_made_in_chunks(kind, monkeypatch):
    vocoder, mel = far(kind), random_mel(1, 700, 20)
    more = {"steps": 2} if "steps" in vocoder.GENERATE_OPTIONS else {}
    whole = vocoder.generate(mel, seed=3, **more)
    seen, synthesise = [], vocoder._synthesise

    def watched(window, *others):
        seen.append(window.mel.shape[2])
        return synthesise(window, *others)

    monkeypatch.setattr(vocoder, "_synthesise", watched)
    monkeypatch.setattr("tts_diffvoc.base.LONGEST", 2.0)
    torch.testing.assert_close(vocoder.generate(mel, seed=3, **more), whole, atol=1e-5, rtol=0)
    assert len(seen) > 1 and max(seen) < 700
    if more:
        vocoder.generate(mel, seed=3, **more, callback=lambda *state: None)
        assert seen[-1] == 700


def test_bad_streams_are_refused(any_vocoder):
    mel = random_mel(1, 9)
    for pieces, options, says in (
        ([], {}, "ended before its first"),
        (iter(()), {}, "ended before its first"),
        (mel, {"chunk_frames": 0}, "chunk_frames=0 was given; give a whole number of at least 1"),
        (mel, {"chunk_frames": 2.5}, "chunk_frames=2.5"),
        (mel, {"seed": [1, 2]}, "2 seeds were given for 1 mels"),
        (mel, {"seed": "one"}, "seed='one'"),
        (mel, {"colour": 1}, "unknown option 'colour'"),
        ([mel, mel[:, :79]], {}, "shape"),
        (torch.zeros(1, 80, 0), {}, "no frames"),
    ):
        with pytest.raises(DiffvocError, match=says):
            list(any_vocoder.stream(pieces, **options))
