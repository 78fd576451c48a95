"""Run by test_files.py where no file can grow: each writer of the package over an old file; tells in JSON."""

import json
import resource
import signal
import sys
from pathlib import Path

import torch
from small_vocoders import random_vocoder

from tts_diffvoc.audio import write_audio
from tts_diffvoc.checkpoint import save_checkpoint, write_weights
from tts_diffvoc.errors import Failure
from tts_diffvoc.files import write_beside
from tts_diffvoc.training.loop import Loop, LoopConfig
from tts_diffvoc.training.prepared import write_target

OLD = b"what was there before"


def run(root: Path) -> dict[str, str]:
    """For each writer "kept", or what went wrong."""
    vocoder = random_vocoder("spectral diffwave")
    loop = Loop(torch.nn.Linear(300, 300), LoopConfig(steps=1), root / "loop")
    writers = {
        "sound.wav": lambda path: write_audio(path, 0.1 * torch.randn(100_000), 22050),
        "sound.flac": lambda path: write_audio(path, 0.1 * torch.randn(100_000), 22050),
        "config.json": lambda path: write_beside(path, "x" * 200_000),
        "weights.safetensors": lambda path: write_weights(path, {"w": torch.zeros(50_000)}),
        "model.safetensors": lambda path: save_checkpoint(vocoder, path.parent, "# A\n"),
        "loop/checkpoint.pt": lambda path: loop.save(),
        "clip~train.npz": lambda path: write_target(vocoder, 0.1 * torch.randn(256 * 200), path, 0, 8000.0),
    }
    for name in writers:
        (root / name).write_bytes(OLD)
    if sys.argv[2:] == ["limited"]:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    told = {}
    for name, write in writers.items():
        try:
            write(root / name)
            told[name] = "no error"
        except Failure as error:
            told[name] = "kept" if (root / name).read_bytes() == OLD and "\n" not in str(error) else str(error)
    told["parts left"] = ", ".join(path.name for path in root.rglob("*.part"))
    return told


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]))))
