"""How good and how varied generated digits are: the tables of DiffWave's sections 5.2 and 5.3.

    python eval/unconditional.py --data FSDD --model digits --steps 6 50 200 --output results/digits

Kong et al. 2021, tables 3 and 4: FID, IS, mIS, AM and NDB/K of every generator, and for those with labels accuracy,
FID per class, IS and mIS; with the training set and the held-back set as sanity checks. FSDD is a folder of the Free
Spoken Digit Dataset, or of Speech Commands (SC09), with a classifier trained on it by
recipes/fsdd/train_classifier.py. What was generated stays in the output's folder ``sets``, so that the same line with
--resume goes on where it stopped; more models or settings can be added to it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generators import GENERATORS
from tts_diffvoc_eval import provenance, records
from tts_diffvoc_eval.generation import contestants, corpus, judging, metrics, tables
from tts_diffvoc_eval.generation.classifier import BUNDLED, Classifier
from tts_diffvoc_eval.generation.classifier import load as load_classifier
from tts_diffvoc_eval.generation.contestants import Contestant
from tts_diffvoc_eval.generation.judging import Judged, Reference
from tts_diffvoc_eval.progress import Progress
from tts_diffvoc_eval.systems import digest

TRAINING, HELD = "training-set", "held-back-set"
SEEDS_APART = 100_000  # batch b of seed s is drawn with seed s * SEEDS_APART + b


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FOLDER", help="folder of FSDD, or of Speech Commands")
    add("--model", nargs="*", default=[], help="generators, folders of rivals, FILE.py:FUNCTION (default: all bundled)")
    add("--classifier", type=Path, default=BUNDLED, metavar="DIR", help="default: the bundled one, of FSDD")
    add("--count", type=int, default=500, help="clips of each set (default: 500)")
    add("--steps", type=int, nargs="*", default=[], help="of our generators (default: each one's own)")
    add("--samplers", nargs="*", default=[], help="of our generators (default: each one's own)")
    add("--guidance", type=float, nargs="*", default=[], help="of our generators with labels (default: each one's own)")
    add("--seeds", type=int, nargs="+", default=[0], help="a set of --count clips each (default: 0)")
    add("--bins", type=int, default=metrics.CLUSTERS, help="K of NDB/K (default: 50)")
    add("--resamples", type=int, default=200, help="of the bootstrap (default: 200)")
    add("--batch", type=int, default=50, help="clips made at once (default: 50)")
    add("--device", default="cpu", help="cpu, cuda or cuda:N")
    add("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch on the CPU")
    add("--output", type=Path, default=Path("results/digits"), help="default: results/digits")
    add("--resume", action="store_true", help="go on with the run in --output")
    typed = list(sys.argv[1:] if arguments is None else arguments)
    chosen = parser.parse_args(typed)
    chosen.typed = typed
    return chosen


def check(chosen: argparse.Namespace) -> None:
    """Raises: DiffvocError for numbers that make no run."""
    for name, least in (("count", 2), ("bins", 2), ("resamples", 2), ("batch", 1), ("threads", 1)):
        if getattr(chosen, name) < least:
            raise DiffvocError(f"--{name} {getattr(chosen, name)} was given; it must be at least {least}.")
    if min([1, *chosen.steps]) < 1:
        raise DiffvocError("--steps must be at least 1.")
    if min(chosen.seeds) < 0 or len(set(chosen.seeds)) < len(chosen.seeds):
        raise DiffvocError("--seeds must be different whole numbers of at least 0.")
    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        raise DiffvocError("there is no CUDA device here; use --device cpu.")


# Sets of clips


class Sets:
    """Generated clips, made in batches and kept in ``sets`` of the run, which git ignores.

    Args: run: the folder. count, batch: clips of a set, and made at once. length: samples of a clip. classes: labels.
    """

    def __init__(self, run: Path, count: int, batch: int, length: int, classes: int) -> None:
        self.folder, self.count, self.batch, self.length, self.classes = run / "sets", count, batch, length, classes
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / ".gitignore").write_text("*\n", encoding="utf-8")

    @property
    def batches(self) -> int:
        return -(-self.count // self.batch)

    def labels(self) -> np.ndarray:
        """[count], the classes in turn."""
        return np.arange(self.count) % self.classes

    def make(self, one: Contestant, seed: int, progress: Progress) -> tuple[np.ndarray, float]:
        """The waveforms [count, length] float32 of a seed, and the seconds that each took when it was made."""
        parts, spent = [], 0.0
        for number in range(self.batches):
            path = self.folder / one.name / f"{seed}-{number:03}.npz"
            if not path.is_file():
                self._make_batch(one, seed, number, path)
            with np.load(path) as kept:
                parts.append(kept["waveforms"])
                spent += float(kept["seconds"])
            progress.step(one.label)
        return np.concatenate(parts).astype(np.float32) / 32767, spent / self.count

    def _make_batch(self, one: Contestant, seed: int, number: int, path: Path) -> None:
        labels = self.labels()[number * self.batch :][: self.batch]
        began = time.perf_counter()
        with torch.inference_mode():
            made = one.make(len(labels), seed * SEEDS_APART + number, labels.tolist() if one.labelled else None)
        waveforms = torch.as_tensor(made).float().cpu().numpy()
        seconds = time.perf_counter() - began
        if waveforms.ndim != 2 or len(waveforms) != len(labels):
            raise DiffvocError(f"it made waveforms of shape {list(waveforms.shape)} for {len(labels)} clips.")
        if not np.isfinite(waveforms).all():
            raise DiffvocError("it made NaN or infinite samples.")
        # Kept as a 16-bit file would be: what is measured is what can be heard.
        fitted = np.stack([corpus.fit(np.clip(one, -1, 1), self.length) for one in waveforms])
        path.parent.mkdir(exist_ok=True)
        beside = path.with_suffix(".part")
        with beside.open("wb") as file:
            np.savez(file, waveforms=np.round(fitted * 32767).astype(np.int16), seconds=seconds)
        beside.replace(path)


# Measuring


class Study:
    """One run: a corpus, the classifier that judges, and the rows that are measured."""

    def __init__(self, chosen: argparse.Namespace, run: Path, data: corpus.Corpus, classifier: Classifier) -> None:
        self.chosen, self.run, self.data, self.classifier = chosen, run, data, classifier
        self.sets = Sets(run, chosen.count, chosen.batch, data.length, len(classifier.labels))
        found = records.lines(run, "quality")
        self.done = {(record["system"], record["seed"]) for record in found if not record.get("error")}

    def judge(self, waveforms: Any, labels: Any) -> Judged:
        p, features = self.classifier.classify(waveforms)
        return Judged(p, features, None if labels is None else np.asarray(labels))

    def measure(self, field: list[Contestant]) -> None:
        """Append the records that the run lacks."""
        train = self.judge(self.data.train.waveforms, self.data.train.labels)
        reference = Reference.of(train, self.chosen.bins)
        self._measure_data(train, reference)
        todo = [(one, seed) for one in field for seed in self.chosen.seeds if (one.name, seed) not in self.done]
        progress = Progress("batch", len(todo) * self.sets.batches) if todo else None
        for one, seed in todo:
            assert progress is not None
            self._measure_set(one, seed, reference, progress)

    def _measure_data(self, train: Judged, reference: Reference) -> None:
        """A sample of the training set against the rest of it, and the held-back set against all of it."""
        draw = np.random.default_rng(0)
        if (TRAINING, 0) not in self.done:
            order = draw.permutation(len(train))
            taken = min(self.chosen.count, len(train) // 2)
            rest = train.at(order[taken:])
            bins = min(self.chosen.bins, len(rest) // 2)
            against = f"the other {len(rest):,} training clips"
            self._append(TRAINING, 0, train.at(order[:taken]), Reference.of(rest, bins), against)
        if (HELD, 0) not in self.done:
            held = self.judge(self.data.held.waveforms, self.data.held.labels)
            taken = min(self.chosen.count, len(held))
            self._append(HELD, 0, held.at(draw.permutation(len(held))[:taken]), reference, self._all(reference))

    def _all(self, reference: Reference) -> str:
        return f"{reference.size:,} training clips"

    def _measure_set(self, one: Contestant, seed: int, reference: Reference, progress: Progress) -> None:
        try:
            waveforms, seconds = self.sets.make(one, seed, progress)
            judged = self.judge(waveforms, self.sets.labels() if one.labelled else None)
        except Exception as error:  # any generator may fail in any way; the record says how
            text = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
            said = text if isinstance(error, DiffvocError) else f"{type(error).__name__}: {text}"
            records.append(self.run, "quality", {"system": one.name, "seed": seed, "error": said})
            return
        self._append(one.name, seed, judged, reference, self._all(reference), seconds)

    def _append(
        self, name: str, seed: int, judged: Judged, reference: Reference, against: str, seconds: float | None = None
    ) -> None:
        found = judging.score(judged, reference, self.chosen.resamples)
        values = {key: one._asdict() for key, one in found.items()}
        record = {"system": name, "seed": seed, "clips": len(judged), "against": against, "seconds_per_clip": seconds}
        records.append(self.run, "quality", {**record, "values": values})


# A run


def data_rows() -> dict[str, dict[str, Any]]:
    """The two rows of the corpus itself, as ``systems.json`` has them."""
    shown = {"family": "data", "labelled": True, "training": "not applicable", "parameters": None}
    return {TRAINING: {"label": "training set", **shown}, HELD: {"label": "held-back set", **shown}}


def manifest_of(
    chosen: argparse.Namespace, data: corpus.Corpus, classifier: Classifier, field: list[Contestant]
) -> dict[str, Any]:
    p, _ = classifier.classify(data.held.waveforms)
    count = len(data.held)
    right = round(metrics.accuracy(p, data.held.labels.numpy()) * count)
    low, high = metrics.wilson(right, count)
    shown = ("count", "steps", "samplers", "guidance", "bins", "resamples", "batch")
    options = {
        **{name: getattr(chosen, name) for name in shown},
        "corpus": data.name,
        "credit": data.credit,
        "clips_to_train": len(data.train),
        "clips_held_back": count,
        "classifier": {
            "parameters": classifier.parameters_count,
            "training": classifier.training_said,
            "right": right,
            "accuracy": right / count,
            "low": low,
            "high": high,
            "digest": digest(chosen.classifier / "model.safetensors"),
            "config": asdict(classifier.config),
        },
    }
    parts = {name: waveform_digest(part) for name, part in (("train", data.train), ("held", data.held))}
    checkpoints = {one.name: one.digest for one in field}
    words = [Path(word).name if Path(word).is_absolute() else word for word in chosen.typed if word != "--resume"]
    command = ["python", "eval/unconditional.py", *words]
    threads, rate = chosen.threads, data.sample_rate
    return provenance.manifest(command, chosen.device, threads, chosen.seeds, rate, parts, checkpoints, options)


def waveform_digest(clips: corpus.Digits) -> str:
    """SHA-256 over the samples of all clips."""
    return hashlib.sha256(clips.waveforms.numpy().tobytes()).hexdigest()


def begin(run: Path, manifest: dict[str, Any], resume: bool) -> dict[str, Any]:
    """See that a run goes on with what it began with, which may be joined by more; returns the manifest to write.

    Raises: DiffvocError for a folder that holds a run already, or one to go on with that is none or has changed.
    """
    before = records.read(run, "manifest")
    if bool(before) != resume:
        raise DiffvocError(
            f"there is no run to go on with in {run}; leave --resume out."
            if resume
            else f"{run} holds a run already; go on with it by --resume, or choose another --output."
        )
    if not resume:
        return manifest
    after = json.loads(json.dumps(manifest))
    same = {"data": lambda m: m["clips"], "classifier": lambda m: m["options"]["classifier"]["digest"]}
    same |= {name: lambda m, name=name: m["options"][name] for name in ("count", "bins", "batch", "resamples")}
    changed = [name for name, part in same.items() if part(before) != part(after)]
    both = before["checkpoints"].keys() & after["checkpoints"].keys()
    changed += [name for name in sorted(both) if before["checkpoints"][name] != after["checkpoints"][name]]
    if changed:
        raise DiffvocError(f"{run} was begun with other {', '.join(changed)}; give the same, or another --output.")
    manifest["checkpoints"] = {**before["checkpoints"], **manifest["checkpoints"]}
    manifest["seeds"] = sorted({*before["seeds"], *manifest["seeds"]})
    records.mend(run)
    return manifest


def study(chosen: argparse.Namespace) -> Path:
    """Generate, judge and draw what the run lacks. Returns its folder."""
    check(chosen)
    torch.set_num_threads(chosen.threads)
    data = corpus.load(chosen.data)
    classifier = load_classifier(chosen.classifier, chosen.device)
    kind = data.sample_rate, data.length
    if kind != (classifier.sample_rate, classifier.length):
        raise DiffvocError(
            f"the classifier takes {classifier.length:,} samples at {classifier.sample_rate:,} Hz, and {data.name} has "
            f"{kind[1]:,} at {kind[0]:,} Hz; train one by recipes/fsdd/train_classifier.py and give --classifier."
        )
    asked = contestants.Options(tuple(chosen.steps), tuple(chosen.samplers), tuple(chosen.guidance))
    field = contestants.resolve_all(chosen.model or sorted(GENERATORS), classifier.labels, asked, chosen.device)
    other = [one for one in field if one.sample_rate not in (None, data.sample_rate)]
    if other:
        raise DiffvocError(f"{other[0].label} makes {other[0].sample_rate:,} Hz, {data.name} has {kind[0]:,} Hz.")
    try:
        chosen.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiffvocError(f"{chosen.output} cannot be made: {error.strerror}.") from None
    run = chosen.output
    manifest = begin(run, manifest_of(chosen, data, classifier, field), chosen.resume)
    records.write(run, "manifest", manifest)
    described = {one.name: one.describe() for one in field}
    records.write(run, "systems", {**data_rows(), **records.read(run, "systems"), **described})
    print(f"{data.name}, {len(field)} generators, {chosen.count} clips of each seed, into {run}", file=sys.stderr)
    Study(chosen, run, data, classifier).measure(field)
    tables.write(run)
    return run


def main(arguments: list[str] | None = None) -> int:
    try:
        run = study(parse(arguments))
    except DiffvocError as error:
        print(f"unconditional.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the same line with --resume goes on.", file=sys.stderr)
        return 130
    print((run / "summary.md").read_text(encoding="utf-8").split("\n## How to read it")[0])
    print(f"Written to {run}")
    return 0
