"""A page on which to see and hear what DiffWave without a mel can do: digits from noise, between voices, noise off.

    python eval/generation_page.py results/digits --model digits --data FSDD

Writes index.html and the folder page/ into a run of eval/unconditional.py: its tables; samples of every digit, with
what the classifier hears; spectrograms; a film of the reverse process; interpolation and denoising of held-back
recordings (Kong et al. 2021, sections 5.2 to 5.4). The page needs no network and works from file://. The same line
makes the same page.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from pathlib import Path

import torch

import tts_diffvoc
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import Generator
from tts_diffvoc_eval import provenance, records
from tts_diffvoc_eval.generation import contestants, corpus, exhibits, page, standings
from tts_diffvoc_eval.generation.classifier import BUNDLED, Classifier
from tts_diffvoc_eval.generation.classifier import load as load_classifier
from tts_diffvoc_eval.generation.contestants import Contestant, Options
from tts_diffvoc_eval.systems import digest

MOST = 3_000_000  # bytes that a page in a repository should not exceed


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("run", type=Path, help="a run of eval/unconditional.py; the page goes there")
    add("--data", type=Path, required=True, metavar="FOLDER", help="folder of FSDD, or of Speech Commands")
    add("--model", default="digits", help="a generator with labels, by name or folder (default: digits)")
    add("--unlabelled", metavar="MODEL", help="a generator without labels, for a row of its samples")
    add("--rivals", nargs="*", default=[], metavar="DIR", help="WaveGAN or WaveNet, each for a row of its samples")
    add("--classifier", type=Path, default=BUNDLED, metavar="DIR", help="the run's; default: the bundled one, of FSDD")
    add("--columns", type=int, default=5, help="seeds of each digit (default: 5)")
    add("--seed", type=int, default=0, help="the first seed, which also draws the recordings (default: 0)")
    add("--t", type=int, default=60, help="step of the schedule at which voices are mixed (default: 60)")
    add("--points", type=int, default=11, help="between two voices, the ends with them (default: 11)")
    add("--noise", type=float, default=0.1, help="deviation of the noise to take off, full scale 1 (default: 0.1)")
    add("--device", default="cpu", help="cpu, cuda or cuda:N")
    add("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch on the CPU")
    typed = list(sys.argv[1:] if arguments is None else arguments)
    chosen = parser.parse_args(typed)
    chosen.typed = typed
    return chosen


def check(chosen: argparse.Namespace) -> None:
    """Raises: DiffvocError for numbers that make no page."""
    for name, least, most in (("columns", 1, 12), ("seed", 0, math.inf), ("threads", 1, math.inf), ("points", 2, 21)):
        if not least <= getattr(chosen, name) <= most:
            limits = f"at least {least}" if most == math.inf else f"{least} to {most}"
            raise DiffvocError(f"--{name} {getattr(chosen, name)} was given; it must be {limits}.")
    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        raise DiffvocError("there is no CUDA device here; use --device cpu.")


def labelled(spec: str, labels: tuple[str, ...], device: str) -> tuple[Contestant, Generator]:
    """The generator with labels as a contestant, and the same to be asked for more than clips.

    Raises: DiffvocError for one without labels or with others.
    """
    (one,) = contestants.ours(spec, labels, Options(), device)
    if not one.labelled:
        raise DiffvocError(f"{spec} has no labels, so it cannot be asked for a digit; give it as --unlabelled.")
    return one, tts_diffvoc.load_generator(spec, device)


def without_labels(chosen: argparse.Namespace, labels: tuple[str, ...]) -> list[Contestant]:
    """The generator of --unlabelled, and those of --rivals.

    Raises: DiffvocError where --unlabelled has labels, or a folder holds no rival.
    """
    found = contestants.ours(chosen.unlabelled, labels, Options(), chosen.device) if chosen.unlabelled else []
    if any(one.labelled for one in found):
        raise DiffvocError(f"{chosen.unlabelled} has labels; give a generator without as --unlabelled.")
    return [*found, *(contestants.rival(Path(folder).expanduser(), chosen.device) for folder in chosen.rivals)]


def same_rate(data: corpus.Corpus, classifier: Classifier, field: list[Contestant], run: Path) -> None:
    """Raises: DiffvocError where a model, the classifier, the run and the corpus do not go together."""
    if (data.sample_rate, data.length) != (classifier.sample_rate, classifier.length):
        raise DiffvocError(
            f"the classifier takes {classifier.length:,} samples at {classifier.sample_rate:,} Hz, and {data.name} has "
            f"{data.length:,} at {data.sample_rate:,} Hz; give the run's --classifier and --data."
        )
    for one in field:
        if one.sample_rate != data.sample_rate:
            raise DiffvocError(f"{one.label} makes {one.sample_rate:,} Hz, {data.name} has {data.sample_rate:,} Hz.")
    before = records.read(run, "manifest").get("sample_rate", data.sample_rate)
    if before != data.sample_rate:
        raise DiffvocError(f"the run {run} has {before:,} Hz, {data.name} has {data.sample_rate:,} Hz; give its data.")


def same_judge(run: Path, folder: Path) -> None:
    """Raises: DiffvocError where the run was judged by another classifier."""
    judge = records.read(run, "manifest").get("options", {}).get("classifier", {}).get("digest")
    if judge not in (None, digest(folder / "model.safetensors")):
        raise DiffvocError(f"{run} was judged by another classifier than {folder}; give the run's as --classifier.")


def words_of(typed: list[str]) -> list[str]:
    """The command line without the folders of this machine, quoted where a shell would need it."""
    names = [Path(word).name if Path(word).is_absolute() else word for word in typed]
    return [f'"{word}"' if set(word) & set("?&* ") else word for word in names]


def facts(
    chosen: argparse.Namespace, data: corpus.Corpus, one: Contestant, others: list[Contestant]
) -> list[tuple[str, str]]:
    """(name, words) of what the page was made with."""
    device = provenance.device_name(chosen.device)
    threads = f", {chosen.threads} thread{'s' if chosen.threads > 1 else ''}" if chosen.device == "cpu" else ""
    weights, systems = (records.read(chosen.run, name) for name in ("manifest", "systems"))
    weights = weights.get("checkpoints", {})
    rows = [systems[name]["label"] for name, found in weights.items() if found == one.digest and name in systems]
    return [
        ("generator", f"{one.label}; {one.parameters:,} numbers"),
        ("its training", one.training),
        ("its rows in the tables", "; ".join(rows) or "none: the tables are of other generators"),
        *((f"training of {other.label}", other.training) for other in others),
        ("recordings", f"{data.credit}; {len(data.held):,} held back"),
        ("seed", str(chosen.seed)),
        ("device", f"{chosen.device}: {device}{threads}"),
    ]


def build(chosen: argparse.Namespace) -> Path:
    """Make everything and write the page. Returns its file."""
    check(chosen)
    torch.set_num_threads(chosen.threads)
    run = chosen.run
    standings.rows_of(run)  # refuses what is no run before anything takes time
    classifier = load_classifier(chosen.classifier, chosen.device)
    same_judge(run, chosen.classifier)
    one, model = labelled(chosen.model, classifier.labels, chosen.device)
    others = without_labels(chosen, classifier.labels)
    model.entry_level(chosen.t)
    model.entry_level(noise=chosen.noise)
    data = corpus.load(chosen.data)
    same_rate(data, classifier, [one, *others], run)
    studio = exhibits.Studio(data, classifier, one, model, chosen.seed)
    content = page.Content(
        labels=classifier.labels,
        rate=data.sample_rate,
        label=one.label,
        seeds=studio.seeds(chosen.columns),
        grid=announced("samples of every digit", studio.grid, chosen.columns),
        others=[(it.label, it.training, announced(it.label, studio.row, it, chosen.columns + 1)) for it in others],
        film=announced("the film", studio.film),
        between=announced("between two voices", studio.between, chosen.t, chosen.points),
        cleaned=announced("noise taken off", studio.cleaned, chosen.noise),
        facts=facts(chosen, data, one, others),
        command=" ".join(["python eval/generation_page.py", *words_of(chosen.typed)]),
    )
    announced("pictures", publish, run, content)
    return run / "index.html"


def announced(what: str, make, *arguments):
    """What ``make`` makes, announced."""
    print(f"{what} ...", file=sys.stderr, flush=True)
    return make(*arguments)


def publish(run: Path, content: page.Content) -> None:
    """Write ``page/`` and ``index.html``, beside and renamed, so that a page that fails leaves the former one."""
    beside, folder = run / f".{page.FOLDER}.part", run / page.FOLDER
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir()
        text = page.write(run, content, beside)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(beside, folder)
        (run / "index.html").write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise DiffvocError(f"the page cannot be written to {run}: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def size(run: Path) -> int:
    """Bytes of the page with its sounds and pictures."""
    return sum(path.stat().st_size for path in [run / "index.html", *(run / page.FOLDER).iterdir()])


def main(arguments: list[str] | None = None) -> int:
    try:
        written = build(parse(arguments))
    except DiffvocError as error:
        print(f"generation_page.py: {error}", file=sys.stderr)
        return 1
    total = size(written.parent)
    print(f"Written: {written}, {total / 1e6:.2f} MB with its sounds and pictures")
    if total > MOST:
        print(f"That is more than {MOST / 1e6:.0f} MB; give fewer --columns to commit it.", file=sys.stderr)
    return 0
