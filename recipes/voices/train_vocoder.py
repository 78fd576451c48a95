"""Train a bundled vocoder, or go on from its last checkpoint: the same line does both.

    python recipes/voices/train_vocoder.py --network diffwave --data SPEECH [--data MORE=2.0 ...] \
        --estimator runs/estimator/estimator.safetensors --output runs/diffwave --minutes 60

`--data FOLDER=WEIGHT` draws crops from several folders in those shares. The run stops at `--minutes` and leaves
OUTPUT/state.pt (everything needed to go on) and OUTPUT/checkpoint (averaged weights, float16, ready to use).
On a GPU give --device cuda, and larger --batch-size and --frames.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from pathlib import Path

import torch
from data import Corpus
from safetensors.torch import load_file
from torch.optim.swa_utils import AveragedModel

from tts_diffvoc.checkpoint import load_checkpoint, save_checkpoint
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.estimator import EstimatorConfig
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.networks.wavegrad import WaveGradConfig
from tts_diffvoc.vocoder import Vocoder, VocoderConfig

MEL = MelConfig()
FOLDED = {"n_mels": MEL.hop_length, "in_channels": MEL.n_fft + 2}
# 200 levels evenly spaced in log-SNR: from noise at -54 dB of unit deviation to speech at -26 dB of the noise.
LEVELS = NoiseSchedule.log_snr(0.999998, 0.05, 200)
# The small folded networks of the bundled voices: one position a mel frame.
CONFIGS = {
    "diffwave": VocoderConfig(
        network="diffwave",
        sizes=DiffWaveConfig(
            residual_channels=192, residual_layers=8, dilation_cycle=4, upsample_factors=(1,), **FOLDED
        ),
        schedule=LEVELS,
        folded=True,
        estimator=EstimatorConfig(),
        defaults={"steps": 3, "sampler": "ddim", "start": "noise", "project": 20, "consistency": 8},
    ),
    "wavegrad": VocoderConfig(
        network="wavegrad",
        sizes=WaveGradConfig(
            factors=(1, 1, 1, 1),
            channels=(160, 160, 160, 160),
            dilations=((1, 2, 1, 2), (1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)),
            first_channels=160,
            down_channels=(160, 160, 160, 160),
            level_scale=5000.0,
            **FOLDED,
        ),
        schedule=LEVELS,
        folded=True,
        estimator=EstimatorConfig(),
        defaults={"steps": 3, "sampler": "ddim", "start": "noise", "project": 20, "consistency": 8},
    ),
}


def parse_data(text: str) -> tuple[Path, float]:
    folder, _, weight = text.partition("=")
    return Path(folder), float(weight or 1.0)


def save_state(path: Path, state: dict) -> None:
    """Write beside and rename, so that a kill at any moment leaves a whole file."""
    beside = path.with_suffix(".part")
    torch.save(state, beside)
    os.replace(beside, path)


def running_mean(mean: torch.Tensor, new: torch.Tensor, count: torch.Tensor | int) -> torch.Tensor:
    """The next average of weights seen ``count`` times."""
    return mean + (new - mean) * max(1e-3, 1 / (int(count) + 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=CONFIGS, required=True)
    parser.add_argument("--data", type=parse_data, action="append", required=True, metavar="FOLDER[=WEIGHT]")
    parser.add_argument("--estimator", type=Path, required=True, help="weights from train_estimator.py")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="checkpoint folder whose weights a new run begins with")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--save-every", type=float, default=5.0, help="minutes between saves")
    parser.add_argument("--limit", type=int, help="use at most so many clips of a folder")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    vocoder = load_checkpoint(options.init) if options.init else Vocoder(CONFIGS[options.network], options.network)
    vocoder.estimator.load_state_dict(load_file(options.estimator))
    vocoder.to(options.device)
    # A plain mean at first, so that the random start fades, then an exponential one over about 1000 steps.
    average = AveragedModel(vocoder.network, avg_fn=running_mean)
    optimizer = torch.optim.AdamW(vocoder.network.parameters(), lr=options.lr, betas=(0.9, 0.99), weight_decay=0.01)
    step, spent = 0, 0.0
    state_path = options.output / "state.pt"
    options.output.mkdir(parents=True, exist_ok=True)
    if state_path.exists():
        state = torch.load(state_path, map_location=options.device, weights_only=True)
        vocoder.network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["minutes"]
        print(f"going on from step {step}, {spent:.1f} minutes", flush=True)
    rng = random.Random(f"{options.seed} {step}")
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    corpus = Corpus(dict(options.data), vocoder.mel_config, options.limit)
    parameters = sum(p.numel() for p in vocoder.network.parameters())
    print(f"{corpus.minutes:.1f} minutes of speech, {parameters:,} parameters", flush=True)

    start, running, saved = time.monotonic(), 0.0, 0.0

    def save(minutes: float) -> None:
        state = {"network": vocoder.network.state_dict(), "average": average.state_dict()}
        state |= {"optimizer": optimizer.state_dict(), "step": step, "minutes": spent + minutes}
        save_state(state_path, state)
        own = {k: v.clone() for k, v in vocoder.network.state_dict().items()}
        vocoder.network.load_state_dict(average.module.state_dict())
        card = f"# {options.network}\n\nStep {step}, {spent + minutes:.1f} minutes on {options.device}.\n"
        save_checkpoint(vocoder, options.output / "checkpoint", card)
        vocoder.network.load_state_dict(own)

    while (minutes := (time.monotonic() - start) / 60) < options.minutes:
        # Warm up at the very start, fall to a twentieth over the last third of this call's time.
        tail = min(1.0, max(0.05, 3 * (1 - minutes / options.minutes)))
        for group in optimizer.param_groups:
            group["lr"] = options.lr * min(1.0, (step + 1) / 200) * tail
        waveform, mel = corpus.batch(options.batch_size, options.frames, rng)
        loss = vocoder.loss(waveform.to(options.device), mel.to(options.device), generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vocoder.network.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(vocoder.network)
        step += 1
        running += loss.item()
        if step % 100 == 0:
            print(f"step {step}  loss {running / 100:.4f}  {minutes:.1f} of {options.minutes} minutes", flush=True)
            running = 0.0
        if minutes - saved > options.save_every:
            save(minutes)
            saved = minutes
    save((time.monotonic() - start) / 60)


if __name__ == "__main__":
    main()
