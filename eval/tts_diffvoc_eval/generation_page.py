"""Make a page to see and hear a DiffWave without a mel: samples, interpolation, denoising.

    python eval/generation_page.py results/digits --model digits --data FSDD

Writes index.html and the folder page/ into a run of eval/unconditional.py: its tables; samples of every digit, each
with the classifier's verdict; interpolation and denoising of held-back recordings (Kong et al. 2021, sections 5.2 to
5.4). The page needs no network and works from file://. The same command makes the same page.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import soundfile
import torch
from torch import Tensor

from tts_diffvoc.arguments import whole
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import replacing_folder, write_beside
from tts_diffvoc.generator import centred
from tts_diffvoc.zero_shot import entry_level, schedule_from
from tts_diffvoc_eval import provenance, records, registry
from tts_diffvoc_eval.denoising import add_white_noise, si_sdr
from tts_diffvoc_eval.generation import tables
from tts_diffvoc_eval.generation.classifier import Classifier
from tts_diffvoc_eval.generation.datasets import LABELS, DigitCorpus
from tts_diffvoc_eval.generation.systems import GeneratorSystem
from tts_diffvoc_eval.reporting import spectrograms
from tts_diffvoc_eval.systems import digest
from tts_diffvoc_eval.unconditional import SEED, add_common, check_rate, set_up

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "generation"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
)
DENOISED = 4  # recordings with noise


# What is shown. Nothing is chosen by ear: samples are the first of their seeds, and the page's seed draws recordings
# that training never heard.


@dataclass(frozen=True, eq=False)
class Sample:
    """A sound of the page.

    Attributes:
        name: of its files, without suffix.
        title: what it is, in few words.
        asked: the label that it should have; None where there is none.
        waveform: [T] float32, exactly what its 16-bit file holds.
        label, confidence: the classifier's verdict.
        source: of a recording, its file in the corpus.
        note: a line below it.
    """

    name: str
    title: str
    asked: int | None
    waveform: Tensor
    label: int
    confidence: float
    source: str | None = None
    note: str | None = None

    @property
    def right(self) -> bool | None:
        """Whether the classifier agrees with the label asked for; None where there is none."""
        return None if self.asked is None else self.label == self.asked


def quantised(waveform: Tensor) -> Tensor:
    """``waveform`` clipped and rounded as in a 16-bit file, float32."""
    return (waveform.double() * 32768).round().clamp(-32768, 32767).float() / 32768


class SampleMaker:
    """Makes everything that the page presents, of one seed.

    Args:
        corpus: the recordings. classifier: which classifies all sounds. system: the generator with labels.
    """

    def __init__(self, corpus: DigitCorpus, classifier: Classifier, system: GeneratorSystem, seed: int) -> None:
        self.corpus, self.classifier, self.system, self.seed = corpus, classifier, system, seed
        self.model: Any = system.module
        self.held = pd.DataFrame({"label": corpus.held.labels.numpy(), "speaker": corpus.held.speakers})

    def _samples(self, sounds: Any, described: Iterable[tuple[str, str, int | None]]) -> list[Sample]:
        """``sounds`` [N, T'] fitted to the corpus's length and classified; of each its name, title and label asked."""
        waveforms = torch.as_tensor(sounds).float().cpu()
        fitted = quantised(torch.stack([centred(row, self.corpus.length) for row in waveforms]))
        p, _ = self.classifier.classify(fitted)
        return [
            Sample(*one, waveform, int(label), float(confidence))
            for one, waveform, label, confidence in zip(described, fitted, p.argmax(1), p.max(1))
        ]

    def _recording(self, index: int, prefix: str) -> Sample:
        held = self.corpus.held
        described = [(f"{prefix}-{index:04}", "recorded", int(held.labels[index]))]
        return replace(self._samples(held.waveforms[index : index + 1], described)[0], source=held.names[index])

    def _draw(self, part: int) -> np.random.Generator:
        """For one part of the page, whatever the others draw."""
        return np.random.default_rng([self.seed, part])

    def grid(self, columns: int) -> list[list[Sample]]:
        """A row for each label: a sample of each of the first ``columns`` seeds, and a recording.

        Raises: DiffvocError where no recording has one of the labels.
        """
        labels, draw, made = range(len(LABELS)), self._draw(1), []
        if lacking := set(labels) - set(self.held["label"]):
            raise DiffvocError(
                f"no held-back clip of {self.corpus.name} has the label {min(lacking)}; give the whole corpus."
            )
        for seed in range(self.seed, self.seed + columns):
            sounds = self.system.generate(len(labels), seed, list(labels))
            made.append(self._samples(sounds, [(f"said-{i}-seed-{seed}", f"seed {seed}", i) for i in labels]))
        drawn = [int(draw.choice(self.held.index[self.held["label"] == label])) for label in labels]
        return [list(row) for row in zip(*made, [self._recording(index, "recorded") for index in drawn])]

    def row(self, system: GeneratorSystem, count: int) -> list[Sample]:
        """The first ``count`` samples of a generator without labels."""
        described = [(f"{system.name}-{number}", f"clip {number + 1}", None) for number in range(count)]
        return self._samples(system.generate(count, self.seed, None), described)

    def interpolation(self, t: int, points: int) -> dict[str, Any]:
        """Between two speakers of one digit, mixed at step ``t``; the seed draws all three: ``samples``, the two
        recordings at both ends, with ``label``, ``t``, noise ``level`` and ``steps``.

        Raises: DiffvocError where no digit has two speakers, or for a step that the schedule does not have.
        """
        draw, level = self._draw(3), entry_level(self.model, t)
        for label in draw.permutation(len(LABELS)).tolist():
            firsts = self.held[self.held["label"] == label].drop_duplicates("speaker").sort_values("speaker").index
            if len(firsts) > 1:
                break
        else:
            raise DiffvocError(f"no digit has two speakers in the held-back clips of {self.corpus.name}.")
        first, last = (self._recording(int(firsts[i]), "end") for i in draw.permutation(len(firsts))[:2])
        made = self.model.interpolate(first.waveform, last.waveform, t, points, seed=self.seed, label=label)
        between = [(f"between-{i:02}", f"{round(100 * i / (points - 1))}\xa0%", label) for i in range(points)]
        samples = [first, *self._samples(made, between), last]
        steps = schedule_from(self.model, level).num_steps
        return {"label": label, "t": t, "level": level, "steps": steps, "samples": samples}

    def denoised(self, noise: float) -> dict[str, Any]:
        """``rows`` of clean, noisy, denoised in one step and in ``steps``, of recordings of different speakers and, if
        possible, digits.

        Noisy sounds are clipped to full scale first, as in a file.

        Raises: DiffvocError for noise beyond the schedule's.
        """
        level, draw = entry_level(self.model, noise=noise), self._draw(5)
        steps = schedule_from(self.model, level).num_steps
        chosen: list[int] = []
        for speaker in draw.permutation(sorted(set(self.held["speaker"])))[:DENOISED]:
            own = self.held[self.held["speaker"] == speaker]
            other = own[~own["label"].isin(self.held["label"][chosen])]
            chosen.append(int(draw.choice((own if other.empty else other).index)))
        clean = [self._recording(index, "clean") for index in chosen]
        target = torch.stack([one.waveform for one in clean])
        noisy = quantised(add_white_noise(target, noise, relative=False, seed=self.seed)[0])
        versions = {
            "noisy": ("with noise", noisy),
            "one": ("1 step", self.model.denoise(noisy, noise=noise, steps=1)),
            "many": (f"{steps} step{'s' if steps > 1 else ''}", self.model.denoise(noisy, noise=noise, seed=self.seed)),
        }
        columns = [clean]
        for version, (title, sounds) in versions.items():
            made = self._samples(sounds, [(one.name.replace("clean", version), title, one.asked) for one in clean])
            ratios = si_sdr(torch.stack([one.waveform for one in made]), target).tolist()
            decibels = [f"{ratio:.1f}".replace("-", "−") for ratio in ratios]
            columns.append([replace(sample, note=f"SI-SDR {one} dB") for sample, one in zip(made, decibels)])
        return {"noise": noise, "level": level, "steps": steps, "rows": list(zip(*columns))}


# The command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run", type=Path, help="a run of eval/unconditional.py; the page goes there")
    add("--model", default="digits", help="a generator with labels, by name or folder (default: digits)")
    add("--unlabelled", metavar="MODEL", help="a generator without labels, for a row of its samples")
    add("--baselines", nargs="*", default=[], metavar="DIR", help="WaveGAN or WaveNet, each for a row of its samples")
    add("--columns", type=whole(1, 12), default=5, help="seeds of each digit (default: 5)")
    add("--seed", type=SEED, default=0, help="the first seed, which also draws the recordings (default: 0)")
    add("--t", type=int, default=60, help="step of the schedule at which voices are mixed (default: 60)")
    add("--points", type=whole(2, 21), default=11, help="of the interpolation, both ends included (default: 11)")
    add("--noise", type=float, default=0.1, help="deviation of the noise to remove, full scale 1 (default: 0.1)")
    add_common(parser)


def read_tables(options: argparse.Namespace) -> dict[str, Any]:
    """What the page shows of the run. Raises: DiffvocError for a run that is missing, damaged or of other weights."""
    summary, denoising, manifest = (records.read(options.run, name) for name in ("summary", "denoising", "manifest"))
    if not summary.get("rows"):
        raise DiffvocError(f"{options.run} has no summary.json; give the --output of eval/unconditional.py.")
    before = manifest.get("options", {}).get("classifier", {}).get("digest")
    if before not in (None, digest(options.classifier / "model.safetensors")):
        raise DiffvocError(f"{options.run} was measured with another classifier; give the run's as --classifier.")
    try:
        return {
            "run": {"options": None, **manifest},
            "rows": summary["rows"],
            "generation": tables.generation(summary["rows"]),
            "by_label": tables.generation_by_label(summary["rows"]),
            "denoising": tables.denoising(denoising.get("rows") or []),
            "denoising_command": (denoising.get("manifest") or {}).get("command"),
            "notes": tables.NOTES,
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise DiffvocError(
            f"{options.run} has a summary.json that is not as unconditional.py writes it, or a denoising.json not as "
            f"denoising.py does ({error!r}); measure again."
        ) from None


def facts(
    options: argparse.Namespace, system: GeneratorSystem, others: list[GeneratorSystem], corpus: DigitCorpus
) -> list[tuple[str, str]]:
    """What the page was made with, names and values."""
    weights, described = (records.read(options.run, name) for name in ("manifest", "systems"))
    same = [name for name, found in weights.get("checkpoints", {}).items() if found == system.digest]
    rows = [described[name]["label"] for name in same if name in described]
    return [
        ("generator", f"{system.label}; {system.parameters:,} parameters"),
        ("training", system.training),
        ("rows in the tables", "; ".join(rows) or "none: the tables are of other generators"),
        *((f"training of {one.label}", one.training) for one in others),
        ("recordings", f"{corpus.credit}; {len(corpus.held):,} held back"),
        ("seed", str(options.seed)),
        ("device", f"{options.device}: {provenance.device_name(options.device)}, {options.threads} threads"),
    ]


def publish(run: Path, content: dict[str, Any]) -> None:
    """Write ``page/``, sounds and spectrograms, the loudest point of all white, and ``index.html``; a page that fails
    leaves the former one."""
    rows = [*content["grid"], *(row for _, row in content["others"]), *content["denoised"]["rows"]]
    samples = [*content["interpolation"]["samples"], *(sample for row in rows for sample in row)]
    text, rate = TEMPLATES.get_template("page.html.jinja").render(content), content["rate"]
    levels = [spectrograms.levels(sample.waveform, rate) for sample in samples]
    top = max(float(level.max()) for level in levels)
    with replacing_folder(run / "page") as folder:
        for sample, level in zip(samples, levels):
            spectrograms.save(level, top, folder / f"{sample.name}.png")
            integers = (sample.waveform * 32768).short().numpy()
            soundfile.write(folder / f"{sample.name}.flac", integers, rate, subtype="PCM_16")
    write_beside(run / "index.html", text)


def run(options: argparse.Namespace) -> None:
    """Make everything, write the page, and say how large it is."""
    content = read_tables(options)
    corpus, classifier = set_up(options)
    (system,) = registry.find_generators([options.model], options.device)
    if not system.labelled:
        raise DiffvocError(f"{options.model} has no labels; give it as --unlabelled, and one with labels as --model.")
    specs = [*([options.unlabelled] if options.unlabelled else []), *options.baselines]
    others = registry.find_generators(specs, options.device)
    for one in others:
        if one.labelled:
            raise DiffvocError(f"{one.label} has labels; give a generator without as --unlabelled.")
    for one in (system, *others):
        check_rate(one.label, one.sample_rate, corpus)
    model: Any = system.module
    entry_level(model, options.t)  # refuses a bad step or noise before anything takes time
    entry_level(model, noise=options.noise)
    maker = SampleMaker(corpus, classifier, system, options.seed)
    grid = maker.grid(options.columns)
    content |= {
        "grid": grid,
        "others": [(one, maker.row(one, options.columns + 1)) for one in others],
        "interpolation": maker.interpolation(options.t, options.points),
        "denoised": maker.denoised(options.noise),
        "labels": LABELS,
        "label": system.label,
        "rate": corpus.sample_rate,
        "seconds": corpus.length / corpus.sample_rate,
        "range": round(spectrograms.RANGE),
        "right": sum(bool(sample.right) for row in grid for sample in row[:-1]),
        "generated": len(grid) * options.columns,
        "recorded_right": sum(bool(row[-1].right) for row in grid),
        "command": provenance.command_line("python eval/generation_page.py", options.typed),
        "facts": facts(options, system, others, corpus),
    }
    publish(options.run, content)
    written = options.run / "index.html"
    total = sum(path.stat().st_size for path in [written, *(options.run / "page").iterdir()])
    print(f"Written: {written}, {total / 1e6:.2f} MB with its sounds and pictures")
