"""Training DiffWave Base on one CPU core: samples a second by the public ``diffwave`` package's learner and by ours.

    python eval/bench_training.py --batch-size 2 --repeats 5 --threads 1

Both train the same weights on the same batch with the same noise, taking turns in one process after a warm-up, so
that a busy machine hits both; medians are of wall-clock time. A step is the forward pass, the loss, the backward
pass, clipping and the optimizer, by the public learner's own ``train_step`` and by the model that our recipes hand
to Coqui's Trainer. Before the timing, the gradients of one step are compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor, nn

from tts_diffvoc.diffusion.objectives import discrete_levels
from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.diffwave import BASE, DiffWave
from tts_diffvoc.vocoder import Vocoder, VocoderConfig

FRAMES = 62  # the public package's crop
SCHEDULE = published_schedule("diffwave-50")


class SameNoise:
    """What our side draws from seeds, for the public learner's random numbers."""

    def __init__(self, vocoder: Vocoder, seeds: list[int], length: int) -> None:
        level, self.noise = vocoder._draw(torch.zeros(len(seeds), length), discrete_levels, None, seeds)
        levels = SCHEDULE.noise_levels.float()
        self.step = (levels.unsqueeze(0) - level.unsqueeze(1)).abs().argmin(1)


def public_step(network: DiffWave, batch: dict[str, Tensor], same: SameNoise) -> tuple[nn.Module, Callable[[], Tensor]]:
    """The public package's network with our weights, and its learner's step on the batch."""
    try:
        from diffwave.learner import DiffWaveLearner
        from diffwave.model import DiffWave as Public
        from diffwave.params import params
    except ImportError:
        raise SystemExit("error: the public package is missing; pip install --no-deps diffwave==0.1.7") from None
    theirs = Public(params)
    theirs.load_state_dict(network.state_dict(), strict=False)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=params.learning_rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its autocast is the one of an older torch
        learner = DiffWaveLearner(tempfile.mkdtemp(), theirs, [], optimizer, params)
    learner.loss_fn = nn.MSELoss()  # the paper's; the learner's own takes the absolute error
    features = {"audio": batch["waveform"], "spectrogram": batch["mel"]}

    def step() -> Tensor:
        with (
            mock.patch("torch.randint", lambda *a, **k: same.step),
            mock.patch("torch.randn_like", lambda x: same.noise),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            return learner.train_step(features).detach()

    return theirs, step


def our_step(vocoder: Vocoder, batch: dict[str, Tensor], seeds: list[int], clip: float) -> Callable[[], Tensor]:
    """Forward, backward, clipping and the optimizer, as ``TrainableVocoder.optimize`` does them."""
    optimizer = torch.optim.Adam(vocoder.network.parameters(), lr=2e-4)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = vocoder.loss(batch["waveform"], batch["mel"], seeds=seeds)
        loss.backward()
        nn.utils.clip_grad_norm_(vocoder.network.parameters(), clip)
        optimizer.step()
        return loss.detach()

    return step


def largest_difference(ours: nn.Module, theirs: nn.Module) -> float:
    """The largest difference of two networks' gradients, in units of each one's largest entry."""
    others = dict(theirs.named_parameters())
    pairs = [(p.grad, others[name].grad) for name, p in ours.named_parameters() if name in others]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs if a is not None and b.abs().max() > 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    vocoder = Vocoder(VocoderConfig("diffwave", BASE, SCHEDULE, MelConfig())).train()
    with torch.no_grad():
        vocoder.network.output_projection.weight.normal_(0, 0.05)  # zero at first, which would hide most gradients
    length = FRAMES * 256
    size = options.batch_size
    batch = {"waveform": 0.1 * torch.randn(size, length), "mel": torch.rand(size, 80, FRAMES)}
    seeds = list(range(size))
    theirs, public = public_step(vocoder.network, batch, SameNoise(vocoder, seeds, length))
    ours = our_step(vocoder, batch, seeds, 1e9)

    losses = float(public()), float(ours())
    difference = largest_difference(vocoder.network, theirs)
    took: dict[str, list[float]] = {"public": [], "ours": []}
    for _ in range(options.repeats):
        for name, step in (("public", public), ("ours", ours)):
            start = time.perf_counter()
            step()
            took[name].append(time.perf_counter() - start)
    samples = size * length
    print(f"DiffWave Base, batch {size} of {length} samples, CPU, {options.threads} thread(s)")
    print(f"loss of the first step: public {losses[0]:.7f}, ours {losses[1]:.7f}")
    print(f"gradients of the first step: largest difference {difference:.1e} of the largest entry")
    for name, times in took.items():
        rates = sorted(samples / t for t in times)
        print(f"{name:7}{statistics.median(rates):8.0f} samples a second (median; {rates[0]:.0f} to {rates[-1]:.0f})")
    ratios = sorted(a / b for a, b in zip(took["public"], took["ours"]))
    print(
        f"ours is {statistics.median(ratios):.2f} times as fast "
        f"(median of {len(ratios)} pairs; {ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


if __name__ == "__main__":
    main()
