"""The symbols of the bundled acoustic models: phonemes of American English in IPA, stress on vowels, punctuation."""

PAD, START, GAP = "_", "^", " "
CONSONANTS = "b d d͡ʒ f h j k l m n p s t t͡ʃ v w z ð ŋ ɡ ɹ ʃ ʒ θ".split()
VOWELS = "aɪ aʊ eɪ i oʊ u æ ə ɑ ɔ ɔɪ ɚ ɛ ɪ ʊ ʌ".split()
BREAKS = ",.?!;:…"
PRIMARY, SECONDARY = "ˈ", "ˌ"
STRESS = PRIMARY + SECONDARY
FLAP = "ɾ"
# The order is part of every checkpoint: new symbols go to the end.
SYMBOLS = [
    PAD,
    START,
    GAP,
    *",.?!",
    *CONSONANTS,
    *(mark + vowel for vowel in VOWELS for mark in ("", PRIMARY, SECONDARY)),
    FLAP,
    *";:…",
]
SYMBOL_IDS = {symbol: index for index, symbol in enumerate(SYMBOLS)}


def is_vowel(symbol: str) -> bool:
    """Whether a symbol is a vowel, with or without a stress mark."""
    return symbol.lstrip(STRESS) in VOWELS


def is_phone(symbol: str) -> bool:
    """Whether a symbol is a vowel or a consonant."""
    return symbol == FLAP or symbol in CONSONANTS or is_vowel(symbol)
