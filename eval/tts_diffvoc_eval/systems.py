"""What the benchmark ranks: a mel goes in, a waveform comes out.

A system is named on the command line by what it is: a name from the list below, a checkpoint folder of ours (options
after "?"), ``magnitudes:`` and a checkpoint of ours, a folder that recipes/benchmark trained, a vocoder of Coqui's by
zoo name or folder, or ``file.py:function``, where the function takes a log-mel [B, 80, F] and returns a waveform
[B, F * 256]. A GAN or WaveRNN by its name alone has random weights: that shows how fast it is.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import load_vocoder
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.estimator import griffin_lim, make_consistent
from tts_diffvoc.mel import MelConfig, compress, expand, mel_filters
from tts_diffvoc_eval import functions

MEL = MelConfig()
FAMILIES = ("original", "diffusion", "flow", "gan", "autoregressive", "signal")
GANS = ("hifigan-v1", "hifigan-v2", "parallel-wavegan", "melgan", "multiband-melgan", "univnet")
AUTOREGRESSIVE = ("wavernn",)
MAGNITUDES = "magnitudes:"
Synthesise = Callable[[Tensor, int], Tensor]


@dataclass
class System:
    """One row of the table.

    Attributes:
        name: for files and records.
        label: for people.
        family: one of ``FAMILIES``.
        synthesise: (log-mel [B, 80, F], seed) -> waveform [B, F * 256], under ``torch.inference_mode``.
        group: systems of one checkpoint share it.
        steps: network evaluations asked for, None where there is no such choice.
        sampler: of a diffusion system.
        module: the network, for its parameters and its FLOPs.
        evaluations: of the network for one clip.
        deterministic: whether the seed changes nothing.
        training: what the weights have seen, "untrained" for none.
        note: what a reader should know.
        digest: SHA-256 of the weights.
        contract: the mel that it takes, where that cannot be made of ours; the runner makes it of the recording.
        run: of the checkpoints of one training, which are a curve over its minutes.
    """

    name: str
    label: str
    family: str
    synthesise: Synthesise
    group: str = ""
    steps: int | None = None
    sampler: str | None = None
    module: nn.Module | None = None
    evaluations: int = 1
    deterministic: bool = True
    training: str = "untrained"
    note: str | None = None
    digest: str | None = None
    contract: MelConfig = MEL
    run: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.module.parameters()) if self.module is not None else 0

    def describe(self) -> dict[str, Any]:
        """What ``systems.json`` says of it."""
        shown = ("label", "family", "group", "steps", "sampler", "evaluations", "deterministic", "training", "note")
        values = {name: getattr(self, name) for name in (*shown, "run")}
        minutes, where = trained(self.training)
        values |= {"minutes": minutes, "trained_on": where}
        return {**values, "parameters": self.parameters, "flops_per_second": None, **self.facts}


def trained(words: str) -> tuple[float | None, str | None]:
    """Minutes and device of a model card that says "12.0 CPU minutes" or the like; None for one that does not."""
    found = re.match(r"([\d.]+) (\S.*?) minutes?\b", words)
    return (float(found[1]), found[2]) if found else (None, None)


def safe(text: str) -> str:
    """``text`` with what no file name should have replaced."""
    return re.sub(r"[^A-Za-z0-9._=,-]+", "-", text).strip("-")


def digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def original() -> System:
    """The recording itself: the runner puts it in place of what this makes."""

    def none(mel: Tensor, seed: int) -> Tensor:
        raise DiffvocError("the original is passed through, not synthesised.")

    return System("original", "Original", "original", none, training="not applicable")


def inverted(iterations: int = 60) -> System:
    """Griffin-Lim on the mel's pseudo-inverse: the floor, without any learning."""
    inverse = torch.linalg.pinv(mel_filters(MEL).double()).float()

    def synthesise(mel: Tensor, seed: int) -> Tensor:
        magnitude = (inverse.to(mel) @ expand(mel, MEL)).clamp_min(1e-5)
        return griffin_lim(magnitude, MEL, iterations, torch.Generator().manual_seed(seed)).clamp(-1, 1)

    label = f"Griffin-Lim, {iterations} iterations"
    system = System("griffin-lim", label, "signal", synthesise, "griffin-lim", deterministic=False)
    system.training = "not applicable"
    return system


LEVELS = ("log_base", "gain", "floor", "ceiling", "scale", "shift")


