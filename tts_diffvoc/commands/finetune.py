"""``tts-diffvoc finetune``: fine-tune a vocoder on a folder of recordings.

    tts-diffvoc finetune --data my_voice/ --vocoder diffwave --output runs/mine

Any mix of wav, flac, ogg, opus and mp3, any rate, stereo or mono, in any sub-folders, or in LJ Speech's layout. The
same line goes on where it was stopped. What it prints at the end is a comparison on clips it did not train on, and the
command that speaks with the result.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import TYPE_CHECKING

from tts_diffvoc.arguments import file_path, number, seed, whole

if TYPE_CHECKING:
    from tts_diffvoc.training.finetuning import FineTuning

HELP = "fine-tune a vocoder on a folder of recordings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes; what is left out has the defaults of ``FineTuning``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.argument_default = argparse.SUPPRESS
    add = parser.add_argument
    add("--data", type=file_path, required=True, help="folder of recordings")
    add("--output", type=file_path, required=True, help="folder for the vocoder")
    add("--vocoder", help="name or checkpoint folder to begin from; default: diffwave")
    add("--max-minutes", type=number(0, 100_000), help="of training; default: 20")
    add("--max-steps", type=whole(1, 10**9), help="of training, in all")
    add("--held-back", type=whole(1, 10_000), help="clips kept for the comparison; default: 8")
    add("--features", type=file_path, help="saved mels of the recordings, by tts-diffvoc extract-mels")
    add("--batch-size", type=whole(1, 4096), help="crops a step; default: 16")
    add("--crop-seconds", type=number(0, 60), help="length of a crop; default: 0.75")
    add("--lr", type=number(0, 1), help="learning rate; default: 2e-4")
    add("--keep-dc", dest="highpass", action="store_false", help="keep what the recordings hold below 20 Hz")
    add("--device", help="cpu, cuda or cuda:N; default: cpu")
    add("--mixed-precision", choices=("bf16", "fp16"), help="on a GPU")
    add("--workers", type=whole(0, 256), help="processes that read data; default: 1")
    add("--seed", type=seed, help="of the data's order and of the noise; default: 0")


def plan(options: argparse.Namespace) -> FineTuning:
    """What the options say."""
    from tts_diffvoc.training.finetuning import FineTuning

    given = vars(options)
    return FineTuning(**{field.name: given[field.name] for field in fields(FineTuning) if field.name in given})


def run(options: argparse.Namespace) -> None:
    """Look at the data, measure, train, measure, save."""
    from tts_diffvoc.training.finetuning import fine_tune

    fine_tune(plan(options))
