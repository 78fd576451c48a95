"""Train every system of the benchmark from nothing: one corpus, one split by speaker, one budget each.

    python recipes/benchmark/train.py --data LIBRISPEECH --data LJSPEECH --output runs/benchmark --budget 20m

Leaves runs/benchmark/NAME/vocoder, ready for `eval/compare.py --systems runs/benchmark/*/vocoder`, and quarter-1 to
quarter-3 beside it. The same line goes on after an interruption; what is finished is not trained again. Networks,
crops and learning rates are in eval/tts_diffvoc_eval/baselines/configs.py.
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
from pathlib import Path
from typing import Any

import pandas as pd

from tts_diffvoc.checkpoint import write_beside
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.corpus import scan
from tts_diffvoc.training.loop import check_device
from tts_diffvoc.voices import read_json
from tts_diffvoc_eval.baselines.configs import ABLATIONS, BASELINES, COQUI, OURS, SIZES, find
from tts_diffvoc_eval.baselines.training import TrainingConfig
from tts_diffvoc_eval.held_back import held_back
from tts_diffvoc_eval.mels import MEL

SYSTEMS = (*OURS, *COQUI)
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


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add, switch = parser.add_argument, argparse.BooleanOptionalAction
    add("--data", action="append", required=True, metavar="DIR", help="wav or flac inside; repeatable")
    add("--output", type=Path, required=True, metavar="RUNS", help="a folder for all systems")
    add("--budget", required=True, help="of each system: 20m, 90s, 1h of training steps, or 300steps")
    add("--device", default="cpu", help="cpu, cuda or cuda:N")
    add("--systems", nargs="+", default=SYSTEMS, metavar="NAME", help=f"of {', '.join(SYSTEMS)}")
    add("--size", choices=SIZES, help="default: small on a CPU, published on a GPU")
    add("--side-by-side", type=int, default=1, metavar="N", help="train so many at a time")
    add("--threads", type=int, help="of each process; default: the cores, divided by N")
    add("--seed", type=int, default=0, help="of weights, crops and noise")
    add("--bf16", action=switch, help="networks in bfloat16; default: on a GPU")
    add("--compile", action=switch, help="compile our networks; default: on a GPU")
    ablations = ", ".join(ABLATIONS)
    add("--estimator", metavar="VOCODER", help=f"vocoder whose magnitude network the ablations take: {ablations}")
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
    for name in options.systems:
        find(name)
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
        "keep_quarters": True,
        "estimator": options.estimator,
    }
    return {name: TrainingConfig(name, **shared) for name in options.systems}


def split(folders: list[str], output: Path) -> None:
    """Write ``split.json``: of each folder its name, and the recordings to train on and to hold back.

    Raises: DiffvocError where there is one that says otherwise, or the folder cannot be written.
    """
    parts = []
    for folder in map(Path, folders):
        corpus = scan(folder, MEL)
        held = held_back([r.path for r in corpus.recordings], one=True)
        part: dict[str, Any] = {"folder": folder.resolve().name, "train": [], "held": []}
        for recording in sorted(corpus.recordings, key=lambda r: r.name):
            name = recording.path.relative_to(folder).as_posix()
            part["held" if recording.path in held else "train"].append(name)
        print(f"{corpus.report()}\n  {len(part['train'])} to train on, {len(part['held'])} held back", flush=True)
        parts.append(part)
    path, text = output / "split.json", json.dumps(parts, indent=1) + "\n"
    try:
        if path.is_file() and path.read_text(encoding="utf-8") != text:
            raise DiffvocError(f"the runs in {output} began with other recordings; give another --output.")
        output.mkdir(parents=True, exist_ok=True)
        write_beside(path, text)
    except OSError as error:
        raise DiffvocError(f"the runs cannot be written to {output}: {error.strerror or error}.") from None


def is_finished(config: TrainingConfig, output: Path) -> bool:
    """Whether the system has been trained like this already."""
    asked = read_json(output / config.name / "result.json").get("asked")
    same = asked is not None and all(getattr(config, key, None) == value for key, value in asked.items())
    return same and (output / config.name / "vocoder").is_dir()


def start(config: TrainingConfig, options: argparse.Namespace) -> subprocess.Popen:
    """Train a system in a process of its own: one that fails stops no other."""
    folder = options.output / config.name
    command = [sys.executable, "-m", "tts_diffvoc_eval.baselines.train", config.name, "--keep-quarters"]
    command += ["--data", *options.data, "--split", options.output / "split.json", "--output", folder]
    for name in ("minutes", "steps", "size", "device", "seed", "batch", "frames", "gain_db", "estimator"):
        if getattr(config, name) is not None:
            command += [f"--{name.replace('_', '-')}", getattr(config, name)]
    command += ["--bf16"] * config.bf16 + ["--compile"] * config.compiled
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = str(options.threads or max(1, cores // options.side_by_side))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "errors.txt").open("w") as errors:
        return subprocess.Popen(list(map(str, command)), stderr=errors, env=environment)


def failure(process: subprocess.Popen, errors: Path) -> str | None:
    """Why a process that has ended failed, in a line; None when it did not."""
    if process.returncode == 0:
        return None
    lines = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1].removeprefix("error: ") if lines else "it said nothing"
    return f"{last} (status {process.returncode}; all in {errors})"


def run_all(configs: list[TrainingConfig], options: argparse.Namespace) -> dict[str, str]:
    """Train the systems, so many at a time; returns why each of those failed that did."""
    waiting, running, failures = list(configs), {}, {}
    try:
        while waiting or running:
            while waiting and len(running) < options.side_by_side:
                config = waiting.pop(0)
                running[config.name] = start(config, options)
            for name in [name for name, process in running.items() if process.poll() is not None]:
                reason = failure(running.pop(name), options.output / name / "errors.txt")
                if reason:
                    failures[name] = reason
                    print(f"{name} failed: {reason}", flush=True)
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
    for found in filter(None, (read_json(output / name / "result.json") for name in BASELINES)):
        mel = [score["mel_l1"] for score in found["scores"]]
        mel = mel[:1] + [None] * (5 - len(mel)) + mel[1:][-4:]
        row = {"system": found["label"], "size": found["size"], "parameters": f"{found['parameters']:,}"}
        row |= {"steps": f"{found['steps']:,}", "minutes": f"{found['minutes']:.1f}"}
        row |= dict(zip(("log-mel L1: start", "1/4", "2/4", "3/4", "end"), mel))
        stft = {"log-STFT L1: start": found["scores"][0], "log-STFT L1: end": found["scores"][-1]}
        rows.append(row | {name: score["stft_l1"] for name, score in stft.items()})
    return pd.DataFrame(rows).to_markdown(index=False, floatfmt=".3f", disable_numparse=[3, 4]) + "\n" if rows else ""


def main(arguments: list[str] | None = None) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    options = parse(arguments)
    try:
        configs = configure(options)
        split(options.data, options.output)
        done = [name for name, config in configs.items() if is_finished(config, options.output)]
        if done:
            print(f"already trained: {', '.join(done)}", flush=True)
        failures = run_all([config for name, config in configs.items() if name not in done], options)
    except DiffvocError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    write_beside(options.output / "table.md", table(options.output))
    print(f"\n{table(options.output)}")
    if failures:
        sys.exit("\n".join(f"error: {name} failed: {reason}" for name, reason in failures.items()))


if __name__ == "__main__":
    main()
