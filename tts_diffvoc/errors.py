"""The one exception of the package that a user's own input can raise."""


class DiffvocError(ValueError):
    """Something the user gave cannot be used; the message is one sentence that says what to do."""


def check_sizes(config: object, *sizes: int) -> None:
    """Raises: DiffvocError unless every one of the sizes of a ``config`` is positive."""
    if min(sizes) < 1:
        raise DiffvocError(f"{config} has a size below one; every size of a network must be positive.")
