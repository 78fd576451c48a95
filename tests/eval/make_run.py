"""A made-up run for tests of the report: records of a benchmark that nobody ran, with short tones as audio.

    python tests/eval/make_run.py FOLDER [--many]

It has what a report must cope with: a clip that failed, a metric without a value, a network without training, a
deterministic system, two systems that tie, a system that could not be timed, and one checkpoint at several steps.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from tts_diffvoc_eval import records
from tts_diffvoc_eval.diversity import SPREADS

RATE = 22050
CLIPS = ("bell-01", "bell-02", "bell-03", "bell-04")
SEEDS = (0, 1)
FAILED = ("wavernn", "bell-02", "the decoder ran out of memory")
NO_PESQ = ("melgan", "bell-03", "PESQ found no utterance in the clip")
SHORTENED = "wavernn"
NOT_TIMED = ("wavernn", "took more than 60 s, which is the limit")


@dataclass(frozen=True)
class MadeUp:
    """A system: what the table says about it, how good it sounds (0 to 1) and how slow it is."""

    label: str
    family: str
    title: str
    quality: float
    slowness: float
    steps: int | None = None
    sampler: str | None = None
    parameters: int = 1_000_000
    training: str = "20 CPU minutes on 300 clips"
    deterministic: bool = False
    minutes: float | None = None
    trained_on: str | None = None


SYSTEMS = {
    "original": MadeUp("Original recording", "original", "original", 1.0, 1e-4, training="none: the recording itself",
                       deterministic=True, parameters=0),
    "griffin-lim": MadeUp("Griffin-Lim, 60 iterations", "signal", "griffin-lim", 0.55, 0.05, training="needs none",
                          parameters=0),
    "hifigan-v2": MadeUp("HiFi-GAN V2", "gan", "hifigan-v2", 0.70, 0.08, deterministic=True, parameters=925_000),
    "melgan": MadeUp("MelGAN (untrained)", "gan", "melgan", 0.10, 0.16, training="untrained", deterministic=True,
                     parameters=4_260_000),
    "diffwave-6": MadeUp("DiffWave, 6 steps", "diffusion", "DiffWave", 0.78, 0.9, 6, "ddpm", 2_620_000),
    "diffwave-50": MadeUp("DiffWave, 50 steps", "diffusion", "DiffWave", 0.83, 7.5, 50, "ddpm", 2_620_000),
    "hifigan-copy": MadeUp("HiFi-GAN V2, a copy", "gan", "hifigan-copy", 0.70, 0.08, deterministic=True,
                           parameters=925_000),
    "wavegrad-6": MadeUp("WaveGrad, 6 steps", "diffusion", "WaveGrad", 0.76, 0.5, 6, "ddpm", 15_800_000),
    "waveglow": MadeUp("WaveGlow & bias denoiser", "flow", "waveglow", 0.66, 1.8, parameters=87_900_000),
    "wavernn": MadeUp("WaveRNN_10-bit", "autoregressive", "wavernn", 0.60, 19.0, parameters=4_500_000),
}  # fmt: skip


def many() -> dict[str, MadeUp]:
    """About as many systems as a full run has: each diffusion checkpoint at more steps and samplers, more GANs."""
    made = dict(SYSTEMS)
    for group, name, cost in (("diffwave", "DiffWave", 0.15), ("wavegrad", "WaveGrad", 0.09)):
        for sampler, gain in (("ddpm", 0.0), ("dpm-solver", 0.04)):
            for steps in (3, 6, 12, 25, 50):
                if sampler == "ddpm" and f"{group}-{steps}" in made:
                    continue
                quality = 0.84 - 0.35 / steps + gain * (1 if steps < 25 else 0.2)
                title = name if sampler == "ddpm" else f"{name}, {sampler}"
                entry = MadeUp(f"{title}, {steps} steps", "diffusion", title, quality, cost * steps,
                               steps, sampler, 2_620_000)  # fmt: skip
                made[f"{group}-{steps}-{sampler}"] = entry
    for name, quality, slowness in (("Parallel WaveGAN", 0.62, 1.3), ("UnivNet", 0.68, 0.23), ("MB-MelGAN", 0.5, 0.06)):
        key = name.lower().replace(" ", "-")
        made[key] = MadeUp(name, "gan", key, quality, slowness, deterministic=name != "Parallel WaveGAN")
    return made


def tone(clip: int, quality: float, seed: int, seconds: float = 0.7) -> np.ndarray:
    """A bell of harmonics [T] in noise: the worse the system, the more noise."""
    time = np.arange(int(RATE * seconds)) / RATE
    pitch = 140 + 40 * clip + 30 * np.sin(6 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    bell = sum(np.sin(k * phase) / k**1.2 for k in range(1, 24)) * np.exp(-2 * ((time * 2.5) % 1))
    noise = np.random.default_rng(1000 * clip + seed).standard_normal(len(time))
    return (0.12 * bell + 0.05 * (1 - quality) * noise).clip(-1, 1).astype(np.float32)


def values(quality: float, random: np.random.Generator) -> dict[str, float]:
    """One clip's scores; `quality` and the clip's own luck move them all together."""
    worse = 1 - quality
    return {
        "pesq_wb": 4.64 - 3.6 * worse + 0.05 * random.standard_normal(),
        "stoi": 1 - 0.3 * worse + 0.004 * random.standard_normal(),
        "dnsmos": 3.2 - 1.5 * worse**1.5 + 0.03 * random.standard_normal(),
        "lsd": 14 * worse * (1 + 0.02 * random.standard_normal()),
        "mrstft": 2 * worse * (1 + 0.02 * random.standard_normal()),
        "mcd": 10 * worse * (1 + 0.02 * random.standard_normal()),
        "f0_rmse": 120 * worse * (1 + 0.05 * random.standard_normal()),
        "wer": max(0.0, 40 * worse**2 + random.standard_normal() * worse),
    }


def write_quality(run: Path, systems: dict[str, MadeUp], clips: tuple[str, ...], seeds: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    for number, clip in enumerate(clips):
        luck = 0.02 * number
        for name, system in systems.items():
            for seed in seeds[:1] if system.deterministic else seeds:
                record = {"system": name, "clip": clip, "seed": seed, "seconds": 0.7, "error": None, "audio": None,
                          "values": {}, "reasons": {}}  # fmt: skip
                if (name, clip) == FAILED[:2]:
                    records.append(run, "quality", {**record, "error": FAILED[2]})
                    continue
                sound = 1.0 if name == "original" else system.quality - luck
                record["audio"] = f"audio/{name}/{clip}-{seed}.mp3"
                path = run / record["audio"]
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, tone(number, sound, seed), RATE)
                record["values"] = values(sound, random if name != "original" else np.random.default_rng(0))
                if (name, clip) == NO_PESQ[:2]:
                    record["values"]["pesq_wb"] = None
                    record["reasons"]["pesq_wb"] = NO_PESQ[2]
                records.append(run, "quality", record)


def write_speed(run: Path, systems: dict[str, MadeUp], repeats: int = 5) -> None:
    random = np.random.default_rng(1)
    for repeat in range(repeats):
        for batch, asked in ((1, 1.0), (1, 5.0), (4, 5.0)):
            drift = 1 + 0.1 * random.random()
            for name, system in systems.items():
                if name == "original":
                    continue
                late = name == NOT_TIMED[0] and batch == 4
                seconds = 0.5 if name == SHORTENED and asked == 5.0 else asked
                took = None if late else system.slowness * seconds * batch**0.8 * drift * (1 + 0.02 * random.random())
                record = {"system": name, "device": "cpu", "batch": batch, "seconds": seconds, "asked": asked,
                          "repeat": repeat, "repeats": repeats, "took": took,
                          "memory": 40_000_000 + 6 * system.parameters,
                          "error": NOT_TIMED[1] if late else None}  # fmt: skip
                records.append(run, "speed", record)


def write_diversity(run: Path, systems: dict[str, MadeUp], clips: tuple[str, ...]) -> None:
    """Spreads that grow with the error, zero for deterministic systems; the original's is the noise floor."""
    random = np.random.default_rng(2)
    for clip in clips:
        for name, system in systems.items():
            spread = 0.02 if name == "original" else 0.0 if system.deterministic else 1.1 - system.quality
            values = {key: spread * (1 + 0.05 * random.random()) for key in SPREADS}
            records.append(run, "diversity", {"system": name, "clip": clip, "seeds": [0, 1], "error": None,
                                              "values": values})  # fmt: skip


