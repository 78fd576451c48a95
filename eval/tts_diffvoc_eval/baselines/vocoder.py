"""DiffWave, WaveGrad and WaveGlow of this package in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch

from tts_diffvoc.checkpoint import save_checkpoint
from tts_diffvoc.factory import AnyVocoder, build, config_from_dict
from tts_diffvoc.flow import FlowVocoder
from tts_diffvoc.vocoder import Vocoder
from tts_diffvoc_eval.baselines.configs import SizeConfig

COMPILE_MODE = "max-autotune-no-cudagraphs"  # on a GPU; cudagraphs would keep the weights' averages from being taken
CARD = """---
training: {training}
data: {data}
---
{label} in the benchmark of `eval/`, trained from nothing by `recipes/benchmark`.

# {label}
{parameters:,} parameters, averaged over training and kept as float16, on the mel contract of tts-diffvoc (22,050 Hz,
hop 256, 80 bands).
"""


def untrained(size: SizeConfig, name: str, seed: int) -> Vocoder | FlowVocoder:
    """The vocoder of a size, its weights drawn with ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return cast(Vocoder | FlowVocoder, build(config_from_dict(size.network), name))


def save(vocoder: AnyVocoder, folder: Path, label: str, training: str, data: str) -> None:
    """Write a checkpoint folder of the package."""
    parameters = sum(p.numel() for p in vocoder.parameters())
    save_checkpoint(vocoder, folder, CARD.format(training=training, data=data, label=label, parameters=parameters))


def compile_training(model: Any, batch: dict[str, Any]) -> None:
    """Compile the network of a :class:`VocoderTraining` in place, by one loss and its gradient on ``batch``.

    What the compiler cannot take runs as it is. Do not copy the vocoder afterwards: the copy would share its weights.
    """
    torch._dynamo.config.suppress_errors = True
    network = model.vocoder.network
    network.compile(dynamic=False, mode=COMPILE_MODE if batch["waveform"].is_cuda else "default")
    model.loss(batch)["loss"].backward()
    model.zero_grad(set_to_none=True)
