"""Train every system of the benchmark from nothing: one corpus, one split by speaker, one budget each.

    python recipes/benchmark/train.py --data LIBRISPEECH --data LJSPEECH --output runs/benchmark --budget 20m

Leaves runs/benchmark/NAME/vocoder, ready for `eval/compare.py --systems runs/benchmark/*/vocoder`, and quarter-1 to
quarter-3 beside it. The same command resumes; what is finished is not trained again. Several systems are trained in a
process each, one in this process. Networks, crops and learning rates are in
eval/tts_diffvoc_eval/baselines/configs.py.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from tts_diffvoc.checkpoint import write_beside
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.corpus import Recording, read_header, scan
from tts_diffvoc.training.loop import check_device
from tts_diffvoc.voices import read_json
from tts_diffvoc_eval.baselines.configs import BASELINES, SIZES, find
from tts_diffvoc_eval.baselines.training import RESULT, VOCODER, Training, TrainingConfig
from tts_diffvoc_eval.held_back import held_back
from tts_diffvoc_eval.mels import MEL

UNITS = {"s": 1 / 60, "m": 1.0, "h": 60.0}
GAIN_DB = 6.0  # crops are up to so much softer, or half as much louder


def parse_budget(text: str) -> dict[str, float]:
    """ "20m", "90s" or "1.5h" as {"minutes": ...}; "300steps" as {"steps": ...}.

    Raises: DiffvocError for anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|steps)", text.replace(" ", ""))
    if not found or not float(found[1]) or (found[2] == "steps" and "." in found[1]):
        raise DiffvocError(
            f"the budget {text!r} is neither a time nor steps; give for example 20m, 90s, 1.5h or 300steps."
        )
    return {"steps": int(found[1])} if found[2] == "steps" else {"minutes": float(found[1]) * UNITS[found[2]]}


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add, switch = parser.add_argument, argparse.BooleanOptionalAction
    add("--data", action="append", required=True, metavar="DIR", help="wav or flac inside; repeatable")
    add("--output", type=Path, required=True, metavar="RUNS", help="a folder for all systems")
    add("--budget", required=True, help="of each system: 20m, 90s, 1h of training steps, or 300steps")
    add("--device", default="cpu", help="cpu, cuda or cuda:N")
    add("--systems", nargs="+", default=list(BASELINES), metavar="NAME", help=f"of {', '.join(BASELINES)}")
    add("--size", choices=SIZES, help="default: small on a CPU, published on a GPU")
    add("--side-by-side", type=int, default=1, metavar="N", help="train so many at a time")
    add("--threads", type=int, help="of each process; default: the cores, divided by N")
    add("--seed", type=int, default=0, help="of weights, crops and noise")
    add("--bf16", action=switch, help="networks in bfloat16; default: on a GPU")
    add("--compile", action=switch, help="compile the networks of this package; default: on a GPU")
    add("--batch", type=int, help="crops a step, instead of each system's own number")
    add("--frames", type=int, help="mel frames of a crop, instead of each system's own number")
    return parser.parse_args(arguments)


def configure(options: argparse.Namespace) -> dict[str, TrainingConfig]:
    """How each system is trained; DiffvocError for settings that make no training."""
    check_device(options.device)
    gpu = options.device.startswith("cuda")
    if options.side_by_side < 1:
        raise DiffvocError(f"--side-by-side is {options.side_by_side}; give at least 1.")
    if len(set(options.systems)) < len(options.systems):
        raise DiffvocError("a system is named twice; name each once.")
    shared: dict[str, Any] = {
        **parse_budget(options.budget),
        "size": options.size or ("published" if gpu else "small"),
        "device": options.device,
        "seed": options.seed,
        "batch": options.batch,
        "frames": options.frames,
        "gain_db": GAIN_DB,
        "bf16": gpu if options.bf16 is None else options.bf16,
        "compiled": gpu if options.compile is None else options.compile,
        "data": ", ".join(Path(folder).resolve().name for folder in options.data),
    }
    for name in options.systems:
        find(name)
    return {name: TrainingConfig(name, **shared) for name in options.systems}


def split(folders: list[str], output: Path) -> tuple[list[Recording], list[Recording]]:
    """Recordings to train on, and those held back, of each folder in turn; the first call keeps them in ``split.json``.

    Raises: DiffvocError where that file is of other folders, or cannot be written.
    """
    path, names = output / "split.json", [Path(folder).resolve().name for folder in folders]
    if not path.is_file():
        try:
            output.mkdir(parents=True, exist_ok=True)
            write_beside(path, json.dumps([new_split(Path(folder)) for folder in folders], indent=1) + "\n")
        except OSError as error:
            raise DiffvocError(f"the runs cannot be written to {output}: {error.strerror or error}.") from None
    parts = json.loads(path.read_text(encoding="utf-8"))
    if [part["folder"] for part in parts] != names:
        raise DiffvocError(f"the runs in {output} were started with other folders; give another --output.")

    def recordings(which: str) -> list[list[Recording]]:
        return [[read_header(Path(f) / name, name) for name in part[which]] for f, part in zip(folders, parts)]

    in_turn = chain.from_iterable(zip_longest(*recordings("held")))
    return list(chain.from_iterable(recordings("train"))), [one for one in in_turn if one is not None]


