"""Train WaveGAN or WaveNet on spoken digits, to compare DiffWave with.

    python recipes/fsdd/train_baseline.py wavenet --data FSDD --output runs/wavenet --minutes 45
    python recipes/fsdd/train_baseline.py wavegan --data SC09 --output runs/wavegan --minutes 600 \\
        --size published --device cuda

The data are the Free Spoken Digit Dataset, or Speech Commands; the same command continues a run. OUTPUT/generator is
the result, written at every checkpoint. On a CPU the minutes are those of the process's own computing.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

import torch
from torch import nn

from tts_diffvoc.training.loop import LoopConfig
from tts_diffvoc_eval.generation import datasets, training
from tts_diffvoc_eval.generation.baselines import save
from tts_diffvoc_eval.generation.wavegan import WaveGan, WaveGanConfig, WaveGanTraining
from tts_diffvoc_eval.generation.wavenet import WaveNet, WaveNetConfig

# Donahue et al. 2019, table 5: constant rate, no weight decay, no clipping, no averaging.
GAN = LoopConfig(
    steps=1,
    learning_rate=1e-4,
    final_share=1.0,
    warmup_steps=1,
    betas=(0.5, 0.9),
    weight_decay=0.0,
    clip_norm=math.inf,
    ema_decay=0.0,
)
NET = LoopConfig(
    steps=1,
    learning_rate=1e-3,
    final_share=0.1,
    warmup_steps=50,
    betas=(0.9, 0.99),
    weight_decay=0.0,
    clip_norm=1.0,
    ema_decay=0.0,
)
# Of each kind and size: the network, the loop, clips of a batch, and the critic's steps before each of the generator's.
PLANS = {
    ("wavegan", "published"): ({"width": 64}, GAN, 64, 5),
    # In an hour of one core, five steps of the critic leave too few of the generator's.
    ("wavegan", "small"): (
        {"width": 16},
        replace(GAN, learning_rate=2e-4, final_share=0.1, warmup_steps=50, ema_decay=0.99),
        16,
        2,
    ),
    ("wavenet", "published"): ({"channels": 128, "skip": 256, "cycle": 10, "cycles": 3}, NET, 16, 0),
    ("wavenet", "small"): (
        {"channels": 32, "skip": 64, "cycle": 10, "cycles": 2},
        replace(NET, learning_rate=3e-3),
        2,
        0,
    ),
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = training.parser(__doc__)
    parser.add_argument("kind", choices=("wavegan", "wavenet"))
    parser.add_argument("--steps", type=int, help="budget in steps instead of minutes")
    parser.add_argument("--size", choices=("published", "small"), default="small", help="default: small, for a CPU")
    return parser.parse_args(arguments)


def train(options: argparse.Namespace) -> None:
    network, loop, batch, critic_steps = PLANS[options.kind, options.size]
    config = replace(loop, minutes=options.minutes, steps=options.steps, device=options.device)
    corpus = datasets.load(options.data)
    network = {**network, "length": corpus.length, "sample_rate": corpus.sample_rate}
    torch.manual_seed(options.seed)
    if options.kind == "wavegan":
        model: nn.Module = WaveGanTraining(WaveGan(WaveGanConfig(**network), options.size), critic_steps)
    else:
        model = WaveNet(WaveNetConfig(**network), options.size)
    held = corpus.held.waveforms[:: max(1, len(corpus.held) // 256)].to(options.device)

    def finish(average: nn.Module, trained: str) -> dict[str, float]:
        data = f"{corpus.credit}; {len(corpus.train)} clips"
        save(getattr(average, "model", average), options.output / "generator", trained, data)
        return average.held_out(held)

    training.run(model, corpus, config, options, batch * max(1, critic_steps), finish)


if __name__ == "__main__":
    options = parse()
    training.main(lambda: train(options), options.threads)
