"""Synthesis captured as CUDA graphs: the host then starts hundreds of kernels by one command.

A graph is of one shape and one way through the code. Mels are therefore padded to whole buckets of frames, and there is
a graph for each batch, bucket and set of options that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

BUCKET = 64  # frames
MOST = 16  # graphs that are kept
WARM_UP = 3  # calls before the capture, in which libraries set up what a capture may not

Function = Callable[..., Tensor]


class Captured:
    """``function`` of tensors of fixed shapes; on a CPU, which has no graphs, it is called on the same buffers anew."""

    def __init__(self, function: Function, inputs: Sequence[Tensor]) -> None:
        self.function, self.inputs = function, [one.clone() for one in inputs]
        self.graph: torch.cuda.CUDAGraph | None = None
        if not self.inputs[0].is_cuda:
            return
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                function(*self.inputs)
        torch.cuda.current_stream().wait_stream(stream)
        torch.clear_autocast_cache()  # weights that were cast outside the graph are freed before it is replayed
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.output = function(*self.inputs)
        torch.clear_autocast_cache()

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        for held, given in zip(self.inputs, inputs):
            held.copy_(given)
        if self.graph is None:
            return self.function(*self.inputs)
        self.graph.replay()
        return self.output.clone()


class Captures:
    """Captured calls by key and shapes, the last ``MOST`` used. A copy of a model begins without any."""

    def __init__(self) -> None:
        self.calls: dict[Hashable, Captured] = {}

    def __call__(self, key: Hashable, function: Function, inputs: Sequence[Tensor]) -> Tensor:
        """``function(*inputs)``; another function with the same key must do the same."""
        key = (key, *(one.shape for one in inputs))
        call = self.calls.pop(key, None) or Captured(function, inputs)
        self.calls[key] = call
        while len(self.calls) > MOST:
            self.calls.pop(next(iter(self.calls)))
        return call(inputs)

    def __reduce__(self) -> tuple[type[Captures], tuple[()]]:
        return Captures, ()
