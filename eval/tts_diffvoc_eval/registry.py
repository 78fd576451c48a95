"""The systems of the benchmark by the words of ``--systems``, and of ``--model`` where generators are compared.

A system is named by what it is: a name from the list below, a checkpoint folder of ours (options after "?"),
a folder that recipes/benchmark trained, a vocoder of Coqui's by zoo name or folder, or ``file.py:function``, where the
function takes a log-mel [B, 80, F] and returns a waveform [B, F * 256]. A GAN or WaveRNN by its name alone has random
weights: that shows how fast it is. A generator is a bundled name or a folder of ours (options after "?"), a folder of a
WaveGAN or WaveNet, or ``file.py:function``, where the function takes (count, seed) or (count, seed, labels) and returns
waveforms [count, T].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tts_diffvoc import voices
from tts_diffvoc.errors import DiffvocError, Failure
from tts_diffvoc_eval import folders, functions, systems
from tts_diffvoc_eval.baselines import NAMES, build, coqui, folder
from tts_diffvoc_eval.generation import systems as generators
from tts_diffvoc_eval.generation.systems import GeneratorSystem
from tts_diffvoc_eval.systems import Entry, System

AnyEntry = TypeVar("AnyEntry", bound=Entry)


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
    if functions.is_function(spec):
        return [systems.python_function(spec)]
    if voices.bundled(name) is not None or (Path(name).is_dir() and voices.is_vocoder(voices.resolve(name))):
        return systems.our_vocoder(spec, device, steps, samplers)
    if folders.is_saved(path, folder.FORMAT):
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
    found: list[System] = []
    missing = []
    for spec in specs:
        try:
            found += find(spec, device, steps, samplers)
        except Failure as error:
            missing.append(str(error))
    if not found:
        raise DiffvocError(" ".join(missing) or "no system was given.")
    return different(found), missing


def find_generators(
    specs: Iterable[str], device: str, choices: dict[str, Sequence[Any]] | None = None
) -> list[GeneratorSystem]:
    """Every generator of ``--model``.

    Args:
        choices: "steps", "sampler" and "guidance" to try with generators of this package, in all combinations; without
            any, each one's own.

    Raises: DiffvocError for an unknown one, or two of one name.
    """
    found: list[GeneratorSystem] = []
    for spec in specs:
        path = Path(spec).expanduser()
        if functions.is_function(spec):
            found.append(generators.from_file(spec))
        elif folders.is_saved(path, generators.FORMAT):
            found.append(generators.from_baseline(path, device))
        else:
            found += generators.from_generator(spec, device, choices or {})
    return different(found)


def different(found: list[AnyEntry]) -> list[AnyEntry]:
    """``found``. Raises: DiffvocError for two of one name."""
    names = [system.name for system in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DiffvocError(f"two systems are named {twice}; rename one of the folders.")
    return found
