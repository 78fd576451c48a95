"""Train a DiffWave without a mel on spoken digits, or go on from its last checkpoint: the same line does both.

    python recipes/fsdd/train_diffwave.py conditional --data FSDD --output runs/digits --minutes 45
    python recipes/fsdd/train_diffwave.py unconditional --data SC09 --output runs/sc09 --minutes 900 \\
        --size published --device cuda

The data are the Free Spoken Digit Dataset, or Speech Commands. Budgets are counted as in train_seeds.py, whose loop
this is. OUTPUT/generator is the result, for `tts-diffvoc generate --model OUTPUT/generator`; OUTPUT/quarter-1 to
quarter-3 are what it was on the way. Held-back clips are only scored.
"""

from __future__ import annotations

import argparse
import functools
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

sys.path.insert(0, str(Path(__file__).resolve().parent))

from train_seeds import FOLDER, Learner, Plan, RivalRun, Settings

from tts_diffvoc.checkpoint import save_generator, write_beside
from tts_diffvoc.diffusion.objectives import discrete_levels, focused_levels
from tts_diffvoc.diffusion.schedules import NoiseSchedule, published_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import Generator, GeneratorConfig
from tts_diffvoc.networks.diffwave import SC09, SC09_DEEP_THIN, SC09_LABELS, DiffWaveConfig
from tts_diffvoc_eval.baselines.learners import WARM_UP, fall
from tts_diffvoc_eval.baselines.training import RESULT, Budget, checked_device
from tts_diffvoc_eval.generation import corpus
from tts_diffvoc_eval.generation.corpus import Corpus

KINDS = ("unconditional", "conditional")
SIZES = ("small", "published", "deep-thin")
LABELS = tuple("0123456789")
CLIP = 1.0  # most that the gradient may be long
SCORED = 256  # held-back clips of a score
# Folded networks work at unit deviation: their levels go on to where a clip is a fiftieth of what is seen.
FOLDED_LEVELS = NoiseSchedule.log_snr(0.9999, 0.02, 200)
# Which digit is said, and where its formants lie, is decided at signal-to-noise ratios of about -30 to 5 dB.
DECISIVE = (1.4, 1.2)
HOP_SECONDS = 0.004
CARD = """---
license: MIT
author: the tts-diffvoc authors
training: {training}
data: {data}
---
DiffWave that speaks digits{labels}, without a mel, at {rate:,} Hz.

# DiffWave, {kind}, {size}
{parameters:,} numbers, averaged over training and kept as float16; clips of {length:,} samples. {how}
"""


@dataclass(frozen=True)
class Score:
    """The loss on held-back clips after ``steps`` and ``minutes``, with levels and noise drawn once for all."""

    steps: int
    minutes: float
    loss: float

    def __str__(self) -> str:
        return f"held back: loss {self.loss:.4f}"


def config_of(kind: str, size: str, digits: Corpus, deviation: float) -> GeneratorConfig:
    """A generator for a corpus whose samples have a ``deviation``, padding included.

    "published" and "deep-thin" are the paper's networks on samples (Kong et al. 2021, sections 5.2 and 5.3) with their
    200 noise levels; "small" is a folded one for a CPU.

    Raises: DiffvocError for an unknown kind or size.
    """
    if kind not in KINDS or size not in SIZES:
        raise DiffvocError(f"{kind!r} of the size {size!r} was asked for; give one of {KINDS}, and one of {SIZES}.")
    labels = LABELS if kind == "conditional" else ()
    common = {"sample_rate": digits.sample_rate, "length": digits.length, "labels": labels}
    if size == "small":
        hop = 2 * round(HOP_SECONDS * digits.sample_rate / 2)
        sizes = DiffWaveConfig(192, 12, 6, n_mels=0, in_channels=6 * hop + 3, labels=len(labels))
        defaults = {"steps": 50, "sampler": "ddim"}
        return GeneratorConfig(
            sizes, FOLDED_LEVELS, scale=round(1 / deviation, 3), hop=hop, defaults=defaults, **common
        )
    sizes = {"published": SC09_LABELS if labels else SC09, "deep-thin": SC09_DEEP_THIN}[size]
    return GeneratorConfig(replace(sizes, labels=len(labels)), published_schedule("diffwave-200"), **common)


