"""Learn the score of a swiss roll by denoising, and sample it in three ways with one network.

    python recipes/toys/swiss_roll.py --output swiss_roll.png

A network that predicts the noise is trained by denoising score matching (Vincent 2011, equation 11, at many levels and
weighted as Song and Ermon 2019 do, equation 6); its score is -eps / s. Samples come from annealed Langevin dynamics
(Song and Ermon 2019, algorithm 1), DDPM (Ho et al. 2020, algorithm 2) and DDIM (Song, Meng and Ermon 2021,
equation 12). Prints the sliced Wasserstein distance of each from fresh data.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from pictures import BLUE, GREY, ORANGE, save
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

from tts_diffvoc.diffusion.objectives import discrete_levels, noise_prediction_loss
from tts_diffvoc.diffusion.process import denoiser_from, q_sample, score_from_x0
from tts_diffvoc.diffusion.samplers import ddim, ddpm, langevin
from tts_diffvoc.diffusion.schedules import NoiseSchedule

SCHEDULE = NoiseSchedule.log_snr(0.9998, 0.02, 100)
WAYS: dict[str, Callable[..., Tensor]] = {
    "Langevin, 100 x 3": lambda *given, **more: langevin(*given, steps_per_level=3, c2=0.2, **more),
    "DDPM, 100 steps": ddpm,
    "DDIM, 50 steps": lambda net, noise, schedule, **more: ddim(net, noise, schedule.respace(50), **more),
}
BATCH, COUNT = 512, 2000


def swiss_roll(count: int, generator: torch.Generator) -> Tensor:
    """``count`` points [count, 2] of mean about 0 and deviation about 1, with a little noise across the roll."""
    angle = 1.5 * torch.pi * (1 + 2 * torch.rand(count, generator=generator))
    roll = torch.stack([angle * angle.cos(), angle * angle.sin()], dim=1)
    return (roll + 0.3 * torch.randn(count, 2, generator=generator)) / 6.8


class Network(nn.Module):
    """eps(x [B, 2], noise_level [B]) -> [B, 2]: three dense layers, told the level by sines of its half-log-SNR."""

    def __init__(self, width: int = 128, waves: int = 8) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2.0 ** torch.arange(-3, waves - 3))
        self.layers = nn.Sequential(
            nn.Linear(2 + 2 * waves, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 2),
        )

    def forward(self, x: Tensor, noise_level: Tensor) -> Tensor:
        noise_level = noise_level.to(x.dtype)
        place = (noise_level / (1 - noise_level.square()).sqrt()).log().unsqueeze(1) * self.frequencies
        return self.layers(torch.cat([x, place.sin(), place.cos()], dim=1))


def train(steps: int, generator: torch.Generator) -> Network:
    """A network after ``steps`` batches of fresh points, by Adam with a rate that falls along a cosine."""
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1), 1e-5)
    for step in range(1, steps + 1):
        levels = discrete_levels(SCHEDULE, BATCH, generator)
        loss = noise_prediction_loss(network, swiss_roll(BATCH, generator), levels, generator).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
        if step % max(steps // 5, 1) == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)
    return network.eval()


def sliced_wasserstein(a: Tensor, b: Tensor, slices: int = 64) -> float:
    """Mean distance of the projections of points [N, 2] onto directions spread evenly over a half-turn."""
    angles = np.arange(slices) * math.pi / slices
    directions = np.stack([np.cos(angles), np.sin(angles)])
    pairs = zip((a.numpy() @ directions).T, (b.numpy() @ directions).T)
    return float(np.mean([wasserstein_distance(one, other) for one, other in pairs]))


def draw_points(axes: Axes, points: Tensor, title: str, colour: str) -> None:
    axes.scatter(*points.T.numpy(), s=2, color=colour, alpha=0.5, linewidths=0)
    axes.set_title(title, fontsize=9)
    axes.set(xlim=(-2.4, 2.4), ylim=(-2.4, 2.4), xticks=(), yticks=(), aspect="equal")


def draw_score(axes: Axes, network: Network, level: float, data: Tensor, generator: torch.Generator) -> None:
    """The direction of the learnt score at one level, longer where it is stronger, over the data noised so."""
    sigma = math.sqrt(1 - level * level)
    levels = torch.full((len(data),), level)
    noised = q_sample(data, levels, torch.randn(data.shape, generator=generator))
    draw_points(axes, noised, f"learnt score, s = {sigma:.2f}", BLUE)
    side = torch.linspace(-2.2, 2.2, 23)
    grid = torch.cartesian_prod(side, side)
    same = torch.full((len(grid),), level)
    with torch.no_grad():
        score = score_from_x0(grid, same, denoiser_from(network)(grid, same))
    size = score.norm(dim=1, keepdim=True).clamp_min(1e-9)
    arrows = score / size * (size * sigma).clamp_max(3).sqrt()
    axes.quiver(*grid.T.numpy(), *arrows.T.numpy(), color=GREY, scale=36, width=0.004, headwidth=4)


def plot(network: Network, data: Tensor, found: dict[str, Tensor], path: Path, generator: torch.Generator) -> None:
    """Data and the score at two levels above, the samples of each way below."""
    figure, axes = plt.subplots(2, 3, figsize=(9, 6.3), layout="constrained")
    draw_points(axes[0, 0], data, "data", BLUE)
    draw_score(axes[0, 1], network, 0.9, data, generator)
    draw_score(axes[0, 2], network, 0.995, data, generator)
    for place, (name, samples) in zip(axes[1], found.items()):
        draw_points(place, samples, f"{name}: distance {sliced_wasserstein(samples, data):.3f}", ORANGE)
    save(figure, path)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("swiss_roll.png"), help="picture to write")
    parser.add_argument("--steps", type=int, default=5000, help="batches to train on; default: 5000")
    parser.add_argument("--seed", type=int, default=0, help="of data, weights, training and samples; default: 0")
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    network = train(options.steps, generator)
    data, fresh = swiss_roll(COUNT, generator), swiss_roll(COUNT, generator)
    noise = torch.randn(COUNT, 2, generator=generator)
    with torch.no_grad():
        found = {name: way(denoiser_from(network), noise, SCHEDULE, generator=generator) for name, way in WAYS.items()}
    print("sliced Wasserstein distance from the data:")
    for name, points in {**found, "other data": fresh, "noise": noise}.items():
        print(f"  {name}: {sliced_wasserstein(points, data):.4f}")
    plot(network, data, found, options.output, generator)
    print(options.output)


if __name__ == "__main__":
    main()
