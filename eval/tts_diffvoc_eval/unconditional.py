"""Measure the quality and diversity of generated digits: the tables of DiffWave's sections 5.2 and 5.3.

    python eval/unconditional.py --data FSDD --model digits --steps 6 50 200 --output results/digits

Kong et al. 2021, tables 3 and 4: FID, IS, mIS, AM and NDB/K of every generator, and for those with labels accuracy,
FID per class, IS and mIS; with the training set and the held-back set as sanity checks. FSDD is a folder of the Free
Spoken Digit Dataset, or of Speech Commands (SC09), with a classifier trained on it by
recipes/digits/train_classifier.py. The same command with --resume continues where it stopped, and may add models or
settings.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tts_diffvoc.arguments import MOST_STEPS, whole
from tts_diffvoc.base import check_device
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import make_folder
from tts_diffvoc.generator import centred
from tts_diffvoc.generators import GENERATORS
from tts_diffvoc.jobs import bar
from tts_diffvoc_eval import provenance, records, registry
from tts_diffvoc_eval.generation import classifier as classifiers
from tts_diffvoc_eval.generation import datasets, metrics, tables
from tts_diffvoc_eval.generation.classifier import Classifier
from tts_diffvoc_eval.generation.datasets import LABELS, DigitCorpus, Digits
from tts_diffvoc_eval.generation.metrics import Classified, Reference
from tts_diffvoc_eval.generation.systems import GeneratorSystem
from tts_diffvoc_eval.records import reason
from tts_diffvoc_eval.systems import digest

TRAINING, HELD = "training-set", "held-back-set"
SEED_STRIDE = 100_000  # batch b of seed s is drawn with seed s * SEED_STRIDE + b
SEED = whole(0, 1_000_000_000)  # as an option: multiples of it are seeds, too
KEPT = ("clips", *(f"options.{name}" for name in ("count", "bins", "batch", "resamples", "classifier")))  # by --resume


# Shared with denoising and generation_page


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options of all three commands."""
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FOLDER", help="folder of FSDD, or of Speech Commands")
    add("--classifier", type=Path, default=classifiers.BUNDLED, metavar="DIR", help="default: the bundled one, of FSDD")
    add("--device", default="cpu", help="cpu, cuda or cuda:N")
    add("--threads", type=whole(1, 1024), default=torch.get_num_threads(), help="of PyTorch on the CPU")


def set_up(options: argparse.Namespace) -> tuple[DigitCorpus, Classifier]:
    """Set the threads; read the corpus and its classifier.

    Raises: DiffvocError for a device that is not here, and a classifier of other clips than those of the corpus.
    """
    check_device(options.device)
    torch.set_num_threads(options.threads)
    corpus, classifier = datasets.load(options.data), classifiers.load(options.classifier, options.device)
    length, rate = classifier.config.length, classifier.config.mel.sample_rate
    if (length, rate) != (corpus.length, corpus.sample_rate):
        raise DiffvocError(
            f"the classifier takes {length:,} samples at {rate:,} Hz, and {corpus.name} has {corpus.length:,} at "
            f"{corpus.sample_rate:,} Hz; give one that recipes/digits/train_classifier.py trained on it."
        )
    return corpus, classifier


def check_rate(name: str, rate: int | None, corpus: DigitCorpus) -> None:
    """Raise DiffvocError for a generator of another sample rate than the corpus's."""
    if rate not in (None, corpus.sample_rate):
        raise DiffvocError(f"{name} makes {rate:,} Hz, {corpus.name} has {corpus.sample_rate:,} Hz.")


def waveform_digest(clips: Digits) -> str:
    """SHA-256 over the samples of all clips."""
    return hashlib.sha256(clips.waveforms.numpy().tobytes()).hexdigest()


# Measuring


def generate_set(system: GeneratorSystem, seed: int, batch: int, length: int, labels: np.ndarray) -> np.ndarray:
    """Waveforms [count, length] float32, rounded to 16 bits: what is measured is what can be heard.

    Raises: DiffvocError for waveforms of another shape, or that are not finite.
    """
    clips = []
    for number, first in enumerate(bar(range(0, len(labels), batch), system.label)):
        given = labels[first : first + batch].tolist()
        with torch.inference_mode():
            made = system.generate(len(given), seed * SEED_STRIDE + number, given if system.labelled else None)
            waveforms = torch.as_tensor(made).float().cpu()
        if waveforms.dim() != 2 or len(waveforms) != len(given):
            raise DiffvocError(f"it made waveforms of shape {list(waveforms.shape)} for {len(given)} clips.")
        if not torch.isfinite(waveforms).all():
            raise DiffvocError("it made NaN or infinite samples.")
        clips += [centred(one, length) for one in waveforms.clamp(-1, 1)]
    return (torch.stack(clips) * 32767).round().numpy() / 32767


