"""Our own vocoders in the benchmark's loop: the losses, clipping and averaging that Coqui's Trainer gives them.

Everything begins with random weights, the magnitude network too, so that a budget is all that a system has had.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tts_diffvoc.building import AnyConfig, AnyVocoder, build, config_from_dict
from tts_diffvoc.checkpoint import load_vocoder, save_checkpoint
from tts_diffvoc.coqui.configs import published
from tts_diffvoc.coqui.training import average_weights
from tts_diffvoc.diffusion.schedules import NoiseSchedule, published_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.estimator import EstimatorConfig
from tts_diffvoc.flow import FlowConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.networks.waveglow import WaveGlowConfig
from tts_diffvoc.networks.wavegrad import WaveGradConfig
from tts_diffvoc.vocoder import Vocoder, VocoderConfig
from tts_diffvoc_eval.baselines.catalogue import System, Variant
from tts_diffvoc_eval.baselines.learners import WARM_UP, Learner, fall
from tts_diffvoc_eval.baselines.mels import CONTRACT

CLIP = 1.0  # norm of the gradient
# The magnitude network learns first and alone, for this share of the budget: the other network is conditioned on it.
ESTIMATOR_SHARE = 0.4
ESTIMATOR_RATE = 2e-3
ESTIMATOR_CLIP = 5.0
MODE = "max-autotune-no-cudagraphs"  # on a GPU; cudagraphs would keep the weights' averages from being taken
CARD = """---
training: {training}
data: {data}{note}
---
{label} in the benchmark of `eval/`, trained from nothing by `recipes/benchmark`.

