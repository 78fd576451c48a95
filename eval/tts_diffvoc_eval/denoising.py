"""How much noise a generator takes off recordings, though it was never trained to: DiffWave's section 5.4, in figures.

    python eval/denoising.py --data FSDD --model digits --output results/digits

White noise is laid over clips that training never heard, once with a deviation of 10 % of full scale and once with 10 %
of each clip's own root mean square (20 dB), or what --noise says. Scores are the scale-invariant signal-to-distortion
ratio (SI-SDR), its gain, and how many digits the classifier of eval/unconditional.py still knows. Beside the generator
stand spectral subtraction, and, for a folded generator, the best linear estimate that it begins from. Writes
denoising.md, denoising.csv and denoising.json.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

import torch

import tts_diffvoc
from tts_diffvoc import generators
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import Generator
from tts_diffvoc_eval import provenance, records
from tts_diffvoc_eval.generation import corpus, denoising
from tts_diffvoc_eval.generation.classifier import BUNDLED
from tts_diffvoc_eval.generation.classifier import load as load_classifier
from tts_diffvoc_eval.generation.denoising import Noisy, Way
from tts_diffvoc_eval.generation.metrics import Estimate
from tts_diffvoc_eval.generation.tables import NONE, markdown
from tts_diffvoc_eval.systems import digest
from tts_diffvoc_eval.unconditional import waveform_digest

COLUMNS = {"gain": ("SI-SDR gain, dB ↑", 2), "after": ("SI-SDR, dB ↑", 2), "accuracy": ("digits known ↑", 3)}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FOLDER", help="folder of FSDD, or of Speech Commands")
    add("--model", required=True, help="name or folder of a generator")
    add("--noise", nargs="+", default=["0.1", "0.1rms"], help="deviations, of full scale or, with rms, of the clip's")
    add("--steps", type=int, nargs="+", default=[1, 6, 25], help="network evaluations (default: 1 6 25)")
    add("--t", type=int, nargs="*", default=[], help="steps of the schedule to enter at, beside the noise's own")
    add("--count", type=int, default=500, help="held-back clips, spread over all (default: 500)")
    add("--seed", type=int, default=0, help="of the noise (default: 0)")
    add("--classifier", type=Path, default=BUNDLED, metavar="DIR", help="default: the bundled one, of FSDD")
    add("--device", default="cpu", help="cpu, cuda or cuda:N")
    add("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch on the CPU")
    add("--output", type=Path, default=Path("results/digits"), help="default: results/digits")
    typed = list(sys.argv[1:] if arguments is None else arguments)
    chosen = parser.parse_args(typed)
    chosen.typed = typed
    return chosen


def share_of(text: str) -> tuple[float, bool]:
    """("0.1rms") -> (0.1, True): the share, and whether it is of each clip's root mean square."""
    relative = text.endswith("rms")
    try:
        return float(text.removesuffix("rms")), relative
    except ValueError:
        raise DiffvocError(f"--noise {text} is no noise; give for example 0.1, or 0.1rms.") from None


def said(share: float, relative: bool) -> str:
    return f"white, {100 * share:g} % of {'the clip’s RMS' if relative else 'full scale'}"


def ways(generator: Generator, steps: list[int], entries: list[int]) -> list[Way]:
    """All that is compared."""
    found = [Way("spectral-subtraction", "spectral subtraction, noise known", denoising.spectral_subtraction)]
    if generator.config.hop:
        control = denoising.by(denoising.linear(generator))
        found.append(Way(control.name, "linear estimate, noise known", control.clean))
    found += [denoising.by(generator, number) for number in steps]
    found += [denoising.by(generator, min(steps), t=t) for t in entries]
    found.append(denoising.by(generator, min(steps), known=False))
    if generator.labels:
        found.append(denoising.by(generator, min(steps), told=True))
    return found


