"""Captured synthesis. On a CPU, which has no graphs, the same buffers are computed anew: all around a graph is real."""

import copy
import math
import pickle
from dataclasses import replace

import pytest
import torch
from small_vocoders import CONFIGS, FLOW, SPECTRAL, random_vocoder

from tts_diffvoc import load_vocoder
from tts_diffvoc.capture import BUCKET, MOST, Captures
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import build
from tts_diffvoc.mel import MelConfig

KINDS = [*CONFIGS, *FLOW, *SPECTRAL]
pytestmark = pytest.mark.filterwarnings("ignore:.* made a peak")


def mels(frames: int, count: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return list((torch.randn(count, 1, 80, frames, generator=generator) - 5).unbind())


def padded(mel: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(mel, (0, -mel.shape[2] % BUCKET), value=math.log(MelConfig().floor))


@pytest.mark.parametrize("kind", KINDS)
def test_captured_is_the_same_for_every_mel_and_seed(kind):
    vocoder = random_vocoder(kind)
    one, other = mels(BUCKET)
    asked = [(one, 1), (other, 1), (one, 2), (one, 1)]
    wanted = [vocoder.generate(mel, seed=seed) for mel, seed in asked]
    vocoder.captures = Captures()
    made = [vocoder.generate(mel, seed=seed) for mel, seed in asked]
    for got, want in zip(made, wanted):
        torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-6)
    assert len(vocoder.captures.calls) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_length_between_buckets_is_padded_by_silence(kind):
    vocoder = random_vocoder(kind)
    (mel,) = mels(BUCKET + 40, 1)
    wanted = vocoder.generate(padded(mel), seed=1)
    vocoder.captures = Captures()
    made = vocoder.generate(mel, seed=1)
    torch.testing.assert_close(made, wanted[:, : made.shape[1]], atol=1e-5, rtol=1e-5)
    assert made.shape == (1, mel.shape[2] * 256)
    vocoder.generate(mel[..., :-10], seed=1)
    assert len(vocoder.captures.calls) == 1


def test_options_have_captures_of_their_own_and_only_the_last_are_kept(diffwave):
    diffwave.captures = Captures()
    (mel,) = mels(4, 1)
    made = [diffwave.sample(mel, seed=1, steps=steps) for steps in range(1, MOST + 3)]
    assert len(diffwave.captures.calls) == MOST
    diffwave.captures = None
    for steps, one in ((1, made[0]), (MOST + 2, made[-1])):
        torch.testing.assert_close(one, diffwave.sample(padded(mel), seed=1, steps=steps)[:, : 4 * 256])


def test_silence_is_that_of_a_mel_normalised_band_by_band():
    scale, shift = (tuple(torch.linspace(low, low + 1, 80).tolist()) for low in (0.5, 3.0))
    mel = replace(MelConfig(), scale=scale, shift=shift)
    vocoder = build(replace(CONFIGS["diffwave"], mel=mel))
    (given,) = mels(4, 1)
    silence = math.log(mel.floor) * torch.tensor(scale) + torch.tensor(shift)
    wanted = vocoder.sample(torch.cat([given, silence[:, None].expand(1, -1, BUCKET - 4)], 2), seed=1)
    vocoder.captures = Captures()
    torch.testing.assert_close(vocoder.sample(given, seed=1), wanted[:, : 4 * 256], atol=1e-5, rtol=1e-5)


def test_another_precision_is_another_capture(diffwave):
    diffwave.captures = Captures()
    for autocast in (None, torch.bfloat16, None):
        diffwave.autocast = autocast
        diffwave.generate(*mels(4, 1), seed=1)
    assert len(diffwave.captures.calls) == 2


def test_captures_do_not_outlive_the_place_of_the_weights(diffwave):
    diffwave.captures = Captures()
    diffwave.generate(*mels(4, 1), seed=1)
    for copied in (copy.deepcopy(diffwave), pickle.loads(pickle.dumps(diffwave))):
        assert copied.captures is not None and not copied.captures.calls
    diffwave.to(torch.float32)
    assert not diffwave.captures.calls


def test_a_stream_is_captured_too(diffwave):
    (mel,) = mels(2 * BUCKET, 1)
    wanted = diffwave.sample(mel, seed=3).clamp(-1, 1)
    diffwave.captures = Captures()
    made = torch.cat(list(diffwave.stream(mel, 32, seed=3)), 1)
    torch.testing.assert_close(made[:, : -32 * 256], wanted[:, : -32 * 256], atol=1e-3, rtol=1e-3)


def test_graphs_are_refused_on_a_cpu():
    with pytest.raises(DiffvocError, match="^CUDA graphs were asked for on cpu; give device="):
        load_vocoder("diffwave", cuda_graphs=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["diffwave", "wavegrad"])
def test_a_graph_makes_what_its_kernels_make(name, dtype):
    plain = load_vocoder(name, "cuda", dtype)
    graphed = load_vocoder(name, "cuda", dtype, cuda_graphs=True)
    for seed, mel in enumerate(mels(BUCKET, 3)):
        for _ in range(2):
            wanted, made = (vocoder.generate(mel.cuda(), seed=seed) for vocoder in (plain, graphed))
            torch.testing.assert_close(made, wanted, atol=1e-4, rtol=1e-4)
