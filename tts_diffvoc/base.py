"""What every model of the package has, whatever its network: options with defaults, a device, mixed precision."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.arguments import MOST_THREADS, THREADS, checked, whole
from tts_diffvoc.audio import LOUDEST, scale_peaks
from tts_diffvoc.capture import BUCKET, Captures, Function
from tts_diffvoc.diffusion.noise import FrameNoise, cut_rows, row_seeds
from tts_diffvoc.diffusion.samplers import Callback
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.hub import HubMixin
from tts_diffvoc.mel import MelConfig, compress, log_mel
from tts_diffvoc.mel_kinds import take_mel
from tts_diffvoc.streaming import Window, windows

LONGEST = 60.0  # seconds that are made at once
Seeds = int | Sequence[int] | None  # one for all rows, one a row, or new ones


def check_device(device: str | torch.device) -> torch.device:
    """The device; DiffvocError when it is not here, or does not compute."""
    try:
        return torch.zeros(1, device=device).cpu().new_empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError, TypeError):
        raise DiffvocError(f"there is no device {str(device)!r} here; give cpu, cuda or cuda:N.") from None


# OpenMP's threads do not live on in a fork, where the next sum would wait for them without end.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class AudioModel(nn.Module):
    """A model that makes waveforms, with options that have defaults; it sets torch's threads to those of ``THREADS``.

    Attributes:
        name: for messages.
        card: the README.md of the checkpoint folder that the model came from.
        config: everything but the weights; it has ``defaults``.
        defaults: of the options of ``generate``.
        autocast: the type of the network's arithmetic under mixed precision; everything around it stays float32.
    """

    GENERATE_OPTIONS: dict[str, Callable[[str], Any]] = {}

    def __init__(self, config: Any, name: str) -> None:
        super().__init__()
        if os.environ.get(THREADS):
            torch.set_num_threads(checked(THREADS, os.environ[THREADS], whole(1, MOST_THREADS)))
        self.name, self.config, self.card = name, config, ""
        self.defaults: dict[str, Any] = {one: self.parse_option(one, value) for one, value in config.defaults.items()}
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

    def parse_option(self, name: str, value: Any) -> Any:
        """A value for the option ``name`` of ``generate``, or its text, checked.

        Raises: DiffvocError for a name that is no option, and for what the option cannot be.
        """
        if name not in self.GENERATE_OPTIONS:
            raise DiffvocError(f"unknown option {name!r}; the options are {', '.join(self.GENERATE_OPTIONS)}.")
        return checked(name, value, self.GENERATE_OPTIONS[name])

    def _options(self, **given: Any) -> dict[str, Any]:
        """Options of ``generate``, checked: those given, and this model's defaults for what is None or missing."""
        chosen = {**self.defaults, **{name: value for name, value in given.items() if value is not None}}
        return {name: self.parse_option(name, value) for name, value in chosen.items()}

    def _random(self, seed: int | None) -> torch.Generator:
        """What draws noise, on the CPU, so that one seed gives one result on every device; None for a new seed."""
        seed = self._options(seed=seed).get("seed")
        generator = torch.Generator()
        generator.manual_seed(seed) if seed is not None else generator.seed()
        return generator

    def _mixed(self) -> torch.autocast:
        """The context in which the network is evaluated: mixed precision if asked for, float32 otherwise."""
        kind = self.device.type
        return torch.autocast(kind, dtype=self.autocast or torch.bfloat16, enabled=self.autocast is not None)


