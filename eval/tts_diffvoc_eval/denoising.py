"""Measure how much noise a generator removes without having been trained to (DiffWave's section 5.4).

    python eval/denoising.py --data FSDD --model digits --output results/digits

White noise is added to held-back clips, once with a deviation of 10 % of full scale and once with 10 % of each clip's
root mean square (20 dB), or as --noise says. Scores are the scale-invariant signal-to-distortion ratio (SI-SDR), its
gain, and the accuracy of the classifier of eval/unconditional.py. Compared with spectral subtraction, and, for a
generator of spectra, its best linear estimate. Writes denoising.md, denoising.csv and denoising.json.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

import tts_diffvoc
from tts_diffvoc import generators
from tts_diffvoc.arguments import MOST_STEPS, whole
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import make_folder, write_beside
from tts_diffvoc.generator import Generator
from tts_diffvoc.jobs import bar
from tts_diffvoc.zero_shot import sounding
from tts_diffvoc_eval import provenance, records
from tts_diffvoc_eval.generation import tables
from tts_diffvoc_eval.generation.classifier import Classifier
from tts_diffvoc_eval.generation.metrics import Estimate, accuracy
from tts_diffvoc_eval.intervals import interval
from tts_diffvoc_eval.systems import digest
from tts_diffvoc_eval.unconditional import SEED, add_common, check_rate, set_up, waveform_digest

WINDOW = 256  # samples of a frame of spectral subtraction, 32 ms at 8 kHz
FLOOR = 0.02  # of a bin's power that spectral subtraction leaves at least
BATCH = 16
TEXT = """# Zero-shot denoising: {corpus}

`{command}`

{clips} held-back clips ({credit}); in brackets 95 % intervals over clips. One step is the posterior mean, \
the estimate of least mean squared error.

{table}
"""


# Noise, and its measure


def add_white_noise(clean: Tensor, share: float, relative: bool, seed: int = 0) -> tuple[Tensor, Tensor]:
    """``clean`` [N, T] with Gaussian noise, clip i's from a seed of its own, and the deviations [N], float64.

    Args:
        share: deviation of the noise, of full scale; if ``relative``, of the clip's root mean square without digital
            silence at its ends, so that all clips have one signal-to-noise ratio.

    Raises: DiffvocError for a share that is not positive.
    """
    if not 0 < share < math.inf:
        raise DiffvocError(f"noise of {share} was asked for; give a share above 0, 0.1 for 10 %.")
    draws = [torch.Generator().manual_seed(seed * 1_000_003 + i) for i in range(len(clean))]
    white = torch.stack([torch.randn(clean.shape[1], generator=one) for one in draws])
    powers = [sounding(clip).double().square().mean().nan_to_num() if relative else 1.0 for clip in clean]
    deviations = share * torch.tensor(powers, dtype=torch.float64).sqrt()
    return clean + deviations[:, None].float() * white, deviations


def si_sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio [N] in dB (Le Roux et al. 2019, eq. 3), means removed."""
    return scale_invariant_signal_distortion_ratio(estimate.double(), target.double(), zero_mean=True)


def measure(
    denoised: Tensor, noisy: Tensor, clean: Tensor, labels: Tensor, classifier: Classifier
) -> dict[str, Estimate]:
    """SI-SDR after denoising, its gain, and the classifier's accuracy, each with its interval over clips [N, T]."""
    after, before = si_sdr(denoised, clean).numpy(), si_sdr(noisy, clean).numpy()
    found = {"after": _mean(after)}
    if denoised is not noisy:
        found["gain"] = _mean(after - before)
    p, _ = classifier.classify(denoised.clamp(-1, 1))
    return {**found, "accuracy": accuracy(p, labels.numpy())}


def _mean(values: np.ndarray) -> Estimate:
    low, high = interval(values.tolist()) or (math.nan, math.nan)
    return Estimate(float(np.mean(values)), low, high)


# Methods


Method = Callable[[Tensor, Tensor], Tensor]  # of noisy clips [N, T] whose noise has these deviations [N]


