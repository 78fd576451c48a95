"""Render speech with Debian's `flite`, voice slt, and note the end time of every phone.

Needs the Debian packages flite, fortunes, fortunes-min and wamerican (text to read; no network).
Writes `wavs/<id>.wav` (16 kHz, mono, 16 bit), `metadata.csv` (id|text) and `phones.jsonl`
(`{"id", "text", "phones": [[name, end in seconds], ...]}`). A second run goes on where the first stopped.

    python recipes/slt/render.py --output slt --count 4000
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import wave
from pathlib import Path

FORTUNES = Path("/usr/share/games/fortunes")
WORDS = Path("/usr/share/dict/words")

NAMES = "Anna Peter Maria John Susan Michael Laura David Emma Robert Julia Thomas Alice George Sarah".split()
NOUNS = """house garden river letter window teacher doctor morning evening market kitchen bridge train station
ticket water coffee bread music picture story question answer number street corner school village
mountain island forest weather winter summer journey machine engine computer keyboard printer
bicycle horse dog cat bird farmer lawyer painter soldier brother sister mother father neighbour
child friend stranger book paper pencil table chair clock mirror blanket pillow button jacket shirt
shoe hat glove ring dinner breakfast apple orange potato tomato cheese butter sugar salt pepper
bottle glass plate knife fork spoon""".split()
ADJECTIVES = """old new small large quiet noisy warm cold bright dark heavy light clean dirty cheap expensive
strange familiar careful honest clever gentle hungry thirsty empty full broken narrow wide deep shallow early
late happy sad red green blue yellow white black brown golden wooden frozen hidden public private""".split()
VERBS = """found lost bought sold carried opened closed watched painted cleaned borrowed returned followed
described remembered forgot noticed counted measured repaired visited left reached crossed loved wanted needed
finished started changed moved washed cooked chose drew drove wrote read heard saw""".split()
PLACES = """at the station|in the garden|near the river|behind the school|under the bridge|on the table
by the window|across the street|outside the village|in the middle of the night
before breakfast|after the meeting|last Tuesday|on Friday afternoon|at half past seven
every other week|without a word|for the first time""".replace("\n", "|").split("|")
TEMPLATES = """The {adj} {noun} {verb} the {noun2} {place}.
{name} {verb} a {adj} {noun} {place}.
Did {name} see the {noun} {place}?
Where is the {adj} {noun}?
{name} and {name2} {verb} {n} {adj2} {noun}s {place}.
Please bring the {noun}, the {noun2} and the {adj} {noun3}.
We need {noun}s, {noun2}s, {noun3}s, and a {adj} {noun4}.
I think that the {noun} was too {adj} for {name}.
It was {adj} and {adj2}, but {name} {verb} it {place}.
Why would anyone want a {adj} {noun}?
There are {n} {noun}s and {m} {noun2}s {place}.
Call {n} {m} for the {noun}.
My {noun} is {adj}, isn't it?
In {year}, {name} {verb} the {noun}.
"{word} {word2}", said {name}.
The {word} of the {word2} is {adj}.
What does {word} mean?
It costs {n} dollars and {m} cents.
{name} arrives at {h}:{mm} on the {day}th of {month}.
Hello {name}, how is the {adj} {noun} today?""".split("\n")
MONTHS = "January February March April May June July August September October November December".split()


def fortune_sentences() -> list[str]:
    """Sentences of 3 to 24 words out of the fortune files, plain ASCII, in a fixed order."""
    found: dict[str, None] = {}
    for path in sorted(FORTUNES.glob("*")):
        if path.suffix or path.is_symlink() or path.name in ("ascii-art", "translate-me"):
            continue
        for entry in path.read_text("utf-8", errors="replace").split("\n%"):
            text = re.sub(r"\s+", " ", entry.split("\t\t--")[0]).strip()
            for sentence in re.split(r"(?<=[.?!])\s+(?=[A-Z])", text):
                if 3 <= len(sentence.split()) <= 24 and re.fullmatch(r"[A-Z][A-Za-z ,.?!;:'\-]+[.?!]", sentence):
                    found[sentence] = None
    return list(found)


def made_sentence(rng: random.Random, words: list[str]) -> str:
    """One sentence from the templates, a word alone, a number, or a list of rare words."""
    kind = rng.random()
    if kind < 0.08:
        word = rng.choice(words + NOUNS + NAMES + ["hello", "yes", "no", "thank you", "good morning", "goodbye"] * 40)
        return (word.capitalize() if rng.random() < 0.5 else word) + rng.choice(["", "", ".", "!", "?"])
    if kind < 0.16:
        return " ".join(rng.choice(words) for _ in range(rng.randint(2, 9))).capitalize() + rng.choice([".", ".", "?"])
    if kind < 0.20:
        return ", ".join(str(rng.choice([rng.randint(0, 20), rng.randint(0, 9999)])) for _ in range(rng.randint(1, 5)))
    name, name2 = rng.sample(NAMES, 2)
    noun = rng.sample(NOUNS, 4)
    adj = rng.sample(ADJECTIVES, 2)
    word = rng.sample(words, 2)
    text = rng.choice(TEMPLATES).format(
        name=name,
        name2=name2,
        noun=noun[0],
        noun2=noun[1],
        noun3=noun[2],
        noun4=noun[3],
        adj=adj[0],
        adj2=adj[1],
        verb=rng.choice(VERBS),
        place=rng.choice(PLACES),
        word=word[0],
        word2=word[1],
        n=rng.randint(2, 99),
        m=rng.choice([rng.randint(2, 20), rng.randint(100, 2000)]),
        year=rng.randint(1800, 2030),
        h=rng.randint(1, 12),
        mm=rng.randint(10, 59),
        day=rng.randint(4, 19),
        month=rng.choice(MONTHS),
    )
    return text[0].upper() + text[1:]


def texts(count: int, seed: int = 0) -> list[str]:
    """`count` different texts, 55 % of them fortunes as far as these go; the order is fixed by the seed."""
    rng = random.Random(seed)
    words = [w for w in WORDS.read_text("utf-8").split() if re.fullmatch(r"[a-z]{2,}", w)]
    fortunes = fortune_sentences()
    rng.shuffle(fortunes)
    out: dict[str, None] = {}
    while len(out) < count:
        out[fortunes.pop() if fortunes and rng.random() < 0.55 else made_sentence(rng, words)] = None
    return list(out)


def render(text: str, wav: Path) -> list[list]:
    """Speak `text` into `wav` and return [[phone, end in seconds], ...]; empty when flite split the text."""
    done = subprocess.run(
        ["flite", "-voice", "slt", "-psdur", "-t", text, "-o", str(wav)],
        capture_output=True,
        text=True,
        check=True,
    )
    phones = [[p.split(":")[0], float(p.split(":")[1])] for p in done.stdout.split()]
    ends = [end for _, end in phones]
    with wave.open(str(wav)) as audio:
        seconds = audio.getnframes() / audio.getframerate()
    ordered = all(a <= b for a, b in zip(ends, ends[1:]))
    return phones if phones and ordered and abs(ends[-1] - seconds) < 0.1 and seconds < 12 else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to fill")
    parser.add_argument("--count", type=int, default=4000, help="texts to render")
    args = parser.parse_args()
    (args.output / "wavs").mkdir(parents=True, exist_ok=True)
    ledger = args.output / "phones.jsonl"
    done = {json.loads(line)["id"] for line in ledger.open()} if ledger.exists() else set()
    seconds = 0.0
    with ledger.open("a") as phones_file, (args.output / "metadata.csv").open("a") as metadata:
        for index, text in enumerate(texts(args.count)):
            name = f"slt-{index:05d}"
            if name in done:
                continue
            wav = args.output / "wavs" / f"{name}.wav"
            phones = render(text, wav)
            if not phones:
                wav.unlink(missing_ok=True)
                continue
            seconds += phones[-1][1]
            print(json.dumps({"id": name, "text": text, "phones": phones}), file=phones_file, flush=True)
            print(f"{name}|{text}", file=metadata, flush=True)
    print(f"rendered {seconds / 3600:.2f} h more into {args.output}")


if __name__ == "__main__":
    main()
