"""DiffWave BASE on a CPU: six steps by the public ``diffwave`` package and by ours, same weights, same noise.

    python eval/bench_diffwave.py --seconds 3 --repeats 5 --threads 2

The two take turns in one process after a warm-up, so that a busy machine hits both; medians are of wall-clock time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from tts_diffvoc.diffusion.samplers import ddpm
from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.networks.diffwave import BASE, DiffWave
from tts_diffvoc.networks.fast import fast_inference

FAST = published_schedule("diffwave-fast-6")


def public_package(network: DiffWave, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The public package's own network and six-step inference, with our weights."""
    try:
        from diffwave.inference import models, predict
        from diffwave.model import DiffWave as Public
        from diffwave.params import params
    except ImportError:
        raise SystemExit("error: the public package is missing; pip install --no-deps diffwave==0.1.7") from None
    public = Public(params).eval()
    public.load_state_dict(network.state_dict())
    models["shared weights"] = public

    def run(mel: Tensor) -> Tensor:
        torch.manual_seed(0)
        return predict(mel, "shared weights", {}, device, fast_sampling=True)[0]

    return run


@torch.inference_mode()
def ours(network: DiffWave, mel: Tensor) -> Tensor:
    """Our fast path and sampler, from the same noise; cut after each step like the public package."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(mel.shape[0], 256 * mel.shape[-1], generator=generator)
    quick = fast_inference(network)
    conditioning = quick.condition(mel)
    return ddpm(lambda x, level: quick(x, level, conditioning), noise, FAST, generator=generator, clip=1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = DiffWave(BASE, published_schedule("diffwave-50")).eval()
    torch.nn.init.normal_(network.output_projection.weight, std=0.05)
    mel = torch.randn(1, 80, max(1, round(options.seconds * 22050 / 256)))
    seconds = mel.shape[-1] * 256 / 22050
    systems = {"public diffwave": public_package(network, torch.device("cpu")), "ours": lambda mel: ours(network, mel)}
    outputs = {name: system(mel) for name, system in systems.items()}  # warm up
    times: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(options.repeats):
        for name, system in systems.items():
            start = time.perf_counter()
            system(mel)
            times[name].append(time.perf_counter() - start)
    print(f"DiffWave BASE, 6 steps, {seconds:.2f} s of audio, CPU, {options.threads} threads")
    for name, taken in times.items():
        low, middle, high = (f(taken) / seconds for f in (min, statistics.median, max))
        print(f"{name:16} {middle:6.2f} s per second of audio (median; {low:.2f} to {high:.2f})")
    ratios = [a / b for a, b in zip(times["public diffwave"], times["ours"], strict=True)]
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    print(f"ours is {middle:.2f} times as fast (median of {len(ratios)} pairs; {low:.2f} to {high:.2f})")
    theirs, mine = outputs.values()
    inside = (theirs.abs() < 1).float().mean()
    print(f"largest difference {(theirs - mine).abs().max():.1e}; {inside:.0%} of samples lie within the cut")
