"""Written English to spoken words: numbers, dates, money, abbreviations, acronyms, addresses and signs.

`normalize` applies the rules of RULES from first to last. A rule turns what it finds into words, so that the rules
after it see only what is left.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable

from tts_diffvoc.english import tables
from tts_diffvoc.english.numbers import amount, decimal, fraction, one_by_one, paired, plural, words, year
from tts_diffvoc.english.sentences import parts

Match = re.Match[str]
# Some rules take longer than in proportion to the text: more characters than this are done in pieces.
LONGEST = 1000

NUMBER = r"(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)"
AMOUNT = rf"(?<![\w.,])(?:\d+ \d+/\d+|\d+/\d+|{NUMBER})"
YEAR = r"(?:1[1-9]|20)\d\d"
MONTH = "|".join(f"{name}|{name[:3]}\\b\\.?" if name != "May" else name for name in tables.MONTHS) + r"|Sept\b\.?"
ROMAN = r"(?=[IVXLC]+\b)(?:C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})\b"
STARTER = rf"\s*$|[\"')\]]*\s+(?:{'|'.join(tables.STARTERS)})\b"
# The last of these in a row of breaks is the one that counts.
BREAK_ORDER = ",….;:!?"
# A word in the plural after a number.
COUNTED = re.compile(r" (?!this|was|is|has|as|its|does)[a-z]{2,}s\b")
LETTER_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
# Words without a vowel that are not spelt.
SOUND = r"(?:h+m+|s+h+|ps+t|[bg]r+|tsk|m+|pf+t|nth)"
# What an English word can begin and end with, and how many consonants can meet inside.
READABLE = re.compile(
    r"(?:[bcdfghjklmnprstvwyz]|[bcfgkps]l|[bcdfgkpt]r|ch|chr|dw|gh|gn|kn|ph|phl|phr|qu|rh|s[chkmnpqtw]|sc[hlr]|sh[rm]?"
    r"|s[pt]r|s[ckp]l|squ|t[hsw]|thr|wh|wr)?[aeiouy]+(?:[^aeiouy]{1,4}[aeiouy]+)*"
    r"(?:[rlnm]?[lnm]?(?:c?k|t?ch|sh|th|ph|gh|ght|s[tkp]|[fpcx]t|[bdfglmnpstvxzrcw]|nc|ng|nk)s?)?"
)


def any_of(names: Iterable[str]) -> str:
    """A pattern for one of `names`, the longest first."""
    return "(?:" + "|".join(map(re.escape, sorted(names, key=len, reverse=True))) + ")"


def readable(word: str) -> bool:
    """Whether a word in small letters can be read aloud, so far as its letters tell."""
    return bool(re.search("[aeiou].*[^aeiou]|[^aeiou].*[aeiouy]", word) and READABLE.fullmatch(word))


def spelt(word: str) -> str:
    """The letters of a word, in capitals."""
    return " ".join(word.upper())


def stop(match: Match) -> str:
    """A full stop where a sentence ends after an abbreviation."""
    return "." if re.compile(STARTER).match(match.string, match.end()) else ""


# Characters


def characters(text: str) -> str:
    """Letters without accents, digits and known signs; all else becomes a space, and invisible characters nothing."""
    text = re.sub("([½⅓⅔¼¾⅕-⅞])", r" \1", text.replace("≠", " != "))
    text = re.sub("[⁰¹²³⁴-⁹]+", lambda match: "^" + match[0], text)
    text = re.sub("[™®\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\u00ad]", "", text)
    text = "".join(map(character, unicodedata.normalize("NFKD", text)))
    return re.sub(r" ?\n(?: ?\n)+", "\n\n", re.sub(r"[ \t\r]+", " ", text)).strip()


def character(sign: str) -> str:
    """One character after compatibility decomposition, as the rules know it."""
    if sign.isascii():
        return sign if sign.isprintable() or sign in "\n\t" else " "
    if unicodedata.combining(sign):
        return ""
    if sign.isdecimal():
        return str(unicodedata.decimal(sign))
    return CHARACTERS.get(sign, sign if sign.lower() in KEPT else " ")


CHARACTERS = {
    "’": "'", "‘": "'", "ʼ": "'", "′": "'", "″": '"', "“": '"', "”": '"', "„": '"', "‐": "-", "‑": "-", "−": "-",
    "⁄": "/", "∕": "/", "ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
    "đ": "d", "ð": "th", "þ": "th", "Þ": "Th", "ı": "i", "—": " — ", "‒": "–", "―": " — ", "·": " ", "•": ", ",
    "ς": "σ", "Ω": "Ω",
}  # fmt: skip
KEPT = set(tables.SIGNS).union(tables.CURRENCIES, tables.GREEK, "–")


def lower_shouting(match: Match) -> str:
    """A sentence in capitals in small letters, but for acronyms and Roman numbers."""
    capitals = re.findall("[A-Z]{2,}", match[0])
    known = tables.SPELT.union(tables.READ)
    if re.search("[a-z]", match[0]) or len([word for word in capitals if word not in known]) < 2:
        return match[0]
    return re.sub(r"\b[A-Z][A-Z']+\b", lambda word: lower_word(word[0]), match[0])


def lower_word(word: str) -> str:
    """One word of a sentence in capitals in small letters, or as it is when it is to be spelt."""
    spell = word in tables.SPELT - {"IT", "US"} or not readable(re.sub("'.*", "", word.lower()))
    return word if spell or re.fullmatch("[IVX]+", word) else word.lower()


def before(match: Match, most: int = 40) -> str:
    """The text in front of a match, as far as a rule looks back."""
    return match.string[max(0, match.start() - most) : match.start()]


def article(match: Match) -> str:
    """A as the article, unless the word before says that it is a letter."""
    previous = before(match).split()[-1:]
    return "A" if previous and previous[0].lower() in tables.LABELS else "a"


# Addresses


def address(match: Match) -> str:
    """An e-mail or web address, its signs by name."""
    shown = re.sub(r"^(?:https?|ftp)://|/$", "", match[0])
    parts = re.findall(r"[A-Za-z]+|\d+|[^\w\s]|_", shown)
    return " ".join(address_part(part, index) for index, part in enumerate(parts))


def address_part(part: str, index: int) -> str:
    """A word, a number or a sign of an address."""
    if part.isdigit():
        return decimal(part)
    if not part.isalpha():
        return tables.ADDRESS.get(part, " ")
    short = len(part) < 3 and part.lower() not in ("co", "me", "my", "go", "to", "of", "in", "is", "we")
    return spelt(part) if part in ("www", "html") or short or not readable(part.lower()) else part


# Money


def money(match: Match) -> str:
    """A price: three dollars fifty cents, twenty million dollars, a five dollar bill."""
    start, minus, country, sign, low, high, scale = match.groups()
    one, many, cent, cents = tables.CURRENCIES[sign]
    named = f"{spelt(country)} " if country else ""
    head = (start or "") + ("minus " if minus else "")
    adjective = start and re.compile(r"[ -][a-z]{2}").match(match.string, match.end())
    if high or scale or adjective or not re.fullmatch(r"[\d,]*\.\d\d|[\d,]+", low):
        spoken = " to ".join(decimal(number) for number in (low, high) if number)
        big = f" {tables.SCALES.get(scale, scale)}" if scale else ""
        return f"{head}{spoken}{big} {named}{one if adjective else many}"
    whole, _, rest = low.partition(".")
    counts = [(whole.replace(",", ""), named + one, named + many), (rest, cent, cents)]
    parts = [f"{decimal(n.lstrip('0'))} {a if n.lstrip('0') == '1' else b}" for n, a, b in counts if n.strip("0")]
    return head + (" ".join(parts) or f"zero {named}{many}")


def money_after(match: Match) -> str:
    """A price with its sign behind: 5€, 50¢."""
    if match[2] == "¢":
        return f"{decimal(match[1])} cent{'s' * (match[1] != '1')}"
    return re.sub(PRICE, money, match[2] + match[1])


CURRENCY = f"[{''.join(tables.CURRENCIES)}]"
PRICE = (
    r"(\b[Aa]n? )?(-(?=(?:[A-Z]{1,2})?[$£€¥]))?(?:\b(US|CA|AU|NZ|HK|C|A))?"
    + rf"(?<!\d)({CURRENCY}) ?({NUMBER})(?:(?:[-–]| [-–] | to ){CURRENCY}?({NUMBER}))?"
    + rf"(?:[ -]?(hundred|thousand|million|billion|trillion|{any_of(tables.SCALES)})\b)?"
)


# Dates and times


def numeric_date(match: Match) -> str:
    """A date in digits; the month is first unless it cannot be, and after a year always."""
    month, day = int(match["first"]), int(match["second"])
    if match["sign"] == "." or month > 12:
        month, day = day, month
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    return f"{tables.MONTHS[month - 1]} {words(day, 'ordinal')}, {year(match['year'])}"


def written_date(match: Match) -> str:
    """March third, or the third of March."""
    day, written = int(match["day"]), match["month"].rstrip(".")[:3]
    if not 1 <= day <= 31:
        return match[0]
    month = next(name for name in tables.MONTHS if name.startswith(written))
    spoken = words(day, "ordinal")
    return f"{month} {spoken}" if match.start("month") < match.start("day") else f"the {spoken} of {month}"


def time(match: Match) -> str:
    """A time of the day: seven thirty, seven oh five P M, nineteen hundred, noon as written."""
    hour, minute, second, half = match["hour"], match["minute"], match["second"], match["half"] or match["half_only"]
    spoken = [words(int(hour))]
    if minute and minute != "00":
        spoken.append("oh " * (minute[0] == "0") + words(int(minute)))
    elif minute and not half and not re.compile(" (?:noon|midnight)").match(match.string, match.end()):
        spoken.append("hundred" if int(hour) > 12 else "o'clock")
    if second:
        spoken.append(f"and {words(int(second))} second{'s' * (int(second) != 1)}")
    if half:
        spoken.append(f"{half[0].upper()} M")
    return " ".join(spoken) + (stop(match) if half and half.endswith(".") else "")


TIME = (
    r"(?<![\d:.,$])(?P<hour>[01]?\d|2[0-4])(?::(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?"
    r"(?: ?(?P<half>[AaPp](?:\. ?[Mm]\.|[Mm]\b)))?|\s?(?P<half_only>[AaPp](?:\. ?[Mm]\.|[Mm]\b)))(?![\d:])"
)


# Numbers with something that belongs to them


def telephone(match: Match) -> str:
    """Digit by digit, with a pause between the groups."""
    groups = re.findall(r"\d+", match[0])
    return ("plus " if "+" in match[0] else "") + ", ".join(one_by_one(group, "oh") for group in groups)


def dotted(match: Match) -> str:
    """A version (three point eleven point two), or an address of four numbers (ten dot zero dot zero dot one)."""
    parts = match[2].split(".")
    spoken = "version " if match[1] else ""
    if len(parts) == 4:
        return spoken + " dot ".join(map(paired, parts))
    return spoken + " point ".join(decimal(part) if part == "0" else decimal(part.lstrip("0") or "0") for part in parts)


def feet(match: Match) -> str:
    """A height in feet and inches."""
    return f"{decimal(match[1])} {'foot' if match[2] or match[1] == '1' else 'feet'} {decimal(match[2] or '')}".strip()


def inches(match: Match) -> str:
    """The sign " after a number, where no quotation is open."""
    start, written = match[1] or "", match[2]
    if match.string.count('"', 0, match.start()) % 2:
        return match[0]
    adjective = start and re.compile(" [a-z]{2}").match(match.string, match.end())
    return f"{start}{amount(written)} inch{'' if adjective or written == '1' else 'es'}"


