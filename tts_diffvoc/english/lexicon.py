"""How one English word is said: gruut's lexicon and tagger, and rules for words that it lacks."""

import re
import sqlite3
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tts_diffvoc.english.symbols import CONSONANTS, FLAP, PRIMARY, SECONDARY, STRESS, VOWELS, is_vowel

# What gruut's other vowels are closest to.
SAME = {"ɝ": "ɚ", "o": "oʊ", "e": "eɪ", "a": "ɑ", "ᵻ": "ɪ", "r": "ɹ", "g": "ɡ", "x": "k", "ʔ": "t"}
# Where a tag of the tagger is not in the lexicon, the entry of one of these is meant.
TAGS = {
    "VBN": ("VBD", "VB"), "VBD": ("VB",), "VBP": ("VB",), "VBZ": ("VB",), "VBG": ("VB",), "NNS": ("NN",),
    "NNP": ("NN",), "NNPS": ("NN",), "RB": ("JJ",), "JJR": ("JJ",), "JJS": ("JJ",),
}  # fmt: skip
# Words that the lexicon lacks and the rules misread, or that it gives wrongly.
WORDS = {
    "'em": "ə m", "'n": "ə n", "'cause": "k ʌ z", "'tis": "t ˈɪ z", "'twas": "t w ˈʌ z", "'til": "t ɪ l",
    "ai": "ˈeɪ ˈaɪ", "ascii": "ˈæ s k i", "brr": "b ˈɚ", "captcha": "k ˈæ p t͡ʃ ə", "covid": "k ˈoʊ v ɪ d",
    "emoji": "ɪ m ˈoʊ d͡ʒ i", "emojis": "ɪ m ˈoʊ d͡ʒ i z", "gif": "ɡ ˈɪ f", "hmm": "h ˈʌ m", "jpeg": "d͡ʒ ˈeɪ p ˌɛ ɡ",
    "kubernetes": "k ˌu b ɚ n ˈɛ t i z", "messers": "m ˈɛ s ɚ z", "mm": "ˈʌ m", "okay": "ˌoʊ k ˈeɪ", "psst": "p ˈɪ s t",
    "lah": "l ˈɑ", "shh": "ʃ ˈʊ ʃ", "tek": "t ˈɛ k", "tiktok": "t ˈɪ k t ˌɑ k", "tsk": "t ˈɪ s k",
    "whatsapp": "w ˈʌ t s ˌæ p", "lead": "l ˈi d", "number": "n ˈʌ m b ɚ", "polish": "p ˈɑ l ɪ ʃ",
    "Polish": "p ˈoʊ l ɪ ʃ", "used": "j ˈu z d", "bass": "b ˈeɪ s",
    "i'd've": "aɪ d ə v", "y'all": "j ˈɔ l", "wicked": "w ˈɪ k ɪ d", "crooked": "k ɹ ˈʊ k ɪ d", "pfft": "p ˈʊ f t",
    "nth": "ˈɛ n θ",
}  # fmt: skip
HOMOGRAPHS = {
    "tear": {"NN": "t ˈɪ ɹ", "VB": "t ˈɛ ɹ"},
    "resume": {"NN": "ɹ ˈɛ z ə m ˌeɪ", "VB": "ɹ ɪ z ˈu m"},
}
# Endings of words and how they sound; the first three kinds depend on the sound before.
ENDINGS = {
    "'s": "", "s": "", "es": "", "d": "", "ed": "", "ing": "ɪ ŋ", "er": "ɚ", "ers": "ɚ z", "ally": "l i", "ly": "l i",
    "est": "ɪ s t", "ness": "n ə s", "less": "l ə s", "ful": "f ə l", "able": "ə b ə l", "ish": "ɪ ʃ",
    "ism": "ˌɪ z ə m", "ist": "ɪ s t",
}  # fmt: skip
# Endings that double a consonant and swallow a silent e.
OPEN = ("ed", "ing", "er", "ers", "est")
PREFIXES = {
    "un": "ʌ n", "re": "ɹ i", "non": "n ɑ n", "pre": "p ɹ i", "anti": "ˌæ n t i", "over": "ˌoʊ v ɚ", "mis": "m ɪ s",
    "under": "ˌʌ n d ɚ", "super": "s ˌu p ɚ", "multi": "m ˌʌ l t i", "micro": "m ˌaɪ k ɹ oʊ", "inter": "ˌɪ n t ɚ",
    "crypto": "k ɹ ˌɪ p t oʊ", "cyber": "s ˌaɪ b ɚ", "hyper": "h ˌaɪ p ɚ", "dis": "d ɪ s", "de": "d i",
}  # fmt: skip
SIBILANTS = "s z ʃ ʒ t͡ʃ d͡ʒ".split()
VOICELESS = "p t k f θ".split() + ["s", "ʃ", "t͡ʃ"]

