"""Sentences too long to be said in one breath, cut where a reader would pause."""

import re

LIMIT = 500  # characters, about half a minute of speech


def parts(sentence: str, limit: int = LIMIT) -> list[str]:
    """Cut a sentence into pieces of at most `limit` characters: after punctuation, or between words, or anywhere."""
    out, rest = [], sentence.strip()
    while len(rest) > limit:
        head = rest[: limit + 1]
        cuts = [match.end() for match in re.finditer(r"[,;:—)]\s", head)]
        cut = cuts[-1] if cuts and cuts[-1] > limit // 4 else head.rfind(" ")
        cut = cut if cut > 0 else limit
        out.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    return [*out, rest] if rest else out
