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

    def git(*words: str) -> str:
        return subprocess.check_output(
            ["git", "-C", str(Path(__file__).parent), *words], stderr=subprocess.DEVNULL, text=True
        ).strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def versions() -> dict[str, str]:
    """Of Python and of the packages that figures depend on."""
    found = {one.metadata["Name"].lower(): one.version for one in importlib.metadata.distributions()}
    return {"python": platform.python_version(), **{name: found[name] for name in PACKAGES if name in found}}


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
    clips: Mapping[str, str | None],
    checkpoints: Mapping[str, str | None],
    options: dict[str, Any],
    seeds: Sequence[int],
    sample_rate: int = 22050,
    device: str = "cpu",
    threads: int = 1,
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