_local = threading.local()


class Lexicon:
    """gruut's data for one thread: the lexicon in memory and indexed, 0.4 ms instead of 9 for a new word."""

    def __init__(self) -> None:
        from gruut.lang import get_settings  # it costs 0.8 s, paid when the first sentence is spoken
        from gruut.utils import find_lang_dir

        settings: Any = get_settings("en_US", lang_dir=find_lang_dir("en_US"))
        self.tag = settings.get_parts_of_speech
        self.guess = settings.guess_phonemes
        self.database = sqlite3.connect(":memory:")
        with sqlite3.connect(settings.lookup_phonemes.db_path) as file:
            file.backup(self.database)
        self.database.execute("CREATE INDEX words ON word_phonemes (word)")
        self.entries = lru_cache(maxsize=20000)(self.read)

    def read(self, word: str) -> dict[str, list[str]]:
        """The pronunciations of a word by part of speech; "" is any; empty for a word that is not there."""
        rows = self.database.execute(
            "SELECT role, phonemes FROM word_phonemes WHERE word = ? ORDER BY pron_order", (word.lower(),)
        )
        found: dict[str, list[str]] = {}
        for role, phonemes in rows:
            # "new" and "knew" without the y that Americans drop
            found.setdefault(role.removeprefix("gruut:"), symbols(re.sub("^n j (?=[ˈˌ]u)", "n ", phonemes)))
        return found


def lexicon() -> Lexicon:
    """The lexicon of this thread."""
    if not hasattr(_local, "lexicon"):
        _local.lexicon = Lexicon()
    found: Lexicon = _local.lexicon
    return found


def symbol(phoneme: str) -> list[str]:
    """One of gruut's phonemes as symbols of the model; an unknown one falls apart into known characters."""
    mark, bare = ("", phoneme) if phoneme[:1] not in STRESS else (phoneme[0], phoneme[1:])
    bare = SAME.get(bare, bare)
    if bare in VOWELS:
        return [mark + bare]
    if bare in CONSONANTS or bare == FLAP:
        return [bare]
    return [s for c in bare if len(bare) > 1 for s in symbol(c)]


def symbols(phonemes: str) -> list[str]:
    """Phonemes with spaces between them as symbols of the model."""
    return [s for phoneme in phonemes.split() for s in symbol(phoneme)]


def pronounce(words: Sequence[str]) -> list[list[str]]:
    """The symbols of each word of a sentence, stress on its vowels; a word that cannot be read aloud has none."""
    found = [known(word) for word in words]
    ambiguous = any(len(entries) > 1 and word != "a" for word, entries in zip(words, found))
    tags = lexicon().tag(list(words)) if ambiguous else [""] * len(words)
    return [chosen(entries, tag) if entries else unknown(word) for word, entries, tag in zip(words, found, tags)]


def known(word: str) -> dict[str, list[str]]:
    """The pronunciations of a word by part of speech, from our own table or the lexicon."""
    own = WORDS.get(word) or WORDS.get(word.lower())
    roles = {"": own} if own else HOMOGRAPHS.get(word.lower())
    return {role: symbols(spoken) for role, spoken in roles.items()} if roles else lexicon().entries(word)


