"""Train a rival of our generators on spoken digits, or go on from its last checkpoint: the same line does both.

    python recipes/fsdd/train_seeds.py wavenet --data FSDD --output runs/wavenet --minutes 45
    python recipes/fsdd/train_seeds.py wavegan --data SC09 --output runs/wavegan --minutes 600 \
        --size published --device cuda

The data are the Free Spoken Digit Dataset, or Speech Commands. On a CPU the minutes are those of the process's own
computing, divided by its threads, so that what else the machine does costs nothing; on a GPU they are on the clock.
OUTPUT/generator is the result, OUTPUT/quarter-1 to quarter-3 are what it was on the way. Held-back clips are only
scored.
"""

from __future__ import annotations

import argparse
import functools
import json
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tts_diffvoc.checkpoint import write_beside
from tts_diffvoc.coqui.training import save_whole
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.crops import CropBatches, CropKey
from tts_diffvoc_eval.baselines.learners import WARM_UP, fall
from tts_diffvoc_eval.baselines.training import CHECKPOINT, RESULT, Budget, Run, checked_device
from tts_diffvoc_eval.generation import corpus, wavegan, wavenet
from tts_diffvoc_eval.generation.corpus import Corpus
from tts_diffvoc_eval.generation.rivals import SIZES, Rival, save

FOLDER = "generator"  # of the result
CLIP = 1.0  # most that a WaveNet's gradient may be long


@dataclass(frozen=True)
class Plan:
    """How a rival of one size is trained.

    Attributes:
        network: what its config has besides length and sample rate.
        batch: clips of an optimiser's step.
        rate: of learning, at most.
        critic_steps: WaveGAN: the critic's steps before each of the generator's.
        average: WaveGAN: what the average of the generator's weights keeps at a step; 0 for no average.
        falls: whether the rate rises at first and falls to the end, along a cosine.
        levels: DiffWave: mean and deviation of the logarithm of the noise-to-signal ratios that most clips are learnt
            at; empty for levels drawn evenly from the schedule.
    """

    network: dict[str, int]
    batch: int
    rate: float
    critic_steps: int = 0
    average: float = 0.0
    falls: bool = False
    levels: tuple[float, ...] = ()

    @property
    def said(self) -> str:
        critic = f"{self.critic_steps} x " if self.critic_steps else ""
        return f"{critic}{self.batch} clips"


PLANS = {
    ("wavegan", "published"): Plan({"width": 64}, batch=64, rate=1e-4, critic_steps=5),
    # Five steps of the critic leave an hour of one core too few of the generator's: two, and rates that fall.
    ("wavegan", "small"): Plan({"width": 16}, batch=16, rate=2e-4, critic_steps=2, average=0.99, falls=True),
    ("wavenet", "published"): Plan(
        {"channels": 128, "skip": 256, "cycle": 10, "cycles": 3}, batch=16, rate=1e-3, falls=True
    ),
    ("wavenet", "small"): Plan({"channels": 32, "skip": 64, "cycle": 10, "cycles": 2}, batch=2, rate=3e-3, falls=True),
}


@dataclass(frozen=True)
class Settings:
    """What must stay the same when a training is taken up again."""

    name: str
    size: str
    seed: int
    plan: dict[str, Any]
    network: dict[str, Any]


@dataclass(frozen=True)
class Score:
    """How a rival did on held-back clips after ``steps`` and ``minutes``.

    ``bits`` is WaveNet's cost of a sample; ``distance`` WaveGAN's critic's estimate of the Wasserstein distance of
    generated clips from these, and ``learnt`` from as many that were learnt from.
    """

    steps: int
    minutes: float
    bits: float | None = None
    distance: float | None = None
    learnt: float | None = None

    def __str__(self) -> str:
        if self.bits is not None:
            return f"held back: {self.bits:.4f} bits a sample"
        return f"held back: Wasserstein estimate {self.distance:.4f} ({self.learnt:.4f} of clips learnt from)"