PLANS = {
    "small": Plan({}, batch=16, rate=1e-3, average=0.999, falls=True, levels=DECISIVE),
    "published": Plan({}, batch=16, rate=2e-4, average=0.9999),
    "deep-thin": Plan({}, batch=16, rate=2e-4, average=0.9999),
}


class DiffWaveLearner(Learner):
    """The generator's own loss, and averaged weights."""

    betas = (0.9, 0.999)

    def __init__(self, generator: Generator, plan: Plan, device: torch.device, bf16: bool) -> None:
        super().__init__({"generator": generator.to(device)}, plan, device)
        self.generator = generator
        self.draw = focused_levels(*plan.levels) if plan.levels else discrete_levels
        self.average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(plan.average)).eval()
        self.average.requires_grad_(False)
        generator.autocast = torch.bfloat16 if bf16 else None

    def learn(self, waveform: Tensor, labels: Tensor | None, number: int, share: float, seeds: list[int]) -> Tensor:
        """A step on clips [B, T] with their labels [B]; returns the loss, a scalar on the device."""
        self.set_rate(self.plan.rate * min(1.0, (number + 1) / WARM_UP) * (fall(share) if self.plan.falls else 1.0))
        optimiser = self.optimisers["generator"]
        loss = self.generator.train().loss(waveform, labels, seeds, self.draw)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.generator.parameters(), CLIP)
        optimiser.step()
        self.average.update_parameters(self.generator)
        return loss.detach()

    @torch.no_grad()
    def score(self, waveform: Tensor, labels: Tensor | None) -> float:
        """Mean loss of the averaged network, every clip with a level and noise of its own."""
        losses, network = [], self.best()
        for start in range(0, len(waveform), 32):
            some = slice(start, start + 32)
            seeds = list(range(start, start + len(waveform[some])))
            loss = network.loss(waveform[some], None if labels is None else labels[some], seeds=seeds)
            losses += [float(loss)] * len(seeds)
        return sum(losses) / len(losses)

    def best(self) -> Generator:
        """The averaged network once there is one, for inference."""
        found = self.average.module if int(self.average.n_averaged) else self.generator
        assert isinstance(found, Generator)
        return found.eval()

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"average": self.average.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.average.load_state_dict(state["average"])


