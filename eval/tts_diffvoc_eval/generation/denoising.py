"""Noise on clips, ways to take it off, and how far each one gets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import Generator
from tts_diffvoc_eval.generation.classifier import Classifier
from tts_diffvoc_eval.generation.metrics import Estimate, accuracy, wilson
from tts_diffvoc_eval.intervals import interval

WINDOW = 256  # samples of a frame of spectral subtraction, 32 ms at 8 kHz
FLOOR = 0.02  # of a bin's power that spectral subtraction leaves at least
BATCH = 16
CLOSEST = 100.0  # dB; more is rounding


@dataclass(frozen=True)
class Noisy:
    """Clips with white noise.

    Attributes:
        clean: [N, T] float32.
        noisy: [N, T], not cut to [-1, 1].
        deviations: [N] float64, of each clip's noise, in units of the waveform.
        labels: [N] names of what is said.
    """

    clean: Tensor
    noisy: Tensor
    deviations: Tensor
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Way:
    """One way to take noise off: its name for files, its label for people, and what it does to a :class:`Noisy`."""

    name: str
    label: str
    clean: Callable[[Noisy], Tensor]


def add_white_noise(clean: Tensor, labels: Sequence[str], share: float, relative: bool, seed: int = 0) -> Noisy:
    """``clean`` [N, T] with Gaussian noise, clip i's from a seed of its own.

    Args:
        share: deviation of the noise, of full scale; if ``relative``, of the clip's root mean square where it is not
            digital silence, so that clips of all loudnesses have one signal-to-noise ratio.

    Raises: DiffvocError for a share that is not positive.
    """
    if not 0 < share < math.inf:
        raise DiffvocError(f"noise of {share} was asked for; give a share above 0, 0.1 for 10 %.")
    loudness = torch.stack([rms(clip) for clip in clean]) if relative else torch.ones(len(clean), dtype=torch.float64)
    draws = [torch.Generator().manual_seed(seed * 1_000_003 + i) for i in range(len(clean))]
    white = torch.stack([torch.randn(clean.shape[1], generator=one) for one in draws])
    deviations = share * loudness
    return Noisy(clean, clean + deviations[:, None].float() * white, deviations, tuple(labels))


def rms(clip: Tensor) -> Tensor:
    """Root mean square of ``clip`` [T] from its first sample that is not 0 to its last, float64; 0 for silence."""
    heard = clip.nonzero()
    if not len(heard):
        return torch.zeros((), dtype=torch.float64)
    return clip[int(heard[0]) : int(heard[-1]) + 1].double().square().mean().sqrt()


def si_sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio of ``estimate`` [N, T] to ``target`` [N, T], [N] in dB.

    10 log10(|a s|^2 / |a s - e|^2) with a = <e, s> / |s|^2, means taken off (Le Roux et al. 2019, equation 3). At most
    100 dB; NaN for a silent target.
    """
    if estimate.shape != target.shape:
        raise DiffvocError(f"clips of shape {list(estimate.shape)} were given for {list(target.shape)}; give one each.")
    e, s = (x.double() - x.double().mean(1, keepdim=True) for x in (estimate, target))
    scaled = (e * s).sum(1, keepdim=True) / s.square().sum(1, keepdim=True) * s
    ratio = scaled.square().sum(1) / (scaled - e).square().sum(1).clamp_min(1e-300)
    return (10 * ratio.log10()).clamp_max(CLOSEST)


# Ways


def spectral_subtraction(data: Noisy) -> Tensor:
    """Each bin's magnitude less the noise's expected power, phases kept (Boll 1979, with powers): [N, T]."""
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(data.noisy, WINDOW, WINDOW // 4, window=window, return_complex=True)
    power = spectrum.abs().square()
    expected = (data.deviations.float().square() * window.square().sum()).reshape(-1, 1, 1)
    gain = ((power - expected) / power.clamp_min(1e-12)).clamp_min(FLOOR).sqrt()
    return torch.istft(spectrum * gain, WINDOW, WINDOW // 4, window=window, length=data.noisy.shape[1])


def linear(generator: Generator) -> Generator:
    """A copy of a folded ``generator`` that has learnt nothing but the data's mean spectrum: the control.

    What a folded network adds to is the best linear estimate, which is a Wiener filter for speech as it is on average.
    """
    if not generator.config.hop:
        raise DiffvocError(f"{generator.name} works on samples and has no linear estimate.")
    copy = Generator(generator.config, f"{generator.name}-linear").to(generator.device).eval()
    copy.deviation.copy_(generator.deviation)
    return copy


def by(
    generator: Generator, steps: int | None = 1, known: bool = True, told: bool = False, t: int | None = None
) -> Way:
    """Zero-shot denoising by ``generator`` (:meth:`Generator.denoise`).

    Args:
        steps: network evaluations; 1 is the posterior mean.
        known: it is told the noise's deviation; else it estimates it clip by clip.
        told: it is told what is said.
        t: it enters at this step, whatever the noise.
    """
    where = f"from t = {t}" if t is not None else "noise known" if known else "noise estimated"
    said = f"{steps} step{'s' if steps != 1 else ''}" if steps else "every step"
    label = f"{generator.name}, {said}, {where}" + (", told the label" if told else "")
    end = f"-t{t}" if t is not None else "" if known else "-estimated"
    name = f"{generator.name}-{steps or 'every'}{end}" + ("-told" if told else "")

    def clean(data: Noisy) -> Tensor:
        alike = bool((data.deviations == data.deviations[0]).all())
        parts = []
        for first in range(0, len(data.noisy), BATCH if alike or t is not None else 1):
            some = slice(first, first + (BATCH if alike or t is not None else 1))
            noise = float(data.deviations[first]) if known and t is None else None
            labels = list(data.labels[some]) if told else None
            parts.append(generator.denoise(data.noisy[some], t, noise, steps=steps, seed=first, label=labels).cpu())
        return torch.cat(parts)

    return Way(name, label, clean)


# Measuring


def measure(way: Way | None, data: Noisy, classifier: Classifier | None = None) -> dict[str, Estimate]:
    """SI-SDR after, its gain, and the classifier's accuracy on what is left, each with its interval over clips.

    ``way`` None is to leave the noise on.
    """
    cleaned = data.noisy if way is None else way.clean(data)
    if not bool(torch.isfinite(cleaned).all()):
        raise DiffvocError(f"{way.label if way else 'the noise'} made NaN or infinite samples.")
    after = si_sdr(cleaned, data.clean).numpy()
    found = {"after": _mean(after)}
    if way is not None:
        found["gain"] = _mean(after - si_sdr(data.noisy, data.clean).numpy())
    if classifier is not None:
        p, _ = classifier.classify(cleaned.clamp(-1, 1))
        numbers = np.array([classifier.labels.index(label) for label in data.labels])
        share = accuracy(p, numbers)
        found["accuracy"] = Estimate(share, *wilson(round(share * len(numbers)), len(numbers)))
    return found


def _mean(values: np.ndarray) -> Estimate:
    low, high = interval(values.tolist()) or (math.nan, math.nan)
    return Estimate(float(np.mean(values)), low, high)
