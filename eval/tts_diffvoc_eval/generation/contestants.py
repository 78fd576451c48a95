"""What ``eval/unconditional.py`` compares: a number of clips and a seed go in, waveforms come out.

A contestant is named on the command line by what it is: a generator of this package (a bundled name or a folder,
options after "?"), a folder of a WaveGAN or WaveNet, or ``FILE.py:FUNCTION``, where the function takes (count, seed),
or (count, seed, labels), and returns waveforms [count, T].
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import functions
from tts_diffvoc_eval.systems import SAMPLER_NAMES, digest, safe

Make = Callable[[int, int, "list[int] | None"], Any]


@dataclass(frozen=True)
class Options:
    """What is asked of every generator of this package, in all combinations; empty: what each has by itself."""

    steps: tuple[int, ...] = ()
    samplers: tuple[str, ...] = ()
    guidance: tuple[float, ...] = ()


@dataclass
class Contestant:
    """One row of the tables.

    Attributes:
        name: for files and records.
        label: for people.
        family: "diffusion", "gan", "autoregressive", or what a file of a user's own says.
        make: (count, seed, labels or None) -> waveforms [count, T] in [-1, 1].
        labelled: whether it takes labels.
        sample_rate: Hz; None where it does not say.
        training: what the weights have seen, "untrained" for none.
        parameters: how many numbers its network has; None where it does not say.
        steps, sampler, guidance: of a diffusion generator.
        digest: SHA-256 of the weights, or of the file.
    """

    name: str
    label: str
    family: str
    make: Make
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


def resolve_all(specs: Iterable[str], labels: Sequence[str], options: Options, device: str) -> list[Contestant]:
    """Every contestant that the words of ``--model`` stand for.

    Args: labels: of the corpus; a generator with labels must have the same.

    Raises: DiffvocError for an unknown one, or two of one name.
    """
    found: dict[str, Contestant] = {}
    for spec in specs:
        for one in resolve(spec, labels, options, device):
            if one.name in found:
                raise DiffvocError(f"two contestants are named {one.name}; rename one of the folders.")
            found[one.name] = one
    return list(found.values())


def resolve(spec: str, labels: Sequence[str], options: Options, device: str) -> list[Contestant]:
    """The contestants that one word of ``--model`` stands for.

    Raises: DiffvocError for what is nothing known.
    """
    from tts_diffvoc_eval.generation import rivals

    if re.fullmatch(r".+\.py:\w+", spec):
        return [from_file(spec)]
    folder = Path(spec).expanduser()
    if rivals.is_saved(folder):
        return [rival(folder, device)]
    return ours(spec, labels, options, device)


def from_file(spec: str) -> Contestant:
    """``FILE.py:FUNCTION``; the file may say LABEL, FAMILY, TRAINING and SAMPLE_RATE."""
    module, call = functions.load(spec, "makes waveforms of (count, seed)")
    path, _, name = spec.rpartition(":")
    labelled = "labels" in inspect.signature(call).parameters

    def make(count: int, seed: int, labels: list[int] | None) -> Any:
        return call(count, seed, labels=labels) if labelled else call(count, seed)

    stem = Path(path).stem
    return Contestant(
        safe(f"{stem}-{name}"),
        getattr(module, "LABEL", f"{stem}:{name}"),
        getattr(module, "FAMILY", "own"),
        make,
        labelled,
        getattr(module, "SAMPLE_RATE", None),
        getattr(module, "TRAINING", "not said"),
        digest=hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest(),
    )


def rival(folder: Path, device: str) -> Contestant:
    """A WaveGAN or WaveNet in a folder.

    Raises: DiffvocError for a folder that holds none.
    """
    from tts_diffvoc_eval.generation import rivals

    model = rivals.load(folder, device)
    return Contestant(
        folder_name(str(folder), folder),
        model.label,
        model.family,
        lambda count, seed, labels: model.generate(count, seed),
        False,
        model.sample_rate,
        model.training,
        model.parameters,
        digest=digest(folder / "model.safetensors"),
    )


def ours(spec: str, labels: Sequence[str], options: Options, device: str) -> list[Contestant]:
    """A generator of this package in every combination of ``options``; guidance only where there are labels.

    Raises: DiffvocError for a name that is none, or a generator with other labels than the corpus.
    """
    import tts_diffvoc
    from tts_diffvoc import generators, naming

    name = generators.parse(spec)[0]
    folder = generators.resolve(name)
    model = tts_diffvoc.load_generator(spec, device)
    if model.labels and tuple(model.labels) != tuple(labels):
        raise DiffvocError(
            f"{spec} has the labels {', '.join(model.labels)}; the corpus has {', '.join(labels)}. Choose another."
        )
    changed = [word for word in spec.partition("?")[2].split("&") if word]
    base = "-".join([folder_name(name, folder), *changed])
    training, weights = naming.card(folder).get("training", "see its model card"), digest(folder / "model.safetensors")
    parameters = sum(p.numel() for p in model.parameters())
    found = []
    for asked in _combinations(model, options):
        steps, sampler, guidance = asked["steps"], asked["sampler"], asked.get("guidance")
        said = [base, f"{steps} step{'s' if steps > 1 else ''}", SAMPLER_NAMES.get(sampler, sampler)]
        parts = [base, str(steps), sampler]
        if guidance is not None:
            said.append(f"guidance {guidance:g}")
            parts.append(f"g{guidance:g}")
        one = Contestant(safe("-".join(parts)), ", ".join(said), "diffusion", _maker(model, asked), bool(model.labels))
        one.sample_rate, one.training, one.parameters = model.sample_rate, training, parameters
        one.steps, one.sampler, one.guidance, one.digest = steps, sampler, guidance, weights
        found.append(one)
    return found


def _combinations(model: Any, options: Options) -> list[dict[str, Any]]:
    """What ``generate`` is asked for, once for every combination of ``options``.

    Raises: DiffvocError for what the generator does not take.
    """
    usual = {"steps": model.config.schedule.num_steps, "sampler": "ddpm", "guidance": 0.0, **model.defaults}
    each = {"steps": options.steps, "sampler": options.samplers, "guidance": options.guidance}
    if not model.labels:
        del each["guidance"]
    found = [dict(zip(each, one)) for one in product(*(values or (usual[key],) for key, values in each.items()))]
    for asked in found:
        for key, value in asked.items():
            model.GENERATE_OPTIONS[key](str(value))
        model.check_options(asked)
    return found


def _maker(model: Any, asked: dict[str, Any]) -> Make:
    def make(count: int, seed: int, labels: list[int] | None) -> torch.Tensor:
        return model.generate(count, label=labels if model.labels else None, seed=seed, **asked)

    return make


def folder_name(name: str, folder: Path) -> str:
    """What a generator is called: a bundled one by its name, a run's folder ``generator`` by the run's."""
    if not Path(name).expanduser().exists():
        return safe(name)
    path = folder.resolve()
    return safe(path.parent.name if path.name == "generator" else path.name)
