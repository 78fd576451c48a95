"""The one exception of the package that a user's own input can raise."""


class DiffvocError(ValueError):
    """Something the user gave cannot be used; the message is one sentence that says what to do."""
