"""The one exception of the package that a user's own input can raise."""


class DiffvocError(ValueError):
    """Something the user gave cannot be used; the message is one sentence that says what to do."""


class Failure(DiffvocError):
    """What was given could be used, and something failed on the way, such as a full disk."""


def shown(value: object, most: int = 60) -> str:
    """``value`` as a message shows it: in quotes if it is text, without line ends, cut where it is long."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