class DigitsRun(RivalRun):
    """One training of a generator."""

    learner: DiffWaveLearner
    score_type = Score

    def begin(self, digits: Corpus, bf16: bool = False, config: GeneratorConfig | None = None) -> None:
        """Build the network, and restore it if there is a checkpoint."""
        self.data = f"{digits.credit}; {len(digits.train)} clips"
        self.learnt, self.labels = digits.train.waveforms.to(self.device), digits.train.labels
        spread = max(1, len(digits.held) // SCORED)
        self.held = digits.held.waveforms[::spread][:SCORED].to(self.device)
        self.held_labels = digits.held.labels[::spread][:SCORED]
        config = config or config_of(self.name, self.size, digits, float(self.learnt.std()))
        torch.manual_seed(self.seed)
        generator = Generator(config, self.name)
        if config.hop:
            generator.measure(digits.train.waveforms)
        self.learner = DiffWaveLearner(generator, self.plan, self.device, bf16)
        self.settings = Settings(self.name, self.size, self.seed, asdict(self.plan), config.to_dict())
        self._restore()

    def _step(self, keys: Any) -> Tensor:
        chosen = [key.clip for key in keys]
        labels = self.labels[chosen] if self.learner.generator.labels else None
        seeds = [key.seed for key in keys]
        return self.learner.learn(self.learnt[chosen], labels, self.budget.done, self.budget.share, seeds)

    def finished(self) -> Generator:  # type: ignore[override]
        return self.learner.best()

    def validate(self) -> None:
        labels = self.held_labels if self.learner.generator.labels else None
        loss = self.learner.score(self.held, labels)
        self.scores.append(Score(self.budget.done, self.budget.spent / 60, loss))
        self.tell(f"{self.name}: {self._so_far()}, {self.scores[-1]}")

    def export(self, name: str) -> None:
        generator = self.finished()
        config = generator.config
        how = "Folded: it works on short-time spectra." if config.hop else "It works on samples, as published."
        card = CARD.format(
            training=self._words(),
            data=self.data,
            labels=" on demand" if config.labels else "",
            rate=config.sample_rate,
            kind=self.name,
            size=self.size,
            parameters=sum(p.numel() for p in generator.parameters()),
            length=config.length,
            how=how,
        )
        save_generator(generator, self.output / (FOLDER if name == RESULT else name), card)


def train(
    kind: str,
    digits: Corpus,
    output: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    size: str = "small",
    device: str | torch.device = "cpu",
    seed: int = 0,
    bf16: bool = False,
    plan: Plan | None = None,
    config: GeneratorConfig | None = None,
    tell: Callable[[str], None] = print,
) -> DigitsRun:
    """Train a generator, or go on with what lies in ``output``; returns the run, with its scores.

    Args:
        kind: "unconditional" or "conditional".
        digits: clips to train on, and clips to score.
        minutes, steps: the budget in all, one of them; more than before goes on with a finished run.
        size: "small", "published" or "deep-thin".
        seed: of weights, order and noise.
        bf16: compute the network in bfloat16.
        plan, config: how and what to train, instead of the size's own.
        tell: called with lines of progress.

    Raises: DiffvocError for bad settings, a checkpoint of another run, or a loss that is no number any more;
    KeyboardInterrupt after saving.
    """
    if kind not in KINDS or size not in SIZES:
        raise DiffvocError(f"{kind!r} of the size {size!r} was asked for; give one of {KINDS}, and one of {SIZES}.")
    plan = plan or PLANS[size]
    run = DigitsRun(kind, size, plan, seed, Budget(minutes, steps), Path(output), checked_device(device), tell)
    with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []):
        run.begin(digits, bf16, config)
        run.go_on(keep_quarters=True)
    values = {"label": f"DiffWave, {kind}, {size}", "settings": asdict(run.settings), "steps": run.budget.done}
    values |= {"minutes": run.budget.spent / 60, "scores": [asdict(score) for score in run.scores]}
    write_beside(run.output / "result.json", json.dumps(values, indent=1) + "\n")
    return run


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--data", type=Path, required=True, help="folder of FSDD, or of Speech Commands")
    parser.add_argument("--output", type=Path, required=True, help="the run's folder")
    parser.add_argument("--minutes", type=float, help="budget in all, over every call")
    parser.add_argument("--steps", type=int, help="budget in steps instead")
    parser.add_argument("--size", choices=SIZES, default="small", help="default: small, for a CPU")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and noise")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, help="bfloat16; default: on a GPU")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a shell's background jobs ignore SIGINT
    settings = {key: getattr(options, key) for key in ("minutes", "steps", "size", "device", "seed")}
    bf16 = options.device.startswith("cuda") if options.bf16 is None else options.bf16
    tell = functools.partial(print, flush=True)
    try:
        if options.threads < 1:
            raise DiffvocError(f"--threads is {options.threads}; give at least 1.")
        torch.set_num_threads(options.threads)
        torch.set_float32_matmul_precision("high")  # on a GPU
        train(options.kind, corpus.load(options.data), options.output, **settings, bf16=bf16, tell=tell)
    except DiffvocError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
