"""The systems: which networks, discriminators and settings, as published and small enough for a CPU."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig
from tts_diffvoc_eval.baselines import wavernn
from tts_diffvoc_eval.baselines.baseline import Baseline
from tts_diffvoc_eval.baselines.mels import CONTRACT

SIZES = ("published", "small")


def _coqui(module: str, name: str) -> Callable[..., nn.Module]:
    def make(**settings: Any) -> nn.Module:
        return getattr(importlib.import_module(f"TTS.vocoder.models.{module}"), name)(**settings)

    return make


KINDS: dict[str, Callable[..., nn.Module]] = {
    "hifigan": _coqui("hifigan_generator", "HifiganGenerator"),
    "parallel-wavegan": _coqui("parallel_wavegan_generator", "ParallelWaveganGenerator"),
    "melgan": _coqui("melgan_generator", "MelganGenerator"),
    "multiband-melgan": _coqui("multiband_melgan_generator", "MultibandMelganGenerator"),
    "univnet": _coqui("univnet_generator", "UnivnetGenerator"),
    "wavernn": wavernn.make,
}


@dataclass(frozen=True)
class Variant:
    """A system in one size: its network, and how it is trained.

    Attributes:
        network: keyword arguments of the generator.
        discriminator: keyword arguments of ``discriminators.make``; None where there is none.
        frames: mel frames of a training crop.
        batch: crops a step.
        rate: highest learning rate.
        adversary: share of the budget after which the discriminator joins in.
        average: decay of the averaged weights of a vocoder of ours.
        norm: of its loss, "l1" or "l2"; None for its own.
    """

    network: dict[str, Any]
    discriminator: dict[str, Any] | None
    frames: int
    batch: int
    rate: float
    adversary: float = 0.0
    average: float = 0.0
    norm: str | None = None


@dataclass(frozen=True)
class System:
    """A vocoder of the benchmark.

    Attributes:
        label: its name for people.
        kind: a key of ``KINDS``.
        config: Coqui's configuration class, which says losses, their weights and the optimiser; "" for ours.
        published, small: its two sizes.
        normalised: whether mels are scaled to mean 0 and deviation 1 in each band, as its authors do.
        changes: what is set differently in Coqui's configuration.
        usual: the size to build where none is asked for. WaveRNN's is small: as published it takes 20 seconds of a core
            for one of audio.
    """

    label: str
    kind: str
    config: str
    published: Variant
    small: Variant
    normalised: bool = True
    deterministic: bool = True
    family: str = "gan"
    changes: dict[str, Any] = field(default_factory=dict)
    usual: str = "published"

    def variant(self, size: str) -> Variant:
        if size not in SIZES:
            raise DiffvocError(f"there is no size {size!r}; choose {' or '.join(SIZES)}.")
        return getattr(self, size)


def _hifigan(channels: int) -> dict[str, Any]:
    """Generator of Kong et al. 2020, appendix A.1, table 5."""
    return {
        "in_channels": 80,
        "out_channels": 1,
        "upsample_initial_channel": channels,
        "upsample_factors": [8, 8, 2, 2],
        "upsample_kernel_sizes": [16, 16, 4, 4],
        "resblock_type": "1",
        "resblock_kernel_sizes": [3, 7, 11],
        "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    }


def _hifigan_system(label: str, published: dict[str, Any], small: dict[str, Any]) -> System:
    judge = {"name": "HifiganDiscriminator"}
    return System(
        label,
        "hifigan",
        "HifiganConfig",
        Variant(published, judge, 32, 16, 2e-4),
        Variant(small, {**judge, "narrower": 16}, 32, 4, 1e-3, 0.4),
        normalised=False,
    )


def _melgan_judge(base: int, most: int, factors: list[int]) -> dict[str, Any]:
    return {
        "name": "MelganMultiscaleDiscriminator",
        "base_channels": base,
        "max_channels": most,
        "downsample_factors": factors,
    }


def _wavegan(channels: int, blocks: int, stacks: int) -> dict[str, Any]:
    return {
        "num_res_blocks": blocks,
        "stacks": stacks,
        "res_channels": channels,
        "gate_channels": 2 * channels,
        "skip_channels": channels,
        "upsample_factors": [4, 4, 4, 4],
    }


def _univnet(noise: int, hidden: int, predictor: int) -> dict[str, Any]:
    """Generator of Jang et al. 2021, figure 1; the paper's c16 and c32 are 16 and 32 hidden channels."""
    return {
        "in_channels": noise,
        "out_channels": 1,
        "hidden_channels": hidden,
        "cond_channels": 80,
        "upsample_factors": [8, 8, 4],
        "lvc_layers_each_block": 4,
        "lvc_kernel_size": 3,
        "kpnet_hidden_channels": predictor,
        "kpnet_conv_size": 3,
        "dropout": 0.0,
    }


def _wavernn(hidden: int, features: int, blocks: int, bits: int) -> dict[str, Any]:
    # Ten bits: a mixture of logistics, Coqui's default, needs days before it is better than mu-law.
    return {
        "rnn_dims": hidden,
        "fc_dims": hidden,
        "compute_dims": features,
        "res_out_dims": features,
        "num_res_blocks": blocks,
        "mode": bits,
        "mulaw": True,
    }