class Learner(ABC):
    """Networks in training with their optimisers.

    Attributes:
        networks: by name, what learns; "generator" is the one that is kept.
    """

    def __init__(self, networks: dict[str, nn.Module], plan: Plan, device: torch.device) -> None:
        self.networks, self.plan, self.device = networks, plan, device
        self.optimisers = {name: self._optimiser(network) for name, network in networks.items()}

    @property
    def clips(self) -> int:
        """How many a step learns from."""
        return self.plan.batch

    @property
    @abstractmethod
    def betas(self) -> tuple[float, float]:
        """Of Adam."""

    def _optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        fused = self.device.type == "cuda"
        return torch.optim.Adam(network.parameters(), self.plan.rate, betas=self.betas, fused=fused)

    def set_rate(self, rate: float) -> None:
        """Let all optimisers learn at ``rate``."""
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        both = {"networks": self.networks, "optimisers": self.optimisers}
        return {kind: {name: part.state_dict() for name, part in parts.items()} for kind, parts in both.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for kind, parts in (("networks", self.networks), ("optimisers", self.optimisers)):
            for name, part in parts.items():
                part.load_state_dict(state[kind][name])


class RivalLearner(Learner):
    """A rival in training.

    Attributes:
        model: the rival.
    """

    def __init__(self, model: Rival, plan: Plan, device: torch.device) -> None:
        self.model, self.plan, self.device = model.to(device), plan, device
        super().__init__({"generator": model.network, **self.others()}, plan, device)

    def others(self) -> dict[str, nn.Module]:
        """Networks that learn beside the generator, by name."""
        return {}

    def step(self, waveform: Tensor, number: int, share: float) -> Tensor:
        """Learn from clips [B, T]; returns a loss, a scalar on the device.

        Args:
            number: of the step. share: of the budget so far.
        """
        rate = self.plan.rate * (fall(share) * min(1.0, (number + 1) / WARM_UP) if self.plan.falls else 1.0)
        self.set_rate(rate)
        return self.learn(waveform)

    @abstractmethod
    def learn(self, waveform: Tensor) -> Tensor:
        """What :meth:`step` does once the rates are set."""

    @abstractmethod
    def score(self, held: Tensor, learnt: Tensor) -> dict[str, float]:
        """Figures for a Score, of clips [B, T] that it never learns from, and of others that it does."""

    def finished(self) -> dict[str, Tensor]:
        """The generator's weights as they are to be kept."""
        return self.model.network.state_dict()


class WaveNetLearner(RivalLearner):
    """The mean of the bits that a sample costs, made small."""

    betas = (0.9, 0.99)

    def learn(self, waveform: Tensor) -> Tensor:
        network, optimiser = self.networks["generator"], self.optimisers["generator"]
        loss = wavenet.surprise(network, wavenet.quantise(waveform)).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        return loss.detach()

    @torch.inference_mode()
    def score(self, held: Tensor, learnt: Tensor) -> dict[str, float]:
        parts = wavenet.quantise(held).split(self.plan.batch)
        bits = torch.cat([wavenet.surprise(self.networks["generator"], part) for part in parts])
        return {"bits": float(bits.mean())}


class WaveGanLearner(RivalLearner):
    """Some steps of the critic, and then one of the generator."""

    betas = (0.5, 0.9)

    def others(self) -> dict[str, nn.Module]:
        if self.plan.average:
            self.averaged = AveragedModel(self.model.network, multi_avg_fn=get_ema_multi_avg_fn(self.plan.average))
        return {"critic": wavegan.Critic(self.model.config).to(self.device)}

    @property
    def clips(self) -> int:
        return self.plan.batch * self.plan.critic_steps

    def _made(self, count: int) -> Tensor:
        latent = torch.rand(count, self.model.config.latent, device=self.device) * 2 - 1
        return self.model.network(latent)

    def learn(self, waveform: Tensor) -> Tensor:
        critic = self.networks["critic"]
        for real in waveform.split(self.plan.batch):
            with torch.no_grad():
                fake = self._made(len(real))
            distance, penalty = wavegan.critic_losses(critic, real, fake)
            loss = penalty - distance
            self._descend("critic", loss)
        critic.requires_grad_(False)
        self._descend("generator", -critic(self._made(self.plan.batch)).mean())
        critic.requires_grad_(True)
        if self.plan.average:
            self.averaged.update_parameters(self.model.network)
        return loss.detach()

    def _descend(self, name: str, loss: Tensor) -> None:
        self.optimisers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers[name].step()

    @torch.no_grad()
    def score(self, held: Tensor, learnt: Tensor) -> dict[str, float]:
        critic, size = self.networks["critic"], self.plan.batch
        made = torch.cat([critic(self._made(len(part))) for part in held.split(size)]).mean()
        means = [torch.cat([critic(part) for part in clips.split(size)]).mean() for clips in (held, learnt)]
        return {"distance": float(means[0] - made), "learnt": float(means[1] - made)}

    def finished(self) -> dict[str, Tensor]:
        return (self.averaged.module if self.plan.average else self.model.network).state_dict()

    def state_dict(self) -> dict[str, Any]:
        average = {"average": self.averaged.state_dict()} if self.plan.average else {}
        return super().state_dict() | average

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if self.plan.average:
            self.averaged.load_state_dict(state["average"])


KINDS = {"wavegan": (wavegan.WaveGan, WaveGanLearner), "wavenet": (wavenet.WaveNet, WaveNetLearner)}


class RivalRun(Run):
    """One training: the loop, the budget and the checkpoints are the vocoders', what is learnt is not."""

    score_type: type[Any] = Score

    def __init__(
        self,
        name: str,
        size: str,
        plan: Plan,
        seed: int,
        budget: Budget,
        output: Path,
        device: torch.device,
        tell: Callable[[str], None],
    ) -> None:
        self.name, self.size, self.plan, self.seed = name, size, plan, seed
        self.budget, self.output, self.device, self.tell = budget, output, device, tell
        self.scores: list[Score] = []
        self.loss = torch.zeros(())

    def begin(self, digits: Corpus) -> None:
        """Build the networks, and restore them if there is a checkpoint."""
        self.data = f"{digits.credit}; {len(digits.train)} clips"
        self.learnt = digits.train.waveforms.to(self.device)
        self.held = digits.held.waveforms.to(self.device)
        self.some = self.learnt[:: max(1, len(self.learnt) // len(self.held))][: len(self.held)]
        torch.manual_seed(self.seed)
        rival, learner = KINDS[self.name]
        config = rival.config_type(length=digits.length, sample_rate=digits.sample_rate, **self.plan.network)
        self.learner = learner(rival(config, self.size), self.plan, self.device)
        self.settings = Settings(self.name, self.size, self.seed, asdict(self.plan), asdict(config))
        self._restore()

    def _restore(self) -> None:
        """Take up the checkpoint; without one, score what has learnt nothing yet."""
        state = self._read_checkpoint()
        if state:
            self.learner.load_state_dict(state["learner"])
            self.budget.spent, self.budget.done = state["spent"], state["done"]
            self.scores = [self.score_type(**score) for score in state["scores"]]
            self.tell(f"{self.name}: going on after {self._so_far()}")
        else:
            self.validate()

    def _batches(self) -> Iterator[list[CropKey]]:
        batches = CropBatches([1] * len(self.learnt), 1, self.learner.clips, self.seed)
        batches.position = self.budget.done
        while True:
            yield from batches

    def _step(self, keys: list[CropKey]) -> Tensor:
        torch.manual_seed(keys[0].seed)  # so that a run that was taken up again draws the noise of one that was not
        waveform = self.learnt[[key.clip for key in keys]]
        return self.learner.step(waveform, self.budget.done, self.budget.share)

    def _words(self) -> str:
        if not self.budget.done:
            return "untrained"
        where = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        threads = f" ({torch.get_num_threads()} threads)" if where == "CPU" and torch.get_num_threads() > 1 else ""
        return f"{self.budget.spent / 60:.3g} {where} minutes{threads}, {self.budget.done:,} steps of {self.plan.said}"

    def finished(self) -> Rival:
        model = type(self.learner.model)(self.learner.model.config, self.size, self._words())
        model.network.load_state_dict(self.learner.finished())
        return model

    def validate(self) -> None:
        torch.manual_seed(self.seed)
        found = self.learner.score(self.held, self.some)
        self.scores.append(Score(self.budget.done, self.budget.spent / 60, **found))
        self.tell(f"{self.name}: {self._so_far()}, {self.scores[-1]}")

    def export(self, name: str) -> None:
        save(self.finished(), self.output / (FOLDER if name == RESULT else name), data=self.data)

    def save(self) -> None:
        try:
            self.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiffvocError(f"the run cannot be written to {self.output}: {error.strerror or error}.") from None
        state = {
            "settings": asdict(self.settings),
            "learner": self.learner.state_dict(),
            "spent": self.budget.spent,
            "done": self.budget.done,
            "scores": [asdict(score) for score in self.scores],
        }
        save_whole(state, self.output / CHECKPOINT)


def train(
    name: str,
    digits: Corpus,
    output: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    size: str = "small",
    device: str | torch.device = "cpu",
    seed: int = 0,
    plan: Plan | None = None,
    tell: Callable[[str], None] = print,
) -> RivalRun:
    """Train a rival, or go on with what lies in ``output``; returns the run, with its scores.

    Args:
        name: "wavegan" or "wavenet".
        digits: clips to train on, and clips to score.
        minutes, steps: the budget in all, one of them; more than before goes on with a finished run.
        size: "published" or "small".
        seed: of weights, order and noise.
        plan: how to train, instead of the size's own.
        tell: called with lines of progress.

    Raises: DiffvocError for bad settings, a checkpoint of another run, or a loss that is no number any more;
    KeyboardInterrupt after saving.
    """
    if (name, size) not in PLANS:
        raise DiffvocError(
            f"there is no {name!r} of the size {size!r}; give {' or '.join(KINDS)}, {' or '.join(SIZES)}."
        )
    plan = plan or PLANS[name, size]
    run = RivalRun(name, size, plan, seed, Budget(minutes, steps), Path(output), checked_device(device), tell)
    with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []):
        run.begin(digits)
        run.go_on(keep_quarters=True)
    values = {"label": run.finished().label, "settings": asdict(run.settings), "steps": run.budget.done}
    values |= {"minutes": run.budget.spent / 60, "scores": [asdict(score) for score in run.scores]}
    write_beside(run.output / "result.json", json.dumps(values, indent=1) + "\n")
    return run


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(KINDS))
    parser.add_argument("--data", type=Path, required=True, help="folder of FSDD, or of Speech Commands")
    parser.add_argument("--output", type=Path, required=True, help="the run's folder")
    parser.add_argument("--minutes", type=float, help="budget in all, over every call")
    parser.add_argument("--steps", type=int, help="budget in steps instead")
    parser.add_argument("--size", choices=SIZES, default="small", help="default: small, for a CPU")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and noise")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a shell's background jobs ignore SIGINT
    settings = {key: getattr(options, key) for key in ("minutes", "steps", "size", "device", "seed")}
    tell = functools.partial(print, flush=True)
    try:
        if options.threads < 1:
            raise DiffvocError(f"--threads is {options.threads}; give at least 1.")
        torch.set_num_threads(options.threads)
        torch.set_float32_matmul_precision("high")  # on a GPU
        train(options.name, corpus.load(options.data), options.output, **settings, tell=tell)
    except DiffvocError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
