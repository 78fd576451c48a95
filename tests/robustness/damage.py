"""Strategies for what is wrong: values in place of others, bytes of files, kinds of files."""

import json
import os
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

# In place of any value of a configuration.
WRONG = st.one_of(
    st.sampled_from([None, True, False, "", "text", "8", [], [1], {}, {"a": 1}, -1, 0, 0.5, 10**9, -(10**9), 2**70]),
    st.sampled_from([float("nan"), float("inf"), 1e308, 1e-320, [[]], ["a"] * 3, "\ud800", "\0", "é" * 300]),
    st.integers(-(2**80), 2**80),
    st.text(max_size=8),
)


def places(values: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, the value itself first."""
    inside = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    return [at, *(place for key, value in inside for place in places(value, (*at, key)))]


def changed(values: Any, place: tuple[Any, ...], how: str, value: Any) -> Any:
    """A JSON value with the one at ``place`` replaced, removed, or joined by another."""
    if not place:
        return value if how == "replaced" else values
    values = dict(values) if isinstance(values, dict) else list(values)
    if len(place) > 1:
        values[place[0]] = changed(values[place[0]], place[1:], how, value)
    elif how == "removed":
        del values[place[0]]
    elif how == "added" and isinstance(values, dict):
        values[str(value)[:20]] = value
    else:
        values[place[0]] = value
    return values


@st.composite
def damaged(draw: Any, values: Any) -> Any:
    """``values`` with one thing wrong, or two."""
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from(places(values)))
        values = changed(
            values, place, draw(st.sampled_from(["replaced", "replaced", "removed", "added"])), draw(WRONG)
        )
    return values


def put_fifo(path: Path) -> None:
    os.mkfifo(path)


def put_loop(path: Path) -> None:
    path.symlink_to(path)


def put_folder(path: Path) -> None:
    path.mkdir()


def put_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def put_empty(path: Path) -> None:
    path.write_bytes(b"")


def put_bytes(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 4)


def put_deep_json(path: Path) -> None:
    path.write_text("[" * 100_000)


def put_long_number(path: Path) -> None:
    path.write_text('{"format": ' + "9" * 5000 + "}")


def put_huge(path: Path) -> None:
    with path.open("wb") as file:  # 200 MB, of which the disk holds nothing
        file.truncate(200 << 20)


def put_text(path: Path) -> None:
    path.write_text(json.dumps({"model": "hifigan"}))


# Another thing in a file's place.
PUT = (
    put_fifo,
    put_loop,
    put_folder,
    put_dangling,
    put_empty,
    put_bytes,
    put_deep_json,
    put_long_number,
    put_huge,
    put_text,
)