def spectral_subtraction(noisy: Tensor, deviations: Tensor) -> Tensor:
    """Each bin's power less the noise's expected power, phases kept (Boll 1979, with powers): [N, T]."""
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(noisy, WINDOW, WINDOW // 4, window=window, return_complex=True)
    power = spectrum.abs().square()
    expected = (deviations.float().square() * window.square().sum()).reshape(-1, 1, 1)
    gain = ((power - expected) / power.clamp_min(1e-12)).clamp_min(FLOOR).sqrt()
    return torch.istft(spectrum * gain, WINDOW, WINDOW // 4, window=window, length=noisy.shape[1])


def linear(generator: Generator) -> Generator:
    """A copy of a ``generator`` of spectra without its network's correction: the best linear estimate (Wiener's)."""
    if not generator.config.hop:
        raise DiffvocError(f"{generator.name} works on samples and has no linear estimate.")
    copy = Generator(generator.config, f"{generator.name}-linear").to(generator.device).eval()
    copy.deviation.copy_(generator.deviation)
    return copy


def diffusion(generator: Generator, steps: int, noise_known: bool, noisy: Tensor, deviations: Tensor) -> Tensor:
    """Zero-shot denoising by ``generator`` (:meth:`Generator.denoise`), told the noise's deviation or not."""
    size = BATCH if bool((deviations == deviations[0]).all()) else 1
    parts = []
    for first in range(0, len(noisy), size):
        noise = float(deviations[first]) if noise_known else None
        parts.append(generator.denoise(noisy[first : first + size], noise=noise, steps=steps, seed=first).cpu())
    return torch.cat(parts)


def methods(generator: Generator, steps: Sequence[int]) -> list[tuple[str, str, Method]]:
    """All that is compared: a name for files, a label for people, and what removes the noise."""
    name = generator.name
    found: list[tuple[str, str, Method]] = [
        ("noisy", "noise left on", lambda noisy, deviations: noisy),
        ("spectral-subtraction", "spectral subtraction, noise known", spectral_subtraction),
    ]
    if generator.config.hop:
        best = partial(diffusion, linear(generator), 1, True)
        found.append((f"{name}-linear-1", "linear estimate, noise known", best))
    for count, known in [*((count, True) for count in steps), (min(steps), False)]:
        said = f"{name}, {count} step{'s' if count != 1 else ''}, noise {'known' if known else 'estimated'}"
        short = f"{name}-{count}" + "-estimated" * (not known)
        found.append((short, said, partial(diffusion, generator, count, known)))
    return found


# The command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", required=True, help="name or folder of a generator")
    add("--noise", nargs="+", default=["0.1", "0.1rms"], help="deviations, of full scale or, with rms, of the clip's")
    add("--steps", type=whole(1, MOST_STEPS), nargs="+", default=[1, 6, 25], help="default: 1 6 25")
    add("--count", type=whole(1, 1_000_000), default=500, help="held-back clips, spread over all (default: 500)")
    add("--seed", type=SEED, default=0, help="of the noise (default: 0)")
    add("--output", type=Path, default=Path("results/digits"), help="default: results/digits")
    add_common(parser)


def parse_noise(text: str) -> tuple[float, bool, str]:
    """ "0.1rms" -> 0.1, True and a description: the share, and whether it is of each clip's root mean square."""
    relative = text.endswith("rms")
    try:
        share = float(text.removesuffix("rms"))
    except ValueError:
        raise DiffvocError(f"--noise {text} is not a number; give for example 0.1, or 0.1rms.") from None
    return share, relative, f"white, {100 * share:g} % of {'the clip’s RMS' if relative else 'full scale'}"


def run(options: argparse.Namespace) -> None:
    """Add noise to the clips, remove it by every method, and write the tables."""
    noises = [parse_noise(text) for text in options.noise]
    corpus, classifier = set_up(options)
    generator = tts_diffvoc.load_generator(options.model, options.device)
    check_rate(generator.name, generator.sample_rate, corpus)
    chosen = torch.linspace(0, len(corpus.held) - 1, min(options.count, len(corpus.held))).round().long()
    clean, labels = corpus.held.waveforms[chosen], corpus.held.labels[chosen]
    rows: list[dict[str, Any]] = []
    compared = methods(generator, options.steps)
    for share, relative, description in noises:
        noisy, deviations = add_white_noise(clean, share, relative, options.seed)
        for name, label, method in bar(compared, description):
            found = measure(method(noisy, deviations), noisy, clean, labels, classifier)
            facts = {"name": name, "label": label, "noise": description, "clips": len(chosen)}
            rows.append({**facts, "values": {key: one._asdict() for key, one in found.items()}})
    facts = {"corpus": corpus.name, "credit": corpus.credit, "clips": len(chosen), "noise": options.noise}
    weights = generators.resolve(generators.parse(options.model)[0]) / "model.safetensors"
    command, clips = provenance.command_line("python eval/denoising.py", options.typed), waveform_digest(corpus.held)
    manifest = provenance.manifest(
        command, {"held": clips}, {generator.name: digest(weights)}, facts,
        [options.seed], corpus.sample_rate, options.device, options.threads,
    )  # fmt: skip
    make_folder(options.output)
    records.write(options.output, "denoising", {"manifest": manifest, "rows": rows})
    text = TEXT.format(command=command, table=tables.markdown(tables.denoising(rows)), **facts)
    write_beside(options.output / "denoising.md", text)
    tables.write_csv(options.output / "denoising.csv", rows)
    print(f"{text}\nWritten to {options.output}")
