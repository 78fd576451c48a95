"""Generators of clips that ours are compared with, and how they lie on disk.

A rival's folder holds ``config.json``, ``model.safetensors`` with float16 weights, and a card, ``README.md``. Nothing
is unpickled.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tts_diffvoc.checkpoint import WEIGHTS, write_beside, write_weights
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.voices import read_json

FORMAT = "diffvoc-seed/1"
SIZES = ("published", "small")
BATCH = 128  # clips made side by side
CARD = """---
training: {training}
data: {data}
---
# {label}
{what} {parameters:,} numbers, clips of {length:,} samples at {sample_rate:,} Hz, without labels.
"""


class Rival(ABC):
    """A generator of clips of one length, without labels.

    Args:
        config: what the network is built from, a dataclass of plain values with ``length`` and ``sample_rate``.
        size: "published" or "small", for its name.
        training: how it was trained, in words.

    Attributes:
        kind: its name in files. name: its name for people. family: "gan" or "autoregressive".
        what: a sentence for its card.
        network: what turns random numbers into clips.
    """

    kind: str
    name: str
    family: str
    what: str
    config_type: type
    network: nn.Module

    def __init__(self, config: Any, size: str = "small", training: str = "untrained") -> None:
        if size not in SIZES:
            raise DiffvocError(f"there is no size {size!r}; it is published or small.")
        self.config, self.size, self.training = config, size, training
        self.network = self.build(config)

    @staticmethod
    @abstractmethod
    def build(config: Any) -> nn.Module:
        """The network of a config, its weights drawn from torch's global random numbers."""

    @abstractmethod
    def make(self, latent: Tensor) -> Tensor:
        """Clips [B, T] of the random numbers [B, ...] that :meth:`draw` gave."""

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """The random numbers of ``count`` clips, the first dimension theirs, on the CPU."""

    @property
    def label(self) -> str:
        return self.name if self.size == "published" else f"{self.name} ({self.size})"

    @property
    def sample_rate(self) -> int:
        return int(self.config.sample_rate)

    @property
    def length(self) -> int:
        """Samples of a clip."""
        return int(self.config.length)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def parameters(self) -> int:
        """How many numbers synthesis needs."""
        return sum(p.numel() for p in self.network.parameters())

    def to(self, device: str | torch.device) -> Rival:
        self.network.to(device)
        return self

    def generate(self, count: int, seed: int, labels: Sequence[int] | None = None, batch: int = BATCH) -> Tensor:
        """Clips [count, T], float32 in [-1, 1], on the CPU.

        The seed's random numbers are the same on every device and in batches of any size, and the first of many clips
        have those of few; the global random numbers are left alone.

        Args:
            labels: None, as it knows none.
            batch: clips made side by side.

        Raises: DiffvocError for labels, or numbers below 1.
        """
        if labels is not None:
            raise DiffvocError(f"{self.label} was trained without labels; leave them out.")
        if count < 1 or batch < 1:
            raise DiffvocError(f"{count} clips in batches of {batch} were asked for; give at least 1 of both.")
        latent = self.draw(count, torch.Generator().manual_seed(seed))
        training = self.network.training
        self.network.eval()
        with torch.inference_mode():
            clips = [self.make(part.to(self.device)).float().cpu() for part in latent.split(batch)]
        self.network.train(training)
        return torch.cat(clips).clamp(-1, 1)


def save(model: Rival, folder: str | Path, training: str | None = None, data: str = "not said") -> None:
    """Write ``model`` to ``folder``; each file is written beside and renamed.

    Args:
        training: how it was trained, in words, instead of what the model says.
        data: what on, for the card.

    Raises: DiffvocError when the folder cannot be written.
    """
    folder = Path(folder)
    words = model.training if training is None else training
    values = {"format": FORMAT, "kind": model.kind, "size": model.size, "training": words, "data": data}
    values["network"] = asdict(model.config)
    facts = {name: getattr(model, name) for name in ("label", "what", "parameters", "length", "sample_rate")}
    weights = {k: v.detach().half().cpu().contiguous() for k, v in model.network.state_dict().items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{WEIGHTS}.part"
        write_weights(beside, weights)
        os.replace(beside, folder / WEIGHTS)
        write_beside(folder / "config.json", json.dumps(values, indent=1) + "\n")
        write_beside(folder / "README.md", CARD.format(training=words, data=data, **facts))
    except OSError as error:
        raise DiffvocError(f"the model cannot be written to {folder}: {error.strerror or error}.") from None


def is_saved(folder: str | Path) -> bool:
    """Whether ``folder`` calls itself a rival that :func:`save` wrote."""
    return read_json(Path(folder) / "config.json").get("format") == FORMAT


def load(folder: str | Path, device: str | torch.device = "cpu") -> Rival:
    """The rival that :func:`save` wrote to ``folder``, float32, in evaluation mode, on ``device``.

    Raises: DiffvocError for a folder that is missing, truncated or no rival's.
    """
    folder = Path(folder)
    if not is_saved(folder):
        raise DiffvocError(f'{folder} is no folder of a rival: it has no config.json with "format": "{FORMAT}".')
    values = read_json(folder / "config.json")
    kinds = known()
    if values.get("kind") not in kinds:
        raise DiffvocError(f"{folder}/config.json has the kind {values.get('kind')!r}; known are {', '.join(kinds)}.")
    kind = kinds[values["kind"]]
    try:
        config = kind.config_type(**values["network"])
    except (KeyError, TypeError):
        raise DiffvocError(f"{folder}/config.json does not say what network it is; copy the folder again.") from None
    model = kind(config, values.get("size", "small"), values.get("training", "not said"))
    _fill(model.network, folder / WEIGHTS)
    model.network.eval().requires_grad_(False)
    return model.to(device)


def known() -> dict[str, type[Rival]]:
    """The kinds of rivals by their names in files."""
    from tts_diffvoc_eval.generation.wavegan import WaveGan
    from tts_diffvoc_eval.generation.wavenet import WaveNet

    return {kind.kind: kind for kind in (WaveGan, WaveNet)}


def _fill(network: nn.Module, path: Path) -> None:
    """Read the weights of ``network``; every name and shape must match."""
    try:
        network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except (SafetensorError, OSError) as error:
        raise DiffvocError(f"{path} cannot be read ({error}); copy the folder again.") from None
    except RuntimeError as error:
        raise DiffvocError(f"{path} does not belong to its config.json: {str(error).splitlines()[1].strip()}") from None
