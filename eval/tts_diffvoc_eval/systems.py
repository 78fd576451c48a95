"""What the benchmark ranks: a system takes a mel and a seed, and returns a waveform.

``registry.find`` says which words of the command line stand for which system; the constructors are here and in
``baselines``.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import load_vocoder
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.estimator import griffin_lim, make_consistent
from tts_diffvoc.mel import MelConfig, expand, mel_filters
from tts_diffvoc_eval import functions
from tts_diffvoc_eval.mels import MEL, convert, differences

FAMILIES = ("original", "diffusion", "flow", "gan", "autoregressive", "signal")
TITLES = {"diffwave": "DiffWave", "wavegrad": "WaveGrad", "waveglow": "WaveGlow"}
SAMPLER_NAMES = {"ddpm": "DDPM", "ddim": "DDIM", "dpm_solver_pp_2m": "DPM-Solver++", "langevin": "Langevin"}
DESCRIBED = (
    "label", "family", "group", "steps", "sampler", "evaluations", "deterministic", "training", "note", "run",
    "parameters", "flops_per_second", "flops_reason",
)  # fmt: skip


@dataclass
class System:
    """One row of the table.

    Attributes:
        name: for files and records.
        label: for people.
        family: one of ``FAMILIES``.
        synthesise: (log-mel [B, 80, F], seed) -> waveform [B, F * 256] in [-1, 1].
        group: systems of one checkpoint share it.
        steps, sampler: of a diffusion system; None where there is no such choice.
        evaluations: of the network for one clip.
        deterministic: whether the seed changes nothing.
        module: the network, for its parameters and its FLOPs.
        training: what the weights have seen, "untrained" for none.
        note: what a reader should know.
        digest: SHA-256 of the weights.
        run: shared by the checkpoints of one training, which are a curve over its minutes.
        mel: the mel that it takes, where that cannot be made of ours; the runner makes it of the recording.
        flops_per_second, flops_reason: operations for a second of audio, or why they are not known.
    """

    name: str
    label: str
    family: str
    synthesise: Callable[[Tensor, int], Tensor]
    group: str = ""
    steps: int | None = None
    sampler: str | None = None
    evaluations: int = 1
    deterministic: bool = True
    module: nn.Module | None = None
    training: str = "untrained"
    note: str | None = None
    digest: str | None = None
    run: str | None = None
    mel: MelConfig = MEL
    flops_per_second: float | None = None
    flops_reason: str | None = None

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.module.parameters()) if self.module is not None else 0

    def describe(self) -> dict[str, Any]:
        """What ``systems.json`` says of it."""
        minutes, where = training_time(self.training)
        return {**{name: getattr(self, name) for name in DESCRIBED}, "minutes": minutes, "trained_on": where}


def training_time(words: str) -> tuple[float | None, str | None]:
    """Minutes and device of a model card that says "12.0 CPU minutes" or the like; None for one that does not."""
    found = re.match(r"([\d.]+) (\S.*?) minutes?\b", words)
    return (float(found[1]), found[2]) if found else (None, None)


def safe(text: str) -> str:
    """``text`` with what no file name should have replaced."""
    return re.sub(r"[^A-Za-z0-9._=,-]+", "-", text).strip("-")


def digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def name_of(name: str) -> str:
    """What a checkpoint of ours is called, by bundled name or folder."""
    return folder_name(Path(name)) if voices.bundled(name) is None else name.rsplit("/", 1)[-1]


def run_name(folder: Path) -> str | None:
    """The training that left ``vocoder`` and ``quarter-2``; None for other folders."""
    path = folder.resolve()
    return path.parent.name if re.fullmatch(r"vocoder|quarter-\d", path.name) else None


def folder_name(path: Path) -> str:
    """What a folder's system is called: ``vocoder`` and ``quarter-2`` bear the name of their training."""
    path, run = path.resolve(), run_name(path)
    if run is None:
        return path.name
    return run if path.name == "vocoder" else f"{run}-{path.name}"


# Signal processing


def original() -> System:
    """The recording itself: the runner puts it in place of what this makes."""

    def none(mel: Tensor, seed: int) -> Tensor:
        raise DiffvocError("the original is passed through, not synthesised.")

    return System("original", "Original", "original", none, training="not applicable")


def griffin_lim_system(iterations: int = 60) -> System:
    """Griffin-Lim on the mel's pseudo-inverse: the floor, without any learning."""
    inverse = torch.linalg.pinv(mel_filters(MEL).double()).float()

    def synthesise(mel: Tensor, seed: int) -> Tensor:
        magnitude = (inverse.to(mel) @ expand(mel, MEL)).clamp_min(1e-5)
        return griffin_lim(magnitude, MEL, iterations, torch.Generator().manual_seed(seed)).clamp(-1, 1)

    about = {"group": "griffin-lim", "deterministic": False, "training": "not applicable"}
    return System("griffin-lim", f"Griffin-Lim, {iterations} iterations", "signal", synthesise, **about)


