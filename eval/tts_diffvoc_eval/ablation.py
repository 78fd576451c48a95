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
from tts_diffvoc.files import make_folder, write_beside
from tts_diffvoc.jobs import bar
from tts_diffvoc.spectral.transform import rescale
from tts_diffvoc.spectral.vocoder import SCALE, SpectralVocoder
from tts_diffvoc_eval import intervals, provenance, records, speech
from tts_diffvoc_eval.mels import MEL
from tts_diffvoc_eval.metrics import METRICS, measure
from tts_diffvoc_eval.systems import digest

CONSISTENCY = 12
GRIFFIN_LIM = 60
SCORES = ("pesq_wb", "dnsmos")


class Rung(NamedTuple):
    """A way to make a waveform [T] from a clip, the rung that it is compared with, and whether it is synthesis."""

    name: str
    make: Callable[[speech.Clip], Any]
    control: str | None = None
    timed: bool = True


def ladder(vocoder: SpectralVocoder, steps: Sequence[int], seed: int = 0) -> list[Rung]:
    """All that is compared."""
    rate = vocoder.sample_rate
    rungs = [Rung("recording", lambda clip: clip.samples, timed=False)]
    for late in (1, 2, 3):
        bent = partial(bend, rate=rate, milliseconds=late)
        rungs.append(Rung(f"recording, late by up to {late} ms", bent, timed=False))
    for consistency in (0, CONSISTENCY):
        after = f", consistency {consistency}" if consistency else ""
        for count in (0, *steps):

            def make(clip: speech.Clip, count: int = count, consistency: int = consistency) -> Any:
                return vocoder.generate(clip.mel, steps=count, consistency=consistency, seed=seed)[0].numpy()

            name = f"network, {count} step{'s' if count > 1 else ''}" if count else "prior"
            rungs.append(Rung(name + after, make, "prior" + after if count else None))
    name = f"Griffin-Lim, {GRIFFIN_LIM} iterations"
    return [*rungs, Rung(name, lambda clip: griffin_lim(vocoder, clip.mel, seed)[0].numpy())]


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


def bend(clip: speech.Clip, rate: int, milliseconds: float) -> np.ndarray:
    """A recording [T], each sample late or early by up to so many ``milliseconds``, to and fro once a second."""
    fine = soxr.resample(clip.samples, rate, 8 * rate)
    at = np.arange(len(fine) // 8)
    late = milliseconds / 1000 * rate * np.sin(2 * np.pi / rate * at)
    return np.interp(8 * (at + late), np.arange(len(fine)), fine).astype(np.float32)


def score(rungs: Sequence[Rung], clips: Sequence[speech.Clip], rate: int) -> list[dict[str, Any]]:
    """A record of each rung and clip: its scores, why one is missing, seconds and CPU time."""
    made = []
    for rung in bar(rungs, "rungs"):
        rung.make(clips[0])  # what the first call alone does, and caches that a metric has emptied, are not timed
        for clip, (waveform, cpu) in zip(clips, [timed(rung, clip) for clip in clips]):
            assert clip.samples is not None
            values, reasons = measure(SCORES, waveform, clip.samples, rate)
            facts = {"system": rung.name, "clip": clip.name, "seconds": clip.seconds, "cpu_seconds": cpu}
            made.append({**facts, "values": values, "reasons": reasons})
    return made


def timed(rung: Rung, clip: speech.Clip) -> tuple[np.ndarray, float | None]:
    """What a rung makes of a clip [T], and the CPU time that it takes if it is synthesis."""
    begin = time.process_time()
    waveform = rung.make(clip)
    return waveform, time.process_time() - begin if rung.timed else None


def table(found: Sequence[dict[str, Any]], rungs: Sequence[Rung]) -> str:
    """Markdown: means, paired differences from the control, and speed."""
    frame = pd.DataFrame([{**record, **record["values"]} for record in found])
    sums = frame.groupby("system")[["seconds", "cpu_seconds"]].sum()
    rows = []
    for rung in rungs:
        row = {"": rung.name}
        for name in SCORES:
            scores = intervals.by_clip(frame, name)
            mean = scores[rung.name].mean()
            row[METRICS[name].label] = "" if pd.isna(mean) else f"{mean:.2f}"
            row[f"{METRICS[name].label} above the control's"] = difference(scores, rung)
        seconds, cpu = sums.loc[rung.name]
        rows.append({**row, "times real time": f"{seconds / cpu:.1f}" if cpu else ""})
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def difference(scores: pd.DataFrame, rung: Rung) -> str:
    """How far a rung lies above its control, with the interval; empty for one that has none, or has no values."""
    if rung.control is None:
        return ""
    found = intervals.paired(scores, rung.name, rung.control)
    if pd.isna(found.low):
        return ""
    text = f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
    return f"**{text}**" if found.low > 0 or found.high < 0 else text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--vocoder", required=True, help="name or folder of a spectral vocoder")
    add("--data", type=Path, nargs="*", default=[], help="folders of recordings (default: bundled clips)")
    add("--held-back", action="store_true", help="only recordings that our recipes do not learn from")
    add("--clips", type=int, default=20, help="at most (default: 20)")
    add("--seconds", type=float, default=5.0, help="of each clip at most (default: 5)")
    add("--steps", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32], help="of the network (default: %(default)s)")
    add("--seed", type=int, default=0)
    add("--output", type=Path, default=Path("results/ablation"), help="default: results/ablation")


def run(options: argparse.Namespace) -> None:
    """Score the ladder, and write ablation.md and ablation.json."""
    torch.set_num_threads(1)
    vocoder = load_vocoder(options.vocoder)
    if not isinstance(vocoder, SpectralVocoder) or vocoder.config.mel != MEL:
        raise DiffvocError(f"{vocoder.name} is no spectral vocoder that takes the mels of the benchmark.")
    clips, report = speech.load(options.data, options.clips, options.seconds, options.held_back)
    print(report, flush=True)
    rungs = ladder(vocoder, options.steps, options.seed)
    found = score(rungs, clips, vocoder.sample_rate)
    command = provenance.command_line("python eval/ablation.py", options.typed)
    weights = {vocoder.name: digest(voices.resolve(voices.parse(options.vocoder)[0]) / voices.WEIGHTS)}
    digests = {clip.name: clip.digest for clip in clips}
    made = provenance.manifest(command, digests, weights, {}, [options.seed], vocoder.sample_rate)
    text = f"# Ablation of {vocoder.name}\n\n{len(clips)} clips on {provenance.processor()}.\n\n{table(found, rungs)}\n"
    make_folder(options.output)
    write_beside(options.output / "ablation.md", text)
    records.write(options.output, "ablation", {"manifest": made, "records": found})
    print(text)
