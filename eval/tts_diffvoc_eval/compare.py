"""Rank vocoders by quality, speed and diversity.

    python eval/compare.py                      # what is bundled, on the bundled clips
    python eval/compare.py --quick              # the same, smaller, in under 3 minutes on 2 cores
    python eval/compare.py --data my_voice/ --systems diffwave runs/mine vocoder_models/en/ljspeech/hifigan_v2
    python eval/compare.py --systems original my_vocoder.py:speak --output results/mine
    python eval/compare.py --tts --systems diffwave wavegrad griffin-lim

Writes results/<run>/: leaderboard.md, .csv, .json and .tex, index.html, plots, and the records that they are drawn
from. `python eval/report.py results/<run>` draws them again. results/README.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import metrics, provenance, records, registry, report, runner, speech, text_to_speech
from tts_diffvoc_eval.systems import System

# Metrics that need no recording of the same words at the same time.
ALONE = ("dnsmos", "dnsmos_sig", "dnsmos_bak", "wer")
# What --quick changes, as far as the command line does not say otherwise.
FULL = {
    "clips": 8, "seconds": 5.0, "seeds": 2, "steps": [], "metrics": ["default"],
    "batch_sizes": [1, 4], "lengths": [1.0, 5.0], "repeats": 5, "cap": 4.0,
}  # fmt: skip
QUICK = {
    "clips": 4, "seconds": 1.5, "seeds": 2, "steps": [], "metrics": ["quick"],
    "batch_sizes": [1], "lengths": [1.0], "repeats": 3, "cap": 2.0,
}  # fmt: skip


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, prog="compare.py", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer clips, steps, seeds and metrics")
    add("--output", type=Path, help="folder of the run (default: results/ and the date)")
    add("--systems", nargs="+", metavar="SYSTEM", help="names, checkpoint folders, Coqui's zoo names, FILE.py:FUNCTION")
    add("--data", nargs="+", type=Path, default=[], metavar="FOLDER", help="recordings (default: the bundled clips)")
    add("--held-back", action="store_true", help="of them only those that our recipes never train on")
    add("--clips", type=int, help="how many of them at most, spread evenly")
    add("--seconds", type=float, help="of each clip at most; 0 for all")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda or cuda:N")
    add("--threads", type=int, default=os.cpu_count() or 1, help="of PyTorch while timing")
    add("--metrics", nargs="+", metavar="METRIC", help="names, quick, default, all, or FILE.py:FUNCTION")
    add("--steps", nargs="*", type=int, help="step counts of diffusion systems beside their own")
    add("--samplers", nargs="*", default=[], help="ddpm, ddim, dpm_solver_pp_2m, langevin (default: each system's own)")
    add("--seeds", type=int, help="samples of each clip, for diversity")
    add("--batch-sizes", nargs="+", type=int, help="clips at once that are timed")
    add("--lengths", nargs="+", type=float, help="seconds of the clips that are timed")
    add("--repeats", type=int, help="timed calls of each")
    add("--cap", type=float, help="seconds that one system may take in timing")
    add("--listen", type=int, default=4, help="how many clips can be heard on the page")
    add("--workers", type=int, default=os.cpu_count() or 1, help="processes that compute metrics")
    add("--no-speed", action="store_true", help="do not time anything")
    add("--tts", action="store_true", help="score speech from text, an acoustic model in front of each system")
    add("--acoustic", default=text_to_speech.ACOUSTIC, metavar="MODEL", help="Coqui's acoustic model for --tts")
    add("--resume", action="store_true", help="go on with the run in --output, or the latest, where it stopped")
    typed = list(sys.argv[1:] if arguments is None else arguments)
    chosen = parser.parse_args(typed)
    chosen.typed = typed
    for name, value in (QUICK if chosen.quick else FULL).items():
        if getattr(chosen, name) is None:
            setattr(chosen, name, value)
    return chosen


def folder(chosen: argparse.Namespace) -> Path:
    """The folder of the run, made where it is not there yet.

    Raises: DiffvocError for a folder that holds a run already, or one to go on with that holds none.
    """
    root = Path("results")
    if chosen.resume:
        runs = sorted((p.parent for p in root.glob("*/manifest.json")), key=lambda p: p.stat().st_mtime)
        run = chosen.output or (runs[-1] if runs else None)
        if run is None or not (run / "manifest.json").is_file():
            raise DiffvocError(f"there is no run to go on with in {run or root}; leave --resume out.")
        return run
    date = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    run = chosen.output or root / f"{'quick-' if chosen.quick else ''}{date}"
    if (run / "manifest.json").is_file():
        raise DiffvocError(f"{run} holds a run already; go on with it by --resume, or choose another --output.")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiffvocError(f"{run} cannot be made: {error.strerror}.") from None
    return run


def check(chosen: argparse.Namespace) -> None:
    """Raises: DiffvocError for numbers that make no run."""
    for name in ("clips", "seeds", "repeats", "threads", "workers"):
        if getattr(chosen, name) < 1:
            raise DiffvocError(f"--{name} {getattr(chosen, name)} was given; it must be at least 1.")
    if chosen.seconds < 0 or 0 < chosen.seconds < 0.5:
        raise DiffvocError(f"--seconds {chosen.seconds:g} was given; it must be 0 for whole clips, or at least 0.5.")
    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        raise DiffvocError("there is no CUDA device here; use --device cpu.")


def config_of(chosen: argparse.Namespace) -> runner.BenchmarkConfig:
    names = metrics.select(chosen.metrics)
    if chosen.tts:
        names = [name for name in names if name in ALONE]
        if not names:
            raise DiffvocError(f"--tts can only be scored by metrics that need no recording: {', '.join(ALONE)}.")
    return runner.BenchmarkConfig(
        metrics=tuple(names),
        seeds=tuple(range(chosen.seeds)),
        listen=chosen.listen,
        workers=chosen.workers,
        device=chosen.device,
        batch_sizes=tuple(chosen.batch_sizes),
        lengths=tuple(chosen.lengths),
        repeats=chosen.repeats,
        cap=chosen.cap,
        threads=chosen.threads,
        plugins=tuple(word for word in chosen.metrics if ".py:" in word),
    )


def identity(manifest: dict[str, Any]) -> dict[str, Any]:
    """What two parts of one run must have in common, as JSON holds it."""
    manifest = json.loads(json.dumps(manifest))
    kept = {name: manifest.get(name) for name in ("device", "seeds", "clips", "checkpoints")}
    return {**kept, **{name: manifest["options"].get(name) for name in ("metrics", "systems", "acoustic")}}


def begin(run: Path, manifest: dict[str, Any], resume: bool) -> None:
    """Write the manifest, or see that a run goes on with what it began with.

    Raises: DiffvocError naming what has changed.
    """
    if resume:
        before = identity(records.read(run, "manifest"))
        changed = [name for name, value in identity(manifest).items() if before[name] != value]
        if changed:
            raise DiffvocError(
                f"{run} was begun with other {' and '.join(changed)}; give the same, or another --output."
            )
        records.mend(run)
        return
    records.write(run, "manifest", manifest)


def describe(run: Path, systems: Sequence[System]) -> None:
    records.write(run, "systems", {system.name: system.describe() for system in systems})


def gather(chosen: argparse.Namespace) -> tuple[list[System], list[str]]:
    """The systems, and what a person should know of them."""
    specs = chosen.systems or registry.default_names()
    found, said = registry.find_all(specs, chosen.device, chosen.steps, chosen.samplers)
    untrained = [system.label for system in found if system.training == "untrained"]
    if untrained:
        said.append(f"Untrained, and scored so: {', '.join(untrained)}.")
    if not chosen.systems:
        said.append(
            "Others join by --systems: what recipes/benchmark trained by folder, Coqui's vocoders as "
            "vocoder_models/LANG/SET/NAME, where there is a network."
        )
    return found, said


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def compare(chosen: argparse.Namespace) -> Path:
    """Measure what the run lacks, and draw it. Returns its folder."""
    check(chosen)
    config = config_of(chosen)
    clips, found = speech.load(chosen.data, chosen.clips, chosen.seconds or None, chosen.held_back)
    say(found)
    systems, said = gather(chosen)
    run = folder(chosen)
    acoustic = None
    if chosen.tts:
        acoustic = text_to_speech.load(chosen.acoustic, chosen.device)
        clips = text_to_speech.speak(acoustic, clips)
    begin(run, manifest_of(chosen, config, clips, systems, acoustic), chosen.resume)
    describe(run, systems)
    say("\n".join([f"{len(systems)} systems, {len(clips)} clips, into {run}", *said]))
    # Threads that wait for a core spin; the metrics' processes have theirs already.
    torch.set_num_threads(max(1, chosen.threads - chosen.workers))
    benchmark = runner.Benchmark(run, systems, clips, config)
    benchmark.measure_quality()
    if not chosen.no_speed:
        benchmark.measure_speed()
    say("drawing")
    report.redraw(run)
    return run


def manifest_of(
    chosen: argparse.Namespace,
    config: runner.BenchmarkConfig,
    clips: Sequence[speech.Clip],
    systems: Sequence[System],
    acoustic: text_to_speech.AcousticModel | None,
) -> dict[str, Any]:
    given = {name: value for name, value in vars(chosen).items() if name not in ("output", "resume", "data", "typed")}
    options = {
        **given,
        **asdict(config),
        "plugins": [Path(place).name for place in config.plugins],
        "systems": [system.name for system in systems],
        "data": [path.name for path in chosen.data] or ["bundled clips"],
        "acoustic": {"model": acoustic.name} if acoustic else None,
    }
    if acoustic:
        options["acoustic_seconds_per_second"] = round(acoustic.took / acoustic.seconds, 4)
    manifest = provenance.manifest(
        command_line(chosen.typed),
        chosen.device,
        chosen.threads,
        config.seeds,
        runner.RATE,
        {clip.name: clip.digest for clip in clips},
        {system.name: system.digest for system in systems},
        options,
    )
    shown = ("label", "unit", "better", "description", "decimals")
    manifest["metrics"] = {m: {f: getattr(metrics.METRICS[m], f) for f in shown} for m in config.metrics}
    return manifest


def command_line(arguments: Sequence[str]) -> list[str]:
    """As it was typed, but with absolute paths by their last name: none of a machine is published."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in arguments if word != "--resume"]
    return ["python", "eval/compare.py", *words]


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = parse(arguments)
    warnings.filterwarnings("ignore", category=UserWarning, module="torch")
    try:
        run = compare(chosen)
    except DiffvocError as error:
        say(f"compare.py: {error}")
        return 1
    except KeyboardInterrupt:
        say("\nStopped; the same line with --resume goes on.")
        return 130
    print((run / "leaderboard.md").read_text(encoding="utf-8").split("\n## ")[0])
    print(f"Written to {run}: open {run / 'index.html'}")
    return 0
