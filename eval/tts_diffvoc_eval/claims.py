"""What the papers claim, beside what was measured here.

    python eval/claims.py --leaderboard results/leaderboard --steps results/steps \\
        --wavegrad-steps results/wavegrad-steps --ablations results/ablations --bundled results/bundled \\
        --output results/claims

Each claim is a comparison of two systems of one run of compare.py, paired by clip, with Student's interval; the claim
about speed and size times the published networks itself, random weights being as fast as trained ones. Writes claims.md
and claims.json. `python eval/claims.py --schedules WAVEGRAD --output FOLDER` makes the two checkpoints that the claim
about the broken schedule compares.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from tts_diffvoc.building import build
from tts_diffvoc.checkpoint import load_vocoder, save_checkpoint
from tts_diffvoc.coqui.configs import published
from tts_diffvoc.diffusion.schedules import linear_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.vocoder import Vocoder
from tts_diffvoc_eval import intervals, provenance, records, systems, timing

AGREES, DIFFERS, OPEN = "agrees", "does not agree", "cannot be told"
# Coqui's test schedule of 50 steps, which ends at a noise level of 0.88 while sampling begins with pure noise.
BROKEN = linear_schedule(1e-6, 0.01, 50)
BROKEN_CARD = """---
training: {training}
data: the same as of {name}
---
WaveGrad's weights of {name}, sampled by a schedule of 50 steps that ends at a noise level of 0.88.
"""


@dataclass(frozen=True)
class Claim:
    """``a`` is above ``b`` in ``metric``; with a ``margin``, no further below it than that.

    Attributes:
        source, says: the paper, and its claim in our words.
        run: which of the runs.
        metric: of quality.jsonl, or of diversity.jsonl where it begins with "spread".
        note: what the comparison here is.
    """

    source: str
    says: str
    run: str
    metric: str
    a: str
    b: str
    margin: float | None = None
    note: str = ""


RUNS = ("leaderboard", "steps", "wavegrad_steps", "ablations", "bundled")
DIFFWAVE, WAVEGRAD, WAVEGLOW = "DiffWave", "WaveGrad", "WaveGlow"
ALONE = "without projection"
FAST = "six steps are nearly as good as fifty (MOS 4.37 against 4.38)"
WIDE = "128 channels are better than 64 (MOS 4.44 against 4.38)"
LONG = "quality rises with the steps T of training and sampling (MOS 4.31, 4.35, 4.38 for 20, 40, 50)"
NORM = "the absolute error trains better than the squared one"
ENDS = "a schedule must end near pure noise: one of 50 steps that ends at 0.88 spoils the sound"
SHORT = "six steps, searched for, come close to a thousand"
DIVERSE = "samples of a diffusion model differ more than a GAN's (unconditional speech there; one mel, many seeds here)"
CLAIMS = tuple(
    Claim(*rest)
    for rest in (
        (DIFFWAVE, FAST, "steps", "pesq_wb", "diffwave-6-ddim", "diffwave-50-ddim", 0.2, "projected"),
        (DIFFWAVE, FAST, "steps", "dnsmos", "diffwave-6-ddim", "diffwave-50-ddim", 0.1, "projected"),
        (DIFFWAVE, FAST, "steps", "pesq_wb", "diffwave-project=0-6-ddim", "diffwave-project=0-50-ddim", 0.2,
         ALONE),
        (WAVEGRAD, SHORT, "wavegrad_steps", "pesq_wb", "wavegrad-6-ddim", "wavegrad-200-ddim", 0.2,
         "200 steps, projected"),
        (WAVEGRAD, SHORT, "wavegrad_steps", "pesq_wb", "wavegrad-project=0-6-ddim",
         "wavegrad-project=0-200-ddim", 0.2,
         f"200 steps, {ALONE}"),
        (DIFFWAVE, LONG, "ablations", "pesq_wb", "diffwave-wide", "diffwave-t20", None, f"T = 200 against 20, {ALONE}"),
        (DIFFWAVE, LONG, "ablations", "dnsmos", "diffwave-wide", "diffwave-t20", None, f"T = 200 against 20, {ALONE}"),
        (DIFFWAVE, LONG, "ablations", "pesq_wb", "diffwave-t50", "diffwave-t20", None, f"T = 50 against 20, {ALONE}"),
        (DIFFWAVE, WIDE, "ablations", "pesq_wb", "diffwave-wide", "diffwave-narrow", None, f"192 against 96, {ALONE}"),
        (DIFFWAVE, WIDE, "ablations", "dnsmos", "diffwave-wide", "diffwave-narrow", None, f"192 against 96, {ALONE}"),
        (WAVEGRAD, NORM, "ablations", "pesq_wb", "wavegrad-l1", "wavegrad-l2", None, f"50 steps, {ALONE}"),
        (WAVEGRAD, NORM, "ablations", "dnsmos", "wavegrad-l1", "wavegrad-l2", None, f"50 steps, {ALONE}"),
        (WAVEGRAD, ENDS, "ablations", "pesq_wb", "wavegrad-l1", "wavegrad-broken-50", None, f"50 steps, {ALONE}"),
        (WAVEGRAD, ENDS, "ablations", "dnsmos", "wavegrad-l1", "wavegrad-broken-50", None, f"50 steps, {ALONE}"),
        (DIFFWAVE, DIVERSE, "leaderboard", "spread_lsd", "diffwave", "univnet", None, "spectral spread, UnivNet"),
        (DIFFWAVE, DIVERSE, "leaderboard", "spread_lsd", "diffwave", "hifigan-v1", None,
         "spectral spread, HiFi-GAN V1, which draws no noise"),
        (DIFFWAVE, "as good as an autoregressive WaveNet, and far faster (MOS 4.44 against 4.43)", "leaderboard",
         "pesq_wb", "diffwave", "wavernn", None, "WaveRNN in WaveNet's place"),
        (DIFFWAVE, "better than WaveGlow (MOS 4.38 of BASE against 4.33)", "leaderboard", "pesq_wb", "diffwave",
         "waveglow", None, "both projected"),
        (WAVEGLOW, "better than Griffin-Lim (MOS 3.96 against 3.82)", "leaderboard", "pesq_wb", "waveglow",
         "griffin-lim", None, "projected"),
        (WAVEGLOW, "better than Griffin-Lim (MOS 3.96 against 3.82)", "bundled", "pesq_wb",
         "waveglow-consistency=0-project=0", "griffin-lim", None, "the flow by itself"),
    )
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """A claim with the means of both systems, the difference with its interval, clips, and the verdict."""

    source: str
    says: str
    note: str
    measured: str
    verdict: str


def verdict_of(difference: intervals.Difference, sign: int, margin: float | None) -> str:
    """Whether a paired difference a - b, better upwards where ``sign`` is 1, bears a claim out."""
    low, high = sorted((sign * difference.low, sign * difference.high))
    if difference.clips < 2 or math.isnan(low):
        return OPEN
    bound = 0.0 if margin is None else -margin
    if low > bound or (margin is not None and low == high == bound):
        return AGREES
    return DIFFERS if high <= bound else OPEN


class Runs:
    """The runs of compare.py that the claims are about, read once."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.folders = folders
        self.tables: dict[tuple[str, str], pd.DataFrame] = {}
        self.entries = {name: records.read(path, "systems") for name, path in folders.items()}
        self.metrics = {name: records.read(path, "manifest")["metrics"] for name, path in folders.items()}

    def table(self, run: str, metric: str) -> pd.DataFrame:
        """Clips x systems; without columns where the run has not measured it."""
        if (run, metric) not in self.tables:
            found = records.table(self.folders[run], "diversity" if metric.startswith("spread") else "quality")
            self.tables[run, metric] = intervals.by_clip(found, metric) if metric in found else pd.DataFrame()
        return self.tables[run, metric]

    def label(self, run: str, system: str) -> str:
        return str(self.entries[run].get(system, {}).get("label", system))

    def sign(self, run: str, metric: str) -> int:
        return -1 if self.metrics[run].get(metric, {}).get("better") == "lower" else 1

    def metric_label(self, run: str, metric: str) -> str:
        return str(self.metrics[run].get(metric, {}).get("label", "Spectral spread, dB"))