def write_manifest(run: Path, systems: dict[str, MadeUp], clips: tuple[str, ...], seeds: tuple[int, ...]) -> None:
    digest = {name: hashlib.sha256(name.encode()).hexdigest() for name in (*clips, *systems)}
    manifest = {
        "command": "tts-diffvoc compare --quick --output results/made-up",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "date": "2030-01-02T03:04:05+00:00",
        "device": "cpu",
        "processor": "A made-up processor",
        "threads": 2,
        "versions": {"python": "3.11.7", "torch": "2.11.0", "numpy": "2.4.0"},
        "seeds": list(seeds),
        "sample_rate": RATE,
        "clips": {clip: digest[clip] for clip in clips},
        "checkpoints": {name: digest[name] for name, system in systems.items() if system.parameters},
        "options": {"quick": True, "metrics": None, "note": "</script><b>not a tag</b>"},
    }
    records.write(run, "manifest", manifest)
    entries = {
        name: {
            "label": s.label, "family": s.family, "title": s.title, "steps": s.steps, "sampler": s.sampler,
            "parameters": s.parameters, "deterministic": s.deterministic,
            "training": s.training, "note": "random weights, as built" if name == "melgan" else None,
            "minutes": s.minutes, "trained_on": s.trained_on,
        }
        for name, s in systems.items()
    }  # fmt: skip
    records.write(run, "systems", entries)


def make(run: Path, systems: dict[str, MadeUp] = SYSTEMS, clips: tuple[str, ...] = CLIPS,
         seeds: tuple[int, ...] = SEEDS, parts: tuple[str, ...] = records.KINDS) -> Path:  # fmt: skip
    """A whole run in the folder ``run``, or only ``parts`` of it."""
    run.mkdir(parents=True, exist_ok=True)
    write_manifest(run, systems, clips, seeds)
    if "quality" in parts:
        write_quality(run, systems, clips, seeds)
    if "speed" in parts:
        write_speed(run, systems)
    if "diversity" in parts:
        write_diversity(run, systems, clips)
    return run


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--many", action="store_true", help="about 22 systems instead of 10")
    given = parser.parse_args()
    make(given.folder, many() if given.many else SYSTEMS)
