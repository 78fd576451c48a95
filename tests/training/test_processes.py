"""Two processes in the training loop learn what one learns from batches of twice the size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tts_diffvoc.training.loop import CHECKPOINT, LOG

SCRIPT = """
import sys
from pathlib import Path
import torch
from tts_diffvoc.training.loop import LoopConfig, join, train, world

class Fit(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(3, 1)

    def loss(self, batch):
        return {"loss": (self.line(batch) - batch.sum(1, keepdim=True)).square().mean()}

def batches(rank, size):
    draw = torch.Generator().manual_seed(0)
    while True:
        yield torch.randn(8, 3, generator=draw)[rank::size]

assert join("cpu") == "cpu" and torch.initial_seed() == world()[0]  # the first one draws what all begin with
config = LoopConfig(steps=30, learning_rate=0.05, warmup_steps=5, log_steps=1)
train(Fit(), batches(*world()), config, Path(sys.argv[1]), lambda model: {"held": float(model.line.bias)})
"""


def test_torchrun_has_the_loss_curve_of_the_whole_batch(tmp_path):
    script = tmp_path / "fit.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for command in ([script, tmp_path / "one"], [*torchrun, script, tmp_path / "two"]):
        result = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
        assert result.stdout.count("step 30 minutes") == 2  # the loss and what is held back, by the first process alone
    logs = [(tmp_path / run / LOG).read_text().splitlines() for run in ("one", "two")]
    one, two = ([json.loads(line) for line in lines] for lines in logs)
    assert len(one) == 31 and one[29]["loss"] < 0.5 * one[0]["loss"]
    for name in ("loss", "held"):
        assert [row.get(name) for row in two] == pytest.approx([row.get(name) for row in one], abs=1e-5)
    weights = [torch.load(tmp_path / run / CHECKPOINT, weights_only=True)["model"] for run in ("one", "two")]
    torch.testing.assert_close(*weights, atol=1e-5, rtol=0)
