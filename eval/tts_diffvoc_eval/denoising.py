"""Measure how much noise a generator removes without having been trained to (DiffWave's section 5.4).

    python eval/denoising.py --data FSDD --model digits --output results/digits

White noise is added to held-back clips, once with a deviation of 10 % of full scale and once with 10 % of each clip's
root mean square (20 dB), or as --noise says. Scores are the scale-invariant signal-to-distortion ratio (SI-SDR), its
gain, and the accuracy of the classifier of eval/unconditional.py. Compared with spectral subtraction, and, for a
generator of spectra, its best linear estimate. Writes denoising.md, denoising.csv and denoising.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

import tts_diffvoc
from tts_diffvoc import generators
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import provenance, records
from tts_diffvoc_eval.generation import classifier as classifiers
from tts_diffvoc_eval.generation import datasets, denoising, tables
from tts_diffvoc_eval.progress import Progress
from tts_diffvoc_eval.systems import digest
from tts_diffvoc_eval.unconditional import add_common, check_common, waveform_digest


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", required=True, help="name or folder of a generator")
    add("--noise", nargs="+", default=["0.1", "0.1rms"], help="deviations, of full scale or, with rms, of the clip's")
    add("--steps", type=int, nargs="+", default=[1, 6, 25], help="network evaluations (default: 1 6 25)")
    add("--count", type=int, default=500, help="held-back clips, spread over all (default: 500)")
    add("--seed", type=int, default=0, help="of the noise (default: 0)")
    add("--output", type=Path, default=Path("results/digits"), help="default: results/digits")
    return add_common(parser, arguments)


def parse_noise(text: str) -> tuple[float, bool, str]:
    """ "0.1rms" -> 0.1, True and a description: the share, and whether it is of each clip's root mean square."""
    relative = text.endswith("rms")
    try:
        share = float(text.removesuffix("rms"))
    except ValueError:
        raise DiffvocError(f"--noise {text} is not a number; give for example 0.1, or 0.1rms.") from None
    return share, relative, f"white, {100 * share:g} % of {'the clip’s RMS' if relative else 'full scale'}"


def run(options: argparse.Namespace) -> Path:
    """Add noise to the clips, remove it by every method, and write the tables. Returns the folder."""
    check_common(options, {"count": 1})
    noises = [parse_noise(text) for text in options.noise]
    corpus = datasets.load(options.data)
    folder = generators.resolve(generators.parse(options.model)[0])
    generator = tts_diffvoc.load_generator(options.model, options.device)
    if generator.sample_rate != corpus.sample_rate:
        raise DiffvocError(
            f"{generator.name} makes {generator.sample_rate:,} Hz, {corpus.name} has {corpus.sample_rate:,}."
        )
    classifier = classifiers.load(options.classifier, options.device)
    usable = (classifier.sample_rate, classifier.length) == (corpus.sample_rate, corpus.length)
    chosen = torch.linspace(0, len(corpus.held) - 1, min(options.count, len(corpus.held))).round().long()
    names = [classifier.labels[number] for number in corpus.held.labels[chosen].tolist()]
    rows: list[dict[str, Any]] = []
    methods = denoising.methods(generator, options.steps)
    with Progress("denoising", len(noises) * len(methods)) as bar:
        for share, relative, description in noises:
            data = denoising.add_white_noise(corpus.held.waveforms[chosen], names, share, relative, options.seed)
            for method in methods:
                found = denoising.measure(method, data, classifier if usable else None)
                values = {key: one._asdict() for key, one in found.items()}
                row = {"name": method.name, "label": method.label, "noise": description, "clips": len(chosen)}
                rows.append({**row, "values": values})
                bar.step(method.label)
    manifest = provenance.manifest(
        provenance.command_line("python eval/denoising.py", options.typed),
        options.device,
        options.threads,
        [options.seed],
        corpus.sample_rate,
        {"held": waveform_digest(corpus.held)},
        {generator.name: digest(folder / "model.safetensors")},
        {"corpus": corpus.name, "credit": corpus.credit, "clips": len(chosen), "noise": options.noise},
    )
    options.output.mkdir(parents=True, exist_ok=True)
    records.write(options.output, "denoising", {"manifest": manifest, "rows": rows})
    (options.output / "denoising.md").write_text(page(manifest, rows), encoding="utf-8")
    tables.write_csv(options.output / "denoising.csv", rows)
    return options.output


def page(manifest: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """The text of ``denoising.md``."""
    facts = manifest["options"]
    return "\n\n".join(
        [
            f"# Zero-shot denoising: {facts['corpus']}",
            f"`{manifest['command']}`",
            f"{facts['clips']} held-back clips ({facts['credit']}); in brackets 95 % intervals over clips. One step is "
            "the posterior mean, the estimate of least mean squared error.",
            tables.markdown(tables.denoising(rows)) + "\n",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    try:
        folder = run(parse(arguments))
    except (DiffvocError, OSError) as error:
        print(f"denoising.py: {error}", file=sys.stderr)
        return 1
    print((folder / "denoising.md").read_text(encoding="utf-8"))
    print(f"Written to {folder}")
    return 0
