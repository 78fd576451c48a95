"""The bundled vocoders on recordings that none of them learnt from: any step gone wrong shows here."""

from functools import lru_cache

import pytest
import soxr
import torch

from tts_diffvoc.checkpoint import load_vocoder
from tts_diffvoc.spectral.vocoder import SpectralVocoder
from tts_diffvoc_eval import speech

pesq = pytest.importorskip("pesq")
CLIPS = ("awb-06", "slt-01")


@lru_cache
def bundled(name: str) -> SpectralVocoder:
    vocoder = load_vocoder(name)
    assert isinstance(vocoder, SpectralVocoder)
    return vocoder


@lru_cache
def clip(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A recording [1, T] and its mel [1, 80, F]."""
    found = next(one for one in speech.load([], 99, None)[0] if one.name == name)
    return torch.from_numpy(found.samples)[None], found.mel


def score(reference: torch.Tensor, made: torch.Tensor) -> float:
    """PESQ-WB of [1, T] at 22,050 Hz."""
    return pesq.pesq(16000, *(soxr.resample(sound[0].numpy(), 22050, 16000) for sound in (reference, made)), "wb")


@pytest.mark.parametrize("name", ["diffwave", "wavegrad"])
def test_speech_comes_back_and_better_than_from_the_prior(name):
    vocoder, gains = bundled(name), []
    for recording, mel in map(clip, CLIPS):
        made = vocoder.generate(mel, seed=0)
        assert (vocoder.mel(made)[..., : mel.shape[-1]] - mel).abs().mean() < 0.25
        whole = score(recording, made)
        assert whole > 3.3
        gains.append(whole - score(recording, vocoder.generate(mel, seed=0, steps=0)))
    assert sum(gains) > 0


@pytest.mark.parametrize("name, dtype", [("diffwave", "float16"), ("wavegrad", "bfloat16")])
def test_half_precision_costs_nothing_that_is_heard(name, dtype):
    half = load_vocoder(name, dtype=dtype)
    for recording, mel in map(clip, CLIPS):
        whole, made = bundled(name).generate(mel, seed=0), half.generate(mel, seed=0)
        assert made.dtype == torch.float32 and not torch.equal(made, whole)
        assert score(recording, made) > score(recording, whole) - 0.02


def test_a_stream_is_heard_as_the_whole():
    vocoder, (_, mel) = bundled("diffwave"), clip(CLIPS[0])
    chunks = list(vocoder.stream(mel.split(50, 2), 64, seed=0))
    assert score(vocoder.generate(mel, seed=0), torch.cat(chunks, 1)) > 4.5
