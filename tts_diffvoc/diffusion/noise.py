"""Noise that belongs to a seed and a place in time, whatever the batch or the window it is drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # the noise is also drawn where there is no torch
    import torch
    from torch import Tensor

BLOCK = 16  # frames that one state of the generator makes


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

    @staticmethod
    def _block(seed: int, draw: int, block: int, values: int) -> np.ndarray:
        philox = np.random.Philox(key=(draw << 64) + seed % 2**64, counter=block << 128)
        return np.random.Generator(philox).standard_normal((BLOCK, values), np.float32)
