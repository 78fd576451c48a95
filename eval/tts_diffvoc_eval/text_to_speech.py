"""From text: sentences, and the mels that an acoustic model of Coqui's makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tts_diffvoc import register, voices
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.mels import MEL
from tts_diffvoc_eval.records import reason

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


def mel_of(synthesizer: Any, text: str) -> Tensor:
    """Log-mel [1, 80, F] of the benchmark's kind: what Coqui's ``Synthesizer`` hands to a vocoder of ours."""
    given: list[Tensor] = []

    def take(mel: Tensor, **_: Any) -> Tensor:
        given.append(mel.detach().cpu().float())
        return torch.zeros(1, 1, mel.shape[-1] * MEL.hop_length)

    synthesizer.vocoder_model.inference = take
    try:
        synthesizer.tts(text)
    finally:
        del synthesizer.vocoder_model.inference
    if not given:
        raise DiffvocError(f"{synthesizer.tts_checkpoint} made no mel of {text!r}.")
    return torch.cat([one.reshape(1, *one.shape[-2:]) for one in given], dim=-1)


def is_acoustic(name: str) -> bool:
    """Whether ``name`` is that of an acoustic model, as Coqui has them or a bundled one's, or a folder with one."""
    return name.startswith("tts_models/") or (_folder(name) / voices.WEIGHTS).is_file()


def _folder(name: str) -> Path:
    return voices.bundled_acoustic(name) or Path(name).expanduser()


def load(name: str, vocoder: str | None = f"{voices.VOCODER_PREFIX}diffwave", device: str = "cpu") -> Any:
    """Coqui's ``Synthesizer`` of an acoustic model and a vocoder; None is Coqui's own Griffin-Lim.

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
        return TTS(**model, vocoder_name=vocoder, progress_bar=False).to(device).synthesizer
    except DiffvocError:
        raise
    except Exception as error:  # Coqui, its downloads and its models fail in many ways
        raise DiffvocError(f"the acoustic model {name} cannot be loaded: {reason(error)}") from None