def study(chosen: argparse.Namespace) -> Path:
    """Lay noise over the clips, take it off in every way, and write the tables. Returns the folder."""
    for name in ("count", "threads"):
        if getattr(chosen, name) < 1:
            raise DiffvocError(f"--{name} {getattr(chosen, name)} was given; give at least 1.")
    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        raise DiffvocError("there is no CUDA device here; use --device cpu.")
    torch.set_num_threads(chosen.threads)
    shares = [share_of(text) for text in chosen.noise]
    data = corpus.load(chosen.data)
    folder = generators.resolve(generators.parse(chosen.model)[0])
    generator = tts_diffvoc.load_generator(chosen.model, chosen.device)
    if generator.sample_rate != data.sample_rate:
        raise DiffvocError(
            f"{generator.name} makes {generator.sample_rate:,} Hz, {data.name} has {data.sample_rate:,}."
        )
    classifier = load_classifier(chosen.classifier, chosen.device)
    usable = (classifier.sample_rate, classifier.length) == (data.sample_rate, data.length)
    chosen_clips = torch.linspace(0, len(data.held) - 1, min(chosen.count, len(data.held))).round().long()
    clean = data.held.waveforms[chosen_clips]
    names = [classifier.labels[int(number)] for number in data.held.labels[chosen_clips]]
    rows: list[dict[str, Any]] = []
    for share, relative in shares:
        noisy = denoising.add_white_noise(clean, names, share, relative, chosen.seed)
        for way in [None, *ways(generator, chosen.steps, chosen.t)]:
            rows.append(_row(way, noisy, said(share, relative), classifier if usable else None))
            print(_told(rows[-1]), file=sys.stderr, flush=True)
    words = [Path(word).name if Path(word).is_absolute() else word for word in chosen.typed]
    checkpoints = {generator.name: digest(folder / "model.safetensors")}
    options = {"corpus": data.name, "credit": data.credit, "clips": len(clean), "model": generator.name}
    manifest = provenance.manifest(
        ["python", "eval/denoising.py", *words],
        chosen.device,
        chosen.threads,
        [chosen.seed],
        data.sample_rate,
        {"held": waveform_digest(data.held)},
        checkpoints,
        options,
    )
    chosen.output.mkdir(parents=True, exist_ok=True)
    records.write(chosen.output, "denoising", {"manifest": manifest, "rows": rows})
    (chosen.output / "denoising.md").write_text(page(manifest, rows), encoding="utf-8")
    write_csv(chosen.output / "denoising.csv", rows)
    return chosen.output


def _row(way: Way | None, noisy: Noisy, noise: str, classifier: Any) -> dict[str, Any]:
    found = denoising.measure(way, noisy, classifier)
    name, label = (way.name, way.label) if way else ("noisy", "noise left on")
    values = {key: one._asdict() for key, one in found.items()}
    return {"name": name, "label": label, "noise": noise, "clips": len(noisy.clean), "values": values}


def _told(row: dict[str, Any]) -> str:
    return f"{row['noise']}: {row['label']}: SI-SDR {row['values']['after']['value']:.2f} dB"


def cell(row: dict[str, Any], key: str) -> str:
    """ "12.3 [12.1, 12.5]", or a dash."""
    if key not in row["values"]:
        return NONE
    one, decimals = Estimate(**row["values"][key]), COLUMNS[key][1]
    return f"{one.value:.{decimals}f} [{one.low:.{decimals}f}, {one.high:.{decimals}f}]"


def page(manifest: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """The text of ``denoising.md``."""
    facts = manifest["options"]
    keys = [key for key in COLUMNS if any(key in row["values"] for row in rows)]
    lines = [[row["label"], row["noise"], *(cell(row, key) for key in keys)] for row in rows]
    return "\n".join(
        [
            f"# Zero-shot denoising: {facts['corpus']}\n",
            f"`{manifest['command']}`\n",
            f"{facts['clips']} held-back clips ({facts['credit']}); in brackets 95 % intervals over clips. One step is "
            "the posterior mean, the estimate of least mean squared error.\n",
            markdown(["way", "noise", *(COLUMNS[key][0] for key in keys)], lines),
        ]
    )


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """One line a row, each value with its bounds."""
    keys = [key for key in COLUMNS if any(key in row["values"] for row in rows)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["name", "label", "noise", "clips", *(f"{k}{end}" for k in keys for end in ("", "_low", "_high"))]
        )
        for row in rows:
            values = [row["values"].get(key, {}).get(part, "") for key in keys for part in ("value", "low", "high")]
            writer.writerow([row["name"], row["label"], row["noise"], row["clips"], *values])


def main(arguments: list[str] | None = None) -> int:
    try:
        run = study(parse(arguments))
    except DiffvocError as error:
        print(f"denoising.py: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"denoising.py: {error.filename} cannot be written: {error.strerror}.", file=sys.stderr)
        return 1
    print((run / "denoising.md").read_text(encoding="utf-8"))
    print(f"Written to {run}")
    return 0
