"""What an English voice cannot speak, and what it would read as English though it is not."""

import re

from tts_diffvoc.english.normalize import normalize

# Frequent words of languages that are written in Latin letters, without those that are English as well.
FREQUENT = {
    "German": "der das und ist nicht ein eine einen ich wir sie mit auf für von zu dem des im auch sich nach wie guten",
    "French": "le les des est et une je vous nous dans pour que qui pas sur avec du au ce il elle cette mais bonjour",
    "Spanish": "el los las de que en una es por con para se lo del al su como más pero muy está esta hay también mucho",
    "Italian": "il che di una non con sono della dei del gli è questo anche ma più nel alla ho lo si",
    "Portuguese": "os de que em um uma não para com por mais da na seu sua ao está também são",
    "Dutch": "de het een en van ik niet dat zijn op te met voor er maar ook bij naar hij wij deze wordt",
    "Polish": "nie na się jest że jak po ale są dla przez być tym jestem",
    "Swedish": "och att det en är som på för av med inte ett jag han om vi var",
    "Turkish": "ve bir bu için ile da de çok ne gibi daha ama olan var sen değil mi",
}
ENGLISH = set(
    """the of and to that it for on are as with his her they at be this have from or had by but not what all were we
    when your can there she how their if which do out many then them these some would him into has more you my me its
    who did get made may been than first where just about could other only new over even most our""".split()
)
LEAST = 4  # words of a text whose language is told


def language(text: str) -> str | None:
    """The language, other than English, that ``text`` plainly is in; None for English and for what is too short.

    Two words at least, and more than are frequent in English, are frequent in that language or have accents.
    """
    words = re.findall(r"[^\W\d_]+", text.lower())
    if len(words) < LEAST:
        return None
    hits = {name: sum(word in known.split() for word in words) for name, known in FREQUENT.items()}
    best = max(hits, key=lambda name: hits[name])
    english = sum(word in ENGLISH for word in words)
    score = hits[best] + sum(not word.isascii() and word not in FREQUENT[best].split() for word in words)
    sure = hits[best] >= 2 or (hits[best] and not english)
    return best if sure and score >= max(2, len(words) / 12) and score > english else None


def unspeakable(text: str) -> str:
    """The letters of ``text`` that have no English name, such as those of other scripts, each once."""
    letters = dict.fromkeys(c for c in text if c.isalpha() and not c.isascii())
    return "".join(c for c in letters if not normalize(c).strip())


def speakable(text: str) -> bool:
    """Whether anything of ``text`` can be spoken."""
    return bool(re.search("[A-Za-z0-9]", text) or re.search("[A-Za-z]", normalize(text)))


def remarks(text: str) -> list[str]:
    """What a user should know before ``text`` is spoken, a sentence each: at most two."""
    said = []
    letters = unspeakable(text)
    if letters:
        more = f" and {len(letters) - 10} more" if len(letters) > 10 else ""
        said.append(f"The voice speaks English and leaves out {letters[:10]}{more}.")
    other = language(text)
    if other:
        said.append(f"The text seems to be {other}; the voice speaks English and reads it as that.")
    return said
