"""Short trainings in this process, and what they did at each step."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from trainer.logging.dummy_logger import DummyLogger

from tts_diffvoc.coqui import training
from tts_diffvoc.coqui.configs import RecipeArgs
from tts_diffvoc.coqui.trainer import DiffvocTrainer


class Recorder(DummyLogger):
    """A dashboard that keeps the numbers of each step and each validation."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[int, dict[str, float]] = {}
        self.validations: list[float] = []

    def train_step_stats(self, step, stats):
        self.steps[step] = {name: float(value) for name, value in stats.items()}

    def eval_stats(self, step, stats):
        self.validations.append(stats["avg_loss"])


@dataclass
class Ran:
    """A training that ended, its losses in order, and its validations."""

    trainer: DiffvocTrainer
    losses: list[float]
    validations: list[float]
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = Path(self.trainer.output_path)

    @property
    def model(self):
        return self.trainer.model

    def weights(self) -> dict[str, torch.Tensor]:
        """The weights, their average and the step, by name."""
        return {name: value.clone() for name, value in self.model.state_dict().items()}


def train(config, steps: int | None = None, **arguments) -> Ran:
    """Train to ``steps`` in all; ``arguments`` are those of Coqui's Trainer, ``options`` those of its constructor."""
    options = arguments.pop("options", {})
    recorder = Recorder()
    _, clips, held = training.split_corpus(config)
    args = RecipeArgs(max_steps=steps, **arguments)
    ran = training.fit(config, args, clips, held, dashboard_logger=recorder, **options)
    return Ran(ran, [recorder.steps[step]["loss"] for step in sorted(recorder.steps)], recorder.validations)


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Of any weight in two state dicts with the same names."""
    assert one.keys() == other.keys()
    skipped = {"minutes_spent"}
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one.keys() - skipped)
