"""Folders of models that the benchmark alone has: ``config.json``, ``model.safetensors`` and a card, ``README.md``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tts_diffvoc.checkpoint import load_weights, read_safetensors, write_weights
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import make_folder, replacing, write_beside
from tts_diffvoc.naming import WEIGHTS, has_format, read_json


def save(network: nn.Module, folder: Path, values: dict[str, Any], card: str) -> None:
    """Write ``network`` as ``values`` describe it: parameters as float16, buffers as they are.

    Raises: DiffvocError when the folder cannot be written.
    """
    learnt = {name for name, _ in network.named_parameters()}
    state = {k: (v.half() if k in learnt else v).detach().cpu().contiguous() for k, v in network.state_dict().items()}
    make_folder(folder)
    with replacing(folder / WEIGHTS) as beside:
        write_weights(beside, state)
    write_beside(folder / "config.json", json.dumps(values, indent=1) + "\n")
    write_beside(folder / "README.md", card)


def is_saved(folder: str | Path, kind: str) -> bool:
    """Whether ``folder`` calls itself one of ``kind``, such as "diffvoc-baseline/1"."""
    return has_format(Path(folder), kind.partition("/")[0])


def read(folder: Path, kind: str, what: str) -> dict[str, Any]:
    """The values of ``config.json`` without its format. Raises: DiffvocError where ``folder`` has no ``what``."""
    if not folder.is_dir():
        raise DiffvocError(f"there is no folder {folder}; give the folder of a {what}.")
    if not is_saved(folder, kind):
        raise DiffvocError(f'{folder} is not the folder of a {what}: its config.json does not have "format": "{kind}".')
    values = read_json(folder / "config.json")
    del values["format"]
    return values


def fill(network: nn.Module, folder: Path, device: str | torch.device = "cpu") -> None:
    """Load the weights in ``folder``; every name and shape must match."""
    load_weights(network, read_safetensors(folder / WEIGHTS), folder / WEIGHTS)
    network.to(device).eval().requires_grad_(False)
