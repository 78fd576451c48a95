"""Numbers as Americans say them, from the digits that are written."""

import re
from functools import lru_cache

from num2words import num2words

DIGITS = "zero one two three four five six seven eight nine".split()
# More digits than this in a row are a code, not a quantity, and are read one by one.
LONGEST = 15
# The largest number with a name, in digits; it matters where commas show that a quantity is meant.
NAMED = 28
FRACTIONS = {2: ("half", "halves"), 4: ("quarter", "quarters")}


@lru_cache(maxsize=10000)
def words(number: int, to: str = "cardinal") -> str:
    """An integer in words without hyphens, commas or "and"; `to` is cardinal, ordinal or year."""
    spoken: str = num2words(number, to=to)
    return spoken.replace(",", "").replace(" and ", " ").replace("-", " ")


def one_by_one(written: str, zero: str = "zero") -> str:
    """Each digit by itself; everything else in `written` is passed over."""
    return " ".join(zero if digit == "0" else DIGITS[int(digit)] for digit in re.findall("[0-9]", written))


def decimal(written: str) -> str:
    """A quantity such as `1,200`, `3.14`, `.5` or `007` (digit by digit)."""
    whole, _, rest = written.partition(".")
    digits = whole.replace(",", "")
    code = len(digits) > (NAMED if "," in whole else LONGEST) or digits[:1] == "0" and len(digits) > 1
    spoken = one_by_one(digits) if code else words(int(digits)) if digits else ""
    return f"{spoken} point {one_by_one(rest)}".strip() if rest else spoken


def fraction(above: int, below: int) -> str:
    """`above` over `below`: three quarters, two thirds, one hundred twenty over eighty."""
    if not 1 < below <= (100 if above == 1 else 20) or above >= below:
        return f"{words(above)} over {words(below)}"
    one, many = FRACTIONS.get(below, (words(below, "ordinal"), words(below, "ordinal") + "s"))
    return f"{words(above)} {one if above == 1 else many}"


def amount(written: str) -> str:
    """A quantity that may be a fraction or end in one: `3`, `3/4`, `2 1/2`."""
    match = re.fullmatch(r"(?:(\d{1,15}) )?(\d{1,15})/(\d{1,15})", written)
    if not match:
        return decimal(written)
    part = fraction(int(match[2]), int(match[3]))
    return f"{decimal(match[1])} and {re.sub('^one half', 'a half', part)}" if match[1] else part


def year(written: str) -> str:
    """A year of four digits: nineteen oh five, two thousand seven, twenty twenty one."""
    return words(int(written), "year")


def paired(written: str) -> str:
    """The number of a flight, a room or a model: one oh one, three twenty, forty ninety."""
    head, tail = written[:-2], written[-2:]
    if len(written) not in (3, 4) or head[0] == "0" or head in ("10", "20") and tail[0] == "0":
        return decimal(written)
    last = "hundred" if tail == "00" else f"oh {DIGITS[int(tail[1])]}" if tail[0] == "0" else words(int(tail))
    return f"{words(int(head))} {last}"


def plural(spoken: str) -> str:
    """A number as a plural: nineteen eighties, hundreds."""
    return spoken[:-1] + "ies" if spoken.endswith("y") else spoken + ("es" if spoken.endswith("x") else "s")