def estimated_magnitudes(spec: str, device: str) -> System:
    """A control for a vocoder of ours: Griffin-Lim on the magnitudes that it estimates, as many iterations as it makes
    in all, and its last correction of the mel, without its other network.

    Raises: DiffvocError for a vocoder without such an estimate.
    """
    vocoder = load_vocoder(spec, device)
    estimator = vocoder.estimator
    if estimator is None or vocoder.config.mel != MEL:
        raise DiffvocError(f"{spec} does not estimate magnitudes from the benchmark's mel; leave magnitudes: out.")
    made = vocoder.defaults
    iterations = int(made.get("project", 0)) * int(made.get("steps", 1)) or 60

    def synthesise(mel: Tensor, seed: int) -> Tensor:
        waveform = griffin_lim(estimator.magnitude(mel), MEL, iterations, torch.Generator().manual_seed(seed))
        return make_consistent(waveform, mel, MEL, int(made.get("consistency", 0))).clamp(-1, 1)

    name, title = voices.parse(spec)[0], TITLES[vocoder.config.network]
    return System(
        f"magnitudes-{safe(name_of(name))}",
        f"Griffin-Lim on {title}'s magnitudes, {iterations} iterations",
        "signal",
        synthesise,
        "magnitudes",
        module=estimator,
        deterministic=False,
        training=f"the magnitude network of {title}",
        note="a control: no diffusion, no flow",
        digest=digest(voices.resolve(name) / voices.WEIGHTS),
    )


# Our vocoders, and users' functions


def our_vocoder(spec: str, device: str, steps: Iterable[int] = (), samplers: Iterable[str] = ()) -> list[System]:
    """A vocoder of this package: as it comes, and at each of ``steps`` by each of ``samplers``, from one checkpoint."""
    vocoder = load_vocoder(spec, device)
    name, options = voices.parse(spec)
    title = TITLES[vocoder.config.network]
    run = safe(name_of(name))
    label = title if run == vocoder.config.network else f"{title} ({run})"
    changed = [f"{key}={value}" for key, value in sorted(options.items()) if key not in ("steps", "sampler")]
    group = safe("-".join([run, *changed]))
    label = f"{label} with {', '.join(changed)}" if changed else label
    make = partial(_one_vocoder, vocoder, voices.resolve(name), group, None if changed else run_name(Path(name)))
    if vocoder.config.network == "waveglow":
        return [make(label, group)]
    usual = (vocoder.defaults.get("steps", 6), vocoder.defaults.get("sampler", "ddpm"))
    asked = "" if {"steps", "sampler"}.isdisjoint(options) else "-{}-{}".format(*usual)
    systems = [make(f"{label}, {_counted(usual[0])}", group + asked)]
    for sampler in samplers or (usual[1],):
        for count in steps:
            if (count, sampler) != usual:
                shown = f"{label}, {_counted(count)}, {SAMPLER_NAMES.get(sampler, sampler)}"
                systems.append(make(shown, f"{group}-{count}-{sampler}", steps=count, sampler=sampler))
    return systems


def _counted(steps: int) -> str:
    return f"{steps} step{'s' if steps > 1 else ''}"


def _one_vocoder(
    vocoder: Any, folder: Path, group: str, run: str | None, label: str, name: str, **options: Any
) -> System:
    """A vocoder of ours with the ``options`` of its ``generate``."""
    own, facts = vocoder.config.mel, voices.card(folder)
    if differences(own) and (own.sample_rate, own.hop_length) != (MEL.sample_rate, MEL.hop_length):
        raise DiffvocError(
            f"{group} takes mels at {own.sample_rate:,} Hz with a hop of {own.hop_length}; the benchmark compares "
            f"vocoders at {MEL.sample_rate:,} Hz with a hop of {MEL.hop_length}."
        )
    flow = vocoder.config.network == "waveglow"
    chosen = {**vocoder.defaults, **options}
    steps = int(chosen.get("steps", 6))

    def synthesise(mel: Tensor, seed: int) -> Tensor:
        return vocoder.generate(mel if differences(own) else convert(mel, own), seed=seed, **options)

    return System(
        name,
        label,
        "flow" if flow else "diffusion",
        synthesise,
        group,
        None if flow else steps,
        None if flow else chosen.get("sampler", "ddpm"),
        1 if flow else steps,
        deterministic=False,
        module=vocoder,
        training=facts.get("training", "see its model card"),
        note="takes mels of its own kind, made of the recording" if differences(own) else facts.get("note"),
        digest=digest(folder / voices.WEIGHTS),
        run=run,
        mel=own if differences(own) else MEL,
    )


def python_function(spec: str) -> System:
    """``file.py:function`` with (mel) or (mel, seed) -> waveform."""
    module, call = functions.load(spec, "turns a mel into a waveform")
    file, _, name = spec.rpartition(":")
    takes_seed = len(inspect.signature(call).parameters) > 1

    def synthesise(mel: Tensor, seed: int) -> Tensor:
        made = torch.as_tensor(call(mel, seed) if takes_seed else call(mel))
        return made.reshape(mel.shape[0], -1)

    stem = Path(file).stem
    return System(
        safe(f"{stem}-{name}"),
        getattr(module, "LABEL", f"{stem}:{name}"),
        getattr(module, "FAMILY", "signal"),
        synthesise,
        deterministic=not takes_seed,
        training=getattr(module, "TRAINING", "not said"),
    )
