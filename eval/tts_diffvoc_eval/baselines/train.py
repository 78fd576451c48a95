"""Train a baseline of the benchmark on folders of recordings.

    python -m tts_diffvoc_eval.baselines.train hifigan-v2 --data DIR [DIR ...] --output RUN --minutes 20

Coqui's networks, discriminators and losses, in the size that the paper has or in one for CPUs. The generator is written
to RUN/vocoder, which `eval/compare.py --systems RUN/vocoder` takes. The same line goes on after an interruption. Only
the time of training steps counts as minutes.
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.training.corpus import Recording, scan
from tts_diffvoc_eval.baselines import NAMES, SIZES


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help=", ".join(NAMES))
    parser.add_argument("--data", nargs="+", action="extend", required=True, metavar="DIR", help="wav or flac inside")
    parser.add_argument("--output", type=Path, required=True, metavar="RUN", help="the run's folder")
    parser.add_argument("--minutes", type=float, help="budget in all, over every call")
    parser.add_argument("--steps", type=int, help="budget in steps instead")
    parser.add_argument("--size", default="small", help=f"{' or '.join(SIZES)}; default: small")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--seed", type=int, default=0, help="of weights, crops and noise")
    parser.add_argument("--batch", type=int, help="crops a step, instead of the system's own number")
    parser.add_argument("--frames", type=int, help="mel frames of a crop, instead of the system's own number")
    parser.add_argument("--gain-db", type=float, default=0.0, help="make crops louder or softer by up to this many dB")
    parser.add_argument("--held", type=int, default=4, help="recordings of each folder held back; default: 4")
    parser.add_argument("--bf16", action="store_true", help="compute networks in bfloat16")
    parser.add_argument("--keep-quarters", action="store_true", help="keep the generator after each quarter of it")
    return parser.parse_args(arguments)


def split(folders: list[str], held: int, tell=print) -> tuple[list[Recording], list[Recording]]:
    """Recordings of all folders to train on, and ``held`` of each to hold back."""
    train, kept_back = [], []
    for folder in folders:
        corpus = scan(folder, MelConfig())
        tell(corpus.report())
        some, others = corpus.split(held)
        train += some
        kept_back.append(others)
    return train, [one for group in zip(*kept_back) for one in group]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    from tts_diffvoc_eval.baselines.training import train

    tell = functools.partial(print, flush=True)
    try:
        recordings, held = split(options.data, options.held, tell)
        names = ("minutes", "steps", "size", "device", "seed", "batch", "frames", "gain_db", "bf16", "keep_quarters")
        settings = {name: getattr(options, name) for name in names}
        data = ", ".join(Path(folder).resolve().name for folder in options.data)
        result = train(options.name, recordings, held, options.output, **settings, data=data, tell=tell)
    except DiffvocError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    first, last = result.scores[0], result.scores[-1]
    print(f"{result.folder}: {result.steps:,} steps, log-mel L1 {first.mel_l1:.3f} to {last.mel_l1:.3f}")


if __name__ == "__main__":
    main()
