"""From the mel of a Coqui acoustic model to the mel that a vocoder takes.

Coqui de-normalises with the one's AudioProcessor and normalises with the other's, and looks at nothing else.
Level settings (normalisation, decibel gain, base of the logarithm, floor) are undone here exactly, down to
magnitudes. Another sample rate, window, hop, filter bank or pre-emphasis is another spectrogram: it is
refused, or approximated when the user asks for it. F counts frames, M mel bands, K bins of a spectrum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, compress, mel_filters

UNITS = {"sample_rate": " Hz", "fmin": " Hz", "fmax": " Hz", "n_fft": "", "win_length": "", "hop_length": ""}


def geometry(processor: Any) -> dict[str, Any]:
    """What a level conversion cannot change about the mels of a Coqui AudioProcessor, in our names."""
    return {
        "sample_rate": processor.sample_rate,
        "n_fft": processor.fft_size,
        "win_length": processor.win_length,
        "hop_length": processor.hop_length,
        "n_mels": processor.num_mels,
        "fmin": float(processor.mel_fmin or 0.0),
        "fmax": float(processor.mel_fmax or processor.sample_rate / 2),
        "mel_scale": "slaney",  # the only one that Coqui makes
        "mel_norm": "slaney",  # likewise
        "power": 1,  # Coqui's setting of that name is Griffin-Lim's
        "preemphasis": float(processor.preemphasis),
    }


def differences(processor: Any, config: MelConfig) -> list[str]:
    """Each setting in which the acoustic model's spectrogram is another one, with both values."""
    theirs, ours = geometry(processor), {**config.to_dict(), "preemphasis": 0.0}
    return [
        f"{name} {_text(theirs[name], name)} against {_text(ours[name], name)}"
        for name in theirs
        if theirs[name] != ours[name]
    ]


def _text(value: Any, name: str) -> str:
    return f"{value:g}{UNITS.get(name, '')}" if isinstance(value, (int, float)) else str(value)


def magnitudes(mel: np.ndarray, processor: Any) -> np.ndarray:
    """Undo the level settings of ``processor``: its mel [M, F] to mel magnitudes [M, F], float64."""
    level = np.asarray(processor.denormalize(np.asarray(mel, dtype=np.float64)), dtype=np.float64)
    if not processor.do_amp_to_db_mel:
        return np.maximum(level, 0.0)
    return np.power(float(processor.base), level / processor.spec_gain)


def converter(processor: Any, config: MelConfig, approximate: bool, name: str) -> Callable[[Tensor], Tensor]:
    """The function that turns the acoustic model's output [F, M] into the vocoder's mel [1, M', F'].

    Args:
        processor: the acoustic model's AudioProcessor.
        config: the vocoder's contract.
        approximate: convert another kind of spectrogram approximately, instead of refusing it.
        name: the vocoder's, for messages.

    Raises: DiffvocError naming both sides when their spectrograms differ and ``approximate`` is false.
    """
    different = differences(processor, config)
    if different and not approximate:
        raise DiffvocError(
            f"the acoustic model's mel is not the one that the vocoder {name} takes ({'; '.join(different)}, "
            f'acoustic model first); choose another model, or accept a loss with "{name}?mel=approximate".'
        )

    def convert(output: Tensor) -> Tensor:
        mel = output.detach().cpu().numpy()
        if mel.ndim != 2 or mel.shape[1] != processor.num_mels:
            raise DiffvocError(
                f"the acoustic model gave an output of shape {list(mel.shape)} and not mel frames "
                f"[F, {processor.num_mels}]; choose a model that predicts mel spectrograms."
            )
        amplitude = magnitudes(mel.T, processor)
        if different:
            return approximated(amplitude, processor, config)
        return compress(torch.from_numpy(amplitude), config).float().unsqueeze(0)

    return convert


def approximated(mel: np.ndarray, processor: Any, config: MelConfig) -> Tensor:
    """Mel magnitudes [M, F] of one kind of spectrogram to the log-mel [1, M', F'] of another.

    The spectrum behind the mel is estimated without negative values, resampled over frequency, filtered by
    the vocoder's bank, and its level resampled over time. What the first bank misses stays at the floor.
    """
    spectrum = spectrum_behind(mel, np.asarray(processor.mel_basis, dtype=np.float64))
    source = np.linspace(0.0, processor.sample_rate / 2, spectrum.shape[0])
    if processor.preemphasis:
        response = np.abs(1 - processor.preemphasis * np.exp(-2j * np.pi * source / processor.sample_rate))
        spectrum = spectrum / np.maximum(response, 0.05)[:, None]
    target = np.linspace(0.0, config.sample_rate / 2, config.n_fft // 2 + 1)
    resampled = np.stack([np.interp(target, source, frame, right=0.0) for frame in spectrum.T], axis=1)
    # A windowed sinusoid's peak grows with the sum of the window.
    resampled *= config.win_length / processor.win_length
    amplitude = mel_filters(config).double() @ torch.from_numpy(resampled**config.power)
    log_mel = compress(amplitude, config)
    return in_time(log_mel, processor, config).float().unsqueeze(0)


def spectrum_behind(mel: np.ndarray, filters: np.ndarray, iterations: int = 60) -> np.ndarray:
    """A non-negative spectrum [K, F] whose filtered version is ``mel`` [M, F]; ``filters`` is [M, K].

    Multiplicative updates for the squared error (Lee and Seung 2001, theorem 1), from the back-projection.
    """
    reached = filters.sum(axis=1, keepdims=True)
    weight = filters.sum(axis=0)[:, None]
    spectrum = filters.T @ (mel / np.maximum(reached, 1e-12)) / np.maximum(weight, 1e-12)
    numerator = filters.T @ mel
    for _ in range(iterations):
        spectrum = spectrum * numerator / np.maximum(filters.T @ (filters @ spectrum), 1e-12)
    return spectrum


def in_time(log_mel: Tensor, processor: Any, config: MelConfig) -> Tensor:
    """Resample frames linearly: frame i of [M, F] is centred at i * hop / sample rate on either side."""
    seconds = processor.hop_length / processor.sample_rate
    wanted = config.hop_length / config.sample_rate
    if seconds == wanted:
        return log_mel
    last = log_mel.shape[1] - 1
    position = torch.arange(int(last * seconds / wanted + 1e-6) + 1, dtype=log_mel.dtype) * (wanted / seconds)
    left = position.floor().long().clamp(max=last)
    right = (left + 1).clamp(max=last)
    weight = position - left
    return log_mel[:, left] * (1 - weight) + log_mel[:, right] * weight