def check(claim: Claim, runs: Runs) -> Finding | None:
    """The finding, or None where the run or one of its systems is missing."""
    if claim.run not in runs.folders:
        return None
    table = runs.table(claim.run, claim.metric)
    if not {claim.a, claim.b} <= set(table.columns):
        return None
    found = intervals.paired(table, claim.a, claim.b)
    means = table[[claim.a, claim.b]].dropna().mean()
    a, b = (f"{runs.label(claim.run, name)}: {means[name]:.2f}" for name in (claim.a, claim.b))
    range_ = f"{found.mean:+.2f} \\[{found.low:+.2f}, {found.high:+.2f}\\]"
    measured = f"{runs.metric_label(claim.run, claim.metric)}. {a}. {b}. Difference {range_}, {found.clips} clips"
    verdict = verdict_of(found, runs.sign(claim.run, claim.metric), claim.margin)
    note = claim.note if claim.margin is None else f'{claim.note}; "nearly" is {claim.margin:g}'
    return Finding(claim.source, claim.says, note, measured, verdict)


# Speed and size of the published networks


def published_systems(device: str) -> dict[str, tuple[int, Callable[[torch.Tensor, int], torch.Tensor]]]:
    """The papers' networks with random weights: parameters and synthesis."""
    made: dict[str, tuple[int, Callable[[torch.Tensor, int], torch.Tensor]]] = {}
    for name, options in (("diffwave", {"steps": 6}), ("waveglow", {"sigma": 0.6})):
        torch.manual_seed(0)
        vocoder = build(published(name, systems.MEL), name).to(device).eval()

        def speak(mel: torch.Tensor, seed: int, vocoder: Any = vocoder, options: dict[str, Any] = options) -> Any:
            return vocoder.generate(mel, seed=seed, **options)

        made[name] = (sum(p.numel() for p in vocoder.parameters()), speak)
    return made


