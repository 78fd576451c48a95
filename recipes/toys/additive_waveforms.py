"""Teach a tiny generator tones: three harmonics of a random fundamental, of random amplitudes and phases.

    python recipes/toys/additive_waveforms.py --output additive_waveforms.png

An unconditional DiffWave without mel (Kong et al. 2021, section 5.2), folded as the bundled voices are, of 64 ms at
4,000 Hz. The picture shows tones it was taught beside tones it made. Prints how periodic they are: the share of a
clip's energy that the best three harmonics of one fundamental explain, 1 for the data and far less for noise.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from pictures import BLUE, ORANGE, save
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.generator import Generator, GeneratorConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig

RATE, LENGTH, HOP = 4000, 256, 16
LOWEST, OCTAVES, HARMONICS = 200.0, 0.5, 3
LEVEL, BATCH, COUNT = 0.2, 32, 64
RATE_OF_LEARNING = 2e-3
CONFIG = GeneratorConfig(
    DiffWaveConfig(96, 5, 3, n_mels=0, upsample_factors=(), in_channels=4 * HOP + 2),
    NoiseSchedule.log_snr(0.99, 0.06, 20),
    RATE,
    LENGTH,
    scale=1 / LEVEL,
    hop=HOP,
)


def tones(count: int, generator: torch.Generator) -> Tensor:
    """Waveforms [count, LENGTH] of deviation LEVEL: random fundamental, amplitudes and phases."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    fundamental = LOWEST * 2 ** (OCTAVES * draw(count, 1, 1))
    number = torch.arange(1.0, HARMONICS + 1).unsqueeze(1)
    time = torch.arange(LENGTH) / RATE
    turns = number * fundamental * time + draw(count, HARMONICS, 1)
    waves = (draw(count, HARMONICS, 1) / number * torch.sin(2 * math.pi * turns)).sum(1)
    return LEVEL * waves / waves.square().mean(1, keepdim=True).sqrt()


def periodic_share(waveforms: Tensor, fundamentals: int = 400) -> Tensor:
    """The share of the energy of waveforms [N, T] in the best harmonic series of one fundamental, [N] from 0 to 1.

    Least squares on sines and cosines of the harmonics, for fundamentals on a grid finer than 64 ms can tell apart.
    """
    place = torch.linspace(-0.1, OCTAVES + 0.1, fundamentals, dtype=torch.float64)
    turns = torch.arange(waveforms.shape[1]) / RATE * (LOWEST * 2**place).unsqueeze(1)
    angles = 2 * math.pi * turns.unsqueeze(2) * torch.arange(1, HARMONICS + 1)
    basis = torch.linalg.qr(torch.cat([angles.sin(), angles.cos()], dim=2)).Q
    explained = torch.einsum("ftk,nt->nfk", basis, waveforms.double()).square().sum(2)
    return explained.amax(1) / waveforms.double().square().sum(1).clamp_min(1e-12)


def train(steps: int, generator: torch.Generator) -> Generator:
    """The averaged generator after ``steps`` batches of fresh tones, by Adam with a rate that rises and falls."""
    model = Generator(CONFIG, "tones")
    model.measure(tones(1000, generator))
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE_OF_LEARNING)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE_OF_LEARNING, total_steps=steps, pct_start=0.1)
    for step in range(1, steps + 1):
        seeds = torch.randint(2**31, (BATCH,), generator=generator).tolist()
        loss = model.loss(tones(BATCH, generator), seeds=seeds)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        cycle.step()
        average.update_parameters(model)
        if step % max(steps // 5, 1) == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)
    return average.module.eval()


def plot(data: Tensor, made: Tensor, path: Path, rows: int = 4) -> None:
    """Waveform and spectrum of ``rows`` tones of the data on the left and as many made ones on the right."""
    figure, axes = plt.subplots(rows, 4, figsize=(10, 1.5 * rows + 0.6), layout="constrained", sharex="col")
    time = 1000 * torch.arange(LENGTH) / RATE
    window = torch.hann_window(LENGTH)
    frequency = torch.fft.rfftfreq(4 * LENGTH, 1 / RATE)
    for row in range(rows):
        for side, (waves, colour) in enumerate(((data, BLUE), (made, ORANGE))):
            left, right = axes[row, 2 * side], axes[row, 2 * side + 1]
            left.plot(time, waves[row], color=colour, linewidth=0.8)
            left.set(ylim=(-0.75, 0.75), xlim=(0, 1000 * LENGTH / RATE), yticks=(-0.5, 0, 0.5))
            spectrum = torch.fft.rfft(waves[row] * window, n=4 * LENGTH).abs() / (LEVEL * LENGTH / 4)
            right.plot(frequency, 20 * spectrum.clamp_min(1e-4).log10(), color=colour, linewidth=0.8)
            share = float(periodic_share(waves[row : row + 1]))
            right.set(ylim=(-60, 10), xlim=(0, 2000), yticks=(-60, -30, 0))
            right.set_title(f"periodic: {share:.0%}", fontsize=8, loc="right", pad=2)
            for one in (left, right):
                one.tick_params(labelsize=7)
                one.grid(alpha=0.3)
    for column, title in enumerate(("data", "spectrum, dB", "made", "spectrum, dB")):
        axes[0, column].set_title(title, fontsize=9, loc="left", pad=2)
        axes[-1, column].set_xlabel(("ms", "Hz")[column % 2], fontsize=8)
    save(figure, path)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("additive_waveforms.png"), help="picture to write")
    parser.add_argument("--steps", type=int, default=1800, help="batches to train on; default: 1800")
    parser.add_argument("--seed", type=int, default=0, help="of data, weights, training and samples; default: 0")
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    model = train(options.steps, generator)
    data = tones(COUNT, generator)
    made = model.generate(COUNT, seed=options.seed)
    noise = LEVEL * torch.randn(COUNT, LENGTH, generator=generator)
    print(f"share of the energy in one harmonic series, mean of {COUNT}:")
    for name, waves in {"data": data, "made": made, "noise": noise}.items():
        print(f"  {name}: {float(periodic_share(waves).mean()):.4f}")
    plot(data, made, options.output)
    print(options.output)


if __name__ == "__main__":
    main()
