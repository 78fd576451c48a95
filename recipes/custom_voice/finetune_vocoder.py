"""Fine-tune a vocoder on a folder of recordings.

    python recipes/custom_voice/finetune_vocoder.py --data my_voice/ --vocoder diffwave --output runs/mine

Any mix of wav, flac, ogg and opus, any rate, stereo or mono, in any sub-folders, or in LJ Speech's layout. The same
line goes on where it was stopped. What it prints at the end is a comparison on clips it did not train on, and the
command that speaks with the result.
"""

import argparse
import sys
from pathlib import Path

from tts_diffvoc import DiffvocError
from tts_diffvoc.coqui.finetuning import fine_tune
from tts_diffvoc.training.finetuning import FineTuning

DEFAULTS = FineTuning(Path(), Path())


def parse() -> FineTuning:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of recordings")
    add("--output", type=Path, required=True, help="folder for the vocoder")
    add("--vocoder", default=DEFAULTS.vocoder, help="name or checkpoint folder to begin from")
    add("--max-minutes", type=float, default=DEFAULTS.max_minutes, help="of training, without the comparison")
    add("--max-steps", type=int, help="of training, in all")
    add("--held-back", type=int, default=DEFAULTS.held_back, help="clips kept for the comparison")
    add("--features", type=Path, help="saved mels of the recordings, by tts-diffvoc extract-mels")
    add("--batch-size", type=int, default=DEFAULTS.batch_size, help="crops a step")
    add("--crop-seconds", type=float, default=DEFAULTS.crop_seconds)
    add("--lr", type=float, default=DEFAULTS.lr, help="learning rate")
    add("--device", default=DEFAULTS.device, help="cpu, cuda or cuda:N")
    add("--mixed-precision", choices=("bf16", "fp16"), help="on a GPU")
    add("--workers", type=int, default=DEFAULTS.workers, help="processes that read data")
    add("--seed", type=int, default=DEFAULTS.seed)
    return FineTuning(**vars(parser.parse_args()))


if __name__ == "__main__":
    try:
        fine_tune(parse())
    except DiffvocError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same line goes on from here")
