"""Floating-point operations of a system, by PyTorch's counter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from .speed import Synthesise, reason


class Flops(NamedTuple):
    """Operations of one call, or None and why they cannot be counted."""

    total: int | None
    reason: str | None


class _Unseen(TorchDispatchMode):
    """Notes operators whose work the counter would take for none."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        space, operator = name.split("::")
        known = space in ("aten", "prim", "prims", "profiler") or func.overloadpacket in _ALSO
        if not known or "_rnn" in operator:
            self.names.add(name)
        return func(*args, **(kwargs or {}))


def _numel(shape: Sequence[int]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _fft(real: bool) -> Callable[..., int]:
    """5 N log2 N for each complex transform of N points, half for a real one (the convention of FFTW's benchmarks)."""

    def count(shape: Sequence[int], dims: Sequence[int], *_: Any, out_shape: Sequence[int], **__: Any) -> int:
        larger = shape if _numel(shape) > _numel(out_shape) else out_shape
        points = _numel([max(shape[dim], out_shape[dim]) for dim in dims])
        transforms = _numel(larger) // _numel([larger[dim] for dim in dims])
        return int(transforms * 5 * points * np.log2(max(points, 2)) / (2 if real else 1))

    return count


def _product(place: int) -> Callable[..., int]:
    """A multiply-add for each number of the argument at ``place``."""
    return lambda *shapes, **_: 2 * _numel(shapes[place])


def _linear(x: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
    """A multiply-add for each input of each output: x [..., inputs], weight [outputs, inputs]."""
    return 2 * _numel(x) * weight[0]


# What PyTorch's own registry lacks; oneDNN's product is what an unfolded DiffWave calls on a CPU.
_ALSO = {
    torch.ops.mkldnn._linear_pointwise: _linear,
    torch.ops.aten.mv: _product(0),
    torch.ops.aten.dot: _product(0),
    torch.ops.aten.addmv: _product(1),
    torch.ops.aten._fft_r2c: _fft(True),
    torch.ops.aten._fft_c2r: _fft(True),
    torch.ops.aten._fft_c2c: _fft(False),
}


def count_flops(synthesise: Synthesise, mel: Tensor, seed: int = 0) -> Flops:
    """Floating-point operations of ``synthesise(mel, seed)``, by PyTorch's counter; a multiply-add is two.

    Matrix products, convolutions and Fourier transforms count; what is done element by element (activations,
    normalisation, noise) does not, nor what runs outside PyTorch. Counting slows each operator down: take a short mel,
    above all for an autoregressive system.
    """
    unseen, counter = _Unseen(), FlopCounterMode(display=False, custom_mapping=_ALSO)
    try:
        with torch.no_grad(), unseen, counter:
            synthesise(mel, seed)
    except Exception as error:
        return Flops(None, f"the system failed while it was counted: {reason(error)}")
    if unseen.names:
        return Flops(None, f"the work of {', '.join(sorted(unseen.names))} is hidden from the counter")
    total = int(counter.get_total_flops())
    if total == 0:
        return Flops(None, "no operation was seen: the system computes outside PyTorch")
    return Flops(total, None)
