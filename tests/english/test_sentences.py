"""Cutting long sentences."""

from tts_diffvoc.english.sentences import parts


def test_a_short_sentence_stays_whole():
    assert parts("One, two; three.") == ["One, two; three."]


def test_cuts_fall_after_punctuation_where_there_is_some():
    assert parts("aaaa bbbb, cccc dddd eeee ffff", 20) == ["aaaa bbbb,", "cccc dddd eeee ffff"]


def test_cuts_fall_between_words_or_at_the_limit():
    words = " ".join(["word"] * 10_000)
    pieces = parts(words)
    assert max(map(len, pieces)) <= 500 and " ".join(pieces) == words
    assert parts("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
