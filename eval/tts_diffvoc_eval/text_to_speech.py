"""From text: sentences, and the mels that an acoustic model of Coqui's makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tts_diffvoc import register, voices
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.mels import MEL
from tts_diffvoc_eval.records import reason
from tts_diffvoc_eval.systems import digest

SENTENCES = Path(__file__).resolve().parent / "sentences.txt"


class Sentence(NamedTuple):
    """A text as it is written, and its words as they are spoken."""

    kind: str
    text: str
    spoken: str


def read_sentences(path: Path = SENTENCES) -> list[Sentence]:
    """The lines `kind|text|as spoken` of a file."""
    rows = [line.split("|") for line in path.read_text("utf-8").splitlines() if line.strip()]
    wrong = next((row for row in rows if len(row) != 3), None)
    if wrong or not rows:
        raise DiffvocError(f"{path} has the line {'|'.join(wrong or [])!r}; give lines like kind|text|as spoken.")
    return [Sentence(*row) for row in rows]


@dataclass
class TextToMel:
    """A Coqui acoustic model in front of a vocoder of ours, as ``TTS.api`` loads it."""

    name: str
    synthesizer: Any

    @cached_property
    def digest(self) -> str | None:
        """SHA-256 of the weights."""
        return digest(Path(self.synthesizer.tts_checkpoint))

    def mel(self, text: str) -> Tensor:
        """Log-mel [1, 80, F] of the benchmark's kind: what the synthesizer hands to the vocoder."""
        given: list[Tensor] = []
        vocoder, hop = self.synthesizer.vocoder_model, MEL.hop_length

        def take(mel: Tensor, **_: Any) -> Tensor:
            given.append(mel.detach().cpu().float())
            return torch.zeros(1, 1, mel.shape[-1] * hop)

        vocoder.inference = take
        try:
            self.synthesizer.tts(text)
        finally:
            del vocoder.inference
        if not given:
            raise DiffvocError(f"{self.name} made no mel of {text!r}.")
        return torch.cat([one.reshape(1, *one.shape[-2:]) for one in given], dim=-1)


def is_acoustic(name: str) -> bool:
    """Whether ``name`` is that of an acoustic model, as Coqui has them or a bundled one's, or a folder with one."""
    return name.startswith("tts_models/") or (_folder(name) / voices.WEIGHTS).is_file()


def _folder(name: str) -> Path:
    return voices.bundled_acoustic(name) or Path(name).expanduser()


def load(name: str, vocoder: str | None = f"{voices.VOCODER_PREFIX}diffwave", device: str = "cpu") -> TextToMel:
    """An acoustic model and a vocoder; None is Coqui's own Griffin-Lim.

    Raises: DiffvocError for an unknown name, and when Coqui cannot load it, with its reason.
    """
    register()
    from TTS.api import TTS  # after our models are registered

    if not is_acoustic(name):
        raise voices.unknown(name, [*voices.ACOUSTIC], "voice")
    folder = _folder(name)
    model: dict[str, Any] = {"model_name": name}
    if (folder / voices.WEIGHTS).is_file():
        model = {"model_path": str(folder / voices.WEIGHTS), "config_path": str(folder / "config.json")}
    try:
        api = TTS(**model, vocoder_name=vocoder, progress_bar=False).to(device)
    except DiffvocError:
        raise
    except Exception as error:  # Coqui, its downloads and its models fail in many ways
        raise DiffvocError(f"the acoustic model {name} cannot be loaded: {reason(error)}") from None
    return TextToMel(name, api.synthesizer)