def unit(match: Match) -> str:
    """A quantity with its unit: five kilometers per hour, twenty square centimeters, a ten kilogram bag."""
    start, number, hyphen, name, power, divisor, divisor_power = match.groups()
    adjective = re.compile(" [a-z]{2}").match(match.string, match.end()) and (start or hyphen)
    single = adjective or number == "1" or "/" in number and " " not in number
    spoken = singular(tables.UNITS[name]) if single else tables.UNITS[name]
    below = f" per {per(divisor)}" if divisor else ""
    squared = {"2": " squared", "3": " cubed"}.get(divisor_power or "", "")
    return f"{start or ''}{amount(number)} {tables.POWERS.get(power or '', '')}{spoken}{below}{squared}"


def per(name: str) -> str:
    """What stands behind the slash of a unit: hour, kilogram."""
    return tables.PER.get(name) or singular(tables.UNITS.get(name, name))


def singular(name: str) -> str:
    """The name of one of a unit."""
    return " ".join(tables.SINGULAR.get(word, word.removesuffix("s")) for word in name.split())


def year_or_two_digits(written: str) -> str:
    """A year, or the last two digits of one."""
    return year(written) if len(written) == 4 else words(int(written))


def ratio(match: Match) -> str:
    """A fraction, or two numbers one over the other."""
    long = max(len(match[1]), len(match[2])) > 15
    return f"{decimal(match[1])} over {decimal(match[2])}" if long else fraction(int(match[1]), int(match[2]))


