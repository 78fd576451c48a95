"""The training loop: budgets, resuming, the moving average, parts that learn in turns."""

import json
import os
import signal
from itertools import repeat

import pytest
import torch
from torch import nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.loop import CHECKPOINT, LOG, LoopConfig, train


class Line(nn.Module):
    """Fits y = 3 x."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(()))

    def loss(self, batch):
        return {"loss": ((self.slope - 3) * batch).square().mean()}


class Turns(nn.Module):
    """Two parts: `follower` wants to be what `leader` is, and `leader` wants to be 1."""

    def __init__(self):
        super().__init__()
        self.leader, self.follower = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        self.seen = []

    def parts(self):
        return {"leader": [self.leader], "follower": [self.follower]}

    def losses(self, batch):
        before = float(self.leader.detach())
        yield "leader", {"loss": (self.leader - 1).square()}
        self.seen.append((before, float(self.leader.detach())))
        yield "follower", {"loss": (self.follower - self.leader.detach()).square()}


def test_steps_are_a_budget_and_the_average_follows(tmp_path):
    model = Line()
    config = LoopConfig(steps=300, learning_rate=0.05, warmup_steps=10, ema_decay=0.9, weight_decay=0.0, log_steps=50)
    average = train(model, repeat(torch.ones(4)), config, tmp_path, lambda one: {"held": one.slope.item()})
    assert float(average.slope) == pytest.approx(3, abs=0.1) and not average.training
    rows = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [row["step"] for row in rows] == [50, 100, 150, 200, 250, 300, 300]
    assert rows[-1]["held"] == pytest.approx(3, abs=0.1) and rows[0]["loss"] > rows[4]["loss"]


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_run_goes_on_where_it_stopped_as_if_it_had_not(kind, tmp_path):
    whole, halves = Line(), Line()
    options = {"learning_rate": 0.01, "warmup_steps": 5, "weight_decay": 0.0}
    train(whole, repeat(torch.ones(4)), LoopConfig(steps=40, **options), tmp_path / "whole")

    def interrupted():
        for step in range(100):
            if step == 19:
                os.kill(os.getpid(), kind)
            yield torch.ones(4)

    with pytest.raises(SystemExit) as stop:
        train(halves, interrupted(), LoopConfig(steps=40, **options), tmp_path / "halves")
    assert stop.value.code == 128 + kind and (tmp_path / "halves" / CHECKPOINT).is_file()
    again = Line()
    average = train(again, repeat(torch.ones(4)), LoopConfig(steps=40, **options), tmp_path / "halves")
    torch.testing.assert_close(again.slope, whole.slope)
    assert 0 < float(average.slope) < float(again.slope)


def test_a_spent_budget_trains_no_more(tmp_path):
    train(Line(), repeat(torch.ones(4)), LoopConfig(steps=3), tmp_path)
    model = Line()
    train(model, iter([]), LoopConfig(steps=3), tmp_path)
    assert float(model.slope.detach()) > 0  # read from the checkpoint


def test_minutes_are_a_budget(tmp_path):
    train(Line(), repeat(torch.ones(4)), LoopConfig(minutes=0.01, log_steps=1000000), tmp_path)
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert 0.6 <= state["seconds"] < 1.5 and state["step"] > 20


def test_parts_learn_in_turns(tmp_path):
    model = Turns()
    config = LoopConfig(steps=200, learning_rate=0.02, warmup_steps=1, weight_decay=0.0, log_steps=200)
    train(model, repeat(None), config, tmp_path)
    assert float(model.leader.detach()) == pytest.approx(1, abs=0.05)
    assert float(model.follower.detach()) == pytest.approx(1, abs=0.05)
    assert all(after > before for before, after in model.seen[:10])  # the follower sees the leader's new step
    assert {"leader_loss", "follower_loss"} <= set(json.loads((tmp_path / LOG).read_text().splitlines()[0]))


@pytest.mark.parametrize("budget", [{}, {"minutes": 1, "steps": 1}, {"minutes": 0}, {"steps": -1}])
def test_a_budget_is_minutes_or_steps_above_zero(budget):
    with pytest.raises(DiffvocError, match="training budget"):
        LoopConfig(**budget)


def test_checks_at_shares_of_the_budget(tmp_path):
    seen = []
    config = LoopConfig(steps=40, checks=(0.25, 0.5), log_steps=100)
    train(Line(), repeat(torch.ones(4)), config, tmp_path, lambda one: {"calls": seen.append(one)})
    rows = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 40] and len(seen) == 3


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(DiffvocError, match="no device 'nowhere'"):
        LoopConfig(steps=1, device="nowhere")
    with pytest.raises(DiffvocError, match="no longer finite after 1 step"):
        train(Line(), repeat(torch.full((4,), torch.nan)), LoopConfig(steps=1), tmp_path)
    (tmp_path / CHECKPOINT).write_bytes(b"nothing")
    with pytest.raises(DiffvocError, match="delete it to begin again"):
        train(Line(), repeat(torch.ones(4)), LoopConfig(steps=1), tmp_path)
