"""What a program must bear over time: requests by the hundred, clients that go away, and being killed at any moment.

    make soak

Coqui's server with a small voice answers 200 requests from 16 clients, every other one of them bad and every tenth cut
off by its client: the good ones get the same bytes as alone, the bad ones 400, and memory is level after the first
quarter. A training, a fine-tuning and the vocoding of a folder are killed 20 times each, at random moments: what they
leave is whole, each goes on from there, nothing is lost, and none of their processes lives on.
"""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import DEVNULL

import numpy as np
import psutil
import soundfile
import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from small_corpus import tones  # noqa: E402
from small_vocoders import random_vocoder  # noqa: E402
from small_voice import options, save_voice  # noqa: E402

from tts_diffvoc.arguments import spoken  # noqa: E402
from tts_diffvoc.checkpoint import save_checkpoint  # noqa: E402
from tts_diffvoc.errors import Failure  # noqa: E402

REQUESTS, CLIENTS, KILLS, CLIPS = 200, 16, 20, 400
GOOD = ["hello", "one two three", "Good morning."]
BAD = ["", "...", "世界", "\u200f", "\0", "😀", "?!" * 500]
TRAINING = """
import itertools, sys
from pathlib import Path
import torch
from tts_diffvoc.training.loop import LoopConfig, train

class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(200_000))

    def loss(self, batch):
        return {"loss": (self.weight - batch).square().mean()}

torch.manual_seed(0)
train(Line(), itertools.repeat(torch.ones(())), LoopConfig(steps=10**6, save_minutes=1e-6), Path(sys.argv[1]))
"""
FINE_TUNING = """
import sys
from pathlib import Path
from tts_diffvoc.training.finetuning import FineTuning, fine_tune

data, output, vocoder = sys.argv[1:]
short = {"held_back": 1, "batch_size": 2, "crop_seconds": 0.2, "clip_seconds": 0.3, "save_minutes": 1e-6}
fine_tune(FineTuning(Path(data), Path(output), vocoder, max_steps=10**6, **short))
"""


def ask(port: int, text: str, leave: bool = False) -> tuple[int, bytes]:
    """The status and the body of an answer; (0, b"") for a client that left before it came."""
    connection = http.client.HTTPConnection("localhost", port, timeout=120)
    connection.request("GET", f"/api/tts?text={urllib.parse.quote(text)}")
    if leave:
        connection.sock.close()
        return 0, b""
    answer = connection.getresponse()
    return answer.status, answer.read()