def adapt(config: MelConfig, name: str) -> tuple[Callable[[Tensor], Tensor], MelConfig]:
    """How the benchmark's mel becomes that of ``config``, and the mel that the system is then given.

    Other levels are converted. Another spectrogram at the same rate and hop must come from the recording. Raises:
    DiffvocError for another rate or hop.
    """
    levels = {key: getattr(MEL, key) for key in LEVELS}
    if replace(config, **levels) == MEL:
        return (lambda mel: mel) if config == MEL else (lambda mel: compress(expand(mel, MEL), config)), MEL
    if (config.sample_rate, config.hop_length) == (MEL.sample_rate, MEL.hop_length):
        return lambda mel: mel, config
    raise DiffvocError(
        f"{name} takes mels at {config.sample_rate:,} Hz with a hop of {config.hop_length}; the benchmark compares "
        f"vocoders at {MEL.sample_rate:,} Hz with a hop of {MEL.hop_length}."
    )


def ours(spec: str, device: str, steps: Iterable[int] = (), samplers: Iterable[str] = ()) -> list[System]:
    """A vocoder of this package: as it comes, and at each of ``steps`` by each of ``samplers``, from one checkpoint."""
    vocoder = load_vocoder(spec, device)
    name, options = voices.parse(spec)
    folder = voices.resolve(name)
    facts = voices.card(folder)
    flow = vocoder.config.network == "waveglow"
    convert, contract = adapt(vocoder.config.mel, spec)
    note = "hears mels of its own kind, made of the recording" if contract is not MEL else facts.get("note")
    run = safe(name_of(name))
    title = TITLES[vocoder.config.network]
    shown = title if run == vocoder.config.network else f"{title} ({run})"
    changed = [f"{key}={value}" for key, value in sorted(options.items()) if key not in ("steps", "sampler")]
    group = safe("-".join([run, *changed]))
    shown = f"{shown} with {', '.join(changed)}" if changed else shown

    def make(label: str, unique: str, **options: Any) -> System:
        evaluations = 1 if flow else int(options.get("steps", vocoder.defaults.get("steps", 6)))
        return System(
            unique,
            label,
            "flow" if flow else "diffusion",
            lambda mel, seed: vocoder.generate(convert(mel), seed=seed, **options),
            group,
            None if flow else evaluations,
            None if flow else options.get("sampler", vocoder.defaults.get("sampler", "ddpm")),
            vocoder,
            evaluations,
            False,
            facts.get("training", "see its model card"),
            note,
            digest(folder / voices.WEIGHTS),
            contract,
            None if changed else run_name(Path(name)),
        )

    if flow:
        return [make(shown, group)]
    usual = (vocoder.defaults.get("steps", 6), vocoder.defaults.get("sampler", "ddpm"))
    asked = "" if {"steps", "sampler"}.isdisjoint(options) else "-{}-{}".format(*usual)
    systems = [make(f"{shown}, {usual[0]} step{'s' if usual[0] > 1 else ''}", group + asked)]
    for sampler in samplers or (usual[1],):
        for count in steps:
            if (count, sampler) != usual:
                label = f"{shown}, {count} step{'s' if count > 1 else ''}, {SAMPLER_NAMES.get(sampler, sampler)}"
                systems.append(make(label, f"{group}-{count}-{sampler}", steps=count, sampler=sampler))
    return systems


