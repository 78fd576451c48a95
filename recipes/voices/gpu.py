"""Train all that is bundled on one GPU within minutes: one command, one clock.

    python recipes/voices/gpu.py --data SPEECH[=SHARE] MORE... --output runs/gpu --minutes 9
    python recipes/voices/gpu.py --data SPEECH --voices ada=hibari joe=joe --texts texts.txt --output runs/gpu

Prepares the recordings (wav, FLAC, Ogg or Opus), trains pitch, rebuilds targets, trains magnitudes, then diffwave,
wavegrad and the acoustic voices side by side on the card, all by the commands of `train.py` and `acoustic/train.py`.
The CPU's cores render the teachers' speech meanwhile. What is left of the minutes is shared out before each stage, and
the last ones are ended in time: OUTPUT holds then what those commands leave, and a log of each.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARES = {"prepare": None, "pitch": 0.12, "targets": None, "magnitude": 0.12}  # of the minutes that are left
LAST_SHARE = 0.85  # of those that are left then; the rest is for start, checks and saving
SAVING = 0.03  # share of all minutes that is kept for the end
BATCHES = {"pitch": (86, 128), "magnitude": (172, 64), "diffwave": (172, 64), "wavegrad": (172, 64)}  # 128 s of speech


class Job:
    """The commands of a run, by name, each with a log of its own in the output folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.end = time.monotonic() + 60 * (1 - SAVING) * options.minutes
        options.output.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        """Minutes that are left."""
        return (self.end - time.monotonic()) / 60

    def start(self, name: str, script: str, *arguments: object) -> None:
        print(f"{name}: {self.left:.1f} minutes are left", flush=True)
        command = [sys.executable, str(HERE / script), *map(str, arguments)]
        with (self.options.output / f"{name}.log").open("ab") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)

    def stage(self, name: str, share: float | None) -> None:
        """Start a stage of train.py, one that trains for a share of the minutes that are left."""
        options = self.options
        more: list[object] = ["--jobs", options.jobs]
        if share is not None:
            more = ["--minutes", round(share * self.left, 3)]
            if options.device != "cpu":
                rows, frames = BATCHES[name]
                more += ["--batch-size", rows, "--frames", frames, "--bf16"]
        place = ("--data", *options.data, "--output", options.output, "--device", options.device)
        self.start(name, "train.py", *place, "--stage", name, *more)

    def run(self) -> None:
        """All stages, until the minutes are over; no command outlives it."""
        options = self.options
        teachers = dict(one.split("=", 1) for one in options.voices)
        data = {name: options.output / f"{name}-data" for name in teachers}
        try:
            for name, teacher in teachers.items():
                place = ("--texts", options.texts, "--output", data[name])
                jobs = max(1, options.jobs // len(teachers))
                more = ("--teacher", teacher, "--hours", options.hours, "--jobs", jobs)
                self.start(f"{name}-speech", "acoustic/render.py", *place, *more)
            for name, share in SHARES.items():
                self.stage(name, share)
                self.finish(name)
            for name in ("diffwave", "wavegrad"):
                self.stage(name, LAST_SHARE)
            while self.left > 0 and any(process.poll() is None for process in self.running.values()):
                for name in [name for name in data if self.running[f"{name}-speech"].poll() is not None]:
                    minutes = ("--minutes", round(LAST_SHARE * self.left, 3), "--device", options.device)
                    more = () if options.device == "cpu" else ("--bf16", "--frames", 30000)
                    place = ("--data", data.pop(name), "--output", options.output / name)
                    self.start(name, "acoustic/train.py", *place, *minutes, *more)
                time.sleep(0.5)
        finally:
            for process in self.running.values():
                stop(process)

    def finish(self, name: str) -> None:
        """Wait for a stage that the others need."""
        try:
            code = self.running[name].wait(max(0.0, 60 * self.left))
        except subprocess.TimeoutExpired:
            sys.exit(f"the minutes ended in the stage {name}; give more, or less data")
        if code:
            sys.exit(f"the stage {name} failed; {self.options.output / name}.log says why")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to save and end; a training does so after its step."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, metavar="FOLDER[=SHARE]", help="recordings")
    parser.add_argument("--voices", nargs="*", default=[], metavar="NAME=TEACHER", help="acoustic voices to train")
    parser.add_argument("--texts", type=Path, help="a text a line, for the teachers")
    parser.add_argument("--hours", type=float, default=4.0, help="of each teacher's speech (default: 4)")
    parser.add_argument("--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--minutes", type=float, default=9.0, help="in all (default: 9)")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that prepare and render")
    options = parser.parse_args()
    if options.voices and not options.texts:
        parser.error("--voices need --texts")
    return options


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process is left behind
    Job(parse()).run()
