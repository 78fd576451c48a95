"""Labels of a generator: names of classes, and their numbers."""

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


def label_indices(label: Labels, count: int, names: Sequence[str], model: str) -> list[int]:
    """Indices [count] into ``names`` of labels given by name or number, one for all or one each.

    None is no label, whose index is the number of names.

    Raises: DiffvocError for labels that ``model`` does not have, or of another number.
    """
    if not names:
        raise DiffvocError(f"{model} has no labels; leave the label out.")
    given = one_each(label, count)
    if len(given) != count:
        raise DiffvocError(f"{len(given)} labels were given for {count} clips; give one, or one for each.")
    numbers: dict[Any, int] = {**{n: n for n in range(len(names))}, **{name: n for n, name in enumerate(names)}}
    numbers[None] = len(names)
    for one in given:
        if one not in numbers:
            raise DiffvocError(
                f"{model} has no label {one!r}; its labels are {', '.join(names)}, or 0 to {len(names) - 1}."
            )
    return [numbers[one] for one in given]
