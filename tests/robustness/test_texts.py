"""Any text: what can be spoken is, the rest is named, and one that is not English is told (kind 8)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_diffvoc.coqui.arguments import check_text
from tts_diffvoc.english.foreign import language, remarks, speakable, unspeakable
from tts_diffvoc.english.phonemes import phonemes
from tts_diffvoc.english.sentences import parts
from tts_diffvoc.english.symbols import SYMBOL_IDS
from tts_diffvoc.errors import DiffvocError

FOREIGN = {
    "German": "Ich habe heute keine Zeit, aber das ist nicht schlimm.",
    "French": "Le chat est dans la maison et il dort.",
    "Spanish": "Hola, ¿cómo estás? Me gusta mucho esta ciudad.",
    "Italian": "Non so che cosa dire, ma sono felice.",
    "Dutch": "Ik weet niet wat dat is.",
    "Portuguese": "O gato está na casa e não quer sair.",
    "Polish": "To jest dom, w którym mieszkam, ale nie wiem jak długo.",
    "Swedish": "Jag har inte sett den på länge.",
    "Turkish": "Bu çok güzel bir gün ama hava soğuk.",
}
ENGLISH = [
    "The quick brown fox jumps over the lazy dog.",
    "She ordered crème brûlée and a café au lait at the Zürich office.",
    "C'est la vie, as they say in France; he said it with a certain je ne sais quoi.",
    "Die Hard was on, and the man in the van said no.",
    "No.",
    "Buy 3 lbs of flour @ $2.50, 10 a.m. sharp!",
]
PIECES = st.one_of(
    st.text(max_size=40),
    st.text("0123456789.,:-/$%€£#&'", max_size=60),
    st.text("\u202e\u200f\u200d\ufeff\0\x07\x1b\r\n\t aZ", max_size=20),
    st.sampled_from(
        ["😀", "世界", "Привет", "مرحبا", "...", "!?", "hello", "ﬁ", "½", "１２", "\ud800", "e\u0301" * 30]
    ),
)


@settings(max_examples=150)
@given(st.lists(PIECES, max_size=4).map(" ".join))
def test_any_text_is_spoken_or_refused_in_a_sentence(text):
    spoken = 0
    try:
        check_text(text, english=True)
        for part in parts(text):
            if speakable(part):
                spoken += len([SYMBOL_IDS[symbol] for symbol in phonemes(part)])
    except DiffvocError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
        assert not spoken
    assert len(remarks(text)) <= 2


@pytest.mark.parametrize("digits", [29, 30, 400, 5000])
def test_digits_without_end(digits):
    assert sum(len(phonemes(part)) for part in parts("7" * digits)) > digits


def test_ten_thousand_words_in_a_line_are_cut():
    cut = parts("one two, three four. " * 2500)
    assert max(map(len, cut)) <= 500 and sum(len(part.split()) for part in cut) == 10_000


@pytest.mark.parametrize("name", FOREIGN)
def test_another_language_is_named(name):
    assert language(FOREIGN[name]) == name
    assert any(name in remark for remark in remarks(FOREIGN[name]))


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_not_taken_for_another_language(text):
    assert remarks(text) == []


def test_letters_that_have_no_english_name_are_named():
    assert unspeakable("Hello 世界, мир, café") == "世界мир"
    assert remarks("Hello 世界") == ["The voice speaks English and leaves out 世界."]


@pytest.mark.parametrize("text", ["世界", "Привет мир", "...", "😀👍", "\u200f\u200e", "", " \n"])
def test_nothing_to_speak(text):
    with pytest.raises(DiffvocError, match="holds no"):
        check_text(text, english=True)