SYSTEMS: dict[str, System] = {
    "hifigan-v1": _hifigan_system("HiFi-GAN V1", _hifigan(512), _hifigan(96)),
    "hifigan-v2": _hifigan_system("HiFi-GAN V2", _hifigan(128), _hifigan(64)),
    "parallel-wavegan": System(
        "Parallel WaveGAN",
        "parallel-wavegan",
        "ParallelWaveganConfig",
        Variant(_wavegan(64, 30, 3), {"name": "ParallelWaveganDiscriminator"}, 100, 6, 2e-4, 0.25),
        Variant(_wavegan(24, 20, 2), {"name": "ParallelWaveganDiscriminator", "conv_channels": 24}, 32, 2, 1e-3, 0.5),
        deterministic=False,
    ),
    "melgan": System(
        "MelGAN",
        "melgan",
        "MelganConfig",
        Variant(
            {"base_channels": 512, "upsample_factors": [8, 8, 2, 2], "num_res_blocks": 3},
            _melgan_judge(16, 1024, [4, 4, 4, 4]),
            32,
            16,
            2e-4,
        ),
        Variant(
            {"base_channels": 128, "upsample_factors": [8, 8, 2, 2], "num_res_blocks": 3},
            _melgan_judge(8, 128, [4, 4, 4]),
            32,
            4,
            1e-3,
            0.4,
        ),
    ),
    "multiband-melgan": System(
        "multi-band MelGAN",
        "multiband-melgan",
        "MultibandMelganConfig",
        Variant(
            {"base_channels": 384, "upsample_factors": [8, 4, 2], "num_res_blocks": 4},
            _melgan_judge(16, 512, [4, 4, 4]),
            64,
            64,
            2e-4,
            0.25,
        ),
        Variant(
            {"base_channels": 128, "upsample_factors": [8, 4, 2], "num_res_blocks": 4},
            _melgan_judge(8, 128, [4, 4, 4]),
            64,
            4,
            1e-3,
            0.4,
        ),
        # Coqui computes the loss on sub-bands and weighs it 0; Yang et al. 2020, equation 7, weigh both alike.
        changes={"subband_stft_loss_weight": 0.5},
    ),
    "univnet": System(
        "UnivNet",
        "univnet",
        "UnivnetConfig",
        Variant(_univnet(64, 32, 64), {"name": "UnivnetDiscriminator"}, 32, 32, 1e-4, 0.25),
        Variant(_univnet(64, 16, 32), {"name": "UnivnetDiscriminator", "narrower": 8}, 32, 4, 1e-3, 0.5),
        deterministic=False,
    ),
    "wavernn": System(
        "WaveRNN",
        "wavernn",
        "WavernnConfig",
        Variant(_wavernn(512, 128, 10, 10), None, 5, 256, 5e-4),
        Variant(_wavernn(128, 32, 3, 9), None, 4, 16, 2e-3),
        deterministic=False,
        family="autoregressive",
        usual="small",
    ),
}
# Mean and deviation of log-mels of speech, until training has measured those of its corpus.
USUAL = (-5.5, 2.2)


def system(name: str) -> System:
    """Raises: DiffvocError for an unknown name, with the closest."""
    if name not in SYSTEMS:
        close = get_close_matches(name, SYSTEMS, 1)
        raise DiffvocError(
            f"there is no baseline {name!r}{f', did you mean {close[0]!r}?' if close else ';'} "
            f"the names are {', '.join(SYSTEMS)}."
        )
    return SYSTEMS[name]


def usual_mel(one: System) -> MelConfig:
    """The mel that a network is given before its corpus has been measured."""
    mean, deviation = USUAL
    return MelConfig(scale=1 / deviation, shift=-mean / deviation) if one.normalised else CONTRACT


def generator(kind: str, network: dict[str, Any]) -> nn.Module:
    """A network with weight norm, as it is trained.

    Raises: DiffvocError when ``network`` does not suit the kind.
    """
    if kind not in KINDS:
        raise DiffvocError(f"there is no kind of network {kind!r}; the kinds are {', '.join(KINDS)}.")
    try:
        return KINDS[kind](**network)
    except (TypeError, ValueError, RuntimeError, KeyError, AssertionError) as error:
        raise DiffvocError(f"no network of the kind {kind} can be built from its settings ({error}).") from None


def build(name: str, size: str | None = None, seed: int = 0, device: str | torch.device = "cpu") -> Baseline:
    """An untrained system, its weights drawn with ``seed``; ``size`` None for its usual one.

    Raises: DiffvocError for an unknown name or size.
    """
    size = size or system(name).usual
    network = untrained(name, size, seed)
    return wrap(name, size, network, usual_mel(system(name)), device=device)


def untrained(name: str, size: str, seed: int) -> nn.Module:
    """A system's network with weight norm, its weights drawn with ``seed``."""
    one = system(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return generator(one.kind, one.variant(size).network)


def wrap(
    name: str,
    size: str,
    network: nn.Module,
    mel: MelConfig,
    settings: dict[str, Any] | None = None,
    training: str = "untrained",
    device: str | torch.device = "cpu",
) -> Baseline:
    """``network`` of a system of the catalogue as a Baseline; its weight norm is multiplied out in place."""
    one = system(name)
    return Baseline(
        name=name,
        label=one.label if size == "published" else f"{one.label} ({size})",
        family=one.family,
        kind=one.kind,
        generator=network,
        network=settings or one.variant(size).network,
        deterministic=one.deterministic,
        mel=mel,
        size=size,
        training=training,
        fold=wavernn.FOLD if one.kind == "wavernn" else None,
        device=torch.device(device),
    )
