"""Train all that is bundled on one GPU within minutes: one command, one clock.

    python recipes/voices/gpu.py --data SPEECH[=SHARE] MORE... --output out --minutes 9
    python recipes/voices/gpu.py --data SPEECH --voices ada=hibari joe=joe --texts texts.txt --output out --minutes 9
    python recipes/voices/gpu.py --join out        # on the machine that the weights come back to

Prepares the recordings (wav, FLAC, Ogg or Opus), trains pitch, rebuilds targets, trains magnitudes, then diffwave,
wavegrad and the acoustic voices side by side on the card, all by the commands of `train.py` and `acoustic/train.py`.
The CPU's cores render the teachers' speech meanwhile. What is left of the minutes is shared out before each stage, and
the last ones are ended in time, so that OUTPUT holds logs and float16 weights, in pieces of at most 15 MB, when the
minutes are over. It needs torch, numpy, scipy, safetensors, soundfile, soxr, pyreaper, and for a voice what `render.py`
needs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import load_file, save

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PIECE = 15_000_000  # bytes
SHARES = {"pitch": 0.12, "magnitude": 0.12}  # of the minutes that are left
LAST_SHARE = 0.85  # of those that are left then; the rest is for start, checks and packing
BATCHES = {"pitch": (86, 128), "magnitude": (172, 64), "diffwave": (172, 64), "wavegrad": (172, 64)}  # 128 s of speech
PACKING = 0.03  # share of the minutes that is kept for the end


class Clock:
    """Minutes that are left, each of which lasts ``patience`` minutes."""

    def __init__(self, minutes: float, patience: float = 1.0) -> None:
        self.minute = 60 * patience
        self.end = time.monotonic() + self.minute * minutes

    @property
    def left(self) -> float:
        return (self.end - time.monotonic()) / self.minute


class Job:
    """The commands of a run, each with a log of its own in the output folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.clock = options, Clock(options.minutes, options.patience)
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        self.environment |= {"OMP_NUM_THREADS": "1"}
        options.output.mkdir(parents=True, exist_ok=True)
        options.work.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, script: str, *arguments: object) -> subprocess.Popen[bytes]:
        print(f"{name}: {self.clock.left:.1f} minutes are left", flush=True)
        command = [sys.executable, str(HERE / script), *map(str, arguments)]
        with (self.options.output / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=self.environment)

    def stage(self, name: str, minutes: float | None = None) -> subprocess.Popen[bytes]:
        """Start a stage of train.py; ``minutes`` of training for those that have some."""
        options = self.options
        more: list[object] = ["--jobs", options.jobs]
        if minutes is not None:
            rows, frames = BATCHES[name]
            more = ["--minutes", round(minutes, 3), "--batch-size", max(1, rows // options.smaller), "--frames", frames]
        if options.device != "cpu" and name not in ("prepare", "targets"):
            more.append("--bf16")
        place = ("--data", *options.data, "--output", options.work, "--device", options.device)
        return self.start(name, "train.py", *place, "--stage", name, *more)

    def voice(self, name: str, minutes: float) -> subprocess.Popen[bytes]:
        options, data = self.options, self.options.work / f"{name}-data"
        more = ["--bf16", "--frames", 30000] if options.device != "cpu" else []
        place = ("--data", data, "--output", options.work / name, "--device", options.device)
        return self.start(name, "acoustic/train.py", *place, "--minutes", round(minutes, 3), *more)

    def render(self, name: str, teacher: str) -> subprocess.Popen[bytes]:
        options, data = self.options, self.options.work / f"{name}-data"
        jobs = max(1, options.jobs // max(1, len(options.voices)))
        more = ("--hours", options.hours, "--jobs", jobs)
        return self.start(f"{name}-speech", "acoustic/render.py", "--teacher", teacher, "--texts", options.texts,
                          "--output", data, *more)  # fmt: skip

    def run(self) -> None:
        """All stages; the logs and weights that there are when the minutes are over."""
        teachers = dict(one.split("=", 1) for one in self.options.voices)
        with ended({}) as speaking, ended({}) as training:
            for name, teacher in teachers.items():
                speaking[name] = self.render(name, teacher)
            for name in ("prepare", "pitch", "targets", "magnitude"):
                self.finish(name, self.stage(name, SHARES[name] * self.clock.left if name in SHARES else None))
            for name in ("diffwave", "wavegrad"):
                training[name] = self.stage(name, LAST_SHARE * self.clock.left)
            while self.clock.left > PACKING * self.options.minutes:
                for name in [name for name, one in speaking.items() if one.poll() is not None]:
                    speaking.pop(name)
                    training[name] = self.voice(name, LAST_SHARE * self.clock.left)
                if not speaking and all(one.poll() is not None for one in training.values()):
                    break
                time.sleep(0.5)
        self.pack(list(teachers))

    def finish(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Wait for a stage that the others need."""
        try:
            code = process.wait(max(0.0, self.clock.minute * (self.clock.left - PACKING * self.options.minutes)))
        except subprocess.TimeoutExpired:
            stop(process)
            sys.exit(f"the minutes ended in the stage {name}; give more, or less data")
        if code:
            sys.exit(f"the stage {name} failed; {self.options.output / name}.log says why")

    def pack(self, voices: list[str]) -> None:
        """Copy logs and weights, in pieces, to the output folder."""
        work, output = self.options.work, self.options.output
        for log in work.glob("*/log.jsonl"):
            shutil.copyfile(log, output / f"{log.parent.name}.jsonl")
        for name, folder in (("diffwave", "diffwave/vocoder"), ("wavegrad", "wavegrad/vocoder")):
            if (work / folder / "model.safetensors").is_file():
                split(work / folder, output / name)
        for name in voices:
            if (work / name / "checkpoint.pt").is_file():
                save_average(work / name / "checkpoint.pt", output / name)


@contextmanager
def ended(processes: dict[str, subprocess.Popen[bytes]]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Processes of which none outlives the block."""
    try:
        yield processes
    finally:
        for process in processes.values():
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to save and end; a training does so after its step."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def split(folder: Path, target: Path) -> None:
    """A checkpoint folder with its weights in pieces, and the stages before it as train.py wants them."""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "README.md"):
        shutil.copyfile(folder / name, target / name)
    write_pieces(load_file(folder / "model.safetensors"), target)


def write_pieces(weights: dict, target: Path) -> None:
    pieces: list[dict] = [{}]
    size = 0
    for name, value in weights.items():
        if size + value.nbytes > PIECE:
            pieces.append({})
            size = 0
        pieces[-1][name] = value
        size += value.nbytes
    for number, piece in enumerate(pieces, 1):
        (target / f"piece-{number}.safetensors").write_bytes(save(piece))


def save_average(checkpoint: Path, target: Path) -> None:
    """The averaged weights of a loop's checkpoint as float16 pieces."""
    import torch

    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["average"]
    weights = {name.removeprefix("module."): v for name, v in state.items() if name != "n_averaged"}
    target.mkdir(parents=True, exist_ok=True)
    write_pieces({k: v.half().contiguous() if v.is_floating_point() else v for k, v in weights.items()}, target)


def join(output: Path) -> None:
    """Put pieces together again: OUTPUT/NAME/model.safetensors."""
    for folder in sorted({path.parent for path in output.glob("*/piece-*.safetensors")}):
        pieces = sorted(folder.glob("piece-*.safetensors"))
        weights = {name: value for piece in pieces for name, value in load_file(piece).items()}
        (folder / "model.safetensors").write_bytes(save(weights))
        for piece in pieces:
            piece.unlink()
        print(folder)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", metavar="FOLDER[=SHARE]", help="recordings")
    parser.add_argument("--voices", nargs="*", default=[], metavar="NAME=TEACHER", help="acoustic voices to train")
    parser.add_argument("--texts", type=Path, help="a text a line, for the teachers")
    parser.add_argument("--hours", type=float, default=4.0, help="of each teacher's speech (default: 4)")
    parser.add_argument("--output", type=Path, help="folder for weights and logs")
    parser.add_argument("--work", type=Path, default=Path("runs/gpu"), help="folder of the run (default: runs/gpu)")
    parser.add_argument(
        "--minutes", type=float, default=float(os.environ.get("MINUTES", 9)), help="in all (MINUTES or 9)"
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that prepare and render")
    parser.add_argument("--smaller", type=int, default=1, help="divide batches by this, to rehearse on a CPU")
    parser.add_argument("--patience", type=float, default=1.0, help="times that a minute lasts, on a busy CPU")
    parser.add_argument("--join", type=Path, metavar="OUTPUT", help="put the weights there together, and end")
    options = parser.parse_args()
    if options.join is None and not (options.data and options.output):
        parser.error("give --data and --output, or --join")
    if options.voices and not options.texts:
        parser.error("--voices need --texts")
    return options


if __name__ == "__main__":
    chosen = parse()
    if chosen.join:
        join(chosen.join)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process is left behind
        Job(chosen).run()
