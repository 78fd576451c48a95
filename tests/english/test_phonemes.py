"""Phonemes of English sentences."""

import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spoken_text import SPOKEN

from tts_diffvoc.english.phonemes import phonemes
from tts_diffvoc.english.symbols import BREAKS, GAP, PRIMARY, START, SYMBOL_IDS
from tts_diffvoc.errors import DiffvocError


@pytest.mark.parametrize("written, spoken", [pytest.param(*pair, id=ascii(pair[0])) for pair in SPOKEN])
def test_sentences_sound_as_people_say_them(written, spoken):
    assert "".join(phonemes(written)) == START + spoken


@pytest.mark.parametrize("text", ["", "  ", "...", "?!", "—", "\x00", "😀👍", "\u202e\u202c", "你好", "Привет", "'"])
def test_text_without_a_word_is_refused(text):
    with pytest.raises(DiffvocError, match="no word that can be spoken; give at least one word or number"):
        phonemes(text)


@pytest.mark.parametrize(
    "text, same",
    [
        ("9" * 29, "nine " * 29),
        ("😀 hello 👍", "hello"),
        ("\u202ehello\u202c", "hello"),
        ("hello\x07\x1b", "hello"),
        ("Привет, hello", "hello"),
        ("hello 你好", "hello"),
    ],
)
def test_what_can_be_spoken_is_spoken(text, same):
    assert phonemes(text) == phonemes(same)


@settings(max_examples=150)
@given(st.text() | st.text("abcdeiostAEIOT0123456789'.,?!- $%@/:"))
def test_any_text_gives_known_symbols_or_is_refused(text):
    try:
        symbols = phonemes(text)
    except DiffvocError:
        return
    assert set(symbols) <= set(SYMBOL_IDS)
    assert symbols[0] == START and symbols[-1] in BREAKS and symbols[1] != GAP
    assert all(a != GAP or b not in (GAP, *BREAKS) for a, b in zip(symbols, symbols[1:]))


@pytest.mark.parametrize("word", "unfaithfulness Łukasz blorptastic Kowalczyk frobnicate quuxes vlogged".split())
def test_words_of_content_are_stressed(word):
    assert any(symbol.startswith(PRIMARY) for symbol in phonemes(word))


def test_ten_thousand_words_in_one_line():
    text = "The quick brown fox has jumped over 12 lazy dogs, and " * 1000
    start = time.perf_counter()
    symbols = phonemes(text)
    assert time.perf_counter() - start < 60
    assert symbols.count(GAP) > 9000


def test_one_very_long_word():
    assert set(phonemes("blorp" * 2000)) <= set(SYMBOL_IDS)


def test_threads_have_their_own_lexicon():
    found = []
    texts = [f"thread {number} speaks of blorptastic cities" for number in range(4)]
    threads = [threading.Thread(target=lambda text=text: found.append(phonemes(text))) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(map(phonemes, texts))


def test_gruut_is_loaded_with_the_first_sentence_only():
    code = "import sys, tts_diffvoc.english.phonemes; assert not any(m.startswith('gruut') for m in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
