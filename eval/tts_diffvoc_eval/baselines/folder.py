"""Trained baselines on disk: ``config.json``, ``model.safetensors`` and a model card, ``README.md``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from tts_diffvoc.checkpoint import WEIGHTS, write_beside, write_weights
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.voices import read_json
from tts_diffvoc_eval.baselines.baseline import Baseline, fold_weight_norm
from tts_diffvoc_eval.baselines.catalogue import SIZES, generator, system, wrap

FORMAT = "diffvoc-baseline/1"
CARD = """---
training: {training}
data: {data}
---
# {label}
A baseline of the benchmark in `eval/`: Coqui's {kind} network, {parameters:,} numbers, on the mel contract of
tts-diffvoc (22,050 Hz, hop 256, 80 bands).{note}
"""


def is_saved(folder: str | Path) -> bool:
    """Whether ``folder`` calls itself a baseline that :func:`save` wrote."""
    return read_json(Path(folder) / "config.json").get("format") == FORMAT


def save(baseline: Baseline, folder: str | Path, data: str = "not said", half: bool = True) -> None:
    """Write ``baseline`` to ``folder``; each file is written beside and renamed.

    Args:
        data: for the card, what it was trained on.
        half: keep what training sets as float16.

    Raises: DiffvocError when the folder cannot be written, or for a vocoder that is not of the catalogue.
    """
    folder = Path(folder)
    one = system(baseline.name)
    kept = ("name", "size", "network", "training", "note")
    values = {"format": FORMAT, **{name: getattr(baseline, name) for name in kept}, "mel": baseline.mel.to_dict()}
    note = f"\n\n{baseline.note}" if baseline.note else ""
    facts = {"training": baseline.training, "label": baseline.label, "kind": one.kind, "note": note, "data": data}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{WEIGHTS}.part"
        write_weights(beside, _weights(baseline, half))
        os.replace(beside, folder / WEIGHTS)
        write_beside(folder / "config.json", json.dumps(values, indent=1) + "\n")
        write_beside(folder / "README.md", CARD.format(**facts, parameters=baseline.parameters))
    except OSError as error:
        raise DiffvocError(f"the baseline cannot be written to {folder}: {error.strerror or error}.") from None


def _weights(baseline: Baseline, half: bool) -> dict[str, torch.Tensor]:
    """Filters and running means, which are buffers, stay as they are."""
    learnt = {name for name, _ in baseline.generator.named_parameters()}
    state = baseline.generator.state_dict().items()
    return {k: (v.half() if half and k in learnt else v).detach().cpu().contiguous() for k, v in state}


def load(folder: str | Path, device: str | torch.device = "cpu") -> Baseline:
    """The baseline that :func:`save` wrote to ``folder``, float32, on ``device``.

    Raises: DiffvocError for a folder that is missing, truncated or no baseline.
    """
    folder = Path(folder)
    if not is_saved(folder):
        what = "is not a baseline's: its config.json" if folder.is_dir() else "is not there; a baseline's config.json"
        raise DiffvocError(f'the folder {folder} {what} says "format": "{FORMAT}".')
    values = read_json(folder / "config.json")
    missing = sorted({"name", "size", "network", "mel"} - set(values))
    if missing or values["size"] not in SIZES:
        raise DiffvocError(f"{folder}/config.json lacks {missing or 'a known size'}; copy the baseline again.")
    network = fold_weight_norm(generator(system(values["name"]).kind, values["network"]))
    _fill(network, folder / WEIGHTS)
    mel, training = MelConfig.from_dict(values["mel"]), values.get("training", "not said")
    loaded = wrap(values["name"], values["size"], network, mel, values["network"], training, device)
    loaded.note = values.get("note")
    return loaded


def _fill(network: torch.nn.Module, path: Path) -> None:
    """Read the weights of ``network``; every name and shape must match."""
    try:
        weights: dict[str, Any] = load_file(path)
        network.load_state_dict(weights)
    except (SafetensorError, OSError) as error:
        raise DiffvocError(f"{path} cannot be read ({error}); copy the baseline again.") from None
    except RuntimeError as error:
        raise DiffvocError(f"{path} does not belong to its config.json: {str(error).splitlines()[1].strip()}") from None
