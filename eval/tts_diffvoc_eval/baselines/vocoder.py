"""Our own vocoders in training: the magnitude network first and alone, then the other network on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tts_diffvoc.building import AnyVocoder, build, config_from_dict
from tts_diffvoc.checkpoint import load_vocoder, save_checkpoint
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.vocoder import Vocoder
from tts_diffvoc_eval.baselines.configs import SizeConfig

COMPILE_MODE = "max-autotune-no-cudagraphs"  # on a GPU; cudagraphs would keep the weights' averages from being taken
CARD = """---
training: {training}
data: {data}{note}
---
{label} in the benchmark of `eval/`, trained from nothing by `recipes/benchmark`.

# {label}
{parameters:,} numbers, averaged over training and kept as float16, on the mel contract of tts-diffvoc (22,050 Hz, hop
256, 80 bands).
"""
PROJECTED = "\nnote: quality comes from projection on estimated magnitudes"


class VocoderTraining(nn.Module):
    """One network of a vocoder learns by the vocoder's own loss, "estimator" or "network"; the other one stays.

    Levels and noise of a row come from its own seed.
    """

    def __init__(self, vocoder: AnyVocoder, part: str) -> None:
        super().__init__()
        self.vocoder, self.part = vocoder, part

    def parts(self) -> dict[str, list[nn.Parameter]]:
        return {"model": list(getattr(self.vocoder, self.part).parameters())}

    def loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        if self.part == "estimator":
            return {"loss": self.vocoder.magnitude_loss(batch["waveform"], batch["mel"])}
        return {"loss": self.vocoder.loss(batch["waveform"], batch["mel"], seeds=batch["seed"].tolist())}


def untrained(size: SizeConfig, name: str, seed: int) -> AnyVocoder:
    """The vocoder of a size, its weights drawn with ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vocoder = build(config_from_dict(size.network), name)
    if size.norm:
        vocoder.norm = size.norm
    return vocoder


def borrow_estimator(vocoder: AnyVocoder, name: str, source: str | Path | None) -> None:
    """Take the magnitude network of the vocoder ``source``; DiffvocError where it has none of this size."""
    if source is None:
        raise DiffvocError(f"{name} begins with a magnitude network; name a vocoder that has one.")
    trained = load_vocoder(str(source)).estimator
    if trained is None or trained.config != vocoder.estimator.config:
        raise DiffvocError(f"{source} has no magnitude network of this size; give a small vocoder of ours.")
    vocoder.estimator.load_state_dict(trained.state_dict())


def save(vocoder: AnyVocoder, folder: Path, label: str, training: str, data: str) -> None:
    """Write a checkpoint folder of the package."""
    note = PROJECTED if vocoder.defaults.get("project") else ""
    facts = {"training": training, "data": data, "label": label, "note": note}
    parameters = sum(p.numel() for p in vocoder.parameters())
    save_checkpoint(vocoder, folder, CARD.format(**facts, parameters=parameters))


def compile_network(vocoder: AnyVocoder) -> None:
    """Let ``torch.compile`` take the network of ``vocoder``, in place, when it is next evaluated.

    Do not copy the vocoder afterwards: the copy's mel would go through this one's weights.
    """
    mode = COMPILE_MODE if vocoder.device.type == "cuda" else "default"
    vocoder.network.compile(dynamic=False, mode=mode)
    if isinstance(vocoder, Vocoder):
        vocoder.network.condition = torch.compile(vocoder.network.condition, dynamic=False, mode=mode)


def undo_compile(vocoder: AnyVocoder) -> None:
    """Go back to the network as it was."""
    vocoder.network._compiled_call_impl = None
    vocoder.network.__dict__.pop("condition", None)
