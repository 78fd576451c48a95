"""Generators in the tables of ``eval/unconditional.py``: a count and a seed go in, waveforms come out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch

import tts_diffvoc
from tts_diffvoc import generators, naming
from tts_diffvoc.checkpoint import parse_options
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import folders
from tts_diffvoc_eval.generation.datasets import LABELS
from tts_diffvoc_eval.generation.unconditional_model import FORMAT, UnconditionalModel
from tts_diffvoc_eval.generation.wavegan import WaveGan
from tts_diffvoc_eval.generation.wavenet import WaveNet
from tts_diffvoc_eval.systems import SAMPLER_NAMES, Entry, digest, folder_name, own_function, safe

BASELINES: dict[str, type[UnconditionalModel]] = {"wavegan": WaveGan, "wavenet": WaveNet}
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


def load_baseline(folder: Path, device: str | torch.device = "cpu") -> UnconditionalModel:
    """The model that :meth:`UnconditionalModel.save` wrote to ``folder``, in evaluation mode.

    Raises: DiffvocError for a folder that is missing, damaged or no baseline's.
    """
    values = folders.read(folder, FORMAT, "WaveGAN or WaveNet")
    try:
        kind = BASELINES[values["kind"]]
        model = kind(kind.config_type.from_dict(values["network"]), values["size"], values["training"])
    except (KeyError, TypeError):
        raise DiffvocError(f"{folder}/config.json does not describe a WaveGAN or WaveNet; copy it again.") from None
    folders.fill(model, folder, device)
    return model


def from_baseline(folder: Path, device: str) -> GeneratorSystem:
    """A WaveGAN or WaveNet. Raises: DiffvocError for a folder without one."""
    model = load_baseline(folder, device)
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


def from_generator(spec: str, device: str, choices: dict[str, Sequence[Any]]) -> list[GeneratorSystem]:
    """A generator of this package in every combination of ``choices``; guidance only where it has labels.

    Raises: DiffvocError for an unknown name, a bad option, or a generator with other labels than the digits.
    """
    name = generators.parse(spec)[0]
    folder = generators.resolve(name)
    model = tts_diffvoc.load_generator(spec, device)
    if model.labels not in ((), LABELS):
        raise DiffvocError(f"{spec} has the labels {', '.join(model.labels)}, which are not 0 to 9; choose another.")
    base = safe(folder_name(folder) if Path(name).expanduser().exists() else name)
    base = "-".join([base, *filter(None, spec.partition("?")[2].split("&"))])
    usual = {"steps": model.config.schedule.num_steps, "sampler": "ddpm", "guidance": 0.0, **model.defaults}
    keys = ["steps", "sampler", *(["guidance"] if model.labels else [])]
    found = []
    for values in product(*(choices.get(key) or (usual[key],) for key in keys)):
        options = parse_options(model, {key: str(value) for key, value in zip(keys, values)})
        steps, sampler, guidance = options["steps"], options["sampler"], options.get("guidance")
        label = f"{base}, {steps} step{'s' if steps > 1 else ''}, {SAMPLER_NAMES.get(sampler, sampler)}"

        def generate(count: int, seed: int, labels: list[int] | None, options: dict[str, Any] = options) -> Any:
            return model.generate(count, labels, seed=seed, **options)

        system = GeneratorSystem(
            safe(f"{base}-{steps}-{sampler}" + ("" if guidance is None else f"-g{guidance:g}")),
            label + ("" if guidance is None else f", guidance {guidance:g}"),
            "diffusion",
            generate,
            labelled=bool(model.labels),
            sample_rate=model.sample_rate,
            training=naming.card(folder).get("training", "see its model card"),
            module=model,
            steps=steps,
            sampler=sampler,
            guidance=guidance,
            digest=digest(folder / naming.WEIGHTS),
        )
        found.append(system)
    return found