def speed_finding(device: str, threads: int, output: Path) -> Finding:
    """DiffWave BASE against WaveGlow: parameters, speed, and speed times smallness; timed now, or as kept."""
    kept = output / "speed.jsonl"
    made = published_systems(device)
    if not kept.is_file():
        mel = torch.full((1, 80, 87), -4.0)
        calls = {name: call for name, (_, call) in made.items()}
        with torch.inference_mode():
            taken = timing.measure(
                calls, mel, timing.settings([1], [1.0]), device=device, repeats=3, cap=240.0, threads=threads
            )
        for record in taken:
            records.append(output, "speed", record)
    table = records.table(output, "speed")
    speed = {name: float((rows["seconds"] / rows["took"]).median()) for name, rows in table.groupby("system")}
    millions = {name: count / 1e6 for name, (count, _) in made.items()}
    ratio = (speed["diffwave"] / millions["diffwave"]) / (speed["waveglow"] / millions["waveglow"])
    titles = {"diffwave": "DiffWave BASE, 6 steps", "waveglow": "WaveGlow"}
    shown = ". ".join(
        f"{titles[n]}: {millions[n]:.1f} M parameters, {speed[n]:.3f} × real time" for n in ("diffwave", "waveglow")
    )
    return Finding(
        DIFFWAVE,
        "a fraction of WaveGlow's parameters (2.64 M against 87.88 M), and faster for its size",
        "published sizes, random weights",
        f"{shown}. Speed a parameter: {ratio:.3g} times WaveGlow's",
        AGREES if ratio > 1 else DIFFERS,
    )


# The broken schedule


def make_schedules(vocoder: str, output: Path) -> None:
    """Two checkpoints of one WaveGrad: 50 steps to its noisiest level, and 50 that end at 0.88."""
    folder = Path(vocoder)
    wavegrad = load_vocoder(vocoder)
    if not isinstance(wavegrad, Vocoder) or wavegrad.config.network != "wavegrad":
        raise DiffvocError(f"{vocoder} is not a WaveGrad; give the checkpoint folder of one.")
    config = replace(wavegrad.config, inference={50: BROKEN.betas})
    copy = Vocoder(config, "broken")
    copy.load_state_dict(wavegrad.state_dict())
    card = systems.voices.card(folder)
    text = BROKEN_CARD.format(training=card.get("training", "not said"), name=systems.name_of(vocoder))
    save_checkpoint(copy.eval(), output, text)


# Output


def markdown(findings: Sequence[Finding], missing: Sequence[Claim], about: str) -> str:
    head = ["paper", "claim", "compared here", "measured", "verdict"]
    rows = [[f.source, f.says, f.note, f.measured, f"**{f.verdict}**"] for f in findings]
    table = pd.DataFrame(rows, columns=head).to_markdown(index=False, disable_numparse=True)
    counts = ", ".join(f"{sum(f.verdict == v for f in findings)} {v}" for v in (AGREES, DIFFERS, OPEN))
    text = [
        "# The papers' claims, checked",
        "DiffWave: Kong et al. 2021. WaveGrad: Chen et al. 2021, and the wiring of its schedule in Coqui TTS 0.28. "
        "WaveGlow: Prenger et al. 2019. The papers report listeners' opinions of networks trained for days; here small "
        "networks were trained for minutes, and scores stand in for listeners, so that a verdict is about these.",
        f"{about} A difference has Student's paired 95 % interval over clips. Of {len(findings)}: {counts}.",
        table,
    ]
    if missing:
        text.append("Not measured: " + "; ".join(sorted({claim.says for claim in missing})) + ".")
    return "\n\n".join(text) + "\n"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in RUNS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, help="folder of a run of compare.py")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--schedules", metavar="WAVEGRAD", help="only make the checkpoint with the broken schedule")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="while timing")
    parser.add_argument("--no-speed", action="store_true", help="do not time the published networks")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> str:
    """Write the table; returns it."""
    if options.schedules:
        make_schedules(options.schedules, options.output)
        return f"Written to {options.output}"
    given = {name: getattr(options, name) for name in RUNS if getattr(options, name)}
    for name, folder in given.items():
        if not (folder / "manifest.json").is_file():
            raise DiffvocError(f"{folder} is not a run of compare.py; give one to --{name}.")
    options.output.mkdir(parents=True, exist_ok=True)
    runs = Runs(given)
    pairs = [(claim, check(claim, runs)) for claim in CLAIMS]
    findings = [finding for _, finding in pairs if finding]
    if not options.no_speed:
        findings.append(speed_finding(options.device, options.threads, options.output))
    findings.sort(key=lambda finding: (DIFFWAVE, WAVEGRAD, WAVEGLOW).index(finding.source))
    about = f"On {provenance.device_name(options.device)}, {options.threads} threads."
    text = markdown(findings, [claim for claim, finding in pairs if not finding], about)
    (options.output / "claims.md").write_text(text, encoding="utf-8")
    values = json.dumps([asdict(finding) for finding in findings], indent=1, ensure_ascii=False)
    (options.output / "claims.json").write_text(values + "\n", encoding="utf-8")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        print(run(parse(arguments)))
    except DiffvocError as error:
        print(f"claims.py: {error}", file=sys.stderr)
        return 1
    return 0