def chosen(entries: dict[str, list[str]], tag: str) -> list[str]:
    """The pronunciation that fits the part of speech best."""
    for role in (tag, *TAGS.get(tag, ()), ""):
        if role in entries:
            return entries[role]
    return next(iter(entries.values()))


@lru_cache(maxsize=5000)
def unknown(word: str) -> list[str]:
    """A word that no lexicon has: from its stem, from its two parts, or as its letters suggest."""
    word = word.lower()
    for short in (re.sub(r"(.)\1{2,}", repeated, word) for repeated in (r"\1\1", r"\1")):
        if short != word and known(short):
            return chosen(known(short), "")
    return inflected(word) or prefixed(word) or compound(word) or possessive(word) or guessed(word.replace("'", ""))


def inflected(word: str) -> list[str]:
    """A known word with an ending; empty when there is none."""
    for ending in ENDINGS:
        for stem in stems(word, ending):
            if entries := known(stem):
                return with_ending(chosen(entries, ""), ending)
    return []


def prefixed(word: str) -> list[str]:
    """A known word, perhaps with an ending, behind a prefix; empty when there is none."""
    for prefix, spoken in PREFIXES.items():
        stem = word.removeprefix(prefix)
        if stem != word and len(stem) > 3:
            entries = known(stem)
            if found := chosen(entries, "") if entries else inflected(stem):
                return symbols(spoken) + found
    return []


def possessive(word: str) -> list[str]:
    """An unknown word with 's; empty for another word."""
    base = word.removesuffix("'s")
    spoken = unknown(base) if base and base != word else []
    return with_ending(spoken, "'s") if spoken else []


def stems(word: str, ending: str) -> list[str]:
    """What may stand before an ending: talk, bak(e), stop(p), tr(y)."""
    stem = word.removesuffix(ending)
    if stem == word or len(stem) < 3:
        return []
    doubled = [stem[:-1]] if stem[-1] == stem[-2] and ending in OPEN else []
    silent = [stem + "e"] if ending in OPEN else []
    changed = [stem[:-1] + "y"] if stem[-1] == "i" and ending in (*OPEN, "es", "ly", "ness") else []
    return [stem, *silent, *doubled, *changed]


def with_ending(stem: list[str], ending: str) -> list[str]:
    """The symbols of a stem and its ending, as English joins them."""
    last = stem[-1]
    if ending in ("'s", "s", "es"):
        return stem + (["ɪ", "z"] if last in SIBILANTS else ["s"] if last in VOICELESS else ["z"])
    if ending in ("ed", "d"):
        return stem + (["ɪ", "d"] if last in ("t", "d") else ["t"] if last in VOICELESS else ["d"])
    return (stem[:-1] if ending == "ly" and last == "l" else stem) + ENDINGS[ending].split()


def compound(word: str) -> list[str]:
    """Two known words in one, the first stressed: smart watch; empty when the word does not fall into two."""
    cuts = sorted(range(3, len(word) - 3), key=lambda cut: abs(2 * cut - len(word)))
    for cut in cuts if len(word) <= 30 else ():
        first, second = (known(part) or None for part in (word[:cut], word[cut:]))
        if first and second:
            return chosen(first, "") + [s.replace(PRIMARY, SECONDARY) for s in chosen(second, "")]
    return []


def guessed(word: str) -> list[str]:
    """The word as gruut's model reads letters, with a stress; empty when it cannot be read."""
    if not re.search("[aeiouy]", word):
        return []
    spoken = [s for phoneme in lexicon().guess(word, None) or () for s in symbol(phoneme)]
    return stressed(spoken)


def stressed(spoken: list[str]) -> list[str]:
    """A word with a primary stress, put on its first full vowel if it has none."""
    vowels = [index for index, s in enumerate(spoken) if is_vowel(s)]
    if not vowels or any(s[0] == PRIMARY for s in spoken):
        return spoken if vowels else []
    place = next((index for index in vowels if spoken[index] not in ("ə", "ɪ")), vowels[0])
    return [PRIMARY + s.lstrip(STRESS) if index == place else s for index, s in enumerate(spoken)]
