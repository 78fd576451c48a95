"""Train an acoustic model on a folder of render.py, and write the voice; the same line goes on.

    python recipes/voices/acoustic/train.py --data ada-data --output runs/ada --minutes 240
    python recipes/voices/acoustic/train.py --data joe-data --init tts_diffvoc/voices/ada --output runs/joe --minutes 90

`--durations` adds texts of which only durations were rendered. `--minutes` counts all runs in the output folder
together; the learning rate falls along a cosine over them. One core is enough; `--device cuda --bf16` trains on a GPU,
and behind `torchrun --nproc_per_node N` on several.
"""

from __future__ import annotations

import argparse
import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tts_diffvoc.acoustic import AcousticModel
from tts_diffvoc.checkpoint import read_weights
from tts_diffvoc.training.loop import LoopConfig, join, train

HELD_BACK = 100
SILENT = 2  # texts of which only durations are known, for each that is heard
Utterance = tuple[Tensor, ...]  # symbols, durations; and if it is heard mel [F, M] in float16, F0


def load(folder: Path) -> list[Utterance]:
    """Every utterance of the shards in a folder."""
    out: list[Utterance] = []
    for path in sorted(folder.glob("?????.npz")):
        with np.load(path) as file:
            symbols, frames = file["lengths"].T.tolist()
            counts = {"symbols": symbols, "durations": symbols, "mel": frames, "f0": frames}
            out += zip(*(torch.from_numpy(file[key]).split(count) for key, count in counts.items() if key in file))
    return out


def collate(rows: list[Utterance], device: str, silent: Sequence[Utterance] = ()) -> dict[str, Tensor]:
    """A batch as `AcousticModel.loss` reads it; of `silent` rows only durations are known."""
    read = [*rows, *silent]
    symbols, durations = (pad_sequence([row[part] for row in read], batch_first=True) for part in (0, 1))
    mel, f0 = (pad_sequence([row[part] for row in rows], batch_first=True) for part in (2, 3))
    batch = {
        "symbols": symbols.long(),
        "lengths": torch.tensor([len(row[0]) for row in read]),
        "durations": durations.float(),
        "mel": mel,
        "frames": torch.tensor([len(row[2]) for row in rows]),
        "f0": f0,
    }
    batch = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
    return {**batch, "mel": batch["mel"].float(), "f0": batch["f0"].float()}


def batches(
    rows: list[Utterance], frames: int, device: str, seed: int, silent: Sequence[Utterance] = ()
) -> Iterator[dict[str, Tensor]]:
    """Batches of utterances of like length without end, about `frames` mel frames each; `silent` ones join them."""
    rng = random.Random(seed)
    silent = sorted(silent, key=lambda row: len(row[0]))
    counts = [len(row[0]) for row in silent]
    while True:
        order = sorted(rows, key=lambda row: len(row[2]) * rng.uniform(0.95, 1.05))
        groups: list[list[Utterance]] = [[]]
        for row in order:
            if groups[-1] and len(row[2]) * (len(groups[-1]) + 1) > frames:
                groups.append([])
            groups[-1].append(row)
        rng.shuffle(groups)
        for group in groups:
            longest = max(len(row[0]) for row in group)
            alike = silent[bisect(counts, 0.7 * longest) : bisect(counts, longest)]
            yield collate(group, device, rng.sample(alike, min(len(alike), SILENT * len(group))))


def held_out(rows: list[Utterance], device: str):
    """A function from a model to its mean losses on `rows`."""

    @torch.no_grad()
    def check(model: torch.nn.Module) -> dict[str, float]:
        torch.manual_seed(0)
        losses = [model.loss(collate(rows[start : start + 10], device)) for start in range(0, len(rows), 10)]
        torch.seed()
        return {f"held_out_{name}": float(torch.stack([one[name] for one in losses]).mean()) for name in losses[0]}

    return check


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of render.py")
    parser.add_argument("--durations", type=Path, help="folder of render.py --durations")
    parser.add_argument("--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--minutes", type=float, required=True, help="training time, all runs together")
    parser.add_argument("--init", type=Path, help="a voice's folder whose weights to begin with")
    parser.add_argument("--frames", type=int, default=3000, help="mel frames in a batch")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.device = join(args.device)
    rows = load(args.data)
    count = min(HELD_BACK, len(rows) // 10)
    if count == 0:
        parser.error(f"{args.data} has {len(rows)} utterances; render at least 10.")
    held, rows = sorted(rows[:count], key=lambda row: len(row[2])), rows[count:]
    print(f"{len(rows)} utterances, {sum(len(row[2]) for row in rows) * 256 / 22050 / 3600:.2f} h", flush=True)
    model = AcousticModel()
    if args.init is not None:
        model.load_state_dict(read_weights(args.init))
    mels = torch.cat([row[2] for row in rows[:1000]]).float()
    model.mel_mean.copy_(mels.mean(0))
    model.mel_std.copy_(mels.std(0))
    config = LoopConfig(
        minutes=args.minutes, learning_rate=args.learning_rate, device=args.device, bf16=args.bf16, save_minutes=3
    )
    seed = random.randrange(1 << 30)  # a run that goes on sees the data in another order
    silent = load(args.durations) if args.durations else []
    data = batches(rows, args.frames, args.device, seed, silent)
    train(model, data, config, args.output, held_out(held, args.device))


if __name__ == "__main__":
    main()
