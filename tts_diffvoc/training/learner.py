"""A vocoder in a published layout as a training loop sees it, and weights that it begins with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import AnyVocoder
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.training.conditions import shown

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}  # of mixed precision


class VocoderTraining(nn.Module):
    """A vocoder's own loss; levels and noise of a row come from its own seed."""

    def __init__(self, vocoder: AnyVocoder) -> None:
        super().__init__()
        self.vocoder: Any = vocoder

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """The mean loss of a batch, one scalar.

        Args:
            batch: "waveform" [B, F * hop], "mel" [B, M, F], "seed" [B] of each row's noise, and of a vocoder that is
                conditioned on it "condition" [B], the number of each row's speaker.
        """
        labels = {"labels": batch["condition"]} if "condition" in batch else {}
        seeds = torch.as_tensor(batch["seed"]).tolist()
        return self.vocoder.loss(batch["waveform"], batch["mel"], seeds=seeds, **labels)

    def loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The same for :class:`tts_diffvoc.training.loop.Loop`."""
        return {"loss": self(batch)}


def take_weights(vocoder: AnyVocoder, source: AnyVocoder, spec: str) -> None:
    """Copy the weights of ``source`` to ``vocoder``; one without speakers lends them to each, all alike at first.

    Args:
        spec: what names the source, for messages.

    Raises: DiffvocError for a source of other sizes, another mel or other speakers.
    """
    own, other = vocoder.config, source.config
    if (_without_labels(other.sizes), other.mel) != (_without_labels(own.sizes), own.mel):
        raise DiffvocError(f"{spec} has other sizes or another mel than this configuration.")
    if _speakers(other) not in (_speakers(own), (0, ())):
        raise DiffvocError(
            f"{spec} has {_describe(other)} and this configuration {_describe(own)}; give a vocoder with the same "
            "ones, or one without speakers."
        )
    fresh = {name: value for name, value in vocoder.state_dict().items() if "label_" in name}
    for name, value in fresh.items():
        if "label_projection" in name:  # so that untrained speakers change nothing
            fresh[name] = torch.zeros_like(value)
    vocoder.load_state_dict({**fresh, **source.state_dict()})


def _without_labels(sizes: Any) -> Any:
    if not isinstance(sizes, DiffWaveConfig):
        return sizes
    return replace(sizes, labels=0, label_channels=DiffWaveConfig.label_channels)


def _speakers(config: Any) -> tuple[int, tuple[str, ...]]:
    return getattr(config, "speakers", 0), tuple(getattr(config, "speaker_names", ()))


def _describe(config: Any) -> str:
    count, names = _speakers(config)
    return f"{count} speakers" + (f" ({shown(names)})" if names else "")
