"""Write texts to render speech from: WordNet's examples, fortunes, and sentences made from templates.

Needs the Debian packages wordnet-base, fortunes, fortunes-min and wamerican (no network).

    python recipes/voices/acoustic/texts.py --count 30000 --output texts.txt
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Sequence
from pathlib import Path

FORTUNES = Path("/usr/share/games/fortunes")
WORDNET = Path("/usr/share/wordnet")
WORDS = Path("/usr/share/dict/words")

NAMES = """Anna Peter Maria John Susan Michael Laura David Emma Robert Julia Thomas Alice George Sarah
Henry Kate Daniel Olivia Simon Rachel Paul Linda Frank Nancy Walter Helen Jack Sophie Martin""".split()
SURNAMES = """Smith Johnson Miller Brown Wilson Taylor Anderson Clark Lewis Walker Young Allen King Wright Scott
Hill Baker Carter Mitchell Roberts Turner Phillips Campbell Parker Evans Edwards Collins""".split()
CITIES = """London Paris Boston Chicago Berlin Madrid Tokyo Sydney Toronto Denver Seattle Dublin Rome Vienna
Moscow Cairo Lisbon Atlanta Dallas Detroit Houston Miami Oslo Prague""".split()
NOUNS = """house garden river letter window teacher doctor morning evening market kitchen bridge train station
ticket water coffee bread music picture story question answer number street corner school village
mountain island forest weather winter summer journey machine engine computer keyboard printer
bicycle horse dog cat bird farmer lawyer painter soldier brother sister mother father neighbor
child friend stranger book paper pencil table chair clock mirror blanket pillow button jacket shirt
shoe hat glove ring dinner breakfast apple orange potato tomato cheese butter sugar salt pepper
bottle glass plate knife fork spoon report company government meeting problem project budget election
president minister hospital university museum theater newspaper officer manager engineer scientist""".split()
ADJECTIVES = """old new small large quiet noisy warm cold bright dark heavy light clean dirty cheap expensive
strange familiar careful honest clever gentle hungry thirsty empty full broken narrow wide deep shallow early
late happy sad red green blue yellow white black brown golden wooden frozen hidden public private
important difficult simple serious surprising beautiful ordinary remarkable national modern""".split()
VERBS = """found lost bought sold carried opened closed watched painted cleaned borrowed returned followed
described remembered forgot noticed counted measured repaired visited left reached crossed loved wanted needed
finished started changed moved washed cooked chose drew drove wrote read heard saw announced explained""".split()
PLACES = """at the station|in the garden|near the river|behind the school|under the bridge|on the table
by the window|across the street|outside the village|in the middle of the night
before breakfast|after the meeting|last Tuesday|on Friday afternoon|at half past seven
every other week|without a word|for the first time|this morning|two years ago|as soon as possible
because of the rain|in spite of everything|with some of her friends|from time to time""".replace("\n", "|").split("|")
TEMPLATES = """The {adj} {noun} {verb} the {noun2} {place}.
{name} {verb} a {adj} {noun} {place}.
Did {name} see the {noun} {place}?
Where is the {adj} {noun}?
Who {verb} the {noun}, and why?
When will the {noun} be {adj} again?
How many {noun}s did {name} have {place}?
{name} and {name2} {verb} {n} {adj2} {noun}s {place}.
Please bring the {noun}, the {noun2} and the {adj} {noun3}.
We need {noun}s, {noun2}s, {noun3}s, and a {adj} {noun4}.
I think that the {noun} was too {adj} for {name}.
It was {adj} and {adj2}, but {name} {verb} it {place}.
Why would anyone want a {adj} {noun}?
There are {n} {noun}s and {m} {noun2}s {place}.
Call {n} {m} for the {noun}.
My {noun} is {adj}, isn't it?
You don't have a {noun}, do you?
Is it {adj} or {adj2}?
In {year}, {name} {verb} the {noun}.
"{word} {word2}," said {name}.
"I {verb} the {noun}!" shouted {name}. "Did you?"
The {word} of the {word2} is {adj}.
What does {word} mean?
What a {adj} {noun}!
Stop! The {noun} is {adj}!
Look out for the {noun}!
It costs {n} dollars and {n2} cents.
{name} arrives at {h}:{mm} on the {day}th of {month}.
Hello {name}, how is the {adj} {noun} today?
Good morning, {name}. Your {noun} is ready.
Thank you, {name}; I'll be {adj} {place}.
Mr. {surname} and Mrs. {surname2} live in {city}.
{name} {surname} of {city} {verb} the {noun}, according to a {adj} {noun2}.
The {noun} in {city} -- a {adj} one -- was {verb} {place}.
There was only one {noun}: the {adj} {noun2}.
If the {noun} is {adj}, then the {noun2} must be {adj2}, unless {name} {verb} it {place}.
{name} said that she {verb} the {noun} {place}, that the {noun2} was {adj}, and that nobody had {verb} the {noun3}.
On {month} {day}, {year}, the {noun} of {city} {verb} {n} percent of the {noun2}s.
Wait... I {verb} the {noun}.
The temperature in {city} is {n} degrees.
Turn left at the {noun}, then go straight for {n} miles.
Once upon a time there was a {adj} {noun} who {verb} a {noun2}.
Yes, the {noun} is {adj}.
No, I haven't seen {name} {place}.
Well, {name}, that was {adj}.
Could you tell me where the {noun} is, please?
Let me know if you {verb} the {noun}.""".split("\n")
SHORT = "hello|yes|no|thank you|good morning|goodbye|good night|excuse me|of course|I see|not yet|well done".split("|")
JOINS = ", and | because |; | while |, but |, so |: |, although ".split("|")
MONTHS = "January February March April May June July August September October November December".split()
# What the fields of a template become.
POOLS: dict[str, Sequence[object]] = {
    "name": NAMES, "surname": SURNAMES, "city": CITIES, "noun": NOUNS, "adj": ADJECTIVES, "verb": VERBS,
    "place": PLACES, "month": MONTHS, "n": range(2, 100), "m": [*range(2, 21)] * 100 + [*range(100, 2001)],
    "year": range(1800, 2031), "h": range(1, 13), "mm": range(10, 60), "day": range(4, 20),
}  # fmt: skip


def fortunes() -> list[str]:
    """Sentences of 3 to 40 words out of the fortune files, plain ASCII, in a fixed order."""
    found: dict[str, None] = {}
    for path in sorted(FORTUNES.glob("*")):
        if path.suffix or path.is_symlink() or path.name in ("ascii-art", "translate-me"):
            continue
        for entry in path.read_text("utf-8", errors="replace").split("\n%"):
            text = re.sub(r"\s+", " ", entry.split("\t\t--")[0]).strip()
            for sentence in re.split(r"(?<=[.?!])\s+(?=[A-Z])", text):
                if 3 <= len(sentence.split()) <= 40 and re.fullmatch(r"[A-Z][A-Za-z ,.?!;:'\-]+[.?!]", sentence):
                    found[sentence] = None
    return list(found)


def examples() -> list[str]:
    """Sentences of at least 4 words that WordNet quotes to show how words are used."""
    found: dict[str, None] = {}
    for path in sorted(WORDNET.glob("data.*")):
        for quoted in re.findall(r'"([A-Za-z][A-Za-z ,;:\'\-]+[a-z?!])"', path.read_text("utf-8", errors="replace")):
            if 4 <= len(quoted.split()) <= 40:
                found[capital(quoted) + ("" if quoted[-1] in "?!" else ".")] = None
    return list(found)


def capital(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[0].upper() + text[1:]


class Words(dict[str, object]):
    """The words of a template, drawn as they are asked for: {noun2} is another noun than {noun}."""

    def __init__(self, rng: random.Random, pools: dict[str, Sequence[object]]) -> None:
        super().__init__()
        self.rng, self.pools = rng, pools

    def __missing__(self, field: str) -> object:
        pool = self.pools[field.rstrip("234")]
        while (word := self.rng.choice(pool)) in self.values():
            pass
        self[field] = word
        return word


def made_sentence(rng: random.Random, words: list[str]) -> str:
    """One sentence from the templates, a word alone, numbers, or a list of rare words."""
    kind = rng.random()
    if kind < 0.06:
        word = rng.choice(words + NOUNS * 5 + NAMES * 10 + SHORT * 200)
        return (capital(word) if rng.random() < 0.5 else word) + rng.choice(["", ".", ".", "!", "?"])
    if kind < 0.12:
        return capital(" ".join(rng.choice(words) for _ in range(rng.randint(2, 9)))) + rng.choice([".", ".", "?", "!"])
    if kind < 0.16:
        return ", ".join(str(rng.choice([rng.randint(0, 20), rng.randint(0, 9999)])) for _ in range(rng.randint(1, 6)))
    return capital(rng.choice(TEMPLATES).format_map(Words(rng, {**POOLS, "word": words})))


def joined(rng: random.Random, first: str, second: str) -> str:
    """A longer sentence out of two, or both as two short sentences."""
    join = rng.choice([*JOINS, None, None])
    if join is None:
        return f"{first} {second}"
    return first.rstrip(".?!") + join + (second if second.startswith("I ") else second[0].lower() + second[1:])


def texts(count: int, seed: int = 0) -> list[str]:
    """`count` different texts in an order that the seed fixes."""
    rng = random.Random(seed)
    words = [w for w in WORDS.read_text("utf-8").split() if re.fullmatch(r"[a-z]{2,}", w)]
    found = [fortunes(), examples()]
    for sentences in found:
        rng.shuffle(sentences)
    out: dict[str, None] = {}

    def sentence() -> str:
        source = rng.choices([*found, None], [0.3, 0.4, 0.3])[0]
        return source.pop() if source else made_sentence(rng, words)

    while len(out) < count:
        text = sentence()
        if rng.random() < 0.15 and len(text.split()) < 14:
            text = joined(rng, text, sentence())
        out[text] = None
    return list(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="file to write, a text a line")
    parser.add_argument("--count", type=int, default=30000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.output.write_text("\n".join(texts(args.count, args.seed)) + "\n", "utf-8")


if __name__ == "__main__":
    main()
