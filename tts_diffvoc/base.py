"""What every model of the package has, whatever its network: options with defaults, a device, mixed precision."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

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


def parse_steps(text: str) -> int:
    """A number of network evaluations from text, at least 1."""
    try:
        steps = int(text)
    except ValueError:
        raise DiffvocError(f"steps={text} is not a whole number; give for example steps=6.") from None
    if steps < 1:
        raise DiffvocError(f"steps={text} is too small; give at least steps=1.")
    return steps


def parse_choice(option: str, choices: tuple[str, ...]) -> Callable[[str], str]:
    """A parser that takes one of ``choices``."""

    def parse(text: str) -> str:
        if text not in choices:
            raise DiffvocError(f"{option}={text} is unknown; choose one of {', '.join(choices)}.")
        return text

    return parse


def parse_seed(text: str) -> int:
    """A seed from text, a whole number of at least 0."""
    if not text.isdecimal():
        raise DiffvocError(f"seed={text} is not a whole number of at least 0; give for example seed=1.")
    return int(text)


Method = TypeVar("Method", bound=Callable[..., Any])


def in_float32(method: Method) -> Method:
    """A method of an :class:`AudioModel` that mixed precision around it does not reach."""

    @functools.wraps(method)
    def wrapper(self: AudioModel, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast(self.device.type, enabled=False):
            return method(self, *args, **kwargs)

    return wrapper  # type: ignore[return-value]


class AudioModel(nn.Module):
    """A model that makes waveforms, with options that have defaults.

    Attributes:
        name: for messages.
        config: everything but the weights; it has ``defaults``.
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
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def check_options(self, options: dict[str, Any]) -> None:
        """Raise DiffvocError for options, each valid by itself, that this model cannot take."""

    def _option(self, name: str, given: Any, fallback: Any) -> Any:
        """What the caller gave, else this model's default; checked like the same option in text."""
        value = given if given is not None else self.defaults.get(name, fallback)
        return value if value is None else self.GENERATE_OPTIONS[name](str(value))

    def _random(self, seed: int | None) -> torch.Generator:
        """What draws noise, on the CPU, so that one seed gives one result on every device; None for a new seed."""
        seed = self._option("seed", seed, None)
        generator = torch.Generator()
        generator.manual_seed(seed) if seed is not None else generator.seed()
        return generator

    def _mixed(self) -> torch.autocast:
        """The context in which the network is evaluated: mixed precision if asked for, float32 otherwise."""
        kind = self.device.type
        return torch.autocast(kind, dtype=self.autocast or torch.bfloat16, enabled=self.autocast is not None)


class MelVocoder(AudioModel):
    """Mel to waveform. B is the batch, T samples, M mel bands, F mel frames.

    Its ``config`` has ``network``, ``sizes``, ``mel`` and ``defaults``.
    """

    @property
    def mel_config(self) -> MelConfig:
        return self.config.mel

    @property
    def sample_rate(self) -> int:
        return self.config.mel.sample_rate

    def mel(self, waveform: Tensor) -> Tensor:
        """Log-mel [B, M, T // hop + 1] of ``waveform`` [B, T] or [T] in [-1, 1], as this vocoder takes it."""
        if waveform.dim() == 1:
            waveform = waveform.unsqueeze(0)
        return log_mel(waveform.to(self.device, torch.float32), self.config.mel)
