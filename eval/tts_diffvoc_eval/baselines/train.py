"""Train a system of the benchmark on folders of recordings.

    python -m tts_diffvoc_eval.baselines.train hifigan-v2 --data DIR [DIR ...] --output RUN --minutes 20

Coqui's GANs and WaveRNN with its losses, or one of our vocoders from random weights, in the size that the paper has or
in one for CPUs. The generator is written to RUN/vocoder, which `eval/compare.py --systems RUN/vocoder` takes. The same
line goes on after an interruption. Only the time of training steps counts as minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.corpus import Recording, read_header, scan
from tts_diffvoc_eval.baselines.configs import BASELINES, SIZES
from tts_diffvoc_eval.baselines.training import TrainingConfig, train
from tts_diffvoc_eval.mels import MEL


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("name", help=", ".join(BASELINES))
    add("--data", nargs="+", action="extend", required=True, metavar="DIR", help="wav or flac inside")
    add("--output", type=Path, required=True, metavar="RUN", help="the run's folder")
    add("--minutes", type=float, help="budget in all, over every call")
    add("--steps", type=int, help="budget in steps instead")
    add("--size", default="small", help=f"{' or '.join(SIZES)}; default: small")
    add("--device", default="cpu", help="cpu, cuda or cuda:N")
    add("--seed", type=int, default=0, help="of weights, crops and noise")
    add("--batch", type=int, help="crops a step, instead of the system's own number")
    add("--frames", type=int, help="mel frames of a crop, instead of the system's own number")
    add("--gain-db", type=float, default=0.0, help="make crops louder or softer by up to this many dB")
    add("--held", type=int, default=4, help="recordings of each folder held back; default: 4")
    add(
        "--split", type=Path, metavar="FILE", help="JSON that names the recordings to train on and to hold back instead"
    )
    add("--bf16", action="store_true", help="compute networks in bfloat16")
    add("--compile", dest="compiled", action="store_true", help="compile the networks of our vocoders")
    add("--estimator", metavar="VOCODER", help="vocoder whose magnitude network an ablation begins with")
    add("--keep-quarters", action="store_true", help="keep the generator after each quarter of it")
    return parser.parse_args(arguments)


def split(options: argparse.Namespace) -> tuple[list[Recording], list[Recording]]:
    """Recordings of all folders to train on, and those held back, one of each folder in turn."""
    parts = json.loads(options.split.read_text(encoding="utf-8")) if options.split else [None] * len(options.data)
    train, groups = [], []
    for folder, part in zip(map(Path, options.data), parts):
        if part:
            some, held = ([read_header(folder / name, name) for name in part[which]] for which in ("train", "held"))
        else:
            corpus = scan(folder, MEL)
            print(corpus.report(), flush=True)
            some, held = corpus.split(options.held)
        train += some
        groups.append(held)
    return train, [group[i] for i in range(max(map(len, groups))) for group in groups if i < len(group)]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_float32_matmul_precision("high")  # on a GPU, for what is not bfloat16
    torch.backends.cudnn.benchmark = True  # crops are all of one size
    given = {name: value for name, value in vars(options).items() if name in TrainingConfig.__dataclass_fields__}
    try:
        recordings, held = split(options)
        data = ", ".join(Path(folder).resolve().name for folder in options.data)
        data += f"; {sum(recording.seconds for recording in recordings) / 60:.0f} minutes"
        result = train(TrainingConfig(**{**given, "data": data}), recordings, held, options.output)
    except DiffvocError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    first, last = result["scores"][0]["mel_l1"], result["scores"][-1]["mel_l1"]
    print(f"{options.output}: {result['steps']:,} steps, log-mel L1 {first:.3f} to {last:.3f}")


if __name__ == "__main__":
    main()