def resident(pid: int) -> float:
    """Megabytes that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def serve(root: Path) -> dict[str, object]:
    """The server's counts: answers by status, wrong ones, and memory after a quarter and at the end."""
    save_checkpoint(random_vocoder("spectral diffwave"), root / "vocoder", "# A\n")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "TTS.server.server", "--port", str(port)]
    log = (root / "log").open("w")
    server = subprocess.Popen(
        [*command, *options(save_voice(root / "voice"), root / "vocoder")], stdout=log, stderr=log
    )
    try:
        deadline = time.monotonic() + 300
        while server.poll() is None and time.monotonic() < deadline:
            try:
                expected = {text: ask(port, text) for text in GOOD}
                break
            except OSError:
                time.sleep(0.5)
        else:
            raise Failure("the server did not start.")
        texts = [(BAD if i % 2 else GOOD)[i // 2 % len(BAD if i % 2 else GOOD)] for i in range(REQUESTS)]
        leaving = [i % 10 == 9 for i in range(REQUESTS)]
        answers, memory = [], []
        with ThreadPoolExecutor(CLIENTS) as clients:
            for part in range(4):
                places = slice(part * REQUESTS // 4, (part + 1) * REQUESTS // 4)
                answers += clients.map(ask, [port] * REQUESTS, texts[places], leaving[places])
                memory.append(resident(server.pid))
        wrong = sum(
            status and (status, body) != expected.get(text, (400, body)) for text, (status, body) in zip(texts, answers)
        )
        statuses = dict(Counter(status for status, _ in answers))
        return {"answers": statuses, "wrong": wrong, "MB": [round(m) for m in memory], "runs": server.poll() is None}
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def outlives(group: int, seconds: float = 20.0) -> bool:
    """Whether a process of a killed program's group still runs after some seconds; it is ended then."""
    deadline = time.monotonic() + seconds
    while left := [p for p in psutil.process_iter(["status"]) if p.info["status"] != "zombie" and group_of(p) == group]:
        if time.monotonic() > deadline:
            for process in left:
                process.kill()
            return True
        time.sleep(0.2)
    return False


def group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


def kill(command: list[str | Path], progress: Callable[[], int]) -> dict[str, object]:
    """Start a program again and again and kill it; ``progress`` counts what it has left, and raises for half a file."""
    generator, made, broken, orphans, start = random.Random(0), [0], 0, 0, 0.0
    for number in range(KILLS):
        began = time.monotonic()
        program = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while number == 0 and not progress() and program.poll() is None:  # when it begins to make something
            time.sleep(0.1)
            start = time.monotonic() - began
        time.sleep(2 * start * generator.random())
        program.kill()
        program.wait()
        orphans += outlives(program.pid)
        try:
            made.append(progress())
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            broken += 1
    lost = any(before > after for before, after in zip(made, made[1:]))
    return {"kills": KILLS, "unreadable": broken, "orphans": orphans, "made": made[-1], "lost": lost}


def steps(folder: Path) -> int:
    """Steps that the training in a folder has saved."""
    path = folder / "checkpoint.pt"
    return torch.load(path, weights_only=True)["step"] if path.exists() else 0


def train(root: Path) -> dict[str, object]:
    """What kills of a training have done to its checkpoint."""
    return kill([sys.executable, "-c", TRAINING, root / "run"], lambda: steps(root / "run"))


def fine_tune(root: Path) -> dict[str, object]:
    """What kills of a fine-tuning have done to its targets, scores and checkpoint."""
    data, training = write_clips(root / "recordings", 4), root / "tuned" / "training"
    save_checkpoint(random_vocoder("spectral diffwave"), root / "old", "# A\n")

    def progress() -> int:
        for path in training.rglob("[!.]*.json"):
            json.loads(path.read_text())
        for path in training.glob("targets/[!.]*.npz"):
            assert all(np.isfinite(value).all() for value in np.load(path).values())
        return steps(training)

    return kill([sys.executable, "-c", FINE_TUNING, data, root / "tuned", root / "old"], progress)


def vocode(root: Path) -> dict[str, object]:
    """What kills of ``tts-diffvoc vocode`` have done to the files that it writes; then it ends by itself."""
    data, out = write_clips(root / "clips", CLIPS), root / "vocoded"
    save_checkpoint(random_vocoder("spectral diffwave"), root / "small", "# A\n")
    command = [sys.executable, "-m", "tts_diffvoc.cli", "vocode", data, "--output-dir", out, "--skip-existing"]
    command += ["--vocoder", root / "small", "--jobs", "2"]
    told = kill(command, lambda: whole_clips(out))
    ended = subprocess.run(command, stdout=DEVNULL, stderr=DEVNULL).returncode
    left = len(list(out.iterdir()))
    return {**told, "made": whole_clips(out), "lost": told["lost"] or ended != 0 or left != CLIPS}


def write_clips(folder: Path, count: int) -> Path:
    """So many recordings of 0.5 s in a folder."""
    folder.mkdir()
    for number in range(count):
        soundfile.write(folder / f"{number}.wav", tones(number, 0.5, 22050), 22050)
    return folder


def whole_clips(folder: Path) -> int:
    """The recordings in a folder; AssertionError for one that is not all there."""
    paths = list(folder.glob("*.wav"))
    for path in paths:
        assert len(soundfile.read(path)[0]) == 11025, path
    return len(paths)


def soak() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for part in (serve, train, fine_tune, vocode):
            told = part(Path(folder))
            print(part.__name__, told, flush=True)
            if part is serve and (told["wrong"] or not told["runs"] or told["MB"][3] > 1.2 * told["MB"][0] + 50):
                raise Failure("the server gave a wrong answer, ended, or grew.")
            if part is not serve and (told["unreadable"] or told["lost"] or told["orphans"]):
                raise Failure("a kill cost what was saved before, or left a process.")


if __name__ == "__main__":
    with spoken():
        soak()
