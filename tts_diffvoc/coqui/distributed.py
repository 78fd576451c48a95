"""Several processes that train one vocoder: who joins whom, and what they must have alike."""

from __future__ import annotations

import os

import torch
from trainer import TrainerArgs

from tts_diffvoc.coqui.configs import DiffvocConfig


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


def join_processes(args: TrainerArgs, config: DiffvocConfig) -> None:
    """Join the other processes of this training, if there are any, and set the rank in ``args``.

    ``torchrun`` and ``accelerate launch`` say who is who in the environment, for one machine or many;
    ``python -m trainer.distribute`` does on the command line. On GPUs the latter is left to Coqui's Trainer, which
    joins over NCCL; without them the processes join over Gloo.
    """
    if torch.distributed.is_initialized():
        return
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1:
        args.rank = int(os.environ["RANK"])
        if torch.cuda.is_available():
            # One GPU a process: without the variable, and with a number, Coqui's Trainer sees just that one and
            # does not join the processes a second time. The GPUs are counted first, while the variable hides some.
            torch.cuda.init()
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
            args.gpu = int(os.environ.get("LOCAL_RANK", args.rank))
            torch.cuda.set_device(args.gpu)
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    elif args.use_ddp and not torch.cuda.is_available():
        places = [place for place in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if place.strip()]
        torch.distributed.init_process_group(
            "gloo", init_method=config.distributed_url, world_size=max(1, len(places)), rank=args.rank
        )
