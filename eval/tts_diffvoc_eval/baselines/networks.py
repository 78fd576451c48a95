"""Generators of Coqui's and of the package vocos behind the benchmark's interface: log-mel in, aligned waveform out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils import parametrize
from TTS.vocoder.models.hifigan_generator import HifiganGenerator
from TTS.vocoder.models.melgan_generator import MelganGenerator
from TTS.vocoder.models.multiband_melgan_generator import MultibandMelganGenerator
from TTS.vocoder.models.parallel_wavegan_generator import ParallelWaveganGenerator
from TTS.vocoder.models.univnet_generator import UnivnetGenerator
from TTS.vocoder.models.wavernn import Wavernn

from tts_diffvoc import factory
from tts_diffvoc.audio import resample
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, check_mel
from tts_diffvoc_eval.baselines import configs, wavernn
from tts_diffvoc_eval.mels import MEL, convert
from tts_diffvoc_eval.systems import System


class Vocos(nn.Sequential):
    """ConvNeXt blocks over the frames and an inverse STFT (Siuzdak 2023, section 3), of the package vocos.

    Args:
        channels, hidden: of the blocks, and inside each.
        layers: how many blocks.
    """

    def __init__(self, channels: int, hidden: int, layers: int) -> None:
        from vocos.heads import ISTFTHead  # which no other baseline needs
        from vocos.models import VocosBackbone

        backbone = VocosBackbone(MEL.n_mels, channels, hidden, layers)
        super().__init__(backbone, ISTFTHead(channels, MEL.n_fft, MEL.hop_length, padding="center"))

    def forward(self, mel: Tensor) -> Tensor:
        """Waveforms [B, 1, F * 256] of log-mels [B, M, F], its last frame taken twice, for the samples after it."""
        return super().forward(pad(mel, (0, 1), "replicate")).unsqueeze(1)


KINDS: dict[str, Callable[..., nn.Module]] = {
    "hifigan": HifiganGenerator,
    "parallel-wavegan": ParallelWaveganGenerator,
    "melgan": MelganGenerator,
    "multiband-melgan": MultibandMelganGenerator,
    "univnet": UnivnetGenerator,
    "vocos": Vocos,
    "wavernn": wavernn.make,
    "vocoder": lambda **settings: factory.build(factory.config_from_dict(settings), "vocoder"),
}
# Mean and deviation of log-mels of speech, until training has measured those of its corpus.
MEAN, DEVIATION = -5.5, 2.2


def generator(kind: str, settings: dict[str, Any], seed: int = 0) -> Any:
    """A network with weight norm, as it is trained, its weights drawn with ``seed``.

    Raises: DiffvocError when ``settings`` do not suit the kind.
    """
    if kind not in KINDS:
        raise DiffvocError(f"there is no kind of network {kind!r}; the kinds are {', '.join(KINDS)}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return KINDS[kind](**settings)
        except (TypeError, ValueError, RuntimeError, KeyError, AssertionError) as error:
            raise DiffvocError(f"no {kind} network can be built from its settings ({error}).") from None


def build(name: str, size: str | None = None, device: str | torch.device = "cpu") -> System:
    """One of Coqui's systems with random weights; ``size`` None for its usual one.

    Raises: DiffvocError for an unknown name or size.
    """
    baseline = configs.find(name)
    size = size or baseline.usual
    network = generator(baseline.kind, baseline.size(size).network)
    mel = MelConfig(scale=1 / DEVIATION, shift=-MEAN / DEVIATION) if baseline.normalised else MEL
    return as_system(
        network,
        mel,
        device,
        name=name,
        label=f"{baseline.label_of(size)} (untrained)",
        family=baseline.family,
        deterministic=baseline.deterministic,
    )


def as_system(
    network: nn.Module,
    mel: MelConfig,
    device: str | torch.device,
    **about: Any,
) -> System:
    """The system of a generator, whose weight norm is multiplied out in place.

    Args:
        mel: the mel that the network takes.
        about: attributes of the ``System``.
    """
    fold_weight_norm(network).eval().requires_grad_(False).to(device)
    return System(**about, synthesise=partial(synthesise, network, mel), module=network)


def fold_weight_norm(network: nn.Module) -> nn.Module:
    """Multiply every weight normalisation out, in place: the same output, faster."""
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    return network


@torch.inference_mode()
def synthesise(network: nn.Module, target: MelConfig, mel: Tensor, seed: int) -> Tensor:
    """Waveforms [B, F * 256] in [-1, 1] of log-mels [B, 80, F], on the network's device.

    The global random numbers are left as they were. The seed belongs to the whole batch.

    Raises: DiffvocError for a mel of another shape, or with values that are not finite.
    """
    device = next(network.parameters()).device
    given = check_mel(mel, MEL).to(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        waveform = _forward(network, convert(given, target), target.hop_length).float()
    samples = given.shape[-1] * MEL.hop_length
    if (target.sample_rate, target.hop_length) != (MEL.sample_rate, MEL.hop_length):
        waveform = resample(waveform, target.sample_rate, MEL.sample_rate)
        waveform = pad(waveform[:, :samples], (0, max(0, samples - waveform.shape[-1])))
    if waveform.shape != (len(given), samples):
        raise DiffvocError(
            f"{type(network).__name__} gave {list(waveform.shape)} samples for {given.shape[-1]} frames; "
            f"a vocoder with a hop of {MEL.hop_length} gives {[len(given), samples]}."
        )
    return waveform.clamp(-1, 1)


def _forward(network: Any, mel: Tensor, hop: int) -> Tensor:
    if isinstance(network, Wavernn):
        return wavernn.generate(network, mel)
    # Coqui's `inference` repeats the outer frames, so that a clip's ends do not sound cut, and keeps the audio of
    # the repeated ones; that delays its output, so it is cut off here.
    frames = getattr(network, "inference_padding", 0)
    output = network(pad(mel, (frames, frames), "replicate") if frames else mel)
    if output.shape[1] > 1:
        output = network.pqmf_synthesis(output)
    edge = frames * hop
    return output[:, 0, edge : output.shape[-1] - edge]
