"""Train the magnitude network behind the first estimate: minutes on one core.

python recipes/voices/train_estimator.py --data CORPUS [--data CORPUS ...] --output runs/estimator --minutes 4
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import torch
from data import Corpus
from safetensors.torch import save_file

from tts_diffvoc.estimator import Estimator, EstimatorConfig
from tts_diffvoc.mel import MelConfig, stft


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder of recordings; repeatable")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--limit", type=int, help="use at most so many clips of a folder")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    mel_config = MelConfig()
    corpus = Corpus(dict.fromkeys(options.data, 1.0), mel_config, options.limit)
    print(f"{corpus.minutes:.1f} minutes of speech", flush=True)
    estimator = Estimator(EstimatorConfig(), mel_config)
    optimizer = torch.optim.AdamW(estimator.parameters(), lr=options.lr, betas=(0.9, 0.98), weight_decay=0.01)
    start, step, running = time.monotonic(), 0, 0.0
    while (elapsed := (time.monotonic() - start) / 60 / options.minutes) < 1:
        for group in optimizer.param_groups:
            group["lr"] = options.lr * min(1.0, (step + 1) / 50) * max(0.02, 1 - elapsed)
        waveform, mel = corpus.batch(options.batch_size, options.frames, rng)
        # The mel's first and last frames saw samples beyond the crop, so they do not count.
        target = stft(waveform, mel_config).abs()[..., 2:-3].clamp_min(1e-4).log()
        loss = (estimator.log_magnitude(mel)[..., 2:-2] - target).abs().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(estimator.parameters(), 5.0)
        optimizer.step()
        step += 1
        running += loss.item()
        if step % 100 == 0:
            print(f"step {step}  L1 of log magnitudes {running / 100:.4f}  {elapsed:.0%} of the time", flush=True)
            running = 0.0
    options.output.mkdir(parents=True, exist_ok=True)
    save_file(estimator.state_dict(), options.output / "estimator.safetensors")


if __name__ == "__main__":
    main()
