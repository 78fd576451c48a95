"""Trained baselines on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tts_diffvoc.checkpoint import save_checkpoint
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.naming import WEIGHTS
from tts_diffvoc.voices import card
from tts_diffvoc_eval import folders
from tts_diffvoc_eval.baselines import configs
from tts_diffvoc_eval.baselines.networks import as_system, fold_weight_norm, generator
from tts_diffvoc_eval.systems import System, digest, folder_name, safe

FORMAT = "diffvoc-baseline/1"
CARD = """---
label: {label}
training: {training}
data: {data}
---
# {label}
A system of the benchmark in `eval/`, trained from nothing by `recipes/benchmark`: {parameters:,} parameters, kept as
float16, on the mel contract of tts-diffvoc (22,050 Hz, hop 256, 80 bands).
"""


def save(
    network: Any,
    folder: str | Path,
    name: str,
    size: str,
    mel: MelConfig,
    training: str = "untrained",
    data: str = "not said",
) -> None:
    """Write a generator, its weight norm multiplied out, or a vocoder of this package as a checkpoint; as float16.

    Args:
        network: of the baseline ``name`` in ``size``; it stays as it is.
        mel: the mel that a generator takes.
        training, data: for the card, how it was trained and on what.

    Raises: DiffvocError when the folder cannot be written.
    """
    baseline = configs.find(name)
    settings, plain = baseline.size(size).network, network
    if baseline.kind != "vocoder":
        plain = generator(baseline.kind, settings)
        plain.load_state_dict(network.state_dict())
        fold_weight_norm(plain)
    parameters = sum(p.numel() for p in plain.parameters())
    part = f", {Path(folder).name}" * Path(folder).name.startswith("quarter-")
    text = CARD.format(label=baseline.label_of(size) + part, parameters=parameters, training=training, data=data)
    if baseline.kind == "vocoder":
        save_checkpoint(plain, folder, text)
        return
    values = {"format": FORMAT, "name": name, "size": size, "network": settings, "training": training}
    folders.save(plain, Path(folder), {**values, "mel": mel.to_dict()}, text)


def load(folder: str | Path, device: str | torch.device = "cpu") -> System:
    """The baseline that :func:`save` wrote to ``folder``, float32, on ``device``.

    Raises: DiffvocError for a folder that is missing, truncated or not a baseline.
    """
    folder = Path(folder)
    values = folders.read(folder, FORMAT, "baseline")
    missing = sorted({"name", "size", "network", "mel"} - set(values))
    if missing or values["size"] not in configs.SIZES:
        raise DiffvocError(f"{folder}/config.json lacks {missing or 'a known size'}; copy the baseline again.")
    baseline = configs.find(values["name"])
    network = fold_weight_norm(generator(baseline.kind, values["network"]))
    folders.fill(network, folder)
    facts = card(folder)
    return as_system(
        network,
        MelConfig.from_dict(values["mel"]),
        device,
        name=safe(folder_name(folder)),
        label=facts.get("label") or baseline.label_of(values["size"]),
        family=baseline.family,
        deterministic=baseline.deterministic,
        training=facts.get("training") or values.get("training", "not said"),
        note=facts.get("note") or values.get("note"),
        digest=digest(folder / WEIGHTS),
    )
