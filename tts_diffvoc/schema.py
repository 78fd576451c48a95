"""Configurations from JSON: their types, ranges and names are checked once, when they are read, by pydantic.

pydantic, since its errors name the place and the value; the classes stay plain dataclasses, and it is imported only
where a file is read.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import fields
from functools import lru_cache
from typing import Annotated, Any, ClassVar, TypeVar

from tts_diffvoc.errors import DiffvocError, shown

try:
    from annotated_types import Interval
except ImportError:  # it comes with pydantic, without which networks work and nothing is read from JSON
    Interval = dict  # type: ignore[assignment,misc]

T = TypeVar("T", bound="FromJson")
N = TypeVar("N", bound="NetworkConfig")
Count = Annotated[int, Interval(ge=0, le=16_384)]  # of what a network may lack
Width = Annotated[int, Interval(ge=1, le=16_384)]  # channels, bands, samples of a window
Depth = Annotated[int, Interval(ge=1, le=256)]  # layers, blocks
Octaves = Annotated[int, Interval(ge=1, le=20)]  # of doubled dilations
Length = Annotated[int, Interval(ge=1, le=1 << 24)]  # samples of a clip
Rate = Annotated[int, Interval(ge=1_000, le=768_000)]  # samples a second


class FromJson:
    """Base of frozen dataclasses that are read from JSON. Ranges are annotations, which only reading looks at.

    Attributes:
        kind: what JSON calls the kind of a model; empty for parts of one.
    """

    __pydantic_config__ = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
    kind = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {one.name: _plain(getattr(self, one.name)) for one in fields(self)}  # type: ignore[arg-type]
        return {"kind": self.kind, **values} if self.kind else values

    @classmethod
    def from_dict(cls: type[T], values: Any) -> T:
        """Read what ``to_dict`` wrote, or the plain values of a JSON object.

        Raises: DiffvocError for what is missing, unknown, of another type, or out of range.
        """
        from pydantic import ValidationError

        if cls.kind and isinstance(values, dict):
            values = {name: value for name, value in values.items() if name != "kind"}
        try:
            return _adapter(cls).validate_json(json.dumps(values))  # type: ignore[arg-type]
        except ValidationError as error:
            raise DiffvocError(_sentence(error.errors(include_url=False)[0])) from None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


class NetworkConfig(FromJson):
    """Base of configurations whose ``sizes`` are those of their ``network``, one of ``networks``."""

    networks: ClassVar[dict[str, type[FromJson]]] = {}

    def __post_init__(self) -> None:
        network, sizes = (getattr(self, name) for name in ("network", "sizes"))
        if self.networks.get(network) is not type(sizes):
            known = ", ".join(self.networks)
            raise DiffvocError(f"network {network!r} does not go with {sizes}; this version has {known}.")

    @classmethod
    def from_dict(cls: type[N], values: dict[str, Any]) -> N:
        """Read what ``to_dict`` wrote; the sizes first, since of a union of sizes errors are unclear."""
        network = values.get("network")
        if network is None:
            raise DiffvocError("the configuration lacks 'network'; copy or download the checkpoint again.")
        if not isinstance(network, str) or network not in cls.networks:
            raise DiffvocError(f"network {shown(network)} is unknown; this version has {', '.join(cls.networks)}.")
        if "sizes" in values:
            cls.networks[network].from_dict(values["sizes"])
        return super().from_dict(values)


@lru_cache
def _adapter(kind: Hashable) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)  # type: ignore[arg-type]


def _sentence(error: Any) -> str:
    """One of pydantic's errors in words."""
    place = ".".join(str(part)[:40] for part in error["loc"] if not str(part)[:1].isupper())  # no names of classes
    if error["type"] == "value_error":  # a check of the class itself
        return str(error["ctx"]["error"])
    if error["type"] == "missing":
        return f"the configuration lacks {place!r}; copy or download the checkpoint again."
    if error["type"] == "unexpected_keyword_argument":
        return f"the configuration has an unknown entry {place!r}; a newer tts-diffvoc may know it."
    reason = error["msg"][:1].lower() + error["msg"][1:]
    return f"the configuration says {place}: {shown(error['input'])}, and {reason.replace('input', 'it', 1)}."
