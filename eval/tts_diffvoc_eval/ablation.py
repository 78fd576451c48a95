"""What each part of a spectral vocoder adds: the ladder from its prior to its network and to consistency.

    python eval/ablation.py --vocoder runs/spectral/diffwave/vocoder --data LIBRISPEECH LJSPEECH/wavs --held-back

- prior: the source's phases on the magnitudes, one inverse transform, no network;
- network: so many evaluations of it, nothing after;
- consistency: iterations of fast Griffin-Lim that carry the mel towards the given one too. With it the prior is the
  control of the network with it;
- Griffin-Lim: the same iterations, many, from random phases;
- late by ...: the recording itself, its time bent to and fro: what PESQ makes of pulses that no mel can place, though
  nobody hears it.

Every clip's mel is the recording's. Differences are from the control in the same group, paired over clips, with
Student's 95 % interval; they are in bold where it leaves out 0. Speed is seconds of speech for each second of CPU time
on one thread. Writes ablation.md, and every clip's values to ablation.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import soxr
import torch
from torch import Tensor

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import load_vocoder
from tts_diffvoc.diffusion.noise import FrameNoise
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.spectral.transform import rescale
from tts_diffvoc.spectral.vocoder import SCALE, SpectralVocoder
from tts_diffvoc_eval import provenance, records, speech
from tts_diffvoc_eval.intervals import paired
from tts_diffvoc_eval.metrics import METRICS, measure
from tts_diffvoc_eval.progress import Progress
from tts_diffvoc_eval.systems import digest

STEPS = (1, 2, 4, 8, 16, 32)
CONSISTENCY = 12
GRIFFIN_LIM = 60
SCORES = ("pesq_wb", "dnsmos")
RECORDING, PRIOR = "recording", "prior"
BENT = {f"recording, late by up to {late} ms": late for late in (1, 2, 3)}


class Rung(NamedTuple):
    """A way to make a waveform from a mel, and the one that it is compared with."""

    name: str
    control: str | None
    make: Callable[[Tensor], Tensor]


def ladder(vocoder: SpectralVocoder, steps: Sequence[int] = STEPS, seed: int = 0) -> list[Rung]:
    """All that is compared; each function takes a mel [1, M, F] to a waveform [1, T]."""
    rungs: list[Rung] = []
    for consistency in (0, CONSISTENCY):
        after = f", consistency {consistency}" if consistency else ""
        options: dict[str, Any] = {"consistency": consistency, "seed": seed}
        control = PRIOR + after
        rungs.append(Rung(control, None, partial(vocoder.generate, steps=0, **options)))
        for count in steps:
            name = f"network, {count} step{'s' if count > 1 else ''}{after}"
            rungs.append(Rung(name, control, partial(vocoder.generate, steps=count, **options)))
    rungs.append(Rung(f"Griffin-Lim, {GRIFFIN_LIM} iterations", None, partial(griffin_lim, vocoder, seed=seed)))
    return rungs


@torch.inference_mode()
def griffin_lim(vocoder: SpectralVocoder, mel: Tensor, seed: int) -> Tensor:
    """The vocoder's magnitudes and iterations of consistency from random phases (Griffin and Lim 1984), [1, T]."""
    frames, bins = mel.shape[-1], vocoder.transform.bins
    noise = FrameNoise([seed], mel.device)
    excitation = noise(0, 0, frames, vocoder.config.mel.hop_length).flatten(1)
    wanted = vocoder.conditions(mel, vocoder.excitation(vocoder.pitch(mel), excitation)).magnitude
    state = x0 = rescale(noise(1, 0, frames, 2 * bins).unflatten(2, (2, bins)), SCALE)
    for _ in range(GRIFFIN_LIM):
        state, x0 = vocoder.make_consistent(state, x0, wanted, mel)
    return vocoder.decode(x0, wanted).clamp(-1, 1)


def bend(samples: Any, rate: int, milliseconds: float, hertz: float = 1.0) -> Any:
    """``samples`` [T], each late or early by up to so many ``milliseconds``, to and fro at ``hertz``."""
    fine = soxr.resample(samples, rate, 8 * rate)
    at = np.arange(len(samples))
    late = milliseconds / 1000 * rate * np.sin(2 * np.pi * hertz / rate * at)
    return np.interp(8 * (at + late), np.arange(len(fine)), fine).astype(np.float32)


