"""Written English to spoken words."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_text import WRITTEN

from tts_diffvoc.english.normalize import normalize

PAIRS = [pytest.param(*pair, id=f"{kind}-{pair[0]!a}") for kind, pairs in WRITTEN.items() for pair in pairs]


@pytest.mark.parametrize("written, spoken", PAIRS)
def test_text_is_read_as_a_person_reads_it(written, spoken):
    assert normalize(written) == spoken


@pytest.mark.parametrize("text", ["", " ", "\n\n", "...", "?!", "—", "😀", "\u202e", "\x00\x07", "你好", "'", '"'])
def test_nothing_to_speak_gives_nothing(text):
    assert normalize(text) == ""


WRITTEN_SIGNS = "0123456789.,:;-–/$€%#@&'\"()+=^°² aAbBIVXst"


@settings(max_examples=300)
@given(st.text() | st.text(WRITTEN_SIGNS))
def test_any_text_becomes_words_and_single_breaks(text):
    spoken = normalize(text)
    assert set(spoken) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ' ,.?!;:…")
    assert "  " not in spoken and spoken == spoken.strip()


@settings(max_examples=200)
@given(st.integers(0, 10**15 - 1))
def test_a_number_sounds_the_same_with_and_without_commas(number):
    if number >= 10000:
        assert normalize(f"{number:,}") == normalize(str(number))


LONG = ["word ", "a", "1", "1,234 ", "A", "x@", "1-", "1/2 ", "a.", '5" ', "a'", "(", "$1 ", " ", "\n", "AB ", "1,"]


@pytest.mark.parametrize("text", LONG)
def test_long_lines_take_no_longer_than_their_length_allows(text):
    start = time.perf_counter()
    normalize(text * 10000)
    assert time.perf_counter() - start < 30
