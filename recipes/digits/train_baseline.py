"""Train WaveGAN or WaveNet on spoken digits, to compare DiffWave with.

    python recipes/digits/train_baseline.py wavenet --data FSDD --output runs/wavenet --minutes 45
    python recipes/digits/train_baseline.py wavegan --data SPEECH_COMMANDS --output runs/wavegan --minutes 600 \\
        --size published --device cuda

The data are the Free Spoken Digit Dataset, or Speech Commands; the same command continues a run. OUTPUT/generator is
the result, written at every checkpoint. On a CPU the minutes are those of the process's own computing.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import torch
from torch import nn

from tts_diffvoc_eval.generation import datasets, training
from tts_diffvoc_eval.generation.wavegan import WaveGan, WaveGanConfig, WaveGanTraining
from tts_diffvoc_eval.generation.wavenet import WaveNet, WaveNetConfig

# Donahue et al. 2019, table 5: constant rate, no clipping, no averaging.
GAN = {"final_share": 1.0, "warmup_steps": 1, "betas": (0.5, 0.9), "clip_norm": math.inf, "ema_decay": 0.0}
NET = {"final_share": 0.1, "betas": (0.9, 0.99), "ema_decay": 0.0}
# Of each kind and size: the network, settings of the loop, clips of a batch, and the critic's steps before each of the
# generator's: in an hour of one core, five would leave too few of these.
PLANS: dict[tuple[str, str], tuple[dict[str, int], dict[str, Any], int, int]] = {
    ("wavegan", "published"): ({"width": 64}, {**GAN, "learning_rate": 1e-4}, 64, 5),
    ("wavegan", "small"): (
        {"width": 16},
        {**GAN, "learning_rate": 2e-4, "final_share": 0.1, "warmup_steps": 50, "ema_decay": 0.99},
        16,
        2,
    ),
    ("wavenet", "published"): ({}, {**NET, "learning_rate": 1e-3}, 16, 1),
    ("wavenet", "small"): ({"channels": 32, "skip": 64, "cycles": 2}, {**NET, "learning_rate": 3e-3}, 2, 1),
}

parser = training.make_parser(__doc__)
parser.add_argument("kind", choices=("wavegan", "wavenet"))
parser.add_argument("--size", choices=("published", "small"), default="small", help="default: small, for a CPU")


def train(options: argparse.Namespace) -> None:
    """Train a baseline in ``options.output``, or continue."""
    sizes, settings, batch, critic_steps = PLANS[options.kind, options.size]
    corpus = datasets.load(options.data)
    clips = {"length": corpus.length, "sample_rate": corpus.sample_rate}
    torch.manual_seed(options.seed)
    if options.kind == "wavegan":
        model: nn.Module = WaveGanTraining(WaveGan(WaveGanConfig(**sizes, **clips), options.size), critic_steps)
    else:
        model = WaveNet(WaveNetConfig(**sizes, **clips), options.size)
    held = corpus.held.waveforms[:: max(1, len(corpus.held) // 256)].to(options.device)

    def save(average: Any, trained: str) -> dict[str, float]:
        data = f"{corpus.credit}; {len(corpus.train)} clips"
        getattr(average, "model", average).save(options.output / "generator", trained, data)
        return average.held_out(held)

    training.run(model, corpus, options, batch * critic_steps, save, **settings)


if __name__ == "__main__":
    training.main(parser, train)
