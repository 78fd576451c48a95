"""A vocoder of somebody else's as the benchmark sees it: log-mel in, aligned waveform out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils import parametrize

from tts_diffvoc.audio import resample
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, check_mel
from tts_diffvoc_eval.baselines import wavernn
from tts_diffvoc_eval.baselines.mels import CONTRACT, convert


def fold_weight_norm(network: nn.Module) -> nn.Module:
    """Multiply every weight normalisation out, in place: the same output, faster."""
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    return network


def count_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@dataclass
class Baseline:
    """A generator of Coqui's behind the benchmark's interface, in evaluation mode, weight norm multiplied out.

    Attributes:
        name: the system, such as "hifigan-v2".
        label: its name for people.
        family: "gan" or "autoregressive".
        kind: the sort of network, a key of ``catalogue.KINDS``, or Coqui's name of it in what the zoo gave.
        generator: the network.
        network: what the network was built from, plain values.
        deterministic: whether the seed changes nothing.
        mel: the mel that the network takes. One of the catalogue differs from the contract in scale and shift alone.
        size: "published" or "small".
        training: how it was trained, in words.
        note: what a reader of its figures should know, None for nothing.
        fold: WaveRNN only: frames of the pieces that are generated side by side, and of the run-up before each; None
            to generate each clip from end to end.
    """

    name: str
    label: str
    family: str
    kind: str
    generator: nn.Module
    network: dict[str, Any]
    deterministic: bool
    mel: MelConfig = CONTRACT
    size: str = "published"
    training: str = "untrained"
    note: str | None = None
    fold: tuple[int, int] | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        fold_weight_norm(self.generator).eval().requires_grad_(False).to(self.device)

    @property
    def parameters(self) -> int:
        """How many numbers synthesis needs."""
        return count_parameters(self.generator)

    @property
    def evaluations(self) -> int:
        """Network evaluations for a waveform; of an autoregressive system, those for a second of it, one a sample."""
        return CONTRACT.sample_rate if self.family == "autoregressive" else 1

    def to(self, device: str | torch.device) -> Baseline:
        self.device = torch.device(device)
        self.generator.to(self.device)
        return self

    @torch.inference_mode()
    def synthesise(self, mel: Tensor, seed: int = 0) -> Tensor:
        """Waveforms [B, F * 256] in [-1, 1] of log-mels [B, 80, F] of the contract, on the generator's device.

        The global random numbers are left as they were. The seed belongs to the whole batch.

        Raises: DiffvocError for a mel of another shape, or with values that are not finite.
        """
        given = check_mel(mel, CONTRACT).to(self.device)
        own = convert(given, self.mel)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            waveform = self._waveform(own).float()
        samples = given.shape[-1] * CONTRACT.hop_length
        if (self.mel.sample_rate, self.mel.hop_length) != (CONTRACT.sample_rate, CONTRACT.hop_length):
            waveform = resample(waveform, self.mel.sample_rate, CONTRACT.sample_rate)
            waveform = pad(waveform[:, :samples], (0, max(0, samples - waveform.shape[-1])))
        if waveform.shape != (len(given), samples):
            raise DiffvocError(
                f"{self.name} gave {list(waveform.shape)} samples for {given.shape[-1]} frames; "
                f"a vocoder with a hop of {CONTRACT.hop_length} gives {[len(given), samples]}."
            )
        return waveform.clamp(-1, 1)

    def _waveform(self, mel: Tensor) -> Tensor:
        if self.kind == "wavernn":
            return wavernn.generate(self.generator, mel, self.fold)
        # Coqui's `inference` repeats the outer frames, so that a clip's ends do not sound cut, and keeps the audio of
        # the repeated ones; that delays its output, so it is cut off here.
        frames = getattr(self.generator, "inference_padding", 0)
        output = self.generator(pad(mel, (frames, frames), "replicate") if frames else mel)
        if output.shape[1] > 1:
            output = self.generator.pqmf_synthesis(output)
        edge = frames * self.mel.hop_length
        return output[:, 0, edge : output.shape[-1] - edge]
