"""Train every system of the benchmark from nothing: one corpus, one split by speaker, one budget each.

    python recipes/benchmark/train.py --data LIBRISPEECH --data LJSPEECH --output runs/benchmark --budget 20m

Leaves runs/benchmark/NAME/vocoder, ready for `eval/compare.py --systems runs/benchmark/*/vocoder`, and quarter-1 to
quarter-3 beside it. The same line goes on after an interruption; what is finished is not trained again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tts_diffvoc.checkpoint import write_beside
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.corpus import Corpus, scan
from tts_diffvoc.voices import read_json
from tts_diffvoc_eval.baselines import NAMES
from tts_diffvoc_eval.baselines.mels import CONTRACT
from tts_diffvoc_eval.baselines.ours import ABLATIONS
from tts_diffvoc_eval.baselines.ours import SYSTEMS as OURS
from tts_diffvoc_eval.baselines.training import checked_device, find
from tts_diffvoc_eval.held_back import held_back

HERE = Path(__file__).resolve().parent
SYSTEMS = (*OURS, *NAMES)
UNITS = {"s": 1 / 60, "m": 1.0, "h": 60.0}
GAIN_DB = 6.0


def parse_budget(text: str) -> dict[str, float]:
    """ "20m", "90s" or "1.5h" as {"minutes": ...}; "300steps" as {"steps": ...}.

    Raises: DiffvocError for anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|steps)", text.replace(" ", ""))
    if not found or not float(found[1]) or (found[2] == "steps" and "." in found[1]):
        raise DiffvocError(f"the budget {text!r} is no time; give for example 20m, 90s, 1.5h or 300steps.")
    return {"steps": int(found[1])} if found[2] == "steps" else {"minutes": float(found[1]) * UNITS[found[2]]}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", required=True, metavar="DIR", help="wav or flac inside; repeatable")
    parser.add_argument("--output", type=Path, required=True, metavar="RUNS", help="a folder for all systems")
    parser.add_argument("--budget", required=True, help="of each system: 20m, 90s, 1h of training steps, or 300steps")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--systems", nargs="+", default=SYSTEMS, metavar="NAME", help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--size", choices=("small", "published"), help="default: small on a CPU, published on a GPU")
    parser.add_argument("--side-by-side", type=int, default=1, metavar="N", help="train so many at a time")
    parser.add_argument("--threads", type=int, help="of each process; default: the cores, divided by N")
    parser.add_argument("--seed", type=int, default=0, help="of weights, crops and noise")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, help="networks in bfloat16; default: on a GPU")
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, help="compile our networks; default: on a GPU"
    )
    ablations = f"vocoder whose magnitude network the ablations take: {', '.join(ABLATIONS)}"
    parser.add_argument("--estimator", metavar="VOCODER", help=ablations)
    parser.add_argument("--batch", type=int, help="crops a step, instead of each system's own number")
    parser.add_argument("--frames", type=int, help="mel frames of a crop, instead of each system's own number")
    return parser.parse_args(arguments)


