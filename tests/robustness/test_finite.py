"""What is not finite, or no audio, never leaves: mels, weights, samples (kinds 1 and 9)."""

import dataclasses
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from small_generators import random_generator
from small_vocoders import CONFIGS, SPECTRAL, random_vocoder

import tts_diffvoc
from tts_diffvoc.audio import read_audio
from tts_diffvoc.checkpoint import save_checkpoint
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, check_mel, limits, log_mel, mel_filters

MELS = {
    "Tacotron 2": MelConfig(),
    "decibels": MelConfig(log_base="10", scale=20.0),
    "normalised": MelConfig(log_base="10", scale=tuple(np.linspace(0.5, 2, 80)), shift=tuple(np.linspace(-1, 1, 80))),
    "power": MelConfig(power=2, mel_scale="htk", mel_norm="none", floor=1e-10),
    "loud": MelConfig(gain=100.0, floor=1e-3),
}


@pytest.fixture(scope="module", params=SPECTRAL)
def vocoder(request):
    return random_vocoder(request.param)


@pytest.mark.parametrize("kind", MELS)
@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["noise", "square", "tone", "silence", "click"]))
def test_no_mel_of_audio_is_refused(kind, seed, sound):
    random = np.random.default_rng(seed)
    time = np.arange(4000) / 22050
    frequency = random.uniform(20, 11000)
    waveform = {
        "noise": random.uniform(-1, 1, 4000),
        "square": np.sign(np.sin(2 * np.pi * frequency * time)),
        "tone": np.cos(2 * np.pi * frequency * time),
        "silence": np.zeros(4000),
        "click": (np.arange(4000) == 2000).astype(float),
    }[sound]
    check_mel(log_mel(torch.from_numpy(waveform).float()[None], MELS[kind]), MELS[kind])


@given(
    st.one_of(st.floats(60, 1e38), st.floats(-1e38, -60), st.sampled_from([np.nan, np.inf, -np.inf])),
    st.integers(0, 79),
    st.integers(0, 8),
)
def test_one_bad_value_is_named_by_its_frame(value, band, frame):
    mel = torch.full((1, 80, 9), -4.0)
    mel[0, band, frame] = value
    with pytest.raises(DiffvocError, match=f"^frame {frame} of the mel holds .* in band {band};"):
        check_mel(mel, MelConfig())


@settings(max_examples=12)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 6), st.integers(0, 2), st.integers(0, 2))
def test_whatever_is_within_the_limits_gives_finite_sound(vocoder, low, high, frames, steps, consistency):
    least, most = (float(one.max()) for one in limits(MelConfig()))
    mel = torch.empty(1, 80, frames).uniform_(low, max(low, high), generator=torch.Generator().manual_seed(frames))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of peaks
        made = vocoder.generate(least + (most - least) * mel, steps=steps, seed=1, consistency=consistency)
    assert made.abs().max() <= 1


def test_a_peak_is_told_and_scaled_and_a_streams_is_cut(vocoder):
    mel = torch.full((2, 80, 12), 5.5)
    mel[1] = -6.0
    with pytest.warns(UserWarning, match="made a peak of"):
        made = vocoder.generate(mel, seed=1, steps=1)
    assert float(made[0].abs().max()) == pytest.approx(1) and made[1].abs().max() < 0.5
    with pytest.warns(UserWarning, match="was cut"):
        assert torch.cat(list(vocoder.stream(mel, seed=1, steps=1)), 1).abs().max() == 1


