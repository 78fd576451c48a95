"""What the benchmark ranks: a system takes a mel and a seed, and returns a waveform.

``registry`` says which words of the command line stand for which system; the constructors are here and in
``baselines``, those of generators in ``generation.systems``.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import torch
import torchaudio
from torch import Tensor, nn

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import load_vocoder
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import AnyVocoder
from tts_diffvoc.flow import FlowVocoder
from tts_diffvoc.mel import MelConfig, expand, mel_filters
from tts_diffvoc.spectral.vocoder import SpectralVocoder
from tts_diffvoc_eval import functions
from tts_diffvoc_eval.mels import MEL, convert, differences

FAMILIES = ("original", "diffusion", "flow", "gan", "autoregressive", "signal")
TITLES = {"diffwave": "DiffWave", "wavegrad": "WaveGrad", "waveglow": "WaveGlow"}
SAMPLER_NAMES = {"ddpm": "DDPM", "ddim": "DDIM", "dpm_solver_pp_2m": "DPM-Solver++", "langevin": "Langevin"}


@dataclass
class Entry:
    """What a table says of a system.

    Attributes:
        name: for files and records.
        label: for people.
        family: one of ``FAMILIES``, or what a user's file says.
        steps, sampler: of a diffusion system; None where there is no such choice.
        module: the network, for its parameters.
        training: what the weights have seen, "untrained" for none.
        digest: SHA-256 of the weights, or of a user's file.
        described: names of what ``systems.json`` holds.
    """

    name: str
    label: str
    family: str
    _: KW_ONLY
    steps: int | None = None
    sampler: str | None = None
    module: nn.Module | None = None
    training: str = "untrained"
    digest: str | None = None
    described: ClassVar[tuple[str, ...]] = ("label", "family", "steps", "sampler", "training", "parameters")

    @property
    def parameters(self) -> int | None:
        return sum(p.numel() for p in self.module.parameters()) if self.module is not None else None

    def describe(self) -> dict[str, Any]:
        """What ``systems.json`` says of it."""
        return {name: getattr(self, name) for name in self.described}


@dataclass
class System(Entry):
    """A vocoder.

    Attributes:
        synthesise: (log-mel [B, 80, F], seed) -> waveform [B, F * 256] in [-1, 1].
        title: the label without steps and sampler, which systems of one checkpoint share; the label where empty.
        deterministic: whether the seed changes nothing.
        note: what a reader should know.
        mel: the mel that it takes, where that cannot be made of ours; the runner makes it of the recording.
    """

    synthesise: Callable[[Tensor, int], Tensor]
    _: KW_ONLY
    title: str = ""
    deterministic: bool = True
    note: str | None = None
    mel: MelConfig = MEL
    described: ClassVar[tuple[str, ...]] = (*Entry.described, "title", "deterministic", "note")

    def __post_init__(self) -> None:
        self.title = self.title or self.label

    def describe(self) -> dict[str, Any]:
        minutes, where = training_time(self.training)
        return {**super().describe(), "minutes": minutes, "trained_on": where}


def own_function(spec: str, purpose: str, family: str) -> tuple[dict[str, Any], Callable[..., Any], ModuleType]:
    """What an :class:`Entry` has of ``FILE.py:FUNCTION``, the function, and the file, which may have LABEL, FAMILY and
    TRAINING."""
    module, call = functions.load(spec, purpose)
    file, _, name = spec.rpartition(":")
    path = Path(file).expanduser()
    about = {
        "name": safe(f"{path.stem}-{name}"),
        "label": getattr(module, "LABEL", f"{path.stem}:{name}"),
        "family": getattr(module, "FAMILY", family),
        "training": getattr(module, "TRAINING", "not said"),
        "digest": digest(path),
    }
    return about, call, module


def training_time(words: str) -> tuple[float | None, str | None]:
    """Minutes and device of a model card that says "12.0 CPU minutes" or the like; None for one that does not."""
    found = re.match(r"([\d.]+) (\S.*?) minutes?\b", words)
    return (float(found[1]), found[2]) if found else (None, None)


def safe(text: str) -> str:
    """``text`` with what no file name should have replaced."""
    return re.sub(r"[^A-Za-z0-9._=,-]+", "-", text).strip("-")


def digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def folder_name(path: Path) -> str:
    """What a folder's system is called: ``vocoder``, ``generator`` and ``quarter-2`` have their training's name."""
    path = path.resolve()
    if path.name in ("vocoder", "generator"):
        return path.parent.name
    return f"{path.parent.name}-{path.name}" if re.fullmatch(r"quarter-\d", path.name) else path.name


# Signal processing


def original() -> System:
    """The recording itself: the runner puts it in place of what this makes."""

    def none(mel: Tensor, seed: int) -> Tensor:
        raise DiffvocError("the original is passed through, not synthesised.")

    return System("original", "Original", "original", none, training="not applicable")


def griffin_lim(iterations: int = 60) -> System:
    """Griffin-Lim with momentum (Perraudin et al. 2013) on the mel's pseudo-inverse: nothing is learnt."""
    inverse = torch.linalg.pinv(mel_filters(MEL).double()).float()

    def synthesise(mel: Tensor, seed: int) -> Tensor:
        magnitude = (inverse.to(mel) @ expand(mel, MEL)).clamp_min(1e-5)
        window = torch.hann_window(MEL.win_length, device=mel.device)
        devices = [mel.device] if mel.is_cuda else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            waveform = torchaudio.functional.griffinlim(
                torch.cat([magnitude, magnitude[..., -1:]], dim=-1),  # F * hop samples have F + 1 frames
                window,
                MEL.n_fft,
                MEL.hop_length,
                MEL.win_length,
                power=1,
                n_iter=iterations,
                momentum=0.99,
                length=mel.shape[-1] * MEL.hop_length,
                rand_init=True,
            )
        return waveform.clamp(-1, 1)

    label = f"Griffin-Lim, {iterations} iterations"
    return System("griffin-lim", label, "signal", synthesise, deterministic=False, training="not applicable")


