"""What ``eval/unconditional.py`` compares: a count and a seed go in, waveforms come out.

A system is named by what it is: a generator of this package (a bundled name or a folder, options after "?"), a folder
of a WaveGAN or WaveNet, or ``FILE.py:FUNCTION``, where the function takes (count, seed) or (count, seed, labels) and
returns waveforms [count, T]; the file may have LABEL, FAMILY, TRAINING and SAMPLE_RATE.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import tts_diffvoc
from tts_diffvoc import generators, naming
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import Generator
from tts_diffvoc_eval import functions
from tts_diffvoc_eval.generation import baselines
from tts_diffvoc_eval.systems import SAMPLER_NAMES, digest, safe

Generate = Callable[[int, int, "list[int] | None"], Any]


@dataclass
class GeneratorSystem:
    """One row of the tables.

    Attributes:
        name: for files and records. label: for people.
        family: "diffusion", "gan", "autoregressive", or what a user's file says.
        generate: (count, seed, labels or None) -> waveforms [count, T] in [-1, 1].
        labelled: whether it takes labels.
        sample_rate: Hz; None where it does not say.
        training: what the weights have seen, "untrained" for none.
        digest: SHA-256 of the weights, or of the file.
    """

    name: str
    label: str
    family: str
    generate: Generate
    labelled: bool = False
    sample_rate: int | None = None
    training: str = "not said"
    parameters: int | None = None
    steps: int | None = None
    sampler: str | None = None
    guidance: float | None = None
    digest: str | None = None

    def describe(self) -> dict[str, Any]:
        """What ``systems.json`` says of it."""
        shown = ("label", "family", "labelled", "training", "parameters", "steps", "sampler", "guidance")
        return {name: getattr(self, name) for name in shown}


def load_all(
    specs: Iterable[str], labels: Sequence[str], device: str, choices: dict[str, Sequence[Any]] | None = None
) -> list[GeneratorSystem]:
    """Every system that ``specs`` name.

    Args:
        labels: of the corpus; a generator with labels must have the same.
        choices: "steps", "sampler" and "guidance" to try with generators of this package, in all combinations; without
            any, each one's own.

    Raises: DiffvocError for an unknown one, or two of one name.
    """
    found: dict[str, GeneratorSystem] = {}
    for spec in specs:
        if re.fullmatch(r".+\.py:\w+", spec):
            systems = [from_file(spec)]
        elif baselines.is_saved(Path(spec).expanduser()):
            systems = [from_baseline(Path(spec).expanduser(), device)]
        else:
            systems = from_generator(spec, labels, device, choices or {})
        for one in systems:
            if one.name in found:
                raise DiffvocError(f"two systems are named {one.name}; rename one of the folders.")
            found[one.name] = one
    return list(found.values())


def from_file(spec: str) -> GeneratorSystem:
    """``FILE.py:FUNCTION``."""
    module, call = functions.load(spec, "makes waveforms of (count, seed)")
    path, _, function = spec.rpartition(":")
    labelled = "labels" in inspect.signature(call).parameters
    return GeneratorSystem(
        safe(f"{Path(path).stem}-{function}"),
        getattr(module, "LABEL", f"{Path(path).stem}:{function}"),
        getattr(module, "FAMILY", "own"),
        lambda count, seed, labels: call(count, seed, **({"labels": labels} if labelled else {})),
        labelled,
        getattr(module, "SAMPLE_RATE", None),
        getattr(module, "TRAINING", "not said"),
        digest=digest(Path(path).expanduser()),
    )


def from_baseline(folder: Path, device: str) -> GeneratorSystem:
    """A WaveGAN or WaveNet. Raises: DiffvocError for a folder without one."""
    model = baselines.load(folder, device)
    return GeneratorSystem(
        folder_name(str(folder), folder),
        model.label,
        model.family,
        lambda count, seed, labels: model.generate(count, seed),
        sample_rate=model.config.sample_rate,
        training=model.training_said,
        parameters=model.parameters_count,
        digest=digest(folder / naming.WEIGHTS),
    )


def from_generator(
    spec: str, labels: Sequence[str], device: str, choices: dict[str, Sequence[Any]]
) -> list[GeneratorSystem]:
    """A generator of this package in every combination of ``choices``; guidance only where it has labels.

    Raises: DiffvocError for an unknown name, a bad option, or a generator with other labels than the corpus.
    """
    name = generators.parse(spec)[0]
    folder = generators.resolve(name)
    model = tts_diffvoc.load_generator(spec, device)
    if model.labels and tuple(model.labels) != tuple(labels):
        raise DiffvocError(
            f"{spec} has the labels {', '.join(model.labels)}; the corpus has {', '.join(labels)}. Choose another."
        )
    base = "-".join([folder_name(name, folder), *filter(None, spec.partition("?")[2].split("&"))])
    training = naming.card(folder).get("training", "see its model card")
    found = []
    for options in combinations(model, choices):
        steps, sampler, guidance = options["steps"], options["sampler"], options.get("guidance")
        label = f"{base}, {steps} step{'s' if steps > 1 else ''}, {SAMPLER_NAMES.get(sampler, sampler)}"
        system = GeneratorSystem(
            safe(f"{base}-{steps}-{sampler}" + ("" if guidance is None else f"-g{guidance:g}")),
            label + ("" if guidance is None else f", guidance {guidance:g}"),
            "diffusion",
            partial(generate, model, options),
            bool(model.labels),
            model.sample_rate,
            training,
            sum(p.numel() for p in model.parameters()),
            steps,
            sampler,
            guidance,
            digest(folder / naming.WEIGHTS),
        )
        found.append(system)
    return found


def generate(model: Generator, options: dict[str, Any], count: int, seed: int, labels: list[int] | None) -> Any:
    return model.generate(count, label=labels if model.labels else None, seed=seed, **options)


def combinations(model: Generator, choices: dict[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Options of ``generate``: every combination of ``choices``. Raises: DiffvocError for a bad option."""
    usual = {"steps": model.config.schedule.num_steps, "sampler": "ddpm", "guidance": 0.0, **model.defaults}
    keys = ["steps", "sampler", *(["guidance"] if model.labels else [])]
    found = [dict(zip(keys, values)) for values in product(*(choices.get(key) or (usual[key],) for key in keys))]
    for options in found:
        for key, value in options.items():
            model.GENERATE_OPTIONS[key](str(value))
        model.check_options(options)
    return found


def folder_name(name: str, folder: Path) -> str:
    """The name of a bundled generator, or of a folder: a run's folder ``generator`` has the run's."""
    if not Path(name).expanduser().exists():
        return safe(name)
    path = folder.resolve()
    return safe(path.parent.name if path.name == "generator" else path.name)
