"""Training DiffWave Base: samples a second by the public ``diffwave`` package's learner and by ours, on one device.

    python eval/bench_training.py --batch-size 2 --repeats 5 --threads 1
    python eval/bench_training.py --device cuda --precision bf16 --compile --batch-size 16 --steps 10 --profile FILE

Both train the same weights on the same batch with the same noise, taking turns in one process after a warm-up, so
that a busy machine hits both; medians are of wall-clock time, and a GPU is waited for. A step is the forward pass, the
loss, the backward pass, clipping and the optimizer, by the public learner's own ``train_step``, in its own precision,
and by the model that our recipes hand to Coqui's Trainer. Before the timing, the gradients of one step are compared,
and after it the losses.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
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

    def __init__(self, vocoder: Vocoder, seeds: list[int], waveform: Tensor) -> None:
        level, self.noise = vocoder._draw(waveform, discrete_levels, None, seeds)
        levels = SCHEDULE.noise_levels.to(level)
        self.step = (levels.unsqueeze(0) - level.unsqueeze(1)).abs().argmin(1)


def public_step(network: DiffWave, batch: dict[str, Tensor], same: SameNoise) -> tuple[nn.Module, Callable[[], Tensor]]:
    """The public package's network with our weights, and its learner's step on the batch."""
    try:
        from diffwave.learner import DiffWaveLearner
        from diffwave.model import DiffWave as Public
        from diffwave.params import params
    except ImportError:
        raise SystemExit("error: the public package is missing; pip install --no-deps diffwave==0.1.7") from None
    theirs = Public(params).to(batch["waveform"].device)
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
    fused = vocoder.device.type == "cuda"
    optimizer = torch.optim.Adam(vocoder.network.parameters(), lr=2e-4, fused=fused)

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


def timed(step: Callable[[], Tensor], count: int, device: torch.device) -> float:
    """Seconds that ``count`` steps take, a GPU's queue emptied before and after."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    for _ in range(count):
        step()
    wait()
    return time.perf_counter() - start


def profile(steps: dict[str, Callable[[], Tensor]], device: torch.device, path: Path) -> None:
    """Write where the time of three steps of each side goes, by operator, to ``path``."""
    from torch.profiler import ProfilerActivity, profile

    gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA] if gpu else [ProfilerActivity.CPU]
    texts = []
    for name, step in steps.items():
        with profile(activities=activities) as found:
            seconds = timed(step, 3, device)
        by = "self_device_time_total" if gpu else "self_cpu_time_total"
        shown = found.key_averages().table(sort_by=by, row_limit=25, max_name_column_width=70)
        texts.append(f"{name}: 3 steps, {seconds:.3f} s under the profiler\n{shown}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(texts) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1, help="that are timed together; on a GPU 10 or more")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of our network")
    parser.add_argument("--compile", action="store_true", help="compile our network")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="write where the time goes")
    options = parser.parse_args()
    try:
        torch.zeros(1, device=options.device)
    except (RuntimeError, AssertionError):
        parser.error(f"there is no device {options.device} here")
    return options


def make_vocoder(options: argparse.Namespace) -> Vocoder:
    """DiffWave Base in training."""
    torch.manual_seed(0)
    vocoder = Vocoder(VocoderConfig("diffwave", BASE, SCHEDULE, MelConfig())).train()
    with torch.no_grad():
        vocoder.network.output_projection.weight.normal_(0, 0.05)  # zero at first, which would hide most gradients
    return vocoder.to(options.device)


def make_faster(vocoder: Vocoder, options: argparse.Namespace) -> None:
    """Set the precision, and compile."""
    vocoder.autocast = torch.bfloat16 if options.precision == "bf16" else None
    if options.compile:
        from tts_diffvoc_eval.baselines.vocoder import compile_network  # imports Coqui

        compile_network(vocoder)


def report(took: dict[str, list[float]], samples: int) -> None:
    """Print samples a second of both sides, and the ratio, ``samples`` in each time."""
    for name, times in took.items():
        rates = sorted(samples / t for t in times)
        print(
            f"{name:7}{statistics.median(rates):12,.0f} samples a second (median; {rates[0]:,.0f} to {rates[-1]:,.0f})"
        )
    ratios = sorted(a / b for a, b in zip(took["public"], took["ours"]))
    print(
        f"ours is {statistics.median(ratios):.2f} times as fast "
        f"(median of {len(ratios)} pairs; {ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    vocoder = make_vocoder(options)
    device, size, length = vocoder.device, options.batch_size, FRAMES * 256
    batch = {"waveform": 0.1 * torch.randn(size, length).to(device), "mel": torch.rand(size, 80, FRAMES).to(device)}
    seeds = list(range(size))
    theirs, public = public_step(vocoder.network, batch, SameNoise(vocoder, seeds, batch["waveform"]))
    make_faster(vocoder, options)
    ours = our_step(vocoder, batch, seeds, 1e9)

    losses = float(public()), float(ours())
    difference = largest_difference(vocoder.network, theirs)
    took: dict[str, list[float]] = {"public": [], "ours": []}
    for _ in range(options.repeats):
        for name, step in (("public", public), ("ours", ours)):
            took[name].append(timed(step, options.steps, device))
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {options.threads} thread(s)"
    how = f"{options.precision}{', compiled' if options.compile else ''}"
    print(f"DiffWave Base, batch {size} of {length} samples, {where}; public fp32, ours {how}")
    print(f"loss of the first step: public {losses[0]:.7f}, ours {losses[1]:.7f}")
    print(f"gradients of the first step: largest difference {difference:.1e} of the largest entry")
    last = float(public()), float(ours())
    print(f"loss of step {options.repeats * options.steps + 2}: public {last[0]:.7f}, ours {last[1]:.7f}")
    report(took, size * length * options.steps)
    if options.profile:
        profile({"public": public, "ours": ours}, device, options.profile)
        print(f"profile: {options.profile}")
