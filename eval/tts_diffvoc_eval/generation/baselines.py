"""Folders of WaveGAN and WaveNet."""

from __future__ import annotations

from pathlib import Path

import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import folders
from tts_diffvoc_eval.generation.unconditional_model import UnconditionalModel
from tts_diffvoc_eval.generation.wavegan import WaveGan
from tts_diffvoc_eval.generation.wavenet import WaveNet

KINDS: dict[str, type[UnconditionalModel]] = {kind.kind: kind for kind in (WaveGan, WaveNet)}
FORMAT = "diffvoc-seed/1"
CARD = """---
training: {training}
data: {data}
---
# {label}
{what} {count:,} parameters, clips of {length:,} samples at {rate:,} Hz, without labels.
"""


def save(model: UnconditionalModel, folder: str | Path, training: str, data: str) -> None:
    """Write ``model`` to ``folder``, with how it was trained and on what.

    Raises: DiffvocError when it cannot be written.
    """
    values = {"format": FORMAT, "kind": model.kind, "size": model.size, "training": training, "data": data}
    clips = {"length": model.config.length, "rate": model.config.sample_rate}
    about = {"label": model.label, "what": model.what, "count": model.parameters_count, **clips}
    card = CARD.format(training=training, data=data, **about)
    folders.save(model, Path(folder), {**values, "network": model.config.to_dict()}, card)


def is_saved(folder: str | Path) -> bool:
    return folders.is_saved(folder, FORMAT)


def load(folder: str | Path, device: str | torch.device = "cpu") -> UnconditionalModel:
    """The model that :func:`save` wrote to ``folder``, in evaluation mode.

    Raises: DiffvocError for a folder that is missing, damaged or no baseline's.
    """
    values = folders.read(Path(folder), FORMAT, "WaveGAN or WaveNet")
    try:
        kind = KINDS[values["kind"]]
        model = kind(kind.config_type.from_dict(values["network"]), values["size"], values["training"])
    except (KeyError, TypeError):
        raise DiffvocError(f"{folder}/config.json does not describe a WaveGAN or WaveNet; copy it again.") from None
    folders.fill(model, Path(folder), device)
    return model
