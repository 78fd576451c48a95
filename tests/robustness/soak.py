"""What a program must bear over time: requests by the hundred, clients that go away, and being killed at any moment.

    make soak

Coqui's server with a small voice answers 200 requests from 16 clients, every other one of them bad and every tenth cut
off by its client: the good ones get the same bytes as alone, the bad ones 400, and memory is level after the first
quarter. A training is killed 20 times at random moments: each time it goes on from a whole checkpoint, further than
before, and nothing of it still runs.
"""

import http.client
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from small_vocoders import random_vocoder  # noqa: E402
from small_voice import options, save_voice  # noqa: E402

from tts_diffvoc.arguments import spoken  # noqa: E402
from tts_diffvoc.checkpoint import save_checkpoint  # noqa: E402
from tts_diffvoc.errors import Failure  # noqa: E402

REQUESTS, CLIENTS, KILLS = 200, 16, 20
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


def kill(root: Path) -> dict[str, object]:
    """Steps that a training has come to at each of its kills, and whether a checkpoint could not be read."""
    generator, steps, broken = random.Random(0), [], 0
    for _ in range(KILLS):
        training = subprocess.Popen([sys.executable, "-c", TRAINING, root / "run"], stdout=subprocess.DEVNULL)
        while not (root / "run" / "checkpoint.pt").exists() and training.poll() is None:
            time.sleep(0.05)
        time.sleep(3 + 3 * generator.random())
        training.kill()
        training.wait()
        try:
            state = torch.load(root / "run" / "checkpoint.pt", weights_only=True)
            steps.append(state["step"])
        except Exception:
            broken += 1
    rising = all(before <= after for before, after in zip(steps, steps[1:]))
    return {"kills": KILLS, "unreadable": broken, "steps": steps[-1], "lost": not rising}


def soak() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for part in (serve, kill):
            told = part(Path(folder))
            print(part.__name__, told, flush=True)
            if part is serve and (told["wrong"] or not told["runs"] or told["MB"][3] > 1.2 * told["MB"][0] + 50):
                raise Failure("the server gave a wrong answer, ended, or grew.")
            if part is kill and (told["unreadable"] or told["lost"]):
                raise Failure("a kill cost what was saved before.")


if __name__ == "__main__":
    with spoken():
        soak()
