"""Make a page to see and hear a DiffWave without a mel: samples, interpolation, denoising.

    python eval/generation_page.py results/digits --model digits --data FSDD

Writes index.html and the folder page/ into a run of eval/unconditional.py: its tables; samples of every digit, each
with the classifier's verdict; interpolation and denoising of held-back recordings (Kong et al. 2021, sections 5.2 to
5.4). The page needs no network and works from file://. The same command makes the same page.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

import jinja2
import soundfile

from tts_diffvoc.arguments import whole
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.zero_shot import entry_level
from tts_diffvoc_eval import provenance, records, registry
from tts_diffvoc_eval.generation import tables
from tts_diffvoc_eval.generation.datasets import LABELS, DigitCorpus
from tts_diffvoc_eval.generation.samples import Sample, SampleMaker
from tts_diffvoc_eval.generation.systems import GeneratorSystem
from tts_diffvoc_eval.reporting import spectrograms
from tts_diffvoc_eval.systems import digest
from tts_diffvoc_eval.unconditional import SEED, add_common, check_rate, set_up

TEMPLATES = Path(__file__).parent / "generation"


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


def build(options: argparse.Namespace) -> Path:
    """Make everything and write the page. Returns its file."""
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
    return options.run / "index.html"


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
    """Write ``page/`` and ``index.html``, beside and renamed: a page that fails leaves the former one."""
    part, folder = run / ".page.part", run / "page"
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        rows = [*content["grid"], *(row for _, row in content["others"]), *content["denoised"]["rows"]]
        write_samples(part, [sample for row in rows for sample in row], content["rate"])
        write_samples(part, content["interpolation"]["samples"], content["rate"])
        text = environment.get_template("page.html.jinja").render(content)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
        (run / "index.html").write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise DiffvocError(f"the page cannot be written to {run}: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_samples(folder: Path, samples: list[Sample], rate: int) -> None:
    """Sounds and spectrograms that the template links to; the loudest point of all is white."""
    levels = [spectrograms.levels(sample.waveform, rate) for sample in samples]
    top = max(float(level.max()) for level in levels)
    for sample, level in zip(samples, levels):
        integers = (sample.waveform * 32768).short().numpy()
        soundfile.write(folder / f"{sample.name}.flac", integers, rate, subtype="PCM_16")
        spectrograms.save(level, top, folder / f"{sample.name}.png")


def run(options: argparse.Namespace) -> None:
    """Make the page, and say how large it is."""
    written = build(options)
    total = sum(path.stat().st_size for path in [written, *(written.parent / "page").iterdir()])
    print(f"Written: {written}, {total / 1e6:.2f} MB with its sounds and pictures")