def ordinal(match: Match) -> str:
    """First, twenty second."""
    digits = match[1].replace(",", "")
    return words(int(digits), "ordinal") if len(digits) <= 15 else one_by_one(digits)


def number(match: Match) -> str:
    """A number by itself; four digits are a year unless something is counted."""
    dated = re.search(r"\b(in|since|by|of|from|until) $", before(match), re.I)
    if dated and re.fullmatch(r"1\d{3}|20\d\d", match[0]):
        return year(match[0])
    counted = COUNTED.match(match.string, match.end())
    return year(match[0]) if re.fullmatch(YEAR, match[0]) and not counted else decimal(match[0])


def code(match: Match) -> str:
    """Letters and digits in one: M P three, covid nineteen, F sixteen, ten eighty P."""
    return " ".join(code_part(part) for part in re.findall(r"[A-Za-z]+|\d+", match[0]))


def code_part(part: str) -> str:
    """A number, or letters: a word if they can be one."""
    if part.isdigit():
        return paired(part)
    return part if part.isupper() or len(part) > 2 and readable(part.lower()) else spelt(part)


# Letters


def roman(written: str) -> int:
    """The value of a Roman number."""
    values = [LETTER_VALUES[letter] for letter in written]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0]))


def numbered(match: Match) -> str:
    """A Roman number after a chapter or a war."""
    return f"{match[1]} {words(roman(match[2]))}"


