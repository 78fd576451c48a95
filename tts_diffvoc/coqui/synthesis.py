"""One of our vocoders in Coqui's Synthesizer, and the mel of the acoustic model there as the vocoder takes it.

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
from TTS.utils.audio import AudioProcessor

from tts_diffvoc import checkpoint, voices
from tts_diffvoc.coqui import configs
from tts_diffvoc.coqui.models import DiffvocVocoder
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, compress
from tts_diffvoc.mel_kinds import approximated, differences

MEL_CHOICES = ("exact", "approximate")


def load_vocoder(synthesizer: Any, spec: str, use_cuda: bool) -> None:
    """Do what ``Synthesizer._load_vocoder`` does, and fit the mels of its acoustic model to the vocoder.

    Raises: DiffvocError when the two do not fit, or for a bad checkpoint or option.
    """
    plain, approximate = split_spec(spec)
    vocoder = checkpoint.load_vocoder(plain, "cuda" if use_cuda else "cpu")
    config = configs.from_core(vocoder.config)
    model = DiffvocVocoder(config, vocoder).eval()
    model.convert_mel = converter(acoustic_processor(synthesizer), vocoder.mel_config, approximate, vocoder.name)
    synthesizer.vocoder_config = config
    synthesizer.output_sample_rate = vocoder.sample_rate
    synthesizer.vocoder_ap = AudioProcessor(config.audio)
    synthesizer.vocoder_model = model


def split_spec(spec: str) -> tuple[str, bool]:
    """Split a spec into what ``load_vocoder`` takes, and whether it asks for mel=approximate."""
    name, options = voices.parse(spec)
    choice = options.pop("mel", "exact")
    if choice not in MEL_CHOICES:
        raise DiffvocError(f"mel={choice} is unknown; choose one of {', '.join(MEL_CHOICES)}.")
    query = "&".join(f"{option}={value}" for option, value in options.items())
    return f"{name}?{query}" if query else name, choice == "approximate"


def acoustic_processor(synthesizer: Any) -> Any:
    """The AudioProcessor of the acoustic model; DiffvocError when what is loaded predicts no mels."""
    model = synthesizer.tts_model
    processor = getattr(model, "ap", None)
    if not hasattr(processor, "mel_basis") or hasattr(model, "waveform_decoder"):
        kind = type(model or synthesizer.vc_model).__name__
        raise DiffvocError(
            f"the model {kind} predicts no mel spectrogram, so no vocoder fits behind it; "
            f"choose an acoustic model such as {voices.full_name(voices.DEFAULT_ACOUSTIC)}, or leave the vocoder out."
        )
    return processor


def spectrogram(processor: Any) -> MelConfig:
    """What a level conversion cannot change about the mels of a Coqui AudioProcessor, which are Slaney's magnitudes."""
    values = {ours: getattr(processor, theirs) for ours, theirs in configs.SHARED.items()}
    values |= {"fmin": values["fmin"] or 0.0, "fmax": values["fmax"] or processor.sample_rate / 2}
    return MelConfig(**values)


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
    source, preemphasis = spectrogram(processor), float(processor.preemphasis)
    different = differences(source, config) + ([f"preemphasis {preemphasis:g} against 0"] if preemphasis else [])
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
            return approximated(amplitude, source, config, preemphasis).unsqueeze(0)
        return compress(torch.from_numpy(amplitude), config).float().unsqueeze(0)

    return convert
