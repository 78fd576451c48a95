"""One step of training: Coqui's own ``train_step`` and losses, around networks of any size."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from TTS.vocoder import configs
from TTS.vocoder.layers.losses import WaveRNNLoss
from TTS.vocoder.models.gan import GAN

from tts_diffvoc.mel import MelConfig
from tts_diffvoc_eval.baselines import catalogue, discriminators, folder, wavernn
from tts_diffvoc_eval.baselines.catalogue import System, Variant
from tts_diffvoc_eval.baselines.mels import CONTRACT, convert

WARM_UP = 50  # steps in which the rate rises
LAST_RATE = 0.1  # share of the rate that is left in the end
HOP = CONTRACT.hop_length


class Pair(GAN):
    """Coqui's model of a generator and a discriminator.

    ``GAN`` builds both itself, in sizes that ``setup_generator`` fixes.
    """

    def __init__(self, config: Any, generator: nn.Module, discriminator: nn.Module) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.model_g, self.model_d = generator, discriminator
        self.train_disc, self.y_hat_g = False, None


class Learner(ABC):
    """A generator in training.

    Args:
        one, variant: the system and its size.
        generator: with weight norm, on the device to train on.
        mel: the mel that it takes.
        bf16: compute networks in bfloat16 where autocast allows it; losses, and WaveRNN, stay float32.

    Attributes:
        margin: frames that a crop needs on each side beyond those that are learnt from.
        compiled: what was compiled, in words.
    """

    compiled = "nothing to compile"

    def __init__(self, one: System, variant: Variant, generator: nn.Module, mel: MelConfig, bf16: bool) -> None:
        self.config = getattr(configs, one.config)(**one.changes) if one.config else None
        self.one, self.variant, self.generator, self.mel = one, variant, generator, mel
        self.margin = self.margin_of(generator)
        self.device = next(generator.parameters()).device
        self.networks: dict[str, nn.Module] = {"generator": generator}
        self.prepare()
        if bf16:
            self.mix()
        self.optimisers = {name: self._optimiser(network) for name, network in self.networks.items()}

    @classmethod
    def untrained(cls, name: str, variant: Variant, seed: int) -> nn.Module:
        """The network of a system in one size, ready to be trained, its weights drawn with ``seed``."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return catalogue.generator(catalogue.system(name).kind, variant.network)

    @classmethod
    def margin_of(cls, generator: nn.Module) -> int:
        return 0

    def prepare(self) -> None:
        """Add other networks and losses."""

    def mix(self) -> None:
        """Let the networks compute in bfloat16."""
        for network in self.networks.values():
            rounded(network, self.device)

    def compile(self, waveform: Tensor, mel: Tensor) -> None:
        """Compile the networks, and run what was compiled once on a batch, without learning from it."""

    def undo_compile(self) -> None:
        """Go back to the networks as they were."""

    @property
    def betas(self) -> tuple[float, ...]:
        return tuple(self.config.optimizer_params["betas"])

    def _optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        fused = self.device.type == "cuda"
        learnt = [p for p in network.parameters() if p.requires_grad]
        return torch.optim.AdamW(learnt, self.variant.rate, betas=self.betas, weight_decay=0.0, fused=fused)

    def finished(self, name: str, size: str, training: str) -> Any:
        """What was learnt so far, to be listened to: it has ``synthesise(mel, seed)`` and ``parameters``."""
        network = catalogue.generator(self.one.kind, self.variant.network)
        network.load_state_dict(self.generator.state_dict())
        return catalogue.wrap(name, size, network, self.mel, training=training, device=self.device)

    def export(self, finished: Any, path: Path, data: str) -> None:
        """Write what :meth:`finished` gave to a folder."""
        folder.save(finished, path, data)

    def step(self, waveform: Tensor, mel: Tensor, number: int, share: float) -> Tensor:
        """Learn from crops; returns the generator's loss, a scalar on the device.

        Args:
            waveform: [B, T]. mel: [B, M, F] of the contract. number: of the step. share: of the budget so far.
        """
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = self.rate(name, number, share)
        return self.learn(waveform, convert(mel, self.mel), share)

    def rate(self, name: str, number: int, share: float) -> float:
        """The learning rate of a network at a step; the arguments are those of :meth:`step`."""
        return self.variant.rate * fall(share) * min(1.0, (number + 1) / WARM_UP)

    @abstractmethod
    def learn(self, waveform: Tensor, mel: Tensor, share: float) -> Tensor:
        """Take one step on crops; ``mel`` is as the network takes it. Returns the generator's loss, a scalar."""

    def descend(self, name: str, loss: Tensor, clip: float) -> None:
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.networks[name].parameters(), clip)
        optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        both = {"networks": self.networks, "optimisers": self.optimisers}
        return {kind: {name: part.state_dict() for name, part in parts.items()} for kind, parts in both.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for kind, parts in (("networks", self.networks), ("optimisers", self.optimisers)):
            for name, part in parts.items():
                part.load_state_dict(state[kind][name])


class Adversarial(Learner):
    """A GAN: the discriminator's step, once it has joined in, and then the generator's."""

    def prepare(self) -> None:
        judge = discriminators.make(**self.variant.discriminator).to(self.device)
        self.networks["discriminator"] = judge
        self.learnt = [p for p in judge.parameters() if p.requires_grad]  # not the windows of its spectrograms
        self.pair = Pair(self.config, self.generator, judge)
        self.of_judge, self.of_generator = (loss.to(self.device) for loss in self.pair.get_criterion())

    def learn(self, waveform: Tensor, mel: Tensor, share: float) -> Tensor:
        batch = {"input": mel, "waveform": waveform.unsqueeze(1)}
        self.pair.train_disc = share >= self.variant.adversary
        judge_clip, clip = self.config.grad_clip
        losses = self.pair.train_step(batch, self.of_judge, 0)[1]
        if self.pair.train_disc:
            self.descend("discriminator", losses["loss"], judge_clip)
        self._judge_learns(False)
        loss = self.pair.train_step(batch, self.of_generator, 1)[1]["loss"]
        self.descend("generator", loss, clip)
        self._judge_learns(True)
        return loss.detach()

    def _judge_learns(self, yes: bool) -> None:
        for parameter in self.learnt:
            parameter.requires_grad_(yes)


class Autoregressive(Learner):
    """WaveRNN: the cross-entropy of each sample's mu-law class, given those before it."""

    @classmethod
    def margin_of(cls, generator: nn.Module) -> int:
        return generator.args.pad

    def mix(self) -> None:
        """Nothing: it stays float32."""

    def prepare(self) -> None:
        self.criterion = WaveRNNLoss(self.generator.args.mode)

    def learn(self, waveform: Tensor, mel: Tensor, share: float) -> Tensor:
        loss = self.loss(waveform, mel)
        self.descend("generator", loss, self.config.grad_clip)
        return loss.detach()

    @torch.inference_mode()
    def validate(self, waveform: Tensor, mel: Tensor) -> float:
        """Nats a sample of clips [B, T] with their mels [B, M, F] of the contract, the margins left out."""
        self.generator.eval()
        loss = self.loss(waveform, convert(mel, self.mel))
        self.generator.train()
        return float(loss)

    def loss(self, waveform: Tensor, mel: Tensor) -> Tensor:
        """Nats a sample, of crops with their margins; ``mel`` as the network takes it."""
        bits, edge = self.generator.args.mode, self.margin * HOP
        classes = wavernn.quantise(waveform, bits)
        batch = {
            "input": mel,
            "waveform": wavernn.level(classes[:, edge - 1 : -edge - 1], bits),
            "waveform_coarse": classes[:, edge:-edge],
        }
        return self.generator.train_step(batch, self.criterion)[1]["loss"]


def make(one: System, variant: Variant, generator: nn.Module, mel: MelConfig, bf16: bool = False) -> Learner:
    """What trains ``generator``; the arguments are the Learner's."""
    return of(one)(one, variant, generator, mel, bf16)


def of(one: System) -> type[Learner]:
    """What trains a baseline of the kind of ``one``."""
    return Autoregressive if one.kind == "wavernn" else Adversarial


def fall(share: float) -> float:
    """What is left of a learning rate after ``share`` of its time: a cosine from 1 to LAST_RATE."""
    return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def rounded(network: nn.Module, device: torch.device) -> None:
    """Let ``network`` compute in bfloat16 and return float32."""
    forward = network.forward

    @functools.wraps(forward)
    def mixed(*inputs: Tensor) -> Any:
        with torch.autocast(device.type, torch.bfloat16):
            outputs = forward(*inputs)
        return tree_map(lambda x: x.float() if isinstance(x, Tensor) else x, outputs)

    network.forward = mixed
