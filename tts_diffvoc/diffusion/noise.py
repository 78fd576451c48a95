"""Rows of a batch, each for itself: their lengths, seeds, and noise that belongs to a seed and a place in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, count
from secrets import randbits
from typing import TYPE_CHECKING, Any

import numpy as np

from tts_diffvoc.arguments import MOST_SEED, checked, whole
from tts_diffvoc.errors import DiffvocError, shown

if TYPE_CHECKING:  # the noise is also drawn where there is no torch
    import torch
    from torch import Tensor

BLOCK = 16  # frames that one state of the generator makes


def row_seeds(seed: Any, rows: int) -> list[int]:
    """A seed a row: those given, the one given for all, or new ones for None.

    Raises: DiffvocError for another number of seeds than rows, and for what is no seed.
    """
    if seed is None:
        return [randbits(31) for _ in range(rows)]
    seeds = list(seed) if np.iterable(seed) and not isinstance(seed, str) else [seed] * rows
    if len(seeds) != rows:
        raise DiffvocError(f"{len(seeds)} seeds were given for {rows} mels; give one, or one for each.")
    return [checked("seed", one, whole(0, MOST_SEED)) for one in seeds]


def cut_rows(mel: Any, lengths: Any) -> list[Any]:
    """The rows of a mel [B, M, F], each [1, M, its length]; DiffvocError unless ``lengths`` has a number a row."""
    mel = mel[None] if mel.ndim == 2 else mel
    numbers = lengths.tolist() if hasattr(lengths, "tolist") else lengths
    fits = isinstance(numbers, Sequence) and len(numbers) == len(mel)
    if not fits or not all(isinstance(one, int | np.integer) and 1 <= one <= mel.shape[2] for one in numbers):
        raise DiffvocError(
            f"lengths={shown(numbers)} was given for {len(mel)} mels of {mel.shape[2]} frames; give the frames of "
            f"each, whole numbers from 1 to {mel.shape[2]}."
        )
    return [mel[row : row + 1, :, :length] for row, length in enumerate(numbers)]


class FrameNoise:
    """Unit Gaussian noise at any frame of a row, without drawing what comes before it.

    Philox is a counter-based generator (Salmon et al. 2011): the seed and the draw are its key, the place its counter.

    Args:
        seeds: one a row, of at least 0.
        device: where the noise is wanted; it is drawn on the CPU, so that a seed means the same on every device.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.seeds, self.device = list(seeds), device

    def __call__(self, draw: int, start: int, frames: int, values: int) -> Tensor:
        """Frames ``start`` to ``start + frames`` of a draw: [B, frames, values], float32."""
        import torch

        return torch.from_numpy(self.array(draw, start, frames, values)).to(self.device)

    def array(self, draw: int, start: int, frames: int, values: int) -> np.ndarray:
        """The same as an array."""
        first, last = start // BLOCK, -(-(start + frames) // BLOCK)
        skip = start - first * BLOCK
        rows = [
            np.concatenate([self._block(seed, draw, block, values) for block in range(first, last)])
            for seed in self.seeds
        ]
        return np.stack(rows)[:, skip : skip + frames]

    def draws(self, start: int, frames: int, values: int, ahead: int = 0) -> Callable[[], Tensor]:
        """What gives these frames of one draw after the other, from draw 0 on: [B, frames * values].

        ``ahead`` of them go to a device together, as the way there of each would be waited for.
        """
        import torch

        if torch.device(self.device).type == "cpu":
            ahead = 0
        made = [torch.from_numpy(self.array(draw, start, frames, values)) for draw in range(ahead)]
        ready = torch.stack(made).to(self.device).unbind() if made else ()
        later = (self(draw, start, frames, values) for draw in count(ahead))
        return (one.flatten(1) for one in chain(ready, later)).__next__

    @staticmethod
    def _block(seed: int, draw: int, block: int, values: int) -> np.ndarray:
        philox = np.random.Philox(key=(draw << 64) + seed % 2**64, counter=block << 128)
        return np.random.Generator(philox).standard_normal((BLOCK, values), np.float32)
