"""What every model of the package has, whatever its network: options with defaults, a device, mixed precision."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from tts_diffvoc.arguments import MOST_SEED, MOST_STEPS
from tts_diffvoc.audio import LOUDEST
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel


def parse_whole(option: str, least: int, most: int) -> Callable[[str], int]:
    """A parser of a whole number from ``least`` to ``most``."""

    def parse(text: str) -> int:
        number = int(text) if re.fullmatch(r"-?[0-9]{1,30}", text) else None
        if number is None or not least <= number <= most:
            raise DiffvocError(f"{option}={text[:40]} was given; give a whole number from {least} to {most}.")
        return number

    return parse


def parse_iterations(option: str) -> Callable[[str], int]:
    """A parser of a number of iterations, at least 0."""
    return parse_whole(option, 0, MOST_STEPS)


parse_steps = parse_whole("steps", 1, MOST_STEPS)
parse_seed = parse_whole("seed", 0, MOST_SEED)


def parse_choice(option: str, choices: tuple[str, ...]) -> Callable[[str], str]:
    """A parser that takes one of ``choices``."""

    def parse(text: str) -> str:
        if text not in choices:
            raise DiffvocError(f"{option}={text} is unknown; choose one of {', '.join(choices)}.")
        return text

    return parse


def check_device(device: str | torch.device) -> torch.device:
    """The device; DiffvocError when it is not here, or does not compute."""
    try:
        return torch.zeros(1, device=device).cpu().new_empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError, TypeError):
        raise DiffvocError(f"there is no device {str(device)!r} here; give cpu, cuda or cuda:N.") from None


# OpenMP's threads do not live on in a fork, where the next sum would wait for them without end.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

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
        unknown = sorted(set(config.defaults) - set(self.GENERATE_OPTIONS))
        if unknown:
            known = ", ".join(self.GENERATE_OPTIONS)
            raise DiffvocError(f"{name} has a default for {unknown[0]!r}, which is no option; these are: {known}.")
        self.defaults: dict[str, Any] = {
            option: self.GENERATE_OPTIONS[option](str(value)) for option, value in config.defaults.items()
        }
        self.autocast: torch.dtype | None = None

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def check_options(self, options: dict[str, Any]) -> None:
        """Raise DiffvocError for options, each valid by itself, that this model cannot take."""

    def check_waveform(self, waveform: Tensor) -> Tensor:
        """``waveform`` [B, T] or [T] in [-1, 1] as [B, T], float32, on this device; a row a clip, so no channels.

        Raises: DiffvocError for what is no tensor of floats, of another shape, empty, not finite or far too loud.
        """
        if not isinstance(waveform, Tensor) or not waveform.is_floating_point():
            given = waveform.dtype if isinstance(waveform, Tensor) else type(waveform).__name__
            raise DiffvocError(f"a waveform of {given} was given; give a tensor of floats in [-1, 1].")
        if waveform.dim() not in (1, 2) or not waveform.numel():
            raise DiffvocError(f"a waveform of shape {list(waveform.shape)} was given; give [B, T] or [T], not empty.")
        peak = float(waveform.abs().max())
        if not peak <= LOUDEST:
            raise DiffvocError(f"a waveform with a peak of {peak:.3g} was given; samples must lie in [-1, 1].")
        return waveform.reshape(-1, waveform.shape[-1]).to(self.device, torch.float32)

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
        return log_mel(self.check_waveform(waveform), self.config.mel)
