"""Reading published checkpoints without unpickling them, and telling what is wrong with them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tts_diffvoc.checkpoint import check_finite, load_weights, read_safetensors
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import AnyConfig, AnyVocoder, build, config_from_dict
from tts_diffvoc.files import check_readable
from tts_diffvoc.importers import KINDS

# Where publishers put the weights, and what training in parallel puts before their names.
PLACES = ("model", "state_dict")
PREFIXES = ("module.", "nn.")


@dataclass(frozen=True)
class Checkpoint:
    """A published checkpoint: its weights under the publisher's names, and what else its dictionary held."""

    path: Path
    sha256: str
    weights: dict[str, Tensor]
    other: dict[str, Any]


@dataclass
class PublisherSettings:
    """The publisher's settings, by dotted name; what was not given and had to be assumed is remembered."""

    source: str
    values: dict[str, Any]
    folder: Path
    assumed: dict[str, Any] = field(default_factory=dict)

    def find(self, name: str) -> Any:
        """The value of a dotted name, or None when there is none."""
        value: Any = self.values
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def get(self, name: str, default: Any) -> Any:
        """The value of a dotted name as the type of ``default``, which is assumed when there is none."""
        value = self.find(name)
        if value is None:
            self.assumed[name] = default
            return default
        return self.checked(name, value, default)

    def need(self, name: str, like: Any) -> Any:
        """The value of a dotted name as the type of ``like``; DiffvocError when there is none."""
        value = self.find(name)
        if value is None:
            raise DiffvocError(
                f"{self.source} does not say {name}; give the config.json that belongs to it with --config."
            )
        return self.checked(name, value, like)

    def checked(self, name: str, value: Any, like: Any) -> Any:
        """``value``, if it is of the type of ``like``; a whole number may be written as 256.0."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if type(like) is int and number and math.isfinite(value) and value == int(value):
            return int(value)
        if type(like) is float and number and math.isfinite(value):
            return float(value)
        if isinstance(like, (list, tuple)) and isinstance(value, (list, tuple)):
            return [self.checked(name, one, like[0]) for one in value]
        if type(like) in (bool, str) and isinstance(value, type(like)):
            return value
        kind = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(type(like), "a list")
        raise DiffvocError(f"{self.source} says {name}: {json.dumps(value, default=str)}; it must be {kind}.")


def read(path: Path, kind: str | None) -> Checkpoint:
    """Read ``path``: safetensors by its ending, else what ``torch.save`` wrote. ``kind`` is for messages."""
    check_readable(path)
    content = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path, kind)
    if not isinstance(content, Mapping):
        raise DiffvocError(f"{path} holds a {type(content).__name__}; give a checkpoint with named weights.")
    state: Any = content
    other: dict[str, Any] = {}
    for place in PLACES:
        if isinstance(content.get(place), Mapping):
            state = content[place]
            other = {name: value for name, value in content.items() if name != place}
            break
    weights = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    for prefix in PREFIXES:
        if weights and all(name.startswith(prefix) for name in weights if prefix != "nn." or "." in name):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    if not weights:
        raise DiffvocError(f"{path} holds no weights; give a checkpoint with named weights.")
    return Checkpoint(path, hashlib.sha256(path.read_bytes()).hexdigest(), weights, other)


def read_torch(path: Path, kind: str | None = None) -> Any:
    """What ``torch.save`` wrote to ``path``, as long as it is tensors and plain values."""
    import pickle

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        if foreign is None:
            raise DiffvocError(f"{path} is damaged or no checkpoint of torch's; download it again.") from None
        # The sentence has the code that saves the weights alone.
        kept = KINDS[kind].plain if kind else '{"model": c["model"]}'
        plain = path.with_name(f"{path.stem}-weights.pt").name
        raise DiffvocError(
            f"{path} holds the Python object {foreign[1]}, and reading it would run code of that file, which this "
            "program never does; if you trust the file, save its weights alone where the publisher's package is "
            f"installed, with `import torch; c = torch.load({path.name!r}, weights_only=False, map_location='cpu'); "
            f"torch.save({kept}, {plain!r})`, and import {plain}."
        ) from None
    except Exception as error:  # torch's readers raise many kinds for a damaged file
        what = "is empty" if path.stat().st_size == 0 else f"is damaged or no checkpoint ({type(error).__name__})"
        raise DiffvocError(f"{path} {what}; download it again.") from None


def read_settings(checkpoint: Checkpoint, config: Path | None) -> PublisherSettings:
    """The settings of ``config``, over those in the checkpoint, over those of a config.json beside it."""
    values: dict[str, Any] = {}
    source = str(checkpoint.path)
    beside = checkpoint.path.with_name("config.json")
    if config is None and beside.is_file():
        found = read_json(beside)
        if "format" not in found:  # else it belongs to a folder of ours
            values, source = found, str(beside)
    for place in ("params", "config"):
        inside = checkpoint.other.get(place)
        if isinstance(inside, Mapping):
            values, source = {**values, **inside}, str(checkpoint.path)
    if config is not None:
        values, source = {**values, **read_json(config)}, str(config)
    folder = (config or checkpoint.path).parent
    return PublisherSettings(source, values, folder)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; comments, which Coqui's old configurations have, are left out."""
    if not path.is_file():
        raise DiffvocError(f"there is no file {path}; give the publisher's config.json.")
    quoted_or_comment = r'("(?:[^"\\\n]|\\.)*")|/\*.*?\*/|//[^\n]*'
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(re.sub(quoted_or_comment, lambda match: match[1] or "", text, flags=re.DOTALL))
    except (ValueError, OSError):
        raise DiffvocError(f"{path} is not valid JSON; give the publisher's config.json.") from None
    if not isinstance(values, dict):
        raise DiffvocError(f"{path} holds no settings; give the publisher's config.json.")
    return values


def shape(checkpoint: Checkpoint, name: str, dimensions: int) -> tuple[int, ...]:
    """The shape of a weight; DiffvocError when it is missing or has another number of dimensions."""
    weight = checkpoint.weights.get(name)
    if weight is None or weight.dim() != dimensions:
        raise DiffvocError(
            f"{checkpoint.path} has {'no' if weight is None else 'another'} {name} of {dimensions} dimensions; "
            "download or save the checkpoint again."
        )
    return tuple(weight.shape)


def count(checkpoint: Checkpoint, pattern: str) -> int:
    """How many of "name.0.", "name.1." ... (``pattern`` "name.{}.") the weights begin with."""
    number = 0
    while any(name.startswith(pattern.format(number)) for name in checkpoint.weights):
        number += 1
    return number


def renamed(checkpoint: Checkpoint, names: Iterable[tuple[str, str]]) -> Checkpoint:
    """The checkpoint with each of ``names``, of theirs and of ours, replaced in the names of its weights, in turn."""
    weights = {}
    for name, value in checkpoint.weights.items():
        for theirs, ours in names:
            name = name.replace(theirs, ours)
        weights[name] = value
    return replace(checkpoint, weights=weights)


def vocoder_of(config: AnyConfig, checkpoint: Checkpoint) -> AnyVocoder:
    """The vocoder of ``config`` with the weights of ``checkpoint``, which have our names, float32.

    Raises: DiffvocError for weights that are missing, unknown, of another shape, or not finite.
    """
    vocoder = build(config_from_dict(config.to_dict()))  # what will be written can be read
    weights = {f"network.{name}": value.float() for name, value in checkpoint.weights.items()}
    load_weights(vocoder, check_finite(weights, f"{checkpoint.path} holds"), checkpoint.path, "settings")
    return vocoder