def saint(match: Match) -> str:
    """St. before a name is a saint, else a street; Dr. likewise a doctor or a drive."""
    named = re.compile(r" (?!(?:N|S|E|W|NE|NW|SE|SW)\b)[A-Z]").match(match.string, match.end()) and not stop(match)
    in_address = re.search(r"(?:\d|th|first|second|third) $|\d [A-Z][a-z]+ $", before(match))
    after_name = re.search(r"[A-Z][a-z]+ $", before(match))
    saintly, road = {"St": ("Saint", "street"), "Dr": ("doctor", "drive")}[match[1]]
    street = in_address or not named and (after_name or match[1] == "St")
    return road + stop(match) if street else saintly


def acronym(match: Match) -> str:
    """A word in capitals: read, spelt or only stressed; `s` and `'s` go with it."""
    word, tail = match[1], match[2] or ""
    ending = "'s" if tail else ""
    if word in tables.READ:
        return tables.READ[word] + tail
    stressed = word in tables.EMPHASIS or len(word) > 3 and readable(word.lower())
    return word.lower() + tail if stressed and word not in tables.SPELT else spelt(word) + ending


Rule = tuple[str, str | Callable[[Match], str]]
PLACE = "|".join(tables.PLACES)
KING = "|".join(tables.KINGS)
RULES: list[Rule] = [
    (r"[^.!?\n]+", lower_shouting),
    (r"\b[A-Z]+(?:[ ,'-]+[A-Z]+){2,}\b", lower_shouting),
    (r"(?<!\S)(?:[:;=]['-]?[()DPpOo|*]+|<3+)(?!\w)", ""),
    (r"\bA(?=\s+[\"'($.]?\w)(?! to [A-Z]\b)", article),
    (rf"(?<![\w.])(?<!\d,){any_of(tables.FIXED)}(?![\w/]|,\d)", lambda match: tables.FIXED[match[0]]),
    # addresses
    (r"(?<![\w.+-])[\w.+-]+@\w[\w-]*(?:\.\w[\w-]*)+", address),
    (r"\b(?:https?|ftp)://[^\s<>\"']*[\w/]|\bwww\.[^\s<>\"']*[\w/]", address),
    (r"(?<![\w.-])\w[\w-]*(?:\.[a-z][a-z\d-]+)+(?:/[^\s<>\"'),]*[\w/])?(?![\w.])", address),
    (r"#(?=[A-Za-z])", "hashtag "),
    # money
    (rf"(?<![\w.,])({NUMBER}) ?({any_of(tables.CURRENCY_CODES)})\b",
     lambda match: tables.CURRENCY_CODES[match[2]] + match[1]),
    (rf"\b({any_of(tables.CURRENCY_CODES)}) ?(?=\d)", lambda match: tables.CURRENCY_CODES[match[1]]),
    (PRICE, money),
    (rf"(?<![\w.,])({NUMBER}) ?([€£¢¥])(?!\d)", money_after),
    (r"(dollars?|euros?|pounds?|cents?|yen)/([a-z]+)", lambda match: f"{match[1]} per {per(match[2])}"),
    # dates and times
    (r"\b(?P<year>\d{4})(?P<sign>[-/])(?P<first>0?[1-9]|1[0-2])(?P=sign)(?P<second>\d{1,2})\b", numeric_date),
    (r"\b(?P<first>\d{1,2})(?P<sign>[-/.])(?P<second>\d{1,2})(?P=sign)(?P<year>\d{4})\b", numeric_date),
    (rf"\b(?P<month>{MONTH}) (?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?![,.:]\d|[-–]\d|%| percent)", written_date),
    (rf"\b(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<month>{MONTH})(?![a-z])", written_date),
    (r"(\d|[ap]\.?m\b\.?) ?[-–] ?(?=\d{1,2}(?::\d\d)? ?[ap]\.?m\b)|(:\d\d) ?[-–] ?(?=\d{1,2}:\d\d)", r"\1\2 to "),
    (r"(?<![\d.,])(\d{1,2})\.([0-5]\d)(?= ?[ap]\.?m\b)", r"\1:\2"),
    (TIME, time),
    (r"(?<!\d)(\d{1,15}):(\d{1,15})(?!\d)", r"\1 to \2"),
    # numbers in groups
    (r"(?<![\w-])(?:\+?\d{1,2}[-. ])?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}\b", telephone),
    (r"(?<![\w-])\+\d[\d -]{6,}\d\b|(?<![\w-])\d{3}-\d{4}(?![\w-])|(?<![\w-])\d+(?:-\d+){2,}(?![\w-])", telephone),
    (r"(?<![\w.])([vV]\.? ?)?(\d{1,15}(?:\.\d{1,15}){2,})(?!\.?\w)", dotted),
    (r"\b[vV](\d+(?:\.\d+)?)\b", r"version \1"),
    (r"\b([1-9]\d{2,3})(?= ?(?:AD|BCE?|CE)\b)|(?<=\bAD )[1-9]\d{2,3}\b", lambda match: year(match[0])),
    (r"(?<!\w)'?((?:1[1-9]|20)\d0|[2-9]0)'?s\b", lambda match: plural(year_or_two_digits(match[1]))),
    (rf"(?<![\w-])({YEAR})[-–]({YEAR}|\d\d)(?![\w-])",
     lambda match: f"{year(match[1])} to {year_or_two_digits(match[2])}"),
    (r"\b((?:won|lost|win|lose|tied|drew|ended|score|lead|led)(?: (?:of|was|by|in))?) (\d+)[-–](\d+)\b", r"\1 \2 \3"),
    (r"(?<![\w-])(\d+)[-–](\d+)(?= (?:win|victory|loss|defeat|lead|tie|draw|vote|score)\b)", r"\1 \2"),
    (r"(\d[%°]?[CF]?) ?– ?(?=[$\d])", r"\1 to "),
    (r"(?<![\w.,-])(\d+(?:[.,]\d+)*%?)-(?=\d+(?:[.,]\d+)*(?![\w-]|,\d)|\d+ ?[a-zA-Z%°]+\b)", r"\1 to "),
    (r"(\d) - (?=\d)", r"\1 minus "),
    (r"(?<!\S)-(?=\.?\d)|(?<=[(=])-(?=\d)", "minus "),
    # numbers with units
    (r"(?<![\w.])(\d+)' ?(?:(\d+)(?:\"|''))", feet),
    (rf"(\b[Aa]n? )?({AMOUNT})\"(?!\w)", inches),
    (rf"(\b[Aa]n? )?({AMOUNT})( ?|-)({any_of(tables.UNITS)})(?:\^([23]))?"
     r"(?:/(s|h|hr|min|day|L|l|kg|m|mo|yr|wk)(?:\^([23]))?)?(?![\w'])", unit),
    (r"(?<=\d)[xX]\b", " times"),
    (r"\b\d+(?: ?[xX] ?\d+)+\b", lambda match: " by ".join(map(paired, re.findall(r"\d+", match[0])))),
    (r"(?<=\d) ?\* ?(?=\d)", " times "),
    (r"(?<![\w/])(\d{1,15}) (\d{1,15}/\d{1,15})(?![\w/])", lambda match: amount(match[0])),
    (r"(?<![\w/])(\d+)/(\d+)(?![\w/])", ratio),
    (r"(?<![\w.,])(\d{1,3}(?:,\d{3})+|\d+)(?:st|nd|rd|th)\b", ordinal),
    (r"(?<=\b[A-Za-z])\^2|(?<=\b[A-Za-z]{2})\^2|(?<=\d)\^2\b", " squared"),
    (r"(?<=\b[A-Za-z])\^3|(?<=\d)\^3\b", " cubed"),
    (r"(?<=[\d)])\^(?=[\dA-Za-z(-])", " to the power of "),
    (r"\^\d+", ""),
    (r"~ ?(?=[$\d])", "about "),
    (r"!=", " is not equal to "),
    (r"<=|≤", " less than or equal to "),
    (r">=|≥", " greater than or equal to "),
    (r"\s<\s|<(?=[\d.])", " less than "),
    (r"\s>\s|>(?=[\d.])", " greater than "),
    # names and abbreviations
    (rf"\b({KING}) ((?=..){ROMAN}|{ROMAN}(?=\W*$|[,.;:!?)]| (?:of|was|and|in|had|died|ruled|is|who)\b))",
     lambda match: f"{match[1]} the {words(roman(match[2]), 'ordinal')}"),
    (rf"\b({'|'.join(tables.NUMBERED)}) ({ROMAN})(?!')", numbered),
    (r"(\b[A-Z]\w+) ((?=[IVX]{2,}\b)(?!XX+\b)X{0,2}(?:IX|IV|V?I{0,3}))\b", numbered),
    (r"\b[Nn]os?\. ?(?=\d)", "number "),
    (r"\b[Pp]p\. ?(?=\d)", "pages "),
    (r"\b[Pp]\. ?(?=\d)", "page "),
    (r"\b[Cc]\. ?(?=\d)", "circa "),
    (r"\b(St|Dr)\.", saint),
    (r"\b(Dr)(?= [A-Z])", saint),
    (rf"\b({any_of(tables.TITLES)})(?:\.|(?= [A-Z]))|\b(mrs?|ms|prof)\.",
     lambda match: tables.TITLES[(match[1] or match[2]).capitalize()]),
    (rf"\b({any_of(tables.ABBREVIATIONS)})\.", lambda match: tables.ABBREVIATIONS[match[1]] + stop(match)),
    (rf"\b({PLACE}) (\d{{3}})\b(?![,.]\d)", lambda match: f"{match[1]} {paired(match[2])}"),
    (r"\bet al\.", "et al"),
    (r"\bvs\b", "versus"),
    (r"\betc\b", "et cetera"),
    (r"\bhrs\b", "hours"),
    (r"(?<![\w.'])(?:[A-Za-z]\. ?){2,}(?<! )|(?<![\w.'])(?:[A-Za-z]\.)+[A-Za-z]\b",
     lambda match: spelt(re.sub("[^A-Za-z]", "", match[0])) + stop(match)),
    (rf"(?<![\w.'])([A-HJ-Z])\.(?= [A-Z]| and\b)(?!{STARTER})", r"\1"),
    (r"\b(\w+)\((?:s|es)\)", r"\1s"),
    (r"\b(he|she|him|her|his|hers|s)/(?=he|she|him|her|his|hers)", r"\1 or "),
    (r"\bw/ ?(?=\w)", "with "),
    # letters
    (r"\b(?:[A-Za-z]+-?\d|\d+[A-Za-z])[A-Za-z\d]*\b", code),
    (r"\bi(?=[A-Z][a-z])", "eye "),
    (r"(?<=[a-z])(?<!\bMc)(?<!\bMac)(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})", " "),
    (r"\b([A-Z]{2,})('?s)?\b", acronym),
    (rf"(?<![\w'])(?!{SOUND}\b)[bcdfghjklmnpqrstvwxz]{{2,}}(?![\w'])", lambda match: spelt(match[0])),
    (r"(?<![\w'])[b-z](?![\w'])", lambda match: match[0].upper()),
    (r"(?<![^\W\d_])[α-ωΑ-Ω](?![^\W\d_])", lambda match: f" {tables.GREEK.get(match[0].lower(), '')} "),
    # what is left
    (NUMBER, number),
    (f"[{re.escape(''.join(tables.SIGNS))}]", lambda match: f" {tables.SIGNS[match[0]]} "),
    (r"\n\n", ". "),
    (r"(?:\s|^)[-–*]+(?=\s)|[–—]|--+|[()\[\]{}|]", ", "),
    (r"\.(?:\s?\.)+", "…"),
    (r"[^A-Za-z' ,.?!;:…]", " "),
    (r"(?<![A-Za-z])'+(?!(?:em|tis|twas|cause|til|n)\b)|'+(?![A-Za-z])", ""),
    (r"\s*[,.?!;:…][\s,.?!;:…]*",
     lambda match: max(filter(BREAK_ORDER.__contains__, match[0]), key=BREAK_ORDER.index) + " "),  # the strongest
    (r"^[\s,.?!;:…]+|\s+$", ""),
    (r"\s+", " "),
]  # fmt: skip
COMPILED = [(re.compile(pattern), spoken) for pattern, spoken in RULES]


def normalize(text: str) -> str:
    """`text` as words and the breaks , . ? ! ; : … between them; empty when nothing can be spoken.

    Letters that are spelt stand alone, in capitals: "the FBI" becomes "the F B I".
    """
    spoken = parts(characters(text), LONGEST)
    for pattern, replacement in COMPILED:
        spoken = [pattern.sub(replacement, part) for part in spoken]
    return " ".join(filter(None, spoken))
