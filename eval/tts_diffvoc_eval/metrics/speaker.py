"""Whose voice it is: the d-vector of Resemblyzer, whose weights lie in its wheel."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tts_diffvoc_eval.metrics.waveforms import at_rate, check_audible, once

RATE, BANDS, SPAN = 16000, 40, 160  # frames of 10 ms that the network hears at once
STEP = 77  # frames between two spans: 1.3 a second
LOUDNESS = 10 ** (-30 / 20)  # root mean square that all sounds are brought to


def speaker_similarity(preds: np.ndarray, target: np.ndarray, sample_rate: int) -> float:
    """Cosine of two d-vectors, 0 to 1 (Wan et al. 2018): is it the same voice?

    Limits:
        The same voice in other words has about 0.85, another about 0.6; it forgives hiss. Needs
        `pip install --no-deps resemblyzer`.

    >>> voice = np.sign(np.sin(2 * np.pi * 150 * np.arange(22050) / 22050)) / 10
    >>> round(speaker_similarity(0.5 * voice, voice, 22050), 2)
    1.0
    """
    check_audible(preds)
    return float(d_vector(preds, sample_rate) @ d_vector(target, sample_rate))


@once
def d_vector(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Unit vector [256]: the mean over spans of 1.6 s of a waveform [T]. Resemblyzer itself leaves loud sounds loud,
    and takes pauses out."""
    import librosa

    samples = at_rate(samples, sample_rate, RATE)
    samples = samples * (LOUDNESS / np.sqrt(np.mean(np.square(samples))))
    mel = librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=400, hop_length=160, n_mels=BANDS).T
    starts = range(0, max(1, len(mel) - SPAN // 4 * 3 + 1), STEP)  # the last span has three quarters of it at least
    padded = np.pad(mel, ((0, SPAN), (0, 0))).astype(np.float32)
    lstm, linear = _network()
    with torch.inference_mode():
        state = lstm(torch.from_numpy(np.stack([padded[start : start + SPAN] for start in starts])))[1][0][-1]
        vectors = nn.functional.normalize(torch.relu(linear(state)), dim=1)
    return nn.functional.normalize(vectors.mean(0), dim=0).numpy()


@lru_cache(maxsize=1)
def _network() -> tuple[nn.LSTM, nn.Linear]:
    """The network with the package's weights; the package itself is not imported, as it needs webrtcvad."""
    package = find_spec("resemblyzer")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("it is not installed", name="resemblyzer")
    weights = torch.load(Path(package.origin).with_name("pretrained.pt"), map_location="cpu", weights_only=True)
    lstm, linear = nn.LSTM(BANDS, 256, 3, batch_first=True), nn.Linear(256, 256)
    for name, module in (("lstm.", lstm), ("linear.", linear)):
        state = weights["model_state"]
        module.load_state_dict({key.removeprefix(name): state[key] for key in state if key.startswith(name)})
    return lstm, linear