def magnitudes(spec: str, device: str) -> System:
    """A control for a vocoder of ours: Griffin-Lim on the magnitudes that it estimates, as many iterations as it makes
    in all, and its last correction of the mel, without its other network.

    Raises: DiffvocError for a vocoder without such an estimate.
    """
    vocoder = load_vocoder(spec, device)
    estimator = vocoder.estimator
    if estimator is None or vocoder.config.mel != MEL:
        raise DiffvocError(f"{spec} does not estimate magnitudes from the benchmark's mel; leave magnitudes: out.")
    made, mel = vocoder.defaults, vocoder.config.mel
    iterations = int(made.get("project", 0)) * int(made.get("steps", 1)) or 60

    def synthesise(log_mel: Tensor, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        waveform = griffin_lim(estimator.magnitude(log_mel), mel, iterations, generator)
        return make_consistent(waveform, log_mel, mel, int(made.get("consistency", 0))).clamp(-1, 1)

    name, _ = voices.parse(spec)
    title = TITLES[vocoder.config.network]
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


TITLES = {"diffwave": "DiffWave", "wavegrad": "WaveGrad", "waveglow": "WaveGlow"}
SAMPLER_NAMES = {"ddpm": "DDPM", "ddim": "DDIM", "dpm_solver_pp_2m": "DPM-Solver++", "langevin": "Langevin"}


def from_baseline(name: str, model: Any, folder: Path | None = None) -> System:
    """A system from what ``baselines`` builds, loads or fetches."""
    facts = voices.card(folder) if folder else {}
    part = folder.resolve().name if folder else ""
    return System(
        safe(name),
        f"{model.label}, {part}" if part.startswith("quarter-") else model.label,
        model.family,
        model.synthesise,
        safe(name),
        module=model.generator,
        deterministic=model.deterministic,
        training=facts.get("training") or model.training,
        note=facts.get("note") or model.note,
        digest=digest(folder / voices.WEIGHTS) if folder else None,
        run=run_name(folder) if folder else None,
    )


def name_of(name: str) -> str:
    """What a checkpoint of ours is called, by bundled name or folder."""
    return folder_name(Path(name)) if voices.bundled(name) is None else name.rsplit("/", 1)[-1]


def run_name(folder: Path) -> str | None:
    """The training that left ``vocoder`` and ``quarter-2``; None for other folders."""
    path = folder.resolve()
    return path.parent.name if re.fullmatch(r"vocoder|quarter-\d", path.name) else None


def folder_name(path: Path) -> str:
    """What a folder's system is called: a run's ``vocoder`` and ``quarter-2`` bear the run's name."""
    path = path.resolve()
    if path.name == "vocoder":
        return path.parent.name
    return f"{path.parent.name}-{path.name}" if re.fullmatch(r"quarter-\d", path.name) else path.name


def adapter(spec: str) -> System:
    """``file.py:function`` with (mel) or (mel, seed) -> waveform."""
    module, call = functions.load(spec, "turns a mel into a waveform")
    file, name = Path(spec.rpartition(":")[0]), spec.rpartition(":")[2]
    takes_seed = len(inspect.signature(call).parameters) > 1

    def synthesise(mel: Tensor, seed: int) -> Tensor:
        made = torch.as_tensor(call(mel, seed) if takes_seed else call(mel))
        return made.reshape(mel.shape[0], -1)

    family = getattr(module, "FAMILY", "signal")
    label = getattr(module, "LABEL", f"{file.stem}:{name}")
    system = System(safe(f"{file.stem}-{name}"), label, family, synthesise, deterministic=not takes_seed)
    system.training = getattr(module, "TRAINING", "not said")
    return system


def resolve(spec: str, device: str, steps: Iterable[int] = (), samplers: Iterable[str] = ()) -> list[System]:
    """The systems that one word of ``--systems`` stands for.

    Raises: DiffvocError for what is nothing known.
    """
    if spec == "original":
        return [original()]
    if spec == "griffin-lim":
        return [inverted()]
    if re.fullmatch(r".+\.py:\w+", spec):
        return [adapter(spec)]
    if spec.startswith(MAGNITUDES):
        return [magnitudes(spec.removeprefix(MAGNITUDES), device)]
    name = voices.parse(spec)[0]
    if voices.bundled(name) is not None or voices.is_vocoder(voices.resolve(name) if Path(name).is_dir() else Path()):
        return ours(spec, device, steps, samplers)
    from tts_diffvoc_eval import baselines

    if spec in GANS or spec in AUTOREGRESSIVE:
        return [from_baseline(spec, baselines.build(spec, "small", device=device))]
    path = Path(spec).expanduser()
    if path.is_dir() and (path / "config.json").is_file() and baselines.is_saved(path):
        return [from_baseline(folder_name(path), baselines.load(path, device), path)]
    if spec.startswith("vocoder_models/") or path.exists():
        return [from_baseline(spec.removeprefix("vocoder_models/"), baselines.from_zoo(spec, device))]
    known = ["original", "griffin-lim", *voices.names(), *GANS, *AUTOREGRESSIVE]
    raise voices.unknown(spec, known, "system")


def default_names() -> list[str]:
    """Everything that is bundled."""
    return ["original", *voices.names(), "griffin-lim"]


def resolve_all(
    specs: Iterable[str], device: str, steps: Iterable[int], samplers: Iterable[str]
) -> tuple[list[System], list[str]]:
    """Every system of ``--systems``, and a sentence for each of Coqui's zoo that cannot be fetched.

    Raises: DiffvocError for an unknown one, for two of one name, and where none is left.
    """
    from tts_diffvoc_eval import baselines

    systems: dict[str, System] = {}
    missing = []
    for spec in specs:
        try:
            found = resolve(spec, device, steps, samplers)
        except baselines.Unreachable as error:
            missing.append(str(error))
            continue
        for system in found:
            if system.name in systems:
                raise DiffvocError(f"two systems are named {system.name}; rename one of the folders.")
            systems[system.name] = system
    if not systems:
        raise DiffvocError(" ".join(missing) or "no system was given.")
    return list(systems.values()), missing
