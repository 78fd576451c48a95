"""Phonemes of English text: words as the lexicon has them, with the weak forms and flaps of connected speech."""

import re
from collections.abc import Sequence
from functools import lru_cache

from tts_diffvoc.english.lexicon import lexicon, pronounce, with_ending
from tts_diffvoc.english.normalize import normalize
from tts_diffvoc.english.symbols import BREAKS, FLAP, GAP, PRIMARY, SECONDARY, START, STRESS, VOWELS, is_vowel
from tts_diffvoc.errors import DiffvocError

# Function words lose their stress inside a phrase; those with a form here change their vowel as well.
REDUCED = {
    "a": "ə", "an": "ə n", "and": "æ n d", "the": "ð ə", "of": "ʌ v", "to": "t ə", "was": "w ʌ z", "for": "f ɔ ɹ",
    "from": "f ɹ ʌ m", "than": "ð ə n", "or": "ɔ ɹ", "your": "j ʊ ɹ", "you're": "j ʊ ɹ", "been": "b ɪ n",
    "just": "d͡ʒ ʌ s t", "because": "b ɪ k ʌ z", "her": "h ɚ", "were": "w ɚ",
}  # fmt: skip
# Auxiliary verbs have their full stress before a break: "Yes, I can."
AUXILIARIES = set(
    """is are am be was were been have has had do does did will would can could should may might must shall""".split()
)
UNSTRESSED = set(
    """i he she it we they you me my his its our their them him us at in on by with as if that but so who which this
    these those there i'm i'll i've i'd he's he'll he'd she's she'll she'd it's it'll we're we'll we've we'd you'll
    you've you'd they're they'll they've they'd that's there's""".split()
).union(REDUCED, AUXILIARIES)
# Function words that keep a secondary stress.
HALF_STRESSED = set("but so this these those not who how when where what why".split())
# Forms before a break that the lexicon does not have first.
STRONG = {"a": "ˈeɪ", "can": "k ˈæ n", "to": "t ˌu", "for": "f ˌɔ ɹ", "of": "ˌʌ v", "from": "f ɹ ˌʌ m"}
# "used to" of a habit, not "is used to".
BE = set("is are was were be been being am get gets got getting i'm you're he's she's it's we're they're".split())


def letter(written: str) -> list[str]:
    """The name of a letter, perhaps with 's."""
    entries = lexicon().entries(written[0])
    name = entries.get("letter") or entries[""]
    return with_ending(name, "'s") if written.endswith("'s") else name


def spell(word: str) -> list[str]:
    """The letters of a word that cannot be read, such as `xkcd`, one after the other."""
    return [s for each in re.findall("[A-Za-z]", word) for s in (*letter(each), GAP)][:-1]


def flapped(word: list[str]) -> list[str]:
    """The word with the American flap: t between a vowel (or vowel and r) and an unstressed vowel, as in city."""
    out = list(word)
    for index in range(1, len(word) - 1):
        before, after = word[index - 1], word[index + 1]
        between_vowels = (is_vowel(before) or before == "ɹ") and after in VOWELS
        # "button" and "mountain" keep their t before a syllabic n.
        if word[index] == "t" and between_vowels and word[index + 1 : index + 3] != ["ə", "n"]:
            out[index] = FLAP
    return out


def weakened(text: str, spoken: list[str], following: list[str]) -> list[str]:
    """A function word as it is said inside a phrase, `following` being the symbols of the next word (or none)."""
    text = text.lower()
    if text not in UNSTRESSED and text not in HALF_STRESSED:
        return spoken
    if not following and text not in ("the", "an"):
        return final(text, spoken)
    if text in HALF_STRESSED:
        return [s.replace(PRIMARY, SECONDARY) for s in spoken]
    before_vowel = bool(following) and is_vowel(following[0])
    if text == "the" and before_vowel:
        return ["ð", "i"]
    if text == "to" and before_vowel:
        return ["t", "ʊ"]
    return REDUCED[text].split() if text in REDUCED else [s.lstrip(STRESS) for s in spoken]


def final(text: str, spoken: list[str]) -> list[str]:
    """A function word before a break."""
    if text in STRONG:
        return STRONG[text].split()
    mark = PRIMARY if text in AUXILIARIES else SECONDARY
    return [mark + s.lstrip(STRESS) if s[0] in STRESS else s for s in spoken]


def is_letter(words: Sequence[str], index: int) -> bool:
    """Whether a word is the name of a letter: any single capital, I only beside another one."""
    if not re.fullmatch("[A-Z](?:'s)?", words[index]):
        return False
    beside = [*words[max(0, index - 1) : index], *words[index + 1 : index + 2]]
    return words[index] != "I" or any(re.fullmatch("[A-Z](?:'s)?", word) for word in beside)


def said(words: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Each word of a sentence without its breaks, "" for a letter, and its symbols in full."""
    out = []
    for index, (word, spoken) in enumerate(zip(words, pronounce(words))):
        before = words[index - 1].lower() if index else ""
        if is_letter(words, index):
            word, spoken = "", letter(word)
        elif word.lower() == "used" and words[index + 1 : index + 2] == ["to"] and before not in BE:
            spoken = "j ˈu s t".split()
        out.append((word, flapped(spoken or spell(word))))
    return out


def connected(sentence: str) -> list[str]:
    """The symbols of one sentence, a gap before each word."""
    tokens = re.findall(rf"'?[A-Za-z][A-Za-z']*|[{BREAKS}]", sentence)
    spoken = iter(said([token for token in tokens if token not in BREAKS]))
    pairs = [(token, []) if token in BREAKS else next(spoken) for token in tokens]
    out: list[str] = []
    for (written, own), (_, following) in zip(pairs, [*pairs[1:], ("", [])]):
        out += [GAP, *weakened(written, own, following)] if own else [written]
    return out


@lru_cache(maxsize=64)
def phonemes(text: str) -> tuple[str, ...]:
    """Symbols of `text`: START, then phonemes with stress, GAP between words, punctuation, a break last.

    Raises DiffvocError when the text has nothing that can be spoken.
    """
    out = [s for sentence in re.findall("[^.?!]+[.?!]?", normalize(text)) for s in connected(sentence)]
    if not out:
        raise DiffvocError(f"the text {text[:60]!r} has no word that can be spoken; give at least one word or number.")
    if out[-1] not in ".?!…":
        out = out[:-1] if out[-1] in BREAKS else out
        out.append(".")
    return (START, *out[1:])
