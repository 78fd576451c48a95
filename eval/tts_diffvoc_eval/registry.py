"""The systems of the benchmark by the words of ``--systems``.

A system is named by what it is: a name from the list below, a checkpoint folder of ours (options after "?"),
a folder that recipes/benchmark trained, a vocoder of Coqui's by zoo name or folder, or ``file.py:function``, where the
function takes a log-mel [B, 80, F] and returns a waveform [B, F * 256]. A GAN or WaveRNN by its name alone has random
weights: that shows how fast it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tts_diffvoc import voices
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import systems
from tts_diffvoc_eval.baselines import NAMES, build, coqui, folder
from tts_diffvoc_eval.systems import System


def find(spec: str, device: str, steps: Iterable[int] = (), samplers: Iterable[str] = ()) -> list[System]:
    """The systems that one word of ``--systems`` stands for.

    Raises: DiffvocError for an unknown one.
    """
    name, path = voices.parse(spec)[0], Path(spec).expanduser()
    if spec == "original":
        return [systems.original()]
    if spec == "griffin-lim":
        return [systems.griffin_lim()]
    if spec in NAMES:
        return [build(spec, device=device)]
    if re.fullmatch(r".+\.py:\w+", spec):
        return [systems.python_function(spec)]
    if voices.bundled(name) is not None or (Path(name).is_dir() and voices.is_vocoder(voices.resolve(name))):
        return systems.our_vocoder(spec, device, steps, samplers)
    if folder.is_saved(path):
        return [folder.load(path, device)]
    if spec.startswith(coqui.PREFIX) or path.exists():
        return [coqui.load(spec, device)]
    raise voices.unknown(spec, ["original", "griffin-lim", *voices.names(), *NAMES], "system")


def default_names() -> list[str]:
    """Everything that is bundled, and each vocoder's control, its prior without its network."""
    ours = [spec for name in voices.names() for spec in (name, f"{name}?steps=0")]
    return ["original", *ours, "griffin-lim"]


def find_all(
    specs: Iterable[str], device: str, steps: Iterable[int], samplers: Iterable[str]
) -> tuple[list[System], list[str]]:
    """Every system of ``--systems``, and a sentence for each of Coqui's zoo that cannot be downloaded.

    Raises: DiffvocError for an unknown one, for two of one name, and where none is left.
    """
    found: dict[str, System] = {}
    missing = []
    for spec in specs:
        try:
            some = find(spec, device, steps, samplers)
        except coqui.Unreachable as error:
            missing.append(str(error))
            continue
        for system in some:
            if system.name in found:
                raise DiffvocError(f"two systems are named {system.name}; rename one of the folders.")
            found[system.name] = system
    if not found:
        raise DiffvocError(" ".join(missing) or "no system was given.")
    return list(found.values()), missing