def make_job(options: argparse.Namespace) -> dict[str, Any]:
    """What every process is told; DiffvocError for what cannot be."""
    gpu = options.device.startswith("cuda")
    checked_device(options.device)
    for name in options.systems:
        find(name)
    if options.side_by_side < 1:
        raise DiffvocError(f"--side-by-side is {options.side_by_side}; give at least 1.")
    if len(set(options.systems)) < len(options.systems):
        raise DiffvocError("a system is named twice; name each once.")
    given = {"batch": options.batch, "frames": options.frames, "estimator": options.estimator}
    return {
        "data": options.data,
        "output": str(options.output),
        **parse_budget(options.budget),
        "device": options.device,
        "size": options.size or ("published" if gpu else "small"),
        "seed": options.seed,
        "gain_db": GAIN_DB,
        "bf16": gpu if options.bf16 is None else options.bf16,
        "compiled": gpu if options.compile is None else options.compile,
        "threads": options.threads or max(1, _cores() // options.side_by_side),
        **{key: value for key, value in given.items() if value is not None},
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def split(folders: list[str]) -> list[dict[str, Any]]:
    """Of each folder its name, and the recordings to train on and to hold back, as paths below it."""
    parts = []
    for folder in map(Path, folders):
        corpus: Corpus = scan(folder, CONTRACT)
        print(corpus.report(), flush=True)
        held = held_back([r.path for r in corpus.recordings], one=True)
        part: dict[str, Any] = {"folder": folder.resolve().name, "train": [], "held": []}
        for recording in sorted(corpus.recordings, key=lambda r: r.name):
            name = recording.path.relative_to(folder).as_posix()
            part["held" if recording.path in held else "train"].append(name)
        print(f"  {len(part['train'])} to train on, {len(part['held'])} held back", flush=True)
        parts.append(part)
    return parts


def keep_split(output: Path, parts: list[dict[str, Any]]) -> None:
    """Write ``split.json``; DiffvocError where one is that says otherwise, or the folder cannot be written."""
    path, text = output / "split.json", json.dumps(parts, indent=1) + "\n"
    try:
        if path.is_file() and path.read_text(encoding="utf-8") != text:
            raise DiffvocError(f"the runs in {output} began with other recordings; give another --output.")
        output.mkdir(parents=True, exist_ok=True)
        write_beside(path, text)
    except OSError as error:
        raise DiffvocError(f"the runs cannot be written to {output}: {error.strerror or error}.") from None


def is_finished(name: str, job: dict[str, Any]) -> bool:
    """Whether the system has been trained like this already."""
    folder = Path(job["output"]) / name
    asked = read_json(folder / "result.json").get("asked")
    return (folder / "vocoder").is_dir() and asked is not None and all(job.get(k) == v for k, v in asked.items())


class Training:
    """A system's process."""

    def __init__(self, name: str, job: dict[str, Any]) -> None:
        self.name = name
        self.errors = Path(job["output"]) / name / "errors.txt"
        self.errors.parent.mkdir(parents=True, exist_ok=True)
        threads = {key: str(job["threads"]) for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        with self.errors.open("w") as errors:
            command = [sys.executable, str(HERE / "one.py"), name, json.dumps(job)]
            self.process = subprocess.Popen(command, stderr=errors, env={**os.environ, **threads})

    def failure(self) -> str | None:
        """Why it failed, in a line; None when it did not. Only to be asked once it has ended."""
        if self.process.returncode == 0:
            return None
        lines = [line for line in self.errors.read_text(errors="replace").splitlines() if line.strip()]
        last = lines[-1].removeprefix("error: ") if lines else "it said nothing"
        return f"{last} (status {self.process.returncode}; all in {self.errors})"


def run_all(names: list[str], job: dict[str, Any], at_once: int) -> dict[str, str]:
    """Train the systems, ``at_once`` at a time; returns why each of those failed that did."""
    waiting, running, failures = list(names), [], {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(Training(waiting.pop(0), job))
            for training in [one for one in running if one.process.poll() is not None]:
                running.remove(training)
                reason = training.failure()
                if reason:
                    failures[training.name] = reason
                    print(f"{training.name} failed: {reason}", flush=True)
            time.sleep(0.2)
    except BaseException:  # Ctrl+C has reached them too; a signal to this process alone has not
        for training in running:
            training.process.terminate()
        for training in running:
            training.process.wait()
        raise
    return failures


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "not finite"


def table(names: list[str], output: Path) -> str:
    """What was trained so far, in Markdown."""
    head = ["system", "size", "parameters", "steps", "minutes", "log-mel L1: start", "1/4", "2/4", "3/4", "end"]
    head += ["log-STFT L1: start", "end"]
    rows = [head, ["---"] * len(head)]
    for name in names:
        found = read_json(output / name / "result.json")
        if found:
            scores = [_figure(score["mel_l1"]) for score in found["scores"]]
            scores = scores[:1] + [""] * (5 - len(scores)) + scores[1:][-4:]
            scores += [_figure(found["scores"][i]["stft_l1"]) for i in (0, -1)]
            size = [found["label"], found["size"], f"{found['parameters']:,}"]
            rows.append([*size, f"{found['steps']:,}", f"{found['minutes']:.1f}", *scores])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def train_all(options: argparse.Namespace) -> dict[str, str]:
    """What :func:`main` does; returns the failures. Raises: DiffvocError for bad settings or data."""
    job = make_job(options)
    keep_split(options.output, split(options.data))
    names = list(options.systems)
    done = [name for name in names if is_finished(name, job)]
    if done:
        print(f"already trained: {', '.join(done)}", flush=True)
    failures = run_all([name for name in names if name not in done], job, options.side_by_side)
    known = [name for name in (*SYSTEMS, *ABLATIONS) if (options.output / name / "result.json").is_file()]
    text = table(known, options.output)
    write_beside(options.output / "table.md", text)
    print(f"\n{text}")
    return failures


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> None:
    signal.signal(signal.SIGTERM, _interrupt)  # not by way of SIGINT, which a shell's background jobs ignore
    try:
        failures = train_all(parse(arguments))
    except DiffvocError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    if failures:
        sys.exit("\n".join(f"error: {name} failed: {reason}" for name, reason in failures.items()))


if __name__ == "__main__":
    main()
