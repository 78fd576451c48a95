"""One clip and its transcript, as the acoustic model takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError


@dataclass
class Utterance:
    """A clip and its transcript as the acoustic model takes them; T counts symbols, F frames, C channels.

    Attributes:
        name: the clip's name, which seeds what is random about it.
        symbols: [T], whole numbers.
        mel: the recording's own mel [F, C], in the acoustic model's levels.
        samples: the recording [N] at the acoustic model's sample rate.
        speaker: speaker number [1] and speaker vector [1, D], either may be None.
        durations: frames of each symbol [T] where the user gave them, summing to F.
        own: the recording's mel [M, F'] in the vocoder's contract, F' frames being whole hops.
        gain: by how much the acoustic model's settings amplify a recording.
    """

    name: str
    symbols: Tensor
    mel: Tensor
    samples: np.ndarray
    speaker: tuple[Tensor | None, Tensor | None]
    durations: Tensor | None
    own: Tensor
    gain: float

    def conditioning(self) -> dict[str, Tensor | None]:
        """The speaker under the names that Coqui's models read."""
        return {"speaker_ids": self.speaker[0], "d_vectors": self.speaker[1]}

    def lengths(self) -> tuple[Tensor, Tensor]:
        """T and F as tensors [1]."""
        counts = len(self.symbols), len(self.mel)
        return tuple(torch.tensor([n], device=self.symbols.device) for n in counts)  # type: ignore[return-value]

    def check_length(self, frames: int | None = None) -> None:
        """Raise DiffvocError for a transcript with more symbols than its clip has frames, F or those given."""
        if len(self.symbols) > (len(self.mel) if frames is None else frames):
            raise DiffvocError(
                f"its transcript has {len(self.symbols)} symbols and the clip only {len(self.mel)} frames; check that "
                "they belong together."
            )
