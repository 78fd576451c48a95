"""Zero-shot denoising: noise on clips, methods to remove it, and how well each does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import Generator
from tts_diffvoc_eval.generation.classifier import Classifier
from tts_diffvoc_eval.generation.metrics import Estimate, accuracy
from tts_diffvoc_eval.intervals import interval

WINDOW = 256  # samples of a frame of spectral subtraction, 32 ms at 8 kHz
FLOOR = 0.02  # of a bin's power that spectral subtraction leaves at least
BATCH = 16


@dataclass(frozen=True)
class NoisyClips:
    """Clips with white noise.

    Attributes:
        clean: [N, T] float32. noisy: [N, T], not clipped to [-1, 1].
        deviations: [N] float64, of each clip's noise, in units of the waveform.
        labels: [N] names of what is said.
    """

    clean: Tensor
    noisy: Tensor
    deviations: Tensor
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Method:
    """A way to remove noise: its name for files, its label for people, and what it makes of noisy clips, [N, T]."""

    name: str
    label: str
    apply: Callable[[NoisyClips], Tensor]


def add_white_noise(clean: Tensor, labels: Sequence[str], share: float, relative: bool, seed: int = 0) -> NoisyClips:
    """``clean`` [N, T] with Gaussian noise, clip i's from a seed of its own.

    Args:
        share: deviation of the noise, of full scale; if ``relative``, of the clip's root mean square without digital
            silence at its ends, so that all clips have one signal-to-noise ratio.

    Raises: DiffvocError for a share that is not positive.
    """
    if not 0 < share < math.inf:
        raise DiffvocError(f"noise of {share} was asked for; give a share above 0, 0.1 for 10 %.")
    loudness = torch.stack([rms(clip) for clip in clean]) if relative else torch.ones(len(clean), dtype=torch.float64)
    draws = [torch.Generator().manual_seed(seed * 1_000_003 + i) for i in range(len(clean))]
    white = torch.stack([torch.randn(clean.shape[1], generator=one) for one in draws])
    deviations = share * loudness
    return NoisyClips(clean, clean + deviations[:, None].float() * white, deviations, tuple(labels))


def rms(clip: Tensor) -> Tensor:
    """Root mean square of ``clip`` [T] from its first sample that is not 0 to its last, float64; 0 for silence."""
    sounding = clip.nonzero()
    if not len(sounding):
        return torch.zeros((), dtype=torch.float64)
    return clip[int(sounding[0]) : int(sounding[-1]) + 1].double().square().mean().sqrt()


def si_sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio [N] in dB (Le Roux et al. 2019, eq. 3), means removed."""
    return scale_invariant_signal_distortion_ratio(estimate.double(), target.double(), zero_mean=True)


# Methods


def spectral_subtraction(data: NoisyClips) -> Tensor:
    """Each bin's power less the noise's expected power, phases kept (Boll 1979, with powers): [N, T]."""
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(data.noisy, WINDOW, WINDOW // 4, window=window, return_complex=True)
    power = spectrum.abs().square()
    expected = (data.deviations.float().square() * window.square().sum()).reshape(-1, 1, 1)
    gain = ((power - expected) / power.clamp_min(1e-12)).clamp_min(FLOOR).sqrt()
    return torch.istft(spectrum * gain, WINDOW, WINDOW // 4, window=window, length=data.noisy.shape[1])


def linear(generator: Generator) -> Generator:
    """A copy of a ``generator`` of spectra without its network's correction: the best linear estimate (Wiener's)."""
    if not generator.config.hop:
        raise DiffvocError(f"{generator.name} works on samples and has no linear estimate.")
    copy = Generator(generator.config, f"{generator.name}-linear").to(generator.device).eval()
    copy.deviation.copy_(generator.deviation)
    return copy


def diffusion(generator: Generator, steps: int = 1, noise_known: bool = True) -> Method:
    """Zero-shot denoising by ``generator`` (:meth:`Generator.denoise`).

    Args:
        steps: network evaluations; 1 is the posterior mean.
        noise_known: it is given the noise's deviation; else it estimates it clip by clip.
    """

    def apply(data: NoisyClips) -> Tensor:
        size = BATCH if bool((data.deviations == data.deviations[0]).all()) else 1
        parts = []
        for first in range(0, len(data.noisy), size):
            noise = float(data.deviations[first]) if noise_known else None
            clips = data.noisy[first : first + size]
            parts.append(generator.denoise(clips, noise=noise, steps=steps, seed=first).cpu())
        return torch.cat(parts)

    name = f"{generator.name}-{steps}" + "-estimated" * (not noise_known)
    known = "known" if noise_known else "estimated"
    return Method(name, f"{generator.name}, {steps} step{'s' if steps != 1 else ''}, noise {known}", apply)


def methods(generator: Generator, steps: Sequence[int]) -> list[Method]:
    """All that is compared."""
    found = [
        Method("noisy", "noise left on", lambda data: data.noisy),
        Method("spectral-subtraction", "spectral subtraction, noise known", spectral_subtraction),
    ]
    if generator.config.hop:
        control = diffusion(linear(generator))
        found.append(Method(control.name, "linear estimate, noise known", control.apply))
    found += [diffusion(generator, number) for number in steps]
    return [*found, diffusion(generator, min(steps), noise_known=False)]


def measure(method: Method, data: NoisyClips, classifier: Classifier | None = None) -> dict[str, Estimate]:
    """SI-SDR after denoising, its gain, and the classifier's accuracy, each with its interval over clips."""
    denoised = method.apply(data)
    if not bool(torch.isfinite(denoised).all()):
        raise DiffvocError(f"{method.label} made NaN or infinite samples.")
    after, before = si_sdr(denoised, data.clean).numpy(), si_sdr(data.noisy, data.clean).numpy()
    found = {"after": _mean(after)}
    if denoised is not data.noisy:
        found["gain"] = _mean(after - before)
    if classifier is not None:
        p, _ = classifier.classify(denoised.clamp(-1, 1))
        found["accuracy"] = accuracy(p, [classifier.labels.index(label) for label in data.labels])
    return found


def _mean(values: np.ndarray) -> Estimate:
    low, high = interval(values.tolist()) or (math.nan, math.nan)
    return Estimate(float(np.mean(values)), low, high)
