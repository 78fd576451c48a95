"""The training loop: AdamW, warm-up and cosine over a budget of time or steps, moving average, checkpoints.

A model says what its loss is, by ``loss(batch)``: a dictionary of scalars of which "loss" is minimised. One of several
parts that learn in turns, such as the two of a GAN, has ``parts()`` instead, lists of parameters by name, and
``losses(batch)``, which yields a part's name and its losses and goes on when that part has made its step. Batches come
from an iterator that never ends. Nothing here knows audio.

Processes that ``torchrun`` started, on one machine or several, train together once they have called :func:`join`:
each brings its own part of every batch, gradients and losses are averaged, and the first one writes.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tts_diffvoc.base import check_device
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import make_folder, replacing

CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"


@dataclass(frozen=True)
class LoopConfig:
    """Settings of :func:`train`.

    The budget is ``minutes`` of training or ``steps`` optimiser steps, all runs in a folder together. On a CPU the
    minutes are the process's own computing time over its threads, so that other work on the machine costs nothing.
    The run is saved and checked every ``save_minutes``, after each share of the budget in ``checks``, and at the end.
    ``bf16`` computes the losses in bfloat16; ``grad_scaler`` is for models that compute in float16 by themselves.
    """

    minutes: float | None = None
    steps: int | None = None
    learning_rate: float = 2e-3
    final_share: float = 0.01
    warmup_steps: int = 200
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    log_steps: int = 50
    save_minutes: float = 5.0
    checks: tuple[float, ...] = ()
    device: str = "cpu"
    bf16: bool = False
    grad_scaler: bool = False

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise DiffvocError("a training budget is either minutes or steps; give one of them.")
        if not (self.minutes or self.steps or 0) > 0:
            raise DiffvocError(f"a training budget of {self.minutes or self.steps} is none; give more than zero.")
        check_device(self.device)


def average_weights(decay: float) -> Callable[..., None]:
    """Update of torch's ``AveragedModel``: an exponential mean with a short memory at first, for a random start.

    After n updates the decay is the smaller of ``decay`` and (1 + n) / (10 + n).
    """

    @torch.no_grad()
    def update(averaged: Any, current: Any, count: Tensor | int) -> None:
        keep = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - keep)

    return update


def rate_factor(progress: float, step: int, warmup_steps: int, final_share: float) -> float:
    """The learning rate's share of its peak: a linear rise over the first steps, a cosine to ``final_share``.

    Args:
        progress: share of the budget that is spent, 0 to 1.
        step: how many are done.
    """
    cosine = (1 + math.cos(math.pi * progress)) / 2
    return (final_share + (1 - final_share) * cosine) * min(1.0, (step + 1) / max(1, warmup_steps))


def join(device: str) -> str:
    """Join the other processes that ``torchrun`` started, if there are any, and draw other random numbers than they.

    Returns: this process's device; of several GPUs each process has its own.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.distributed.is_initialized():
        gpu = torch.device(device).type == "cuda"
        if gpu:
            device = f"cuda:{os.environ['LOCAL_RANK']}"
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("nccl" if gpu else "gloo")
        atexit.register(torch.distributed.destroy_process_group)
    torch.manual_seed(world()[0])
    return device


def world() -> tuple[int, int]:
    """This process's rank, and how many train together."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def broadcast(value: float, device: torch.device) -> float:
    """The first process's value, in every process: clocks differ, and all must learn and stop alike."""
    if world()[1] == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    torch.distributed.broadcast(shared, 0)
    return float(shared)


