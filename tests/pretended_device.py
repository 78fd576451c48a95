"""A device that is not there: CUDA tensors whose values lie on the CPU, and a mode that notes where a GPU would wait.

The host runs ahead of a GPU. A copy to or from it, and an operator whose result the host must know before it goes on (a
value, a number of elements, whether a matrix was singular), makes it wait until all that was asked for is done.
"""

import traceback
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

import tts_diffvoc

PACKAGE = Path(tts_diffvoc.__file__).parent
aten = torch.ops.aten
CUDA = torch.device("cuda", 0)
# Operators for whose result the host waits, wherever their arguments lie on the device.
WAITING = {
    aten._local_scalar_dense,
    aten.nonzero,
    aten.nonzero_static,
    aten.masked_select,
    aten.equal,
    aten.is_nonzero,
    aten.unique_dim,
    aten._unique2,
    aten.unique_consecutive,
    aten.bincount,
    aten.histc,
    aten._linalg_check_errors,
}


class OnDevice(torch.Tensor):
    """A tensor that says it is on the device; ``held`` is what it holds, on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnDevice":
        with torch.inference_mode(held.is_inference()):
            made = torch.Tensor._make_wrapper_subclass(
                cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=CUDA
            )
        made.held = held
        return made

    def __repr__(self) -> str:
        return f"OnDevice({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return dispatch(func, args, kwargs or {})


def dispatch(func: Any, args: tuple, kwargs: dict, waits: list[str] | None = None) -> Any:
    """Run ``func`` on what the tensors hold; its result is on the device if an argument is, or it was asked to be."""
    flat = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
    placed = [isinstance(one, OnDevice) for one in flat]
    wanted = kwargs.get("device") and torch.device(kwargs["device"]).type
    packet = func.overloadpacket
    crosses = packet is aten.copy_ and placed[0] != placed[1]
    crosses = crosses or packet is aten._to_copy and wanted is not None and (wanted == "cuda") != placed[0]
    if any(placed) and not all(placed) and not crosses:
        strangers = [one for one, on in zip(flat, placed) if not on and one.dim()]
        assert not strangers, f"{func} mixes the device with a CPU tensor of shape {list(strangers[0].shape)}"
    if waits is not None:
        masks = packet in (aten.index, aten.index_put, aten.index_put_) and any(
            one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1]
        )
        repeats = packet is aten.repeat_interleave and kwargs.get("output_size") is None
        if any(placed) and (packet in WAITING or masks or repeats) or crosses and not kwargs.get("non_blocking"):
            frames = [frame for frame in traceback.extract_stack() if PACKAGE in Path(frame.filename).parents]
            waits.append(f"{Path(frames[-1].filename).stem}.{frames[-1].name}: {func}" if frames else str(func))
    if wanted == "cuda":
        kwargs = {**kwargs, "device": "cpu"}
    inside, named = tree_map_only(OnDevice, lambda one: one.held, (args, kwargs))
    out = func(*inside, **named)
    if (wanted or ("cuda" if any(placed) else "cpu")) == "cpu" or packet is aten._local_scalar_dense:
        return out
    # What is written into and returned is the argument itself.
    outer = {id(one.held): one for one in flat if isinstance(one, OnDevice)}
    return tree_map_only(Tensor, lambda one: outer[id(one)] if id(one) in outer else OnDevice(one), out)


class Pretending(TorchDispatchMode):
    """Inside, ``device="cuda"`` is there; ``waits`` are the places of the package where the host waited for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self._mode_key = torch._C._TorchDispatchModeKey.FAKE  # or torch would look for a driver
        torch._C._ensureCUDADeviceGuardSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:  # as inference mode leaves them
                return func.decompose(*args, **(kwargs or {}))
        return dispatch(func, args, kwargs or {}, self.waits)


def place(module: nn.Module) -> nn.Module:
    """``module`` with its parameters and buffers on the device."""
    for part in module.modules():
        for name, one in part._parameters.items():
            if one is not None:
                part._parameters[name] = nn.Parameter(OnDevice(one.detach()), one.requires_grad)
        for name, one in part._buffers.items():
            if one is not None:
                part._buffers[name] = OnDevice(one)
    return module
