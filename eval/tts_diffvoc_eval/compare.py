"""Rank vocoders by quality, speed and diversity.

    tts-diffvoc compare                      # what is bundled, on the bundled clips
    tts-diffvoc compare --quick              # the same, smaller, in a few minutes on 2 cores
    tts-diffvoc compare --data my_voice/ --systems diffwave runs/mine vocoder_models/en/ljspeech/hifigan_v2
    tts-diffvoc compare --systems original my_vocoder.py:speak --output results/mine
    tts-diffvoc compare --tts --systems diffwave wavegrad griffin-lim
    tts-diffvoc compare --data reader=LJSpeech/wavs unseen=LibriSpeech german=kerstin:de voice=ada
    tts-diffvoc compare --config run.toml    # options from a file: systems = ["diffwave", ...], clips = 40, ...

Writes results/<run>/: README.md, leaderboard.csv and .json, index.html, plots, and the records that they are drawn
from. `python eval/report.py results/<run>` draws them again. results/README.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import datetime
import math
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tts_diffvoc import voices
from tts_diffvoc.arguments import MOST_STEPS, number, whole
from tts_diffvoc.base import check_device
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import make_folder
from tts_diffvoc_eval import functions, metrics, provenance, records, registry, report, runner, speech
from tts_diffvoc_eval.systems import System

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HELP = "rank vocoders by quality, speed and diversity (extra eval)"
KEPT = ("device", "seeds", "data_sets", "clips", "options.metrics", "options.systems", "checkpoints")  # by --resume
QUICK = "--clips 4 --seconds 1.5 --metrics quick --batch-sizes 1 --lengths 1 --repeats 3".split()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    cores, count = os.cpu_count() or 1, whole(1, 1_000_000)
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE.toml", help="options by their names; the command line goes before it")
    add("--quick", action="store_true", help="fewer clips and metrics, one setting timed")
    add("--output", type=Path, help="folder of the run (default: results/ and the date)")
    add("--systems", nargs="+", metavar="SYSTEM", help="names, checkpoint folders, Coqui's zoo names, FILE.py:FUNCTION")
    add("--data", nargs="+", default=[], metavar="[NAME=]FOLDER[:LANGUAGE]",
        help="sets of recordings, or acoustic models that read sentences (default: the bundled clips)")  # fmt: skip
    add("--held-back", action="store_true", help="of recordings only those that our recipes never train on")
    add("--clips", type=count, default=8, help="how many at most, spread evenly over all sets")
    add("--seconds", type=float, default=10.0, help="of each recording at most; 0 for all")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda or cuda:N")
    add("--threads", type=count, default=cores, help="of PyTorch while timing")
    add("--metrics", nargs="+", default=["all"], metavar="METRIC", help="names, quick, all, or FILE.py:FUNCTION")
    add("--steps", nargs="*", type=whole(0, MOST_STEPS), default=[], help="of diffusion systems beside their own")
    add("--samplers", nargs="*", default=[], help="ddpm, ddim, dpm_solver_pp_2m, langevin (default: each system's own)")
    add("--seeds", type=count, default=2, help="samples of each clip, for diversity")
    add("--batch-sizes", nargs="+", type=count, default=[1, 4], help="clips at once that are timed")
    add("--lengths", nargs="+", type=number(0, 3600), default=[1.0, 5.0], help="seconds of the clips that are timed")
    add("--repeats", type=count, default=5, help="timed calls of each")
    add("--timeout", type=number(0, 1e6), default=600.0, help="seconds that a system may take for a clip")
    add("--cap", type=number(0, 1e6), default=2.0, help="seconds that one system may take in a setting")
    add("--listen", type=whole(0, 1_000_000), default=4, help="how many clips can be heard on the page")
    add("--workers", type=count, default=cores, help="processes that compute metrics")
    add("--no-speed", action="store_true", help="do not time anything")
    add("--tts", action="store_true", help="speech from text as a data set more: sentences that --acoustic reads")
    add("--acoustic", nargs="+", default=[voices.DEFAULT_ACOUSTIC], metavar="MODEL", help="acoustic models for --tts")
    add("--resume", action="store_true", help="continue the run in --output, or the latest")
    parser.set_defaults(parser=parser)


def complete(options: argparse.Namespace) -> argparse.Namespace:
    """``options`` with those of ``--config`` and ``--quick``, before which goes what was typed; ``metrics`` by name,
    ``plugins`` those of them that are files of the user's own, and ``seeds`` one by one."""
    written = read_config(options.config) if options.config else []
    quick = QUICK if options.quick or "--quick" in written else []
    found = options.parser.parse_args([*quick, *written, *options.typed])
    found.typed = options.typed
    if found.tts:
        found.data = [*found.data, *found.acoustic]
    if found.seconds != 0 and not 0.5 <= found.seconds < math.inf:
        raise DiffvocError(f"--seconds {found.seconds:g} was given; it must be 0 for whole clips, or at least 0.5.")
    check_device(found.device)
    if "all" in found.metrics and (lacking := metrics.lacking()):
        say(f"Not measured: {', '.join(lacking)}. It takes pip install --no-deps {' '.join(lacking.values())}.")
    found.plugins = tuple(filter(functions.is_function, found.metrics))
    found.metrics, found.seeds = metrics.select(found.metrics), tuple(range(found.seeds))
    return found


