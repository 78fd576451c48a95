"""Labels that a model was trained with, classes or speakers: their names, and their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from torch import Tensor

from tts_diffvoc.errors import DiffvocError

Label = str | int | None
Labels = Label | Sequence[Label] | Tensor


def one_each(label: Labels, count: int = 1) -> list[Any]:
    """``label`` as a list: one label ``count`` times, or those that were given."""
    if isinstance(label, Tensor):
        return label.tolist()
    alone = label is None or isinstance(label, (str, Integral))
    return [label] * count if alone else list(label)  # type: ignore[arg-type]


def label_number(label: str | int, names: Sequence[str], count: int, kind: str, model: str) -> int:
    """The number, from 0, of one of ``count`` labels given by name or by number; a text is a name first.

    Args:
        names: of the labels, or empty for labels that have numbers alone.
        kind: what they are, "label" or "speaker", and ``model`` whose, for messages.

    Raises: DiffvocError for a model without labels, or without this one.
    """
    if not count:
        raise DiffvocError(f"{model} has no {kind}s to choose from; leave the {kind} out.")
    if isinstance(label, str) and label in names:
        return names.index(label)
    if str(label).isdecimal() and int(label) < count:
        return int(label)
    shown = ", ".join(names[:10]) + (f" and {count - 10} more" if count > 10 else "")
    known = f"give 0 to {count - 1}, a whole number" + (f", or a name: {shown}" if names else "")
    raise DiffvocError(f"{kind}={label} is unknown to {model}; {known}.")