def score(rungs: Sequence[Rung], clips: Sequence[speech.Clip], rate: int) -> list[dict[str, Any]]:
    """A record of each rung and clip, and of each recording: its scores, why one is missing, seconds and CPU time."""
    for rung in rungs[-3:]:  # what happens only once is not timed
        rung.make(clips[0].mel)
    made, progress = [], Progress("clips", len(clips))
    for clip in clips:
        assert clip.samples is not None
        waveforms: list[tuple[str, Any, float | None]] = [(RECORDING, clip.samples, None)]
        waveforms += [(name, bend(clip.samples, rate, late), None) for name, late in BENT.items()]
        for rung in rungs:
            begin = time.process_time()
            waveform = rung.make(clip.mel)[0].numpy()
            waveforms.append((rung.name, waveform, time.process_time() - begin))
        for name, waveform, cpu in waveforms:
            values, reasons = measure(SCORES, waveform, clip.samples, rate)
            facts = {"system": name, "clip": clip.name, "seconds": clip.seconds, "cpu_seconds": cpu}
            made.append({**facts, "values": values, "reasons": reasons})
        progress.step(clip.name)
    return made


def table(found: Sequence[dict[str, Any]], rungs: Sequence[Rung]) -> str:
    """Markdown: means, paired differences from the control, and speed."""
    frame = pd.DataFrame([{**record, **record["values"]} for record in found])
    labels = [METRICS[name].label for name in SCORES]
    heads = ["", *(head for label in labels for head in (label, "more than the control")), "times real time"]
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * (len(heads) - 1)]
    for rung in (*(Rung(name, None, lambda mel: mel) for name in (RECORDING, *BENT)), *rungs):
        own = frame[frame["system"] == rung.name]
        cells = [rung.name]
        for name in SCORES:
            mean = own[name].astype(float).mean()
            unasked = pd.isna(mean) or (rung.name == RECORDING and name == "pesq_wb")
            cells += ["" if unasked else f"{mean:.2f}", difference(frame, rung, name)]
        cpu = own["cpu_seconds"].sum()
        cells.append(f"{own['seconds'].sum() / cpu:.1f}" if cpu else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def difference(frame: pd.DataFrame, rung: Rung, name: str) -> str:
    """How far a rung lies above its control, with the interval; empty for one that has none."""
    if rung.control is None:
        return ""
    values = frame.assign(value=frame[name].astype(float)).pivot(index="clip", columns="system", values="value")
    found = paired(values, rung.name, rung.control)
    if pd.isna(found.mean):
        return ""
    if pd.isna(found.low):
        return f"{found.mean:+.2f}"
    text = f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
    return f"**{text}**" if found.low > 0 or found.high < 0 else text


def load_spectral(name: str) -> SpectralVocoder:
    """Raises: DiffvocError for a vocoder of another kind."""
    vocoder = load_vocoder(name)
    if not isinstance(vocoder, SpectralVocoder):
        raise DiffvocError(f"{name} is no spectral vocoder: it has no prior to take its network away from.")
    if vocoder.config.mel != speech.MEL:
        raise DiffvocError(f"{name} takes another mel than the benchmark's clips have.")
    return vocoder


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocoder", required=True, help="name or folder of a spectral vocoder")
    parser.add_argument(
        "--data", type=Path, nargs="*", default=[], help="folders of recordings (default: bundled clips)"
    )
    parser.add_argument("--held-back", action="store_true", help="only recordings that our recipes do not learn from")
    parser.add_argument("--clips", type=int, default=20, help="at most (default: 20)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each clip at most (default: 5)")
    parser.add_argument(
        "--steps", type=int, nargs="+", default=list(STEPS), help="of the network (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("results/ablation"), help="default: results/ablation")
    typed = list(sys.argv[1:] if arguments is None else arguments)
    args = parser.parse_args(typed)
    torch.set_num_threads(1)
    try:
        vocoder = load_spectral(args.vocoder)
        clips, report = speech.load(args.data, args.clips, args.seconds, args.held_back)
    except DiffvocError as error:
        sys.exit(f"error: {error}")
    print(report, flush=True)
    rungs = ladder(vocoder, args.steps, args.seed)
    found = score(rungs, clips, vocoder.sample_rate)
    command = provenance.command_line("python eval/ablation.py", typed)
    weights = {vocoder.name: digest(voices.resolve(voices.parse(args.vocoder)[0]) / voices.WEIGHTS)}
    digests = {clip.name: clip.digest for clip in clips}
    made = provenance.manifest(command, "cpu", 1, [args.seed], vocoder.sample_rate, digests, weights, {})
    text = f"# Ablation of {vocoder.name}\n\n{len(clips)} clips on {provenance.processor()}.\n\n{table(found, rungs)}\n"
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "ablation.md").write_text(text, "utf-8")
    records.write(args.output, "ablation", {"manifest": made, "records": found})
    print(text)
