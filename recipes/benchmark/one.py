"""One system of the benchmark, trained in a process of its own; ``train.py`` starts it with a job as JSON."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tts_diffvoc.checkpoint import write_beside
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.corpus import Recording, read_header
from tts_diffvoc_eval.baselines.training import find, train

RESULT = "result.json"
SETTINGS = ("minutes", "steps", "size", "device", "seed", "gain_db", "bf16", "compiled", "batch", "frames", "estimator")


def recordings(folders: list[str], parts: list[dict[str, Any]], which: str) -> list[list[Recording]]:
    """The recordings of each folder that ``split.json`` has under ``which``."""
    return [[read_header(Path(f) / name, name) for name in part[which]] for f, part in zip(folders, parts)]


def interleaved(groups: list[list[Recording]]) -> list[Recording]:
    """One of each group in turn, so that the first few are of all."""
    longest = max(map(len, groups), default=0)
    return [group[i] for i in range(longest) for group in groups if i < len(group)]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else trains in ``folder`` meanwhile; DiffvocError if somebody does."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DiffvocError(f"another process trains in {folder}; wait for it, or stop it.") from None
        yield


def run(name: str, job: dict[str, Any]) -> dict[str, Any]:
    """Train the system ``name``, and leave what came of it in its folder's ``result.json``, which is returned."""
    output = Path(job["output"])
    parts = json.loads((output / "split.json").read_text(encoding="utf-8"))
    some = [r for group in recordings(job["data"], parts, "train") for r in group]
    held = interleaved(recordings(job["data"], parts, "held"))
    settings = {key: job[key] for key in SETTINGS if key in job}
    data = f"{', '.join(part['folder'] for part in parts)}; {sum(r.seconds for r in some) / 60:.0f} minutes"
    tell = functools.partial(print, flush=True)
    with alone(output / name):
        result = train(name, some, held, output / name, **settings, keep_quarters=True, data=data, tell=tell)
    found = {
        "label": find(name).label,
        "size": job["size"],
        "parameters": result.parameters,
        "steps": result.steps,
        "minutes": result.minutes,
        "scores": [asdict(score) for score in result.scores],
        "asked": settings,
    }
    write_beside(output / name / RESULT, json.dumps(found, indent=1) + "\n")
    return found


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    name, job = sys.argv[1], json.loads(sys.argv[2])
    signal.signal(signal.SIGTERM, _interrupt)  # not by way of SIGINT, which a shell's background jobs ignore
    torch.set_num_threads(job["threads"])
    torch.set_float32_matmul_precision("high")  # on a GPU, for what is not bfloat16
    torch.backends.cudnn.benchmark = True  # crops are all of one size
    try:
        run(name, job)
    except DiffvocError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        os._exit(130)


if __name__ == "__main__":
    main()
