"""Folders of the classifier and of the baselines: ``config.json``, ``model.safetensors`` and a card, ``README.md``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tts_diffvoc.checkpoint import WEIGHTS, load_weights, read_weights, write_beside, write_weights
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.naming import has_format, read_json


def save(folder: Path, values: dict[str, Any], network: nn.Module, card: str) -> None:
    """Write ``network`` with its ``config.json``: parameters as float16, buffers as they are.

    Raises: DiffvocError when the folder cannot be written.
    """
    learnt = {name for name, _ in network.named_parameters()}
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{WEIGHTS}.part"
        write_weights(part, {name: value.half() if name in learnt else value for name, value in state.items()})
        os.replace(part, folder / WEIGHTS)
        write_beside(folder / "config.json", json.dumps(values, indent=1) + "\n")
        write_beside(folder / "README.md", card)
    except OSError as error:
        raise DiffvocError(f"the model cannot be written to {folder}: {error.strerror or error}.") from None


def read_values(folder: Path, name: str, what: str) -> dict[str, Any]:
    """The values of ``config.json``. Raises: DiffvocError where ``folder`` has no ``what``, as its format tells."""
    if not folder.is_dir():
        raise DiffvocError(f"there is no folder {folder}; give the folder of a {what}.")
    if not has_format(folder, name.partition("/")[0]):
        raise DiffvocError(f'{folder} is not the folder of a {what}: its config.json does not have "format": "{name}".')
    return read_json(folder / "config.json")


def fill(network: nn.Module, folder: Path, device: str | torch.device) -> None:
    """Load the weights in ``folder``; every name and shape must match."""
    load_weights(network, read_weights(folder), folder / WEIGHTS)  # type: ignore[arg-type]
    network.to(device).eval().requires_grad_(False)
