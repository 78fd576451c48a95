"""Copy synthesis of held-back recordings: PESQ-WB and DNSMOS of each vocoder beside four controls.

    python eval/copy_synthesis.py --data LIBRISPEECH_MINI --data LJSPEECH_MINI --output results/copy-synthesis

The controls are the original, Griffin-Lim on the mel's pseudo-inverse, noise coloured by the mel's envelope with
no network at all, and the first estimate that a bundled vocoder starts from, without any diffusion. The clips are
those that the recipes in recipes/voices hold back (every seventh LibriSpeech reader, every fifth LJSpeech clip).
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import torch
from pesq import PesqError, pesq
from speechmos import dnsmos
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "recipes" / "voices"))
from data import Clip, is_held_back, list_audio, make_clip  # noqa: E402

import tts_diffvoc  # noqa: E402
from tts_diffvoc.estimator import griffin_lim  # noqa: E402
from tts_diffvoc.lapped import LappedTransform, MagnitudePrior  # noqa: E402
from tts_diffvoc.mel import MelConfig, expand, mel_filters  # noqa: E402

System = Callable[[Clip], Tensor]


def controls(mel: MelConfig) -> dict[str, System]:
    """The systems without a trained network: original, Griffin-Lim and coloured noise."""
    inverse = torch.linalg.pinv(mel_filters(mel).double()).float()
    transform, prior = LappedTransform(128), MagnitudePrior(mel, 128, bands=True)

    def original(clip: Clip) -> Tensor:
        return torch.from_numpy(clip.samples.astype(np.float32) / 32767)

    def invert(clip: Clip) -> Tensor:
        magnitude = (inverse @ expand(as_mel(clip), mel)).clamp_min(1e-5)
        return griffin_lim(magnitude, mel, 60, torch.Generator().manual_seed(0))[0]

    def coloured_noise(clip: Clip) -> Tensor:
        scale = prior(expand(as_mel(clip), mel))
        noise = torch.randn(scale.shape, generator=torch.Generator().manual_seed(0))
        return transform.inverse(noise * scale)[0]

    return {"original": original, "griffin-lim, 60 iterations": invert, "coloured noise": coloured_noise}


def as_mel(clip: Clip) -> Tensor:
    return torch.from_numpy(clip.mel).unsqueeze(0)


def vocoder_systems(spec: str, device: str) -> dict[str, System]:
    """A vocoder by its specification, and the estimate it starts from when it has one."""
    vocoder = tts_diffvoc.load_vocoder(spec, device)
    systems: dict[str, System] = {spec: lambda clip: vocoder.generate(as_mel(clip), seed=0)[0].cpu()}
    estimator = vocoder.estimator
    if estimator is not None and "?" not in spec:
        with_seed = lambda: torch.Generator().manual_seed(0)  # noqa: E731
        systems[f"{spec}: its estimate alone"] = lambda clip: estimator(
            as_mel(clip).to(vocoder.device), with_seed()
        )[0].cpu()
    return systems


def to_16k(samples: np.ndarray, rate: int) -> np.ndarray:
    return np.clip(librosa.resample(samples, orig_sr=rate, target_sr=16000, res_type="soxr_hq"), -1, 1)


def score(reference: np.ndarray, degraded: np.ndarray, rate: int) -> dict[str, float | str | None]:
    """PESQ-WB and DNSMOS overall of one clip; a metric that fails is None with its reason beside it."""
    reference, degraded = to_16k(reference, rate), to_16k(degraded, rate)
    row: dict[str, float | str | None] = {"pesq_wb": None, "dnsmos": None, "error": None}
    try:
        row["pesq_wb"] = float(pesq(16000, reference, degraded, "wb"))
        row["dnsmos"] = float(dnsmos.run(degraded, 16000)["ovrl_mos"])
    except (PesqError, ValueError) as error:
        row["error"] = f"{type(error).__name__}: {error}"
    return row


def choose(folders: list[Path], count: int) -> list[Path]:
    """Up to ``count`` held-back clips, spread evenly over what is there."""
    held = [p for folder in folders for p in list_audio(folder) if is_held_back(p)]
    if not held:
        raise SystemExit("error: no held-back clips in the given folders; give librispeech-mini or ljspeech-mini.")
    places = np.unique(np.linspace(0, len(held) - 1, min(count, len(held))).astype(int))
    return [held[i] for i in places]


@torch.inference_mode()
def run(systems: dict[str, System], clips: list[Clip], rate: int) -> pd.DataFrame:
    """One record for each clip and system; systems take turns on each clip so that a busy machine hits all."""
    records = []
    for number, clip in enumerate(clips, 1):
        reference = clip.samples.astype(np.float32) / 32767
        for name, system in systems.items():
            start = time.perf_counter()
            degraded = system(clip)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds = time.perf_counter() - start
            row = {"system": name, "clip": clip.name, "seconds": len(reference) / rate, "took": seconds}
            records.append(row | score(reference, degraded.numpy()[: len(reference)], rate))
        print(f"{number} of {len(clips)} clips", end="\r", file=sys.stderr, flush=True)
    return pd.DataFrame(records)


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """Means with 95 % intervals over clips, seconds a second of audio, and failures, in the order given."""
    grouped = records.groupby("system", sort=False)
    table = pd.DataFrame({"clips": grouped.size()})
    for metric in ("pesq_wb", "dnsmos"):
        table[metric] = grouped[metric].mean().round(3)
        spread = 1.96 * grouped[metric].std() / np.sqrt(grouped[metric].count())
        table[f"{metric} ±"] = spread.round(3)
    table["s per s"] = (grouped["took"].sum() / grouped["seconds"].sum()).round(3)
    table["failed"] = grouped["error"].count()
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True, help="corpus folder; repeatable")
    parser.add_argument("--vocoders", nargs="+", default=["diffwave", "wavegrad"], help="names or folders, ?options")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--max-seconds", type=float, default=10.0, help="longer clips are cut")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="folder for records.csv, summary.md and manifest.json")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    mel = MelConfig()
    systems = controls(mel)
    for spec in options.vocoders:
        systems |= vocoder_systems(spec, options.device)
    clips = [make_clip(path, mel, options.max_seconds) for path in choose(options.data, options.clips)]
    for system in systems.values():
        system(clips[0])  # warm up
    records = run(systems, clips, mel.sample_rate)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        records.round(4).to_csv(options.output / "records.csv", index=False)
    table = summarise(records).to_markdown()
    print(table)
    if options.output:
        (options.output / "summary.md").write_text(table + "\n", encoding="utf-8")
        manifest = {
            "device": options.device,
            "processor": platform.processor() or platform.machine(),
            "threads": options.threads,
            "clips": [clip.name for clip in clips],
            "torch": torch.__version__,
            "tts_diffvoc": tts_diffvoc.__version__,
        }
        (options.output / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