class Loop:
    """A model in training: its moving average, its optimiser and what has been spent of the budget."""

    def __init__(self, model: nn.Module, config: LoopConfig, folder: Path) -> None:
        self.model, self.config, self.folder = model.to(config.device), config, folder
        self.rank, self.processes = world()
        for value in self.model.state_dict().values() if self.processes > 1 else ():
            torch.distributed.broadcast(value, 0)
        self.average = AveragedModel(model, multi_avg_fn=average_weights(config.ema_decay), use_buffers=False)
        self.parts: dict[str, list[nn.Parameter]] = (
            model.parts() if hasattr(model, "parts") else {"model": list(model.parameters())}  # type: ignore[operator]
        )
        self.optimizers = {
            name: torch.optim.AdamW(
                parameters,
                lr=config.learning_rate,
                betas=config.betas,
                weight_decay=config.weight_decay,
                fused=config.device.startswith("cuda") or None,
            )
            for name, parameters in self.parts.items()
        }
        self.scaler = torch.amp.GradScaler(torch.device(config.device).type, enabled=config.grad_scaler)
        self.step, self.seconds = 0, 0.0
        self._mark = self._clock()
        make_folder(folder)
        if (folder / CHECKPOINT).exists():
            self._restore()

    def _restore(self) -> None:
        path = self.folder / CHECKPOINT
        try:
            state = torch.load(path, map_location=self.config.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            for name, optimizer in self.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
        except Exception as error:  # a damaged file, or one of another model, raises many kinds
            raise DiffvocError(f"{path} cannot be read ({type(error).__name__}); delete it to begin again.") from None

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        if self.rank:
            return
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "step": self.step,
            "seconds": self.seconds,
        }
        with replacing(self.folder / CHECKPOINT) as part, part.open("wb") as file:  # errors of the system as they are
            torch.save(state, file)

    def _clock(self) -> float:
        if self.config.device.startswith("cpu"):
            return time.process_time() / torch.get_num_threads()
        return time.monotonic()

    @property
    def progress(self) -> float:
        """Share of the budget that is spent, 0 to 1."""
        if self.config.steps is not None:
            return min(1.0, self.step / self.config.steps)
        return min(1.0, self.seconds / (60 * (self.config.minutes or 0)))

    def _set_rate(self) -> None:
        config = self.config
        rate = rate_factor(self.progress, self.step, config.warmup_steps, config.final_share)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate * config.learning_rate

    def update(self, batch: Any) -> dict[str, Tensor]:
        """One step of each part on a batch; the model's losses, still on its device."""
        self._set_rate()
        self.model.train()
        shown: dict[str, Tensor] = {}
        for part, losses in self._losses(batch):
            self.optimizers[part].zero_grad(set_to_none=True)
            self.scaler.scale(losses["loss"]).backward()
            self._average([p.grad for p in self.parts[part] if p.grad is not None])
            self.scaler.unscale_(self.optimizers[part])
            nn.utils.clip_grad_norm_(self.parts[part], self.config.clip_norm)
            self.scaler.step(self.optimizers[part])
            prefix = f"{part}_" if len(self.parts) > 1 else ""
            shown |= {prefix + name: value.detach() for name, value in losses.items()}
        self.scaler.update()
        self.average.update_parameters(self.model)
        self.step += 1
        now = self._clock()
        self.seconds, self._mark = broadcast(self.seconds + now - self._mark, torch.device(self.config.device)), now
        return shown

    def _average(self, values: Iterable[Tensor]) -> None:
        """Put the mean over all processes into each of ``values``."""
        for value in values if self.processes > 1 else ():
            torch.distributed.all_reduce(value)
            value /= self.processes

    def _losses(self, batch: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Each part's losses, computed when the part before has made its step."""
        model: Any = self.model
        device = torch.device(self.config.device).type
        waiting = model.losses(batch) if hasattr(model, "losses") else (("model", model.loss(b)) for b in (batch,))
        while True:
            with torch.autocast(device, torch.bfloat16, enabled=self.config.bf16):
                one = next(waiting, None)
            if one is None:
                return
            yield one

    def run(self, batches: Iterator[Any], held_out: Callable[[nn.Module], dict[str, float]] | None = None) -> None:
        """Train until the budget is spent; SIGTERM and Ctrl+C save and exit.

        Raises: DiffvocError when the loss is no longer finite.
        """
        sums: dict[str, Tensor] = {}
        saved = time.monotonic()
        self._mark = self._clock()
        with _stopping() as signals:
            stopped = 0
            while self.progress < 1 and not stopped:
                before = self.progress
                for name, value in self.update(next(batches)).items():
                    sums[name] = sums.get(name, 0) + value / self.config.log_steps
                stopped = int(broadcast(signals[0] if signals else 0, torch.device(self.config.device)))
                due = any(before < share <= self.progress for share in (*self.config.checks, 1.0))
                due = due or time.monotonic() - saved > 60 * self.config.save_minutes
                if due or stopped or self.step % self.config.log_steps == 0:
                    self._check_finite(sums)
                if self.step % self.config.log_steps == 0:
                    self._average(sums.values())
                    self.log(**{name: float(value) for name, value in sums.items()})
                    sums = {}
                if due or stopped:
                    self.save()
                    if held_out is not None and not stopped and not self.rank:
                        self.log(**held_out(self.average.module.eval()))
                    saved = time.monotonic()
                    self._mark = self._clock()  # checks and saving are not training
        if stopped and self.progress < 1:
            sys.exit(128 + stopped)

    def _check_finite(self, sums: dict[str, Tensor]) -> None:
        if not all(math.isfinite(float(value)) for name, value in sums.items() if name.endswith("loss")):
            raise DiffvocError(
                f"the loss is no longer finite after {self.step:,} steps; the checkpoint in {self.folder} is from "
                "before: try a lower learning rate or another seed."
            )

    def log(self, **values: Any) -> None:
        """Print values, and add them to the folder's log."""
        if self.rank:
            return
        row = {"step": self.step, "minutes": round(self.seconds / 60, 2), **values}
        print(" ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def train(
    model: nn.Module,
    batches: Iterator[Any],
    config: LoopConfig,
    folder: Path,
    held_out: Callable[[nn.Module], dict[str, float]] | None = None,
) -> nn.Module:
    """Train ``model`` in ``folder`` until the budget is spent, and return its moving average in evaluation mode.

    ``model.loss(batch)`` gives a dictionary of scalars, of which "loss" is minimised. ``held_out`` takes the moving
    average and gives figures for the log. A folder with a checkpoint goes on from it; SIGTERM and Ctrl+C save and stop.
    """
    loop = Loop(model, config, folder)
    loop.run(batches, held_out)
    return loop.average.module.eval()


@contextmanager
def _stopping() -> Iterator[list[int]]:
    """While inside, SIGTERM and Ctrl+C are noted in the list instead of ending the process."""
    signals: list[int] = []
    kinds = (signal.SIGTERM, signal.SIGINT)
    before = {kind: signal.signal(kind, lambda number, frame: signals.append(number)) for kind in kinds}
    try:
        yield signals
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
