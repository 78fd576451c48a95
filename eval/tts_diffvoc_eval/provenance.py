"""What a run was made with: its manifest."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    "tts-diffvoc", "torch", "torchaudio", "coqui-tts", "numpy", "scipy", "pandas", "librosa", "scikit-learn", "pesq",
    "pystoi", "speechmos", "distillmos", "resemblyzer", "onnxruntime", "auraloss", "pyworld", "pocketsphinx", "jiwer",
    "pyloudnorm",
)  # fmt: skip


def commit() -> str | None:
    """The commit of this checkout, with "+changes" where files differ; None outside a repository."""
    here = Path(__file__).resolve().parent
    git = ["git", "-C", str(here)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
        tracked = [*git, "status", "--porcelain", "--untracked-files=no"]
        changed = subprocess.run(tracked, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+changes" if changed else "")


def versions() -> dict[str, str]:
    """Of Python and of the packages that figures depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """The CPU's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def command_line(program: str, arguments: Sequence[str]) -> str:
    """A command as it was typed, but with absolute paths by their last name: none of a machine is published."""
    words = [re.sub(r"(^|=)/.*/", r"\1", word) for word in arguments if word != "--resume"]
    return " ".join([program, *map(shlex.quote, words)])


def device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else processor()


def manifest(
    command: str,
    device: str,
    threads: int,
    seeds: Sequence[int],
    sample_rate: int,
    clips: Mapping[str, str | None],
    checkpoints: Mapping[str, str | None],
    options: dict[str, Any],
) -> dict[str, Any]:
    """What ``manifest.json`` holds; only ``date`` and ``commit`` change when the same run is made again here."""
    return {
        "command": command,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "device": device,
        "device_name": device_name(device),
        "processor": processor(),
        "threads": threads,
        "versions": versions(),
        "seeds": list(seeds),
        "sample_rate": sample_rate,
        "clips": clips,
        "checkpoints": {name: value for name, value in checkpoints.items() if value},
        "options": options,
    }