def new_split(folder: Path) -> dict[str, Any]:
    """Of a folder its name, and the recordings to train on and to hold back."""
    corpus = scan(folder, MEL)
    held = held_back([recording.path for recording in corpus.recordings], one=True)
    part: dict[str, Any] = {"folder": folder.resolve().name, "train": [], "held": []}
    for recording in sorted(corpus.recordings, key=lambda r: r.name):
        part["held" if recording.path in held else "train"].append(recording.path.relative_to(folder).as_posix())
    print(f"{corpus.report()}\n  {len(part['train'])} to train on, {len(part['held'])} held back", flush=True)
    return part


def is_finished(config: TrainingConfig, options: argparse.Namespace) -> bool:
    """Whether the system has been trained with these settings for this budget already."""
    result = read_json(options.output / config.name / RESULT)
    spent = result.get("steps", 0) if config.steps else result.get("minutes", 0.0)
    enough = spent >= (config.steps or config.minutes)
    return bool(result.get("finished")) and result["settings"] == config.settings() and enough


def train(config: TrainingConfig, options: argparse.Namespace) -> None:
    """Train one system in this process."""
    torch.set_num_threads(options.threads or torch.get_num_threads())
    torch.set_float32_matmul_precision("high")  # on a GPU, for what is not bfloat16
    torch.backends.cudnn.benchmark = True  # crops are all of one size
    recordings, held = split(options.data, options.output)
    Training(config, recordings, held, options.output / config.name).run()


def start(name: str, options: argparse.Namespace, arguments: list[str]) -> subprocess.Popen:
    """The same command for one system, in a process of its own: one that fails stops no other."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = str(options.threads or max(1, cores // options.side_by_side))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    command = [sys.executable, __file__, *arguments, "--threads", threads, "--systems", name]
    folder = options.output / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "errors.txt").open("w") as errors:
        return subprocess.Popen(command, stderr=errors, env=environment)


def failure(process: subprocess.Popen, errors: Path) -> str | None:
    """Why a process that has ended failed, in a line; None when it did not."""
    if process.returncode == 0:
        return None
    lines = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1].removeprefix("error: ") if lines else "it said nothing"
    return f"{last} (status {process.returncode}; all in {errors})"


def train_all(names: list[str], options: argparse.Namespace, arguments: list[str]) -> list[str]:
    """Train systems, so many at a time; returns why each of those failed that did."""
    waiting, running, failures = list(names), {}, []
    try:
        while waiting or running:
            while waiting and len(running) < options.side_by_side:
                name = waiting.pop(0)
                running[name] = start(name, options, arguments)
            for name in [name for name, process in running.items() if process.poll() is not None]:
                reason = failure(running.pop(name), options.output / name / "errors.txt")
                failures += [f"{name} failed: {reason}"] if reason else []
            time.sleep(0.2)
    except BaseException:  # Ctrl+C has reached them too; a signal to this process alone has not
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
        raise
    return failures


def table(output: Path) -> str:
    """What was trained so far, in Markdown."""
    rows = []
    for result in filter(None, (read_json(output / name / RESULT) for name in BASELINES)):
        last = result["scores"][-1]
        row = {"system": result["label"], "size": result["settings"]["size"]}
        row |= {"parameters": f"{result['parameters']:,}", "steps": f"{result['steps']:,}"}
        row["minutes"] = f"{result['minutes']:.1f}"
        for key, title in (("mel_l1", "log-mel L1"), ("stft_l1", "log-STFT L1")):
            row[title] = "–" if last[key] is None else f"{last[key]:.3f}"
        rows.append(row)
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True) + "\n" if rows else ""


def main(arguments: list[str]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    options = parse(arguments)
    failures: list[str] = []
    try:
        configs = configure(options)
        waiting = [name for name, config in configs.items() if not is_finished(config, options)]
        if len(configs) == 1 and waiting:
            train(configs[waiting[0]], options)
            return
        split(options.data, options.output)
        failures = train_all(waiting, options, arguments)
    except DiffvocError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    write_beside(options.output / "table.md", table(options.output))
    print(f"\n{table(options.output)}\n{options.output}/*/{VOCODER} hold the vocoders.")
    if failures:
        sys.exit("\n".join(f"error: {failure}" for failure in failures))


if __name__ == "__main__":
    main(sys.argv[1:])
