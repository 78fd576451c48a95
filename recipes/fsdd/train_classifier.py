"""Train the classifier that eval/unconditional.py judges by: a ResNeXt on log-mels of spoken digits, on a CPU.

    python recipes/fsdd/train_classifier.py --data FSDD --output runs/classifier

FSDD is a folder of the Free Spoken Digit Dataset, or of Speech Commands (SC09). The same line goes on after an
interruption. Held-back clips are only counted, never learnt from and never chosen by: the last weights are kept.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.generation import corpus, metrics
from tts_diffvoc_eval.generation.classifier import Classifier, ClassifierConfig, mel_for, save

SMOOTHING = 0.05  # of labels: probabilities stay away from 0 and 1, of whose logarithms mIS is made
WARM_UP = 0.03  # share of the training in which the rate rises
CARD = """---
license: MIT
data: {data}
training: {training}
---
# A classifier of spoken digits

A ResNeXt ({parameters:,} numbers) on log-mels of {length:,} samples at {rate:,} Hz. Its class probabilities and the
{features} features before its last layer are what `eval/unconditional.py` computes FID, IS, mIS, AM and NDB from.

| | |
| --- | --- |
| data | {data}: {train:,} clips to train on, {held:,} held back |
| training | {training} |
| accuracy on the held-back clips | {right} of {held} right, {accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}) |
| wrong | {wrong} |

Made by `recipes/fsdd/train_classifier.py`. Held-back clips are other takes of the same speakers: of other voices it is
less sure.
"""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of FSDD, or of Speech Commands")
    parser.add_argument("--output", type=Path, required=True)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, default=60, help="passes over the training clips (default: 60)")
    length.add_argument("--minutes", type=float, help="train so long instead, all calls together")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


# Augmentation


def uniform(count: int, low: float, high: float, draw: Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=draw)


def vary(waveform: Tensor, rate: int, draw: Generator) -> Tensor:
    """Clips [B, T] spoken a little faster or slower, shifted, louder or softer, half of them in a little noise."""
    count, length = waveform.shape
    speed = uniform(count, 0.88, 1.12, draw)[:, None]
    shift = uniform(count, -0.1, 0.1, draw)[:, None] * 2 * rate / length
    across = torch.linspace(-1, 1, length) * speed + shift
    grid = torch.stack([across, torch.zeros_like(across)], -1)[:, None]
    moved = F.grid_sample(waveform[:, None, None], grid, align_corners=True)[:, 0, 0]
    gain = 10 ** uniform(count, -0.5, 0.3, draw)
    level = 10 ** uniform(count, -4.5, -2.3, draw) * (torch.rand(count, generator=draw) < 0.5)
    noise = torch.randn(waveform.shape, generator=draw)
    return (moved * gain[:, None] + noise * level[:, None]).clamp(-1, 1)


def mask(mel: Tensor, draw: Generator, bands: int = 6, frames: int = 12) -> Tensor:
    """``mel`` [B, M, F] with up to ``bands`` bands and up to ``frames`` frames of each clip at the mean, 0.

    After SpecAugment (Park et al. 2019, section 2), one mask of each kind.
    """
    for axis, widest in ((1, bands), (2, frames)):
        size = mel.shape[axis]
        width = uniform(len(mel), 0, widest, draw)
        start = uniform(len(mel), 0, 1, draw) * (size - width)
        place = torch.arange(size)[None]
        hidden = (place >= start[:, None]) & (place < (start + width)[:, None])
        mel = mel.masked_fill(hidden.unsqueeze(3 - axis), 0.0)
    return mel


def mix(mel: Tensor, target: Tensor, draw: Generator) -> tuple[Tensor, Tensor]:
    """Half of the clips with a share of another one (Zhang et al. 2018, "mixup", eq. 1, its weights uniform).

    Args: mel: [B, M, F]. target: probabilities [B, C].
    """
    share = uniform(len(mel), 0, 0.5, draw) * (torch.rand(len(mel), generator=draw) < 0.5)
    other = torch.randperm(len(mel), generator=draw)
    mixed = mel + share[:, None, None] * (mel[other] - mel)
    return mixed, target + share[:, None] * (target[other] - target)


# Training


class Run:
    """One training: the network, its optimiser, and how far it is."""

    def __init__(self, classifier: Classifier, clips: corpus.Digits, options: argparse.Namespace) -> None:
        self.classifier, self.clips, self.options = classifier.to(options.device), clips, options
        self.optimizer = torch.optim.AdamW(classifier.parameters(), options.lr, weight_decay=0.02)
        self.draw = torch.Generator().manual_seed(options.seed)
        self.epoch, self.seconds, self.worked = 0, 0.0, 0.0  # worked: seconds of the processor, not of the clock

    @property
    def share(self) -> float:
        """How much of the training is done."""
        if self.options.minutes is not None:
            return self.seconds / 60 / self.options.minutes
        return self.epoch / self.options.epochs

    def one_epoch(self) -> float:
        """A pass over all clips in random order; returns the mean loss."""
        self.classifier.train()
        size, losses, before = self.options.batch_size, [], self.share
        began, worked = time.monotonic(), time.process_time()
        torch.manual_seed(1000 * self.options.seed + self.epoch)  # of dropout, the same after an interruption
        order = torch.randperm(len(self.clips), generator=self.draw)
        batches = [part for part in order.split(size) if len(part) > 1]
        for number, part in enumerate(batches):
            passed = (time.monotonic() - began) / 60 / self.options.minutes if self.options.minutes else 0.0
            passed = passed or number / len(batches) / self.options.epochs
            for group in self.optimizer.param_groups:
                group["lr"] = self.options.lr * rate(before + passed)
            losses.append(self.step(part))
        self.epoch += 1
        self.seconds += time.monotonic() - began
        self.worked += time.process_time() - worked
        return sum(losses) / len(losses)

    def step(self, part: Tensor) -> float:
        network, device = self.classifier, self.options.device
        waveform = vary(self.clips.waveforms[part], self.clips.sample_rate, self.draw)
        target = F.one_hot(self.clips.labels[part], len(network.labels)).float()
        mel, target = mix(mask(network.spectrogram(waveform), self.draw), target, self.draw)
        loss = F.cross_entropy(network(mel.to(device))[0], target.to(device), label_smoothing=SMOOTHING)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        self.optimizer.step()
        return loss.item()

    def keep(self, path: Path) -> None:
        beside = path.with_suffix(".part")
        parts = {"network": self.classifier.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save({**parts, "draw": self.draw.get_state(), **self.spent()}, beside)
        os.replace(beside, path)

    def spent(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in ("epoch", "seconds", "worked")}

    def go_on(self, path: Path) -> None:
        """Take up what :meth:`keep` wrote.

        Raises: DiffvocError for a file that is damaged or of other sizes.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            self.classifier.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.draw.set_state(state["draw"])
            for name in self.spent():
                setattr(self, name, state[name])
        except Exception as error:  # whatever a damaged file raises
            reason = type(error).__name__
            raise DiffvocError(f"{path} cannot be gone on with ({reason}); delete it to begin anew.") from None