@pytest.mark.parametrize("kind", [*CONFIGS, *SPECTRAL])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30, "bool", "int", "scalar"])
def test_bad_weights_are_refused_or_make_no_sound(kind, bad, tmp_path):
    save_checkpoint(random_vocoder(kind), tmp_path / "a", "# A\n", torch.float32)
    weights = load_file(tmp_path / "a/model.safetensors")
    name = max(weights, key=lambda name: weights[name].numel())
    if isinstance(bad, float):
        weights[name].view(-1)[3] = bad
    else:
        weights[name] = torch.tensor(0.0) if bad == "scalar" else weights[name].to(getattr(torch, bad))
    save_file(weights, tmp_path / "a/model.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = tts_diffvoc.load_vocoder(tmp_path / "a").generate(torch.full((1, 80, 4), -4.0), steps=2, seed=1)
        except DiffvocError as error:
            assert "\n" not in str(error)
        else:
            assert bad == 1e30 and made.isfinite().all() and made.abs().max() <= 1


def test_weights_that_do_not_fit_the_type_are_not_saved(tmp_path):
    vocoder = random_vocoder("spectral diffwave")
    with torch.no_grad():
        vocoder.denoiser.signal.bias[0] = 1e6  # float16 ends at 65,504
    with pytest.raises(DiffvocError, match="denoiser.signal.bias"):
        save_checkpoint(vocoder, tmp_path, "# A\n")
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("value, says", [(1e30, "far above full scale"), (np.nan, "NaN"), (np.inf, "NaN or infinite")])
def test_audio_that_is_none(tmp_path, value, says):
    samples = np.zeros(5000, np.float32)
    samples[4000] = value
    soundfile.write(tmp_path / "a.wav", samples, 22050, subtype="FLOAT")
    with pytest.raises(DiffvocError, match=says):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "mel, says",
    [
        (np.full((80, 5), -4.0), "ndarray"),
        ([[-4.0] * 5] * 80, "list"),
        (torch.full((80, 5), -4.0, dtype=torch.complex64), "real"),
        (torch.zeros(80, 5, dtype=torch.bool), "bool"),
        (torch.zeros(2, 3, 80, 5), r"\[2, 3, 80, 5\]"),
        (torch.zeros(80), r"\[80\]"),
        (torch.zeros(0, 80, 5), "no frames"),
    ],
)
def test_what_is_no_mel(vocoder, mel, says):
    with pytest.raises(DiffvocError, match=says):
        vocoder.generate(mel)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int16])
def test_a_mel_of_any_real_type(vocoder, dtype):
    mel = torch.full((80, 5), -4.0)
    assert torch.equal(vocoder.generate(mel.to(dtype), seed=1, steps=1), vocoder.generate(mel, seed=1, steps=1))


def test_neither_autocast_nor_training_mode_nor_threads_change_the_sound(vocoder):
    mel = torch.linspace(-8, -2, 80).unsqueeze(1).expand(-1, 7)
    expected = vocoder.generate(mel, seed=1, steps=2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(vocoder.generate(mel, seed=1, steps=2), expected)
    assert torch.equal(vocoder.train().generate(mel, seed=1, steps=2), expected)
    vocoder.eval()
    made: dict[int, torch.Tensor] = {}
    threads = [
        threading.Thread(target=lambda i: made.update({i: vocoder.generate(mel, seed=1, steps=2)}), args=[i])
        for i in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(made) == 4 and all(torch.equal(one, expected) for one in made.values())


def test_what_inference_keeps_serves_training():
    config = dataclasses.replace(MelConfig(), fmax=7777.0)  # of no other test
    with torch.inference_mode():
        mel_filters(config)
    waveform = torch.zeros(1, 2048).requires_grad_()
    log_mel(waveform, config).sum().backward()
    assert waveform.grad is not None


FORKED = """
import os, signal, sys, torch
from small_vocoders import random_vocoder

torch.set_num_threads(2)
vocoder, mel = random_vocoder("spectral diffwave"), torch.full((1, 80, 100), -4.0)
expected = vocoder.generate(mel, seed=1)
child = os.fork()
if not child:
    signal.alarm(60)
    os._exit(0 if torch.allclose(vocoder.generate(mel, seed=1), expected, atol=1e-5) else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_does_not_hang():
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "2"}
    result = subprocess.run([sys.executable, "-c", FORKED], env=environment, capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ("0", 0), result.stderr


@pytest.mark.parametrize(
    "waveform, says",
    [
        (np.zeros(9000), "ndarray"),
        ([0.0] * 9000, "list"),
        (torch.zeros(9000, dtype=torch.int16), "int16"),
        (torch.zeros(9000, dtype=torch.complex64), "complex64"),
        (torch.zeros(1, 2, 9000), r"\[1, 2, 9000\]"),
        (torch.zeros(0), r"\[0\]"),
        (torch.full((9000,), 3e4), "peak of 3e"),
        (torch.full((9000,), torch.nan), "peak of nan"),
    ],
)
def test_what_is_no_waveform(vocoder, waveform, says):
    with pytest.raises(DiffvocError, match=says):
        vocoder.mel(waveform)
    with pytest.raises(DiffvocError, match=says):
        random_generator("plain").denoise(waveform, t=3)


def test_rows_are_clips():
    waveform = torch.rand(2, 600) - 0.5
    assert random_generator("plain").denoise(waveform, t=3, steps=1).shape == (2, 600)
    assert random_generator("plain").denoise(waveform[0].double(), t=3, steps=1).shape == (1, 600)