# {label}
{parameters:,} numbers, averaged over training and kept as float16, on the mel contract of tts-diffvoc (22,050 Hz, hop
256, 80 bands).
"""
PROJECTED = "quality comes from projection on estimated magnitudes"

FOLDED = {"n_mels": CONTRACT.hop_length, "in_channels": CONTRACT.n_fft + 2}
# As in recipes/voices: 200 levels evenly spaced in log-SNR, and three steps, each projected on estimated magnitudes.
FOLDED_LEVELS = NoiseSchedule.log_snr(0.999998, 0.05, 200)
FOLDED_DEFAULTS = {"steps": 3, "sampler": "ddim", "start": "noise", "project": 20, "consistency": 8}


def _folded(network: str, sizes: DiffWaveConfig | WaveGradConfig, levels: int = 200, **changes: Any) -> VocoderConfig:
    schedule = FOLDED_LEVELS if levels == 200 else NoiseSchedule.log_snr(0.999998, 0.05, levels)
    estimator, defaults = EstimatorConfig(), {**FOLDED_DEFAULTS, **changes}
    return VocoderConfig(network, sizes, schedule, CONTRACT, True, estimator, defaults=defaults)


def _small_diffwave(channels: int = 192) -> DiffWaveConfig:
    return DiffWaveConfig(channels, 8, 4, upsample_factors=(1,), **FOLDED)


SMALL: dict[str, AnyConfig] = {
    "diffwave": _folded("diffwave", _small_diffwave()),
    "wavegrad": _folded(
        "wavegrad",
        WaveGradConfig(
            (1,) * 4,
            (160,) * 4,
            ((1, 2, 1, 2), (1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)),
            160,
            (160,) * 4,
            level_scale=5000.0,
            **FOLDED,
        ),
    ),
    "waveglow": FlowConfig(
        sizes=WaveGlowConfig(flows=6, early_every=3, layers=4, channels=96, upsample_window=512),
        mel=CONTRACT,
        estimator=EstimatorConfig(),
        defaults={"sigma": 0.6, "project": 60, "consistency": 8},
    ),
}
# Published schedules of few steps, by network; other numbers of steps are respaced from the training schedule.
SHORT = {"diffwave": ("diffwave-fast-6",), "wavegrad": ("wavegrad-6", "wavegrad-25", "wavegrad-50"), "waveglow": ()}


def published_values(network: str) -> dict[str, Any]:
    """The papers' Base model (WaveGlow: NVIDIA's sizes) with its published schedules of few steps, plain values."""
    values = published(network, CONTRACT).to_dict()
    short = [published_schedule(name) for name in SHORT[network]]
    return {**values, "inference": {s.num_steps: s.betas for s in short}} if short else values


def _system(label: str, network: str, large: dict[str, Any], small: dict[str, Any]) -> System:
    """``large`` and ``small`` are how the two sizes are trained."""
    family = "flow" if network == "waveglow" else "diffusion"
    sizes = (
        Variant(published_values(network), None, **large),
        Variant(SMALL[network].to_dict(), None, **small),
    )
    return System(label, "ours", "", *sizes, normalised=False, deterministic=False, family=family)


SYSTEMS = {
    "diffwave": _system(
        "DiffWave",
        "diffwave",
        {"frames": 64, "batch": 16, "rate": 2e-4, "average": 0.999},
        {"frames": 32, "batch": 8, "rate": 1e-3, "average": 0.998},
    ),
    "wavegrad": _system(
        "WaveGrad",
        "wavegrad",
        {"frames": 64, "batch": 16, "rate": 2e-4, "average": 0.999},
        {"frames": 32, "batch": 8, "rate": 1e-3, "average": 0.998},
    ),
    "waveglow": _system(
        "WaveGlow",
        "waveglow",
        {"frames": 64, "batch": 16, "rate": 1e-4, "average": 0.999},
        {"frames": 16, "batch": 4, "rate": 6e-4, "average": 0.995},
    ),
}


# What the papers compare, in small: the same magnitude network for all, given, so that the budget is the network's
# alone; sampled without projection in as many steps as it was trained with, WaveGrad in 50.
def _ablation(label: str, config: VocoderConfig, norm: str | None = None) -> System:
    base = SYSTEMS[config.network]
    small = replace(base.small, network=config.to_dict(), norm=norm)
    return replace(base, label=label, kind="ablation", published=small, small=small)


def _alone(steps: int) -> dict[str, Any]:
    return {"steps": steps, "sampler": "ddpm", "project": 0}


ABLATIONS = {
    "diffwave-wide": _ablation(
        "DiffWave, 192 channels, T = 200", _folded("diffwave", _small_diffwave(), **_alone(200))
    ),
    "diffwave-narrow": _ablation(
        "DiffWave, 96 channels, T = 200", _folded("diffwave", _small_diffwave(96), **_alone(200))
    ),
    "diffwave-t50": _ablation(
        "DiffWave, 192 channels, T = 50", _folded("diffwave", _small_diffwave(), 50, **_alone(50))
    ),
    "diffwave-t20": _ablation(
        "DiffWave, 192 channels, T = 20", _folded("diffwave", _small_diffwave(), 20, **_alone(20))
    ),
    "wavegrad-l1": _ablation(
        "WaveGrad, absolute error", replace(SMALL["wavegrad"], defaults={**FOLDED_DEFAULTS, **_alone(50)}), "l1"
    ),
    "wavegrad-l2": _ablation(
        "WaveGrad, squared error", replace(SMALL["wavegrad"], defaults={**FOLDED_DEFAULTS, **_alone(50)}), "l2"
    ),
}


@dataclass
class Trained:
    """One of our vocoders as the loop listens to it, with averaged weights."""

    vocoder: AnyVocoder
    label: str
    training: str

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.vocoder.parameters())

    def synthesise(self, mel: Tensor, seed: int = 0) -> Tensor:
        """Waveforms [B, F * 256] of log-mels [B, 80, F] with the vocoder's own defaults."""
        return self.vocoder.generate(mel, seed=seed)

    def save(self, path: Path, data: str) -> None:
        """Write a checkpoint folder of the package."""
        note = f"\nnote: {PROJECTED}" if self.vocoder.defaults.get("project") else ""
        facts = {"training": self.training, "data": data, "label": self.label, "note": note}
        save_checkpoint(self.vocoder, path, CARD.format(**facts, parameters=self.parameters))