def measure(
    options: argparse.Namespace,
    classifier: Classifier,
    train: Classified,
    held: Classified,
    compared: list[GeneratorSystem],
) -> None:
    """Append the records that the run lacks."""
    run = options.output
    done = {(one["system"], one["seed"]) for one in records.lines(run, "quality") if not one.get("error")}
    reference, draw = Reference(train, options.bins), np.random.default_rng(0)

    def append(
        name: str, seed: int, sounds: Classified, reference: Reference, clips: str, seconds: float | None = None
    ) -> None:
        values = {key: one._asdict() for key, one in metrics.score(sounds, reference, options.resamples).items()}
        facts = {"clips": len(sounds.p), "against": f"{clips} training clips", "seconds_per_clip": seconds}
        records.append(run, "quality", {"system": name, "seed": seed, **facts, "values": values})

    order, size = draw.permutation(reference.size), f"{reference.size:,}"
    if (TRAINING, 0) not in done:  # a sample of the training set against the rest
        taken = min(options.count, reference.size // 2)
        others = Reference(train.take(order[taken:]), min(options.bins, (reference.size - taken) // 2))
        append(TRAINING, 0, train.take(order[:taken]), others, f"the other {others.size:,}")
    if (HELD, 0) not in done:
        append(HELD, 0, held.take(draw.permutation(len(held.p))[: options.count]), reference, size)
    todo = [(one, seed) for one in compared for seed in options.seeds if (one.name, seed) not in done]
    labels = np.arange(options.count) % len(LABELS)
    for system, seed in todo:
        started = time.perf_counter()
        try:
            waveforms = generate_set(system, seed, options.batch, classifier.config.length, labels)
        except Exception as error:  # any generator may fail in any way; the record says how
            records.append(run, "quality", {"system": system.name, "seed": seed, "error": reason(error)})
            continue
        seconds = (time.perf_counter() - started) / options.count
        sounds = Classified(*classifier.classify(waveforms), labels if system.labelled else None)
        append(system.name, seed, sounds, reference, size, seconds)


# A run


def manifest_of(
    options: argparse.Namespace,
    corpus: DigitCorpus,
    classifier: Classifier,
    held: Classified,
    compared: list[GeneratorSystem],
) -> dict[str, Any]:
    share = metrics.accuracy(held.p, corpus.held.labels.numpy())
    shown = ("count", "steps", "samplers", "guidance", "bins", "resamples", "batch")
    facts = {
        **{name: getattr(options, name) for name in shown},
        "corpus": corpus.name,
        "credit": corpus.credit,
        "clips_to_train": len(corpus.train),
        "clips_held_back": len(corpus.held),
        "classifier": {
            "parameters": classifier.parameters_count,
            "training": classifier.training_said,
            "right": round(share.value * len(corpus.held)),
            "accuracy": share.value,
            "low": share.low,
            "high": share.high,
            "digest": digest(options.classifier / "model.safetensors"),
            "config": classifier.config.to_dict(),
        },
    }
    command = provenance.command_line("python eval/unconditional.py", options.typed)
    clips = {"train": waveform_digest(corpus.train), "held": waveform_digest(corpus.held)}
    weights = {one.name: one.digest for one in compared}
    return provenance.manifest(
        command, clips, weights, facts, options.seeds, corpus.sample_rate, options.device, options.threads
    )


def begin(run: Path, manifest: dict[str, Any], resume: bool) -> None:
    """Write the manifest of a new run, or of a resumed one with what is added.

    Raises: DiffvocError as :func:`records.begin` does, for other weights of one name too.
    """
    weights = records.read(run, "manifest").get("checkpoints") or {}
    same = [f"checkpoints.{name}" for name in manifest["checkpoints"] if name in weights]
    before = records.begin(run, manifest, resume, [*KEPT, *same])
    seeds = sorted({*before.get("seeds", []), *manifest["seeds"]})
    make_folder(run)
    records.mend(run)
    records.write(run, "manifest", {**manifest, "checkpoints": {**weights, **manifest["checkpoints"]}, "seeds": seeds})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", nargs="*", default=[], help="generators, folders of baselines, FILE.py:FUNCTION (default: bundled)")
    add("--count", type=whole(2, 1_000_000), default=500, help="clips of each set (default: 500)")
    add("--steps", type=whole(1, MOST_STEPS), nargs="*", default=[], help="of our generators (default: each one's own)")
    add("--samplers", nargs="*", default=[], help="of our generators (default: each one's own)")
    add("--guidance", type=float, nargs="*", default=[], help="of our generators with labels (default: each one's own)")
    add("--seeds", type=SEED, nargs="+", default=[0], help="a set of --count clips each (default: 0)")
    add("--bins", type=whole(2, 1_000_000), default=50, help="K of NDB/K (default: 50)")
    add("--resamples", type=whole(2, 1_000_000), default=200, help="of the bootstrap (default: 200)")
    add("--batch", type=whole(1, 1_000_000), default=50, help="clips generated at once (default: 50)")
    add("--output", type=Path, default=Path("results/digits"), help="default: results/digits")
    add("--resume", action="store_true", help="continue the run in --output")
    add_common(parser)


def run(options: argparse.Namespace) -> None:
    """Generate and measure what the run lacks, and write its tables."""
    if len(set(options.seeds)) < len(options.seeds):
        raise DiffvocError("--seeds names one twice; give different ones.")
    corpus, classifier = set_up(options)
    if options.bins > len(corpus.train):
        raise DiffvocError(f"{options.bins} bins were asked for of {len(corpus.train)} sounds; ask for fewer.")
    choices = {"steps": options.steps, "sampler": options.samplers, "guidance": options.guidance}
    compared = registry.find_generators(options.model or sorted(GENERATORS), options.device, choices)
    for one in compared:
        check_rate(one.label, one.sample_rate, corpus)
    train, held = (
        Classified(*classifier.classify(part.waveforms), part.labels.numpy()) for part in (corpus.train, corpus.held)
    )
    folder = options.output
    begin(folder, manifest_of(options, corpus, classifier, held, compared), options.resume)
    data = {"family": "data", "labelled": True, "training": "not applicable", "parameters": None}
    described = {TRAINING: {"label": "training set", **data}, HELD: {"label": "held-back set", **data}}
    described |= records.read(folder, "systems") | {one.name: one.describe() for one in compared}
    records.write(folder, "systems", described)
    measure(options, classifier, train, held, compared)
    print(tables.write(folder))
    print(f"\nWritten to {folder}")