class MelVocoder(AudioModel, HubMixin, ABC):
    """Mel to waveform. B is the batch, T samples, M mel bands, F mel frames.

    Its ``config`` has ``network``, ``sizes``, ``mel`` and ``defaults``; the class's docstring tells the options of
    ``generate`` that are its own.

    Attributes:
        FADE: frames over which a chunk of a stream fades into the next; 0 where chunks are what the whole would be.
        captures: CUDA graphs of the synthesis; None where it is not captured.
    """

    FADE = 0
    captures: Captures | None = None

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        if self.captures is not None:  # a graph knows the weights by where they lay
            self.captures.calls.clear()
        return super()._apply(*args, **kwargs)

    @property
    def mel_config(self) -> MelConfig:
        return self.config.mel

    @property
    def sample_rate(self) -> int:
        return self.config.mel.sample_rate

    def mel(self, waveform: Tensor) -> Tensor:
        """Log-mel [B, M, T // hop + 1] of ``waveform`` [B, T] or [T] in [-1, 1], as this vocoder takes it."""
        return log_mel(self.check_waveform(waveform), self.config.mel)

    def generate(
        self,
        mel: Tensor,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        seed: Seeds = None,
        mel_kind: str | MelConfig = "auto",
        callback: Callback | None = None,
        **options: Any,
    ) -> Tensor:
        """Synthesise ``mel`` [B, M, F] to a waveform [B, F * hop] in [-1, 1], float32, on the device of the mel.

        A row whose peak is above 1 is scaled down to 1, with a warning. What is longer than a minute is made in chunks,
        as :meth:`stream` makes them.

        Args:
            lengths: frames of each row [B], from 1 to F; each row is then made by itself, so that it is exactly what it
                would be alone, and silent after its end. None for F, the rows together.
            seed: the same seed gives the same samples on one device; one for all rows, or one a row; None draws anew.
            mel_kind: what the mel is, one of ``tts_diffvoc.mel_kinds.KINDS`` or its settings, if not the vocoder's own.
            callback: called as (step, state, x0) after each step of a sampler; nothing is then made in chunks.
            options: of this class, those of ``GENERATE_OPTIONS``.

        Raises: DiffvocError for a mel that :func:`tts_diffvoc.mel.check_mel` refuses, bad lengths and bad options.
        """
        if lengths is None or not isinstance(mel, Tensor) or mel.dim() not in (2, 3) or not mel.numel():
            taken = take_mel(mel, self.config.mel, mel_kind)
            return scale_peaks(self.sample(taken, seed, callback, **options), self.name).to(mel.device)
        rows = cut_rows(mel, lengths)
        told = {"mel_kind": mel_kind, "callback": callback, **options}
        made = [self.generate(row, seed=one, **told) for row, one in zip(rows, self._seeds(seed, len(rows)))]
        longest = max(mel.shape[-1] * self.config.mel.hop_length, *(one.shape[1] for one in made))
        return torch.cat([F.pad(one, (0, longest - one.shape[1])) for one in made])

    def sample(self, mel: Tensor, seed: Seeds = None, callback: Callback | None = None, **options: Any) -> Tensor:
        """What :meth:`generate` makes of a mel of this vocoder's kind, of any level, as a search must see it."""
        settings, frames = self._settle(**options), mel.shape[-1]
        longest = round(LONGEST * self.sample_rate / self.config.mel.hop_length)
        chunk = frames if frames <= longest or callback else max(longest // 8, 4 * self._context(settings))
        return torch.cat(list(self._chunks([mel], chunk, self._seeds(seed, len(mel)), settings, callback)), 1)

    def stream(
        self,
        mel: Tensor | Iterable[Tensor],
        chunk_frames: int = 64,
        *,
        seed: Seeds = None,
        mel_kind: str | MelConfig = "auto",
        **options: Any,
    ) -> Iterator[Tensor]:
        """Synthesise a mel [B, M, F], or its pieces as they come, chunk after chunk: waveforms [B, chunk * hop].

        A chunk is there as soon as the frames are that its last sample depends on. Joined they are what
        :meth:`generate` makes of the whole, exactly unless the class says otherwise; memory does not grow with length.
        A peak above 1 is cut, with a warning.

        Raises: DiffvocError, before the first chunk, for what ``generate`` refuses, and for a chunk of no frames.
        """
        pieces = [mel] if isinstance(mel, Tensor) else mel
        checked = (take_mel(piece, self.config.mel, mel_kind) for piece in pieces)
        first = next(checked, None)
        if first is None:
            raise DiffvocError("the stream of mels ended before its first; give at least one piece [B, M, F].")
        settings, seeds = self._settle(**options), self._seeds(seed, len(first))
        chunks = self._chunks(chain([first], checked), chunk_frames, seeds, settings)
        return (scale_peaks(one, self.name, cut=True).to(first.device) for one in chunks)

    @torch.no_grad()
    def _chunks(
        self, mels: Iterable[Tensor], chunk: int, seeds: list[int], settings: Any, callback: Callback | None = None
    ) -> Iterator[Tensor]:
        hop, context, noise = self.config.mel.hop_length, self._context(settings), FrameNoise(seeds, self.device)
        carried = None
        fading = torch.zeros(len(seeds), 0, device=self.device)
        for window in windows((mel.to(self.device) for mel in mels), chunk, context, context):
            if self.captures is not None:
                rows, bands, frames = window.mel.shape
                silence = compress(window.mel.new_zeros(rows, bands, -frames % BUCKET), self.config.mel)
                window = replace(window, mel=torch.cat([window.mel, silence], 2))
            with torch.autocast(self.device.type, enabled=False):  # mixed precision around it does not reach it
                waveform, carried = self._synthesise(window, noise, settings, carried, callback)
            piece = waveform[:, window.keep.start * hop : window.keep.stop * hop].clone()
            size = min(fading.shape[1], piece.shape[1])
            share = torch.linspace(0, 1, size, device=piece.device)
            piece[:, :size] = torch.lerp(fading[:, :size], piece[:, :size], share)
            fading = waveform[:, window.keep.stop * hop : (window.keep.stop + self.FADE) * hop]
            yield piece

    def _evaluate(self, key: Hashable, function: Function, inputs: Sequence[Tensor], callback: Any) -> Tensor:
        """``function(*inputs)``, which does the same whenever the key is the same: captured, if that was asked for."""
        if self.captures is None or callback is not None:
            return function(*inputs)
        return self.captures((key, self.autocast), function, inputs)

    @abstractmethod
    def _synthesise(
        self, window: Window, noise: FrameNoise, settings: Any, carried: Any, callback: Callback | None
    ) -> tuple[Tensor, Any]:
        """The waveform of a window's whole mel, and what the next window must know of it, as ``carried``."""

    @abstractmethod
    def _settle(self, **options: Any) -> Any:
        """The settings that ``options`` of ``generate`` give, with the defaults for those that are None or missing."""

    @abstractmethod
    def _context(self, settings: Any) -> int:
        """Frames that a chunk needs on both sides."""

    def check_options(self, options: dict[str, Any]) -> None:
        """Raise DiffvocError for options, each valid by itself, that this vocoder cannot take."""
        self._settle(**options)

    def _seeds(self, seed: Seeds, rows: int) -> list[int]:
        given = self.defaults.get("seed") if seed is None else seed
        return row_seeds(given, rows)
