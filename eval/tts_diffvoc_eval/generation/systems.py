"""Generators in the tables of ``eval/unconditional.py``: a count and a seed go in, waveforms come out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import tts_diffvoc
from tts_diffvoc import generators, naming
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import Generator
from tts_diffvoc_eval.generation import baselines
from tts_diffvoc_eval.systems import SAMPLER_NAMES, Entry, digest, folder_name, own_function, safe

Generate = Callable[[int, int, "list[int] | None"], Any]


@dataclass
class GeneratorSystem(Entry):
    """A generator.

    Attributes:
        generate: (count, seed, labels or None) -> waveforms [count, T] in [-1, 1].
        labelled: whether it takes labels.
        sample_rate: Hz; None where it does not say.
    """

    generate: Generate
    _: KW_ONLY
    labelled: bool = False
    sample_rate: int | None = None
    guidance: float | None = None
    described: ClassVar[tuple[str, ...]] = (*Entry.described, "labelled", "guidance")


def from_file(spec: str) -> GeneratorSystem:
    """``FILE.py:FUNCTION``, of (count, seed) or (count, seed, labels); the file may have SAMPLE_RATE, too."""
    about, call, module = own_function(spec, "makes waveforms of (count, seed)", "own")
    labelled = "labels" in inspect.signature(call).parameters
    return GeneratorSystem(
        **about,
        generate=lambda count, seed, labels: call(count, seed, **({"labels": labels} if labelled else {})),
        labelled=labelled,
        sample_rate=getattr(module, "SAMPLE_RATE", None),
    )


def from_baseline(folder: Path, device: str) -> GeneratorSystem:
    """A WaveGAN or WaveNet. Raises: DiffvocError for a folder without one."""
    model = baselines.load(folder, device)
    return GeneratorSystem(
        safe(folder_name(folder)),
        model.label,
        model.family,
        lambda count, seed, labels: model.generate(count, seed),
        sample_rate=model.config.sample_rate,
        training=model.training_said,
        module=model,
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
    base = safe(folder_name(folder) if Path(name).expanduser().exists() else name)
    base = "-".join([base, *filter(None, spec.partition("?")[2].split("&"))])
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
            labelled=bool(model.labels),
            sample_rate=model.sample_rate,
            training=training,
            module=model,
            steps=steps,
            sampler=sampler,
            guidance=guidance,
            digest=digest(folder / naming.WEIGHTS),
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