class Ours(Learner):
    """A diffusion vocoder or a flow by its own loss; where it has a magnitude network, that one first.

    Levels and noise of a row come from its own seed, drawn on the device.
    """

    betas = (0.9, 0.999)

    @classmethod
    def untrained(cls, name: str, variant: Variant, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build(config_from_dict(variant.network), name)

    def prepare(self) -> None:
        self.generator.train()
        parts = {"network": self.generator.network, "estimator": self.generator.estimator}
        self.networks = {name: part for name, part in parts.items() if part is not None}
        if self.variant.norm:
            self.generator.norm = self.variant.norm
        self.average = AveragedModel(self.generator, multi_avg_fn=average_weights(self.variant.average))
        self.average.requires_grad_(False).eval()

    def mix(self) -> None:
        self.generator.autocast = torch.bfloat16

    def compile(self, waveform: Tensor, mel: Tensor) -> None:
        compile_network(self.generator)  # the average, which was copied before, stays as it is
        self._loss(waveform, mel).backward()
        self.generator.zero_grad(set_to_none=True)
        self.compiled = "network compiled"

    def undo_compile(self) -> None:
        self.generator.network._compiled_call_impl = None
        self.generator.network.__dict__.pop("condition", None)
        self.generator.zero_grad(set_to_none=True)

    @property
    def first(self) -> float:
        """Share of the budget that the magnitude network has."""
        return ESTIMATOR_SHARE if self.generator.estimator is not None else 0.0

    def rate(self, name: str, number: int, share: float) -> float:
        """Of each network over its own share of the budget; the second's rises over a fiftieth of it."""
        if not self.first:
            return super().rate(name, number, share)
        if name == "estimator":
            return ESTIMATOR_RATE * fall(share / self.first) * min(1.0, (number + 1) / WARM_UP)
        own = max(0.0, share - self.first) / (1 - self.first)
        return self.variant.rate * fall(own) * min(1.0, 0.02 + 50 * own)

    def learn(self, waveform: Tensor, mel: Tensor, share: float) -> Tensor:
        if share < self.first:
            loss = self.generator.magnitude_loss(waveform, mel)
            self.descend("estimator", loss, ESTIMATOR_CLIP)
        else:
            loss = self._loss(waveform, mel)
            self.descend("network", loss, CLIP)
        self.average.update_parameters(self.generator)
        return loss.detach()

    def _loss(self, waveform: Tensor, mel: Tensor) -> Tensor:
        seeds = torch.randint(2**62, (len(waveform),)).tolist()
        return self.generator.loss(waveform, mel, seeds=seeds)

    def finished(self, name: str, size: str, training: str) -> Trained:
        label = self.one.label if size == "published" else f"{self.one.label} ({size})"
        vocoder = self.average.module if int(self.average.n_averaged) else self.generator
        return Trained(vocoder, label, training)

    def export(self, finished: Trained, path: Path, data: str) -> None:
        finished.save(path, data)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "average": self.average.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.average.load_state_dict(state["average"])


def compile_network(vocoder: AnyVocoder) -> None:
    """Let ``torch.compile`` take the network of ``vocoder``, in place, when it is next evaluated.

    Do not copy the vocoder afterwards: the copy's mel would go through this one's weights.
    """
    mode = MODE if vocoder.device.type == "cuda" else "default"
    vocoder.network.compile(dynamic=False, mode=mode)
    if isinstance(vocoder, Vocoder):
        vocoder.network.condition = torch.compile(vocoder.network.condition, dynamic=False, mode=mode)


class Ablation(Ours):
    """One of our vocoders on a magnitude network that is given, trained already."""

    def prepare(self) -> None:
        super().prepare()
        self.networks.pop("estimator", None)

    @property
    def first(self) -> float:
        return 0.0

    def begin_with(self, folder: str | Path) -> None:
        """Take the magnitude network of the vocoder in ``folder``; DiffvocError where it has none of this size."""
        lender = load_vocoder(str(folder)).estimator
        for vocoder in (self.generator, self.average.module):
            if lender is None or lender.config != vocoder.estimator.config:
                raise DiffvocError(f"{folder} has no magnitude network of this size; give a small vocoder of ours.")
            vocoder.estimator.load_state_dict(lender.state_dict())


LEARNERS: dict[str, type[Learner]] = {"ours": Ours, "ablation": Ablation}
