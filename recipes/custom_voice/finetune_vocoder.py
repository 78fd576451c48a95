"""Fine-tune a vocoder on a folder of recordings.

    python recipes/custom_voice/finetune_vocoder.py --data my_voice/ --vocoder diffwave --output runs/mine

Any mix of wav, flac, ogg and opus, any rate, stereo or mono, in any sub-folders, or in LJ Speech's layout. The same
line goes on where it was stopped. What it prints at the end is a comparison on clips it did not train on, and the
command that speaks with the result.
"""

import argparse
from pathlib import Path

from tts_diffvoc.arguments import Parser, file_path, number, seed, spoken, whole
from tts_diffvoc.coqui.finetuning import fine_tune
from tts_diffvoc.training.finetuning import FineTuning

DEFAULTS = FineTuning(Path(), Path())


def parse() -> FineTuning:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=file_path, required=True, help="folder of recordings")
    add("--output", type=file_path, required=True, help="folder for the vocoder")
    add("--vocoder", default=DEFAULTS.vocoder, help="name or checkpoint folder to begin from")
    add("--max-minutes", type=number(0, 100_000), default=DEFAULTS.max_minutes, help="of training")
    add("--max-steps", type=whole(1, 10**9), help="of training, in all")
    add("--held-back", type=whole(1, 10_000), default=DEFAULTS.held_back, help="clips kept for the comparison")
    add("--features", type=file_path, help="saved mels of the recordings, by tts-diffvoc extract-mels")
    add("--batch-size", type=whole(1, 4096), default=DEFAULTS.batch_size, help="crops a step")
    add("--crop-seconds", type=number(0, 60), default=DEFAULTS.crop_seconds)
    add("--lr", type=number(0, 1), default=DEFAULTS.lr, help="learning rate")
    add("--device", default=DEFAULTS.device, help="cpu, cuda or cuda:N")
    add("--mixed-precision", choices=("bf16", "fp16"), help="on a GPU")
    add("--workers", type=whole(0, 256), default=DEFAULTS.workers, help="processes that read data")
    add("--seed", type=seed, default=DEFAULTS.seed)
    return FineTuning(**vars(parser.parse_args()))


if __name__ == "__main__":
    with spoken():
        fine_tune(parse())
