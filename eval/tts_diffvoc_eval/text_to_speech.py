"""From text: an acoustic model's mels in front of every system."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tts_diffvoc import register, voices
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.mels import MEL
from tts_diffvoc_eval.runner import reason
from tts_diffvoc_eval.speech import Clip

ACOUSTIC = voices.full_name(voices.DEFAULT_ACOUSTIC)


@dataclass
class TextToMel:
    """A Coqui acoustic model by its name or folder, as ``TTS.api`` loads it before one of our vocoders.

    Attributes:
        seconds, took: audio that it has made mels for, and the time that this took, both in seconds.
    """

    name: str
    synthesizer: Any
    seconds: float = 0.0
    took: float = 0.0

    def mel(self, text: str) -> Tensor:
        """Log-mel [1, 80, F] of the benchmark's kind: what the synthesizer hands to the vocoder."""
        given: list[Tensor] = []
        vocoder, hop = self.synthesizer.vocoder_model, MEL.hop_length

        def take(mel: Tensor, **_: Any) -> Tensor:
            given.append(mel.detach().cpu().float())
            return torch.zeros(1, 1, mel.shape[-1] * hop)

        vocoder.inference = take
        began = time.perf_counter()
        try:
            self.synthesizer.tts(text)
        finally:
            del vocoder.inference
        self.took += time.perf_counter() - began
        if not given:
            raise DiffvocError(f"{self.name} made no mel of {text!r}.")
        mel = torch.cat([one.reshape(1, *one.shape[-2:]) for one in given], dim=-1)
        self.seconds += mel.shape[-1] * hop / MEL.sample_rate
        return mel


def load(name: str, device: str) -> TextToMel:
    """Raises: DiffvocError when Coqui cannot load it, with its reason."""
    register()
    from TTS.api import TTS  # after our models are registered

    try:
        api = TTS(name, vocoder_name=f"{voices.VOCODER_PREFIX}diffwave", progress_bar=False).to(device)
    except DiffvocError:
        raise
    except Exception as error:  # Coqui, its downloads and its models fail in many ways
        raise DiffvocError(f"the acoustic model {name} cannot be loaded: {reason(error)}") from None
    return TextToMel(name, api.synthesizer)


def speak(acoustic: TextToMel, clips: Sequence[Clip]) -> list[Clip]:
    """The clips whose text is known, with the acoustic model's mel in place of the recording's.

    Raises: DiffvocError when no clip has a text.
    """
    spoken = [clip for clip in clips if clip.text]
    if not spoken:
        raise DiffvocError(
            "--tts needs texts: give a folder with metadata.csv (LJ Speech's layout) or NAME.txt beside each recording."
        )
    return [replace(clip, mel=acoustic.mel(clip.text or ""), aligned=False) for clip in spoken]
