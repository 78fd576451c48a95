"""What every vocoder has, whatever its network: a mel contract, options with defaults, and one way in and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel


def parse_iterations(option: str) -> Callable[[str], int]:
    """A parser of a number of iterations, at least 0."""

    def parse(text: str) -> int:
        if not text.isdecimal():
            raise DiffvocError(f"{option}={text} is not a whole number of at least 0; give for example {option}=8.")
        return int(text)

    return parse


def parse_seed(text: str) -> int:
    """A seed from text, a whole number of at least 0."""
    if not text.isdecimal():
        raise DiffvocError(f"seed={text} is not a whole number of at least 0; give for example seed=1.")
    return int(text)


class MelVocoder(nn.Module):
    """Mel to waveform. B is the batch, T samples, M mel bands, F mel frames.

    Attributes:
        name: for messages.
        config: everything but the weights; it has ``network``, ``sizes``, ``mel`` and ``defaults``.
        defaults: of the options of ``generate``.
        autocast: the type of the network's arithmetic under mixed precision; everything around it stays float32.
    """

    GENERATE_OPTIONS: dict[str, Callable[[str], Any]] = {}

    def __init__(self, config: Any, name: str) -> None:
        super().__init__()
        self.name = name
        self.config = config
        self.defaults: dict[str, Any] = dict(config.defaults)
        self.autocast: torch.dtype | None = None

    @property
    def mel_config(self) -> MelConfig:
        return self.config.mel

    @property
    def sample_rate(self) -> int:
        return self.config.mel.sample_rate

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def mel(self, waveform: Tensor) -> Tensor:
        """Log-mel [B, M, T // hop + 1] of ``waveform`` [B, T] or [T] in [-1, 1], as this vocoder takes it."""
        if waveform.dim() == 1:
            waveform = waveform.unsqueeze(0)
        return log_mel(waveform.to(self.device, torch.float32), self.config.mel)

    def check_options(self, options: dict[str, Any]) -> None:
        """Raise DiffvocError for options, each valid by itself, that this vocoder cannot take."""

    def _option(self, name: str, given: Any, fallback: Any) -> Any:
        """What the caller gave, else this vocoder's default; checked like the same option in text."""
        value = given if given is not None else self.defaults.get(name, fallback)
        return value if value is None else self.GENERATE_OPTIONS[name](str(value))

    def _mixed(self) -> torch.autocast:
        """The context in which the network is evaluated: mixed precision if asked for, float32 otherwise."""
        kind = self.device.type
        return torch.autocast(kind, dtype=self.autocast or torch.bfloat16, enabled=self.autocast is not None)
