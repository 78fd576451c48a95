"""Trained baselines on disk: ``config.json``, ``model.safetensors`` and a model card, ``README.md``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from tts_diffvoc.checkpoint import WEIGHTS, write_beside, write_weights
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.voices import card, read_json
from tts_diffvoc_eval.baselines import configs, wavernn
from tts_diffvoc_eval.baselines.networks import as_system, fold_weight_norm, generator
from tts_diffvoc_eval.systems import System, digest, folder_name, run_name, safe

FORMAT = "diffvoc-baseline/1"
CARD = """---
training: {training}
data: {data}
---
# {label}
A baseline of the benchmark in `eval/`: Coqui's {kind} network, {parameters:,} numbers, on the mel contract of
tts-diffvoc (22,050 Hz, hop 256, 80 bands).
"""


def is_saved(folder: str | Path) -> bool:
    """Whether ``folder`` calls itself a baseline that :func:`save` wrote."""
    return read_json(Path(folder) / "config.json").get("format") == FORMAT


def save(
    network: nn.Module,
    folder: str | Path,
    name: str,
    size: str,
    mel: MelConfig,
    training: str = "untrained",
    data: str = "not said",
) -> None:
    """Write a generator, its weight norm multiplied out, as float16; each file is written beside and renamed.

    Args:
        network: of the baseline ``name`` in ``size``; it stays as it is.
        mel: the mel that it takes.
        training, data: for the card, how it was trained and on what.

    Raises: DiffvocError when the folder cannot be written.
    """
    folder, baseline = Path(folder), configs.find(name)
    settings = baseline.size(size).network
    plain = generator(baseline.kind, settings)
    plain.load_state_dict(network.state_dict())
    learnt = dict(fold_weight_norm(plain).named_parameters())
    state = {k: (v.half() if k in learnt else v).cpu().contiguous() for k, v in plain.state_dict().items()}
    values = {"format": FORMAT, "name": name, "size": size, "network": settings, "training": training}
    parameters = sum(p.numel() for p in learnt.values())
    facts = {"label": baseline.label_of(size), "kind": baseline.kind, "parameters": parameters}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{WEIGHTS}.part"
        write_weights(beside, state)
        os.replace(beside, folder / WEIGHTS)
        write_beside(folder / "config.json", json.dumps({**values, "mel": mel.to_dict()}, indent=1) + "\n")
        write_beside(folder / "README.md", CARD.format(**facts, training=training, data=data))
    except OSError as error:
        raise DiffvocError(f"the baseline cannot be written to {folder}: {error.strerror or error}.") from None


def load(folder: str | Path, device: str | torch.device = "cpu", fold: tuple[int, int] | None = wavernn.FOLD) -> System:
    """The system that :func:`save` wrote to ``folder``, float32, on ``device``; ``fold`` as ``as_system`` takes it.

    Raises: DiffvocError for a folder that is missing, truncated or not a baseline.
    """
    folder = Path(folder)
    if not is_saved(folder):
        what = "is not a baseline's: its config.json" if folder.is_dir() else "is not there; a baseline's config.json"
        raise DiffvocError(f'the folder {folder} {what} says "format": "{FORMAT}".')
    values = read_json(folder / "config.json")
    missing = sorted({"name", "size", "network", "mel"} - set(values))
    if missing or values["size"] not in configs.SIZES:
        raise DiffvocError(f"{folder}/config.json lacks {missing or 'a known size'}; copy the baseline again.")
    baseline = configs.find(values["name"])
    network = fold_weight_norm(generator(baseline.kind, values["network"]))
    _read_weights(network, folder / WEIGHTS)
    facts, part, label = card(folder), folder.resolve().name, baseline.label_of(values["size"])
    return as_system(
        network,
        MelConfig.from_dict(values["mel"]),
        device,
        fold,
        name=safe(folder_name(folder)),
        label=f"{label}, {part}" if part.startswith("quarter-") else label,
        family=baseline.family,
        deterministic=baseline.deterministic,
        training=facts.get("training") or values.get("training", "not said"),
        note=facts.get("note") or values.get("note"),
        digest=digest(folder / WEIGHTS),
        run=run_name(folder),
    )


def _read_weights(network: nn.Module, path: Path) -> None:
    """Every name and shape must match."""
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise DiffvocError(f"{path} cannot be read ({error}); copy the baseline again.") from None
    except RuntimeError as error:
        raise DiffvocError(f"{path} does not belong to its config.json: {str(error).splitlines()[1].strip()}") from None