# Vocoders of this package, and users' functions


def our_vocoder(spec: str, device: str, steps: Iterable[int] = (), samplers: Iterable[str] = ()) -> list[System]:
    """A vocoder of this package: as ``spec`` says, and, of what it leaves open, at ``steps`` by ``samplers``."""
    name, given = voices.parse(spec)
    vocoder = load_vocoder(name, device)
    asked: dict[str, list[str | None]] = {"steps": [*map(str, steps)], "sampler": [*samplers]}
    known = set(vocoder.GENERATE_OPTIONS) - set(given)
    choices = {key: values or [None] for key, values in asked.items() if key in known}
    options = [given]
    for values in product(*choices.values()):
        changed = {key: value for key, value in zip(choices, values) if value is not None}
        options += [{**given, **changed}] if {**given, **changed} not in options else []
    return [_one_vocoder(vocoder, name, one) for one in options]


def _one_vocoder(vocoder: AnyVocoder, name: str, options: dict[str, str]) -> System:
    """A vocoder of ours with ``options`` of its ``generate``, as text."""
    own, folder = vocoder.config.mel, voices.resolve(name)
    if differences(own) and (own.sample_rate, own.hop_length) != (MEL.sample_rate, MEL.hop_length):
        raise DiffvocError(
            f"{name} takes mels at {own.sample_rate:,} Hz with a hop of {own.hop_length}; the benchmark compares "
            f"vocoders at {MEL.sample_rate:,} Hz with a hop of {MEL.hop_length}."
        )
    settings = {key: vocoder.parse_option(key, text) for key, text in options.items()}
    vocoder.check_options(settings)

    def synthesise(mel: Tensor, seed: int) -> Tensor:
        return vocoder.generate(mel if differences(own) else convert(mel, own), **{**settings, "seed": seed})

    network, facts = vocoder.config.network, voices.card(folder)
    run = safe(folder_name(folder) if voices.bundled(name) is None else folder.name)
    steps, sampler = _steps(vocoder, settings)
    changed = {key: f"{key}={value}" for key, value in sorted(options.items())}
    others = [text for key, text in changed.items() if key not in ("steps", "sampler", "consistency")]
    if settings.get("consistency"):
        others.append(f"{settings['consistency']} iterations of Griffin-Lim")
    if "sampler" in options:
        others.append(SAMPLER_NAMES.get(str(sampler), str(sampler)))
    checkpoint = facts.get("label") or (TITLES[network] if run == network else f"{TITLES[network]} ({run})")
    counted = [f"{steps} step{'s' * (steps > 1)}"] if steps else []
    title, label = ([name, *others] for name in (checkpoint, f"{checkpoint}'s prior" if steps == 0 else checkpoint))
    return System(
        safe("-".join([run, *changed.values()])),
        ", ".join([*label, *counted]),
        "flow" if network == "waveglow" else "diffusion",
        synthesise,
        title=", ".join(title),
        steps=steps,
        sampler=sampler,
        deterministic=False,
        module=vocoder,
        training=facts.get("training", "see its model card"),
        note="takes mels of its own kind, made of the recording" if differences(own) else facts.get("note"),
        digest=digest(folder / voices.WEIGHTS),
        mel=own if differences(own) else MEL,
    )


def _steps(vocoder: AnyVocoder, settings: dict[str, Any]) -> tuple[int | None, str | None]:
    """Network evaluations for one clip, and the sampler, with these settings; None where there is no such choice."""
    chosen = {**vocoder.defaults, **settings}
    if isinstance(vocoder, SpectralVocoder):
        quality = vocoder.qualities[chosen.get("quality", "default")]
        return chosen.get("steps", quality.get("steps")), None
    if isinstance(vocoder, FlowVocoder):
        return None, None
    return chosen.get("steps", 6), chosen.get("sampler", "ddpm")


def python_function(spec: str) -> System:
    """``file.py:function`` with (mel) or (mel, seed) -> waveform."""
    about, call, _ = own_function(spec, "turns a mel into a waveform", "signal")
    takes_seed = len(inspect.signature(call).parameters) > 1

    def synthesise(mel: Tensor, seed: int) -> Tensor:
        made = torch.as_tensor(call(mel, seed) if takes_seed else call(mel))
        return made.reshape(mel.shape[0], -1)

    return System(**about, synthesise=synthesise, deterministic=not takes_seed)