def read_config(path: Path) -> list[str]:
    """The options in a TOML file as they would be typed."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DiffvocError(f"{path} cannot be read as TOML ({error}).") from None
    words = []
    for name, value in given.items():
        values = value if isinstance(value, list) else [] if value is True else [value]
        words += [] if value is False else ["--" + name.replace("_", "-"), *map(str, values)]
    return words


def folder(options: argparse.Namespace) -> Path:
    """``--output``, or the latest run to continue, or a new one's folder by the date."""
    root = Path("results")
    if options.output:
        return options.output
    if options.resume:
        return max((p.parent for p in root.glob("*/manifest.json")), key=lambda p: p.stat().st_mtime, default=root)
    return root / datetime.datetime.now().strftime("quick-%Y-%m-%d-%H%M%S" if options.quick else "%Y-%m-%d-%H%M%S")


def begin(run: Path, manifest: dict[str, Any], resume: bool) -> None:
    """Write the manifest, or check that a run is continued with what it was started with.

    Raises: DiffvocError as :func:`records.begin` does.
    """
    records.begin(run, manifest, resume, KEPT)
    if not resume:
        make_folder(run)
        records.write(run, "manifest", manifest)
        return
    systems, clips = manifest["options"]["systems"], list(manifest["clips"])
    lost = records.mend(run, lambda one: one["system"] in systems and ("batch" in one or one.get("clip") in clips))
    if lost:
        say(f"{lost} line{'s' * (lost > 1)} of {run} {'are' if lost > 1 else 'is'} no record of this run, and dropped.")


def gather(options: argparse.Namespace) -> tuple[list[System], list[str]]:
    """The systems, and what a person should know of them."""
    specs = options.systems or registry.default_names()
    found, said = registry.find_all(specs, options.device, options.steps, options.samplers)
    untrained = [system.label for system in found if system.training == "untrained"]
    if untrained:
        said.append(f"Untrained, and scored so: {', '.join(untrained)}.")
    if not options.systems:
        said.append(
            "Others join by --systems: what recipes/benchmark trained by folder, Coqui's vocoders as "
            "vocoder_models/LANG/SET/NAME, where there is a network."
        )
    return found, said


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def compare(options: argparse.Namespace) -> Path:
    """Measure what the run lacks, and draw it. Returns its folder."""
    options = complete(options)
    systems, said = gather(options)
    clips, found = speech.load(options.data, options.clips, options.seconds or None, options.held_back, options.device)
    say(found)
    kinds = {(clip.samples is not None, clip.text is not None) for clip in clips}
    if not any(metrics.applicable(options.metrics, *kind) for kind in kinds):
        raise DiffvocError(f"no clip can be scored by {', '.join(options.metrics)}; add one that needs no recording.")
    run = folder(options)
    begin(run, manifest_of(options, clips, systems), options.resume)
    records.write(run, "systems", {system.name: system.describe() for system in systems})
    say("\n".join([f"{len(systems)} systems, {len(clips)} clips, into {run}", *said]))
    torch.set_num_threads(options.threads)
    benchmark = runner.Benchmark(run, systems, clips, options)
    benchmark.measure_quality()
    if not options.no_speed:
        benchmark.measure_speed()
    say("drawing")
    report.redraw(run)
    return run


def manifest_of(options: argparse.Namespace, clips: Sequence[speech.Clip], systems: Sequence[System]) -> dict[str, Any]:
    left_out = ("acoustic", "command", "config", "data", "output", "parser", "resume", "typed")
    facts = {name: value for name, value in vars(options).items() if name not in left_out}
    facts["plugins"] = [Path(place).name for place in options.plugins]
    facts["systems"] = [system.name for system in systems]
    sets = speech.parse_all(options.data)
    shown = ("label", "unit", "better", "description", "decimals")
    manifest = provenance.manifest(
        provenance.command_line("tts-diffvoc compare", options.typed),
        {clip.name: clip.digest for clip in clips},
        {system.name: system.digest for system in systems},
        facts,
        options.seeds,
        device=options.device,
        threads=options.threads,
    )
    manifest["data_sets"] = {one.name: {"place": Path(one.place).name, "language": one.language} for one in sets}
    manifest["metrics"] = {m: {f: getattr(metrics.METRICS[m], f) for f in shown} for m in options.metrics}
    return manifest


def run(options: argparse.Namespace) -> None:
    """The command ``tts-diffvoc compare``."""
    warnings.filterwarnings("ignore", category=UserWarning, module="torch")
    try:
        made = compare(options)
    except KeyboardInterrupt:
        say("\nStopped; the same command with --resume continues.")
        sys.exit(130)
    print((made / "README.md").read_text(encoding="utf-8").split("\n## ")[0])
    print(f"Written to {made}: open {made / 'index.html'}")
