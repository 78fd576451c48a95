"""Utterances in windows."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.streaming import windows


@settings(max_examples=200)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
    st.integers(1, 50),
    st.integers(0, 30),
    st.integers(0, 30),
)
def test_chunks_cover_the_utterance_once_within_their_context(pieces, chunk, before, after):
    total = sum(pieces)
    mel = torch.arange(total).view(1, 1, -1)
    found = list(windows(iter(mel.split(pieces, 2)), chunk, before, after))
    assert torch.equal(torch.cat([window.mel[..., window.keep] for window in found], 2), mel)
    assert [window.last for window in found] == [False] * (len(found) - 1) + [True]
    for window in found:
        first, size = window.start + window.keep.start, window.keep.stop - window.keep.start
        assert window.start == max(0, (first - before) // 16 * 16) and size <= chunk
        end = min(total, first + size + after)
        assert torch.equal(window.mel.flatten(), torch.arange(window.start, end))


def test_a_window_comes_as_soon_as_its_context_is_there():
    taken = []

    def pieces():
        for number in range(10):
            taken.append(number)
            yield torch.zeros(1, 1, 8)

    next(windows(pieces(), 8, 4, 4))
    assert len(taken) == 2


def test_bad_pieces_are_refused():
    for chunk in (0, 2.5, "8"):
        with pytest.raises(DiffvocError, match=f"chunk_frames={chunk!r} was given; give a whole number of at least 1"):
            next(windows(torch.zeros(1, 1, 8), chunk, 4, 4))
    with pytest.raises(DiffvocError, match="a piece of shape"):
        list(windows([torch.zeros(1, 2, 8), torch.zeros(1, 3, 8)], 2, 0, 0))
