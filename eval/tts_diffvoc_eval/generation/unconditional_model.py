"""What the baselines, WaveGAN and WaveNet, have in common: clips of one length, without labels; and their folders."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tts_diffvoc.schema import FromJson
from tts_diffvoc_eval import folders

FORMAT = "diffvoc-seed/1"


class UnconditionalModel(nn.Module):
    """A network that turns random numbers into clips.

    Args:
        config: a dataclass of plain values with ``length`` and ``sample_rate``.
        size: "published" or "small", for its label.
        training: how it was trained, in words.

    Attributes:
        kind: its name in files. title: its name for people. family: "gan" or "autoregressive".
        what: a sentence for its card.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[str]
    what: ClassVar[str]
    config_type: ClassVar[type[FromJson]]

    def __init__(self, config: Any, size: str = "small", training: str = "untrained") -> None:
        super().__init__()
        self.config, self.size, self.training_said = config, size, training

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """The random numbers [count, ...] of ``count`` clips, on the CPU."""

    @abstractmethod
    def sample(self, latent: Tensor) -> Tensor:
        """Clips [B, T] of the random numbers [B, ...] that :meth:`draw` gave."""

    @property
    def label(self) -> str:
        return self.title if self.size == "published" else f"{self.title} ({self.size})"

    @torch.inference_mode()
    def generate(self, count: int, seed: int, batch: int = 128) -> Tensor:
        """Clips [count, T], float32 in [-1, 1], on the CPU; the same on every device and in batches of any size."""
        latent = self.draw(count, torch.Generator().manual_seed(seed))
        device = next(self.parameters()).device
        clips = [self.sample(part.to(device)).float().cpu() for part in latent.split(batch)]
        return torch.cat(clips).clamp(-1, 1)

    def save(self, folder: str | Path, training: str, data: str) -> None:
        """Write the model to ``folder``, with how it was trained and on what.

        Raises: DiffvocError when it cannot be written.
        """
        values = {"format": FORMAT, "kind": self.kind, "size": self.size, "training": training, "data": data}
        count, length, rate = sum(p.numel() for p in self.parameters()), self.config.length, self.config.sample_rate
        card = (
            f"---\ntraining: {training}\ndata: {data}\n---\n# {self.label}\n{self.what} {count:,} parameters, "
            f"clips of {length:,} samples at {rate:,} Hz, without labels.\n"
        )
        folders.save(self, Path(folder), {**values, "network": self.config.to_dict()}, card)