def rate(share: float) -> float:
    """The learning rate, as a part of the highest: up in a line, down in a cosine."""
    if share < WARM_UP:
        return (share + 1e-3) / WARM_UP
    return 0.005 + 0.995 * (1 + math.cos(math.pi * min(1.0, (share - WARM_UP) / (1 - WARM_UP)))) / 2


def untrained(clips: corpus.Digits, seed: int) -> Classifier:
    """A classifier of the clips' length and rate, whose mels have mean 0 and deviation 1 over the corpus."""
    length = clips.waveforms.shape[1]
    plain = mel_for(clips.sample_rate, length)
    torch.manual_seed(seed)
    mel = Classifier(ClassifierConfig(length=length, mel=plain)).spectrogram(
        clips.waveforms[:: max(1, len(clips) // 500)]
    )
    deviation = max(float(mel.std()), 1e-3)
    scaled = replace(plain, scale=round(1 / deviation, 4), shift=round(-float(mel.mean()) / deviation, 4))
    torch.manual_seed(seed)
    return Classifier(ClassifierConfig(length=length, mel=scaled))


def held_back(classifier: Classifier, clips: corpus.Digits) -> tuple[int, list[str]]:
    """How many held-back clips it knows, and "name as label" of the others."""
    p = classifier.classify(clips.waveforms)[0]
    guessed = p.argmax(1).tolist()
    wrong = [
        f"{name} as {classifier.labels[guess]}"
        for name, label, guess in zip(clips.names, clips.labels, guessed)
        if guess != label
    ]
    return len(clips) - len(wrong), wrong


def describe(classifier: Classifier, data: corpus.Corpus) -> str:
    """The model card."""
    right, wrong = held_back(classifier, data.held)
    low, high = metrics.wilson(right, len(data.held))
    return CARD.format(
        data=data.credit,
        training=classifier.training_said,
        parameters=classifier.parameters_count,
        length=classifier.length,
        rate=classifier.sample_rate,
        features=classifier.head.in_features,
        train=len(data.train),
        held=len(data.held),
        right=right,
        accuracy=right / len(data.held),
        low=low,
        high=high,
        wrong=", ".join(wrong[:20]) + (f" and {len(wrong) - 20} more" if len(wrong) > 20 else "") or "none",
    )


def train(options: argparse.Namespace) -> None:
    """Train, and leave the classifier in ``options.output``.

    Raises: DiffvocError for options, data or an earlier training that cannot be used.
    """
    if options.epochs < 1 or options.batch_size < 2 or (options.minutes is not None and options.minutes <= 0):
        raise DiffvocError("--epochs and --minutes must be above 0, and --batch-size at least 2.")
    torch.set_num_threads(options.threads)
    data = corpus.load(options.data)
    print(f"{data.name}: {len(data.train)} clips to train on, {len(data.held)} held back", flush=True)
    run = Run(untrained(data.train, options.seed), data.train, options)
    options.output.mkdir(parents=True, exist_ok=True)
    checkpoint = options.output / "checkpoint.pt"
    if checkpoint.is_file():
        run.go_on(checkpoint)
    while run.share < 1:
        loss = run.one_epoch()
        run.keep(checkpoint)
        line = f"epoch {run.epoch}  loss {loss:.4f}  {run.seconds / 60:.1f} minutes"
        if run.epoch % 5 == 0 or run.share >= 1:
            line += f"  {held_back(run.classifier, data.held)[0]} of {len(data.held)} held-back clips right"
        print(line, flush=True)
    on_cpu = options.device == "cpu"
    took = f"{run.worked / 60:.0f} CPU minutes" if on_cpu else f"{run.seconds / 60:.0f} minutes on {options.device}"
    spent = f"{run.epoch} epochs of {len(data.train):,} clips, {took}"
    run.classifier.training_said = spent
    for parameter in run.classifier.parameters():
        parameter.data = parameter.data.half().to(parameter.dtype)  # what the file holds is what is counted
    save(run.classifier, options.output, describe(run.classifier, data))
    right, wrong = held_back(run.classifier, data.held)
    low, high = metrics.wilson(right, len(data.held))
    print(f"{right} of {len(data.held)} held-back clips right: {right / len(data.held):.1%} ({low:.1%} to {high:.1%})")
    print("wrong:", ", ".join(wrong) or "none")


def main() -> int:
    try:
        train(parse())
    except DiffvocError as error:
        print(f"train_classifier.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the same line goes on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
