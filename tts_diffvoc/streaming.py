"""An utterance in windows: chunks of a mel with what the network must see on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError, shown

ALIGNED = 16  # windows begin at multiples of so many frames, so that a network which pools frames pools the same ones


@dataclass(frozen=True)
class Window:
    """A chunk within its context.

    Attributes:
        mel: [B, M, F], the chunk between the frames that it needs on both sides.
        start: frame of the utterance at which ``mel`` begins.
        keep: frames of ``mel`` that are the chunk.
        last: whether the utterance ends with it.
    """

    mel: Tensor
    start: int
    keep: slice
    last: bool


def windows(mels: Tensor | Iterable[Tensor], chunk: int, before: int, after: int) -> Iterator[Window]:
    """Cut a mel [B, M, F], or one that comes in pieces, into chunks of ``chunk`` frames, the last one up to that long.

    A window is there as soon as the ``after`` frames that follow its chunk have arrived; before and after the
    utterance there is nothing. Memory is that of one window and one piece.

    Raises: DiffvocError for a chunk of no frames, and pieces that do not fit together.
    """
    if not isinstance(chunk, int) or chunk < 1:
        raise DiffvocError(f"chunk_frames={shown(chunk)} was given; give a whole number of at least 1.")
    held: Tensor | None = None
    start = begin = 0  # of what is held, and of the next chunk
    for piece in chain([mels] if isinstance(mels, Tensor) else mels, [None]):  # None: the utterance has ended
        if held is not None and piece is not None and piece.shape[:2] != held.shape[:2]:
            raise DiffvocError(f"a piece of shape {tuple(piece.shape)} follows others of {tuple(held.shape[:2])}, F.")
        held = piece if held is None else held if piece is None else torch.cat([held, piece], 2)
        while held is not None and begin + (0 if piece is None else chunk + after) < start + held.shape[2]:
            stop = min(begin + chunk, start + held.shape[2])
            last = piece is None and stop == start + held.shape[2]
            yield Window(held[..., : stop + after - start], start, slice(begin - start, stop - start), last)
            begin, cut = stop, max(0, (stop - before) // ALIGNED * ALIGNED - start)
            held, start = held[..., cut:], start + cut
