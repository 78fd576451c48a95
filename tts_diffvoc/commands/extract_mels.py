"""``tts-diffvoc extract-mels``: save the mels that an acoustic model makes of your recordings.

The model is led along each recording (teacher forcing), so that its mel keeps the recording's timing. A vocoder
trained on these mels and the recordings learns what it will see behind that model.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tts_diffvoc.arguments import file_path, whole
from tts_diffvoc.errors import DiffvocError

if TYPE_CHECKING:
    from tts_diffvoc.coqui.gta.extraction import Outcome

HELP = "save the mels that an acoustic model makes of your recordings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "--model", required=True, help="acoustic model: a name, a folder, or weights beside config.json"
    )
    parser.add_argument("--data", type=file_path, required=True, help="folder with metadata.csv and the clips")
    parser.add_argument("-o", "--output", type=file_path, required=True, help="folder to write a .npy for each clip to")
    parser.add_argument(
        "--vocoder", default="diffwave", help='vocoder whose mel is wanted, "?mel=approximate" after it'
    )
    parser.add_argument("--formatter", default="ljspeech", help="one of Coqui's dataset formatters")
    parser.add_argument("--metadata", default="metadata.csv", help="name of the list of transcripts in the folder")
    parser.add_argument("--speaker", help="speaker of a model of several, for clips whose own it does not know")
    parser.add_argument(
        "--durations", type=file_path, help="folder of .npy with the frames of each symbol, named as the clips"
    )
    parser.add_argument(
        "--batch-size", type=whole(1, 4096), default=16, help="clips at a time; changes speed, not results"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--overwrite", action="store_true", help="make mels again that are there already")


def run(options: argparse.Namespace) -> None:
    """Extract the mels, and print what was made and how far it is from the recordings' own."""
    try:
        import tts_diffvoc
        from tts_diffvoc.base import check_device
        from tts_diffvoc.coqui import support

        tts_diffvoc.register()
        support.check()
        from tts_diffvoc.coqui.gta.corpus import read_corpus
        from tts_diffvoc.coqui.gta.extraction import Extractor, extract_mels
    except ModuleNotFoundError as error:
        raise DiffvocError(f"extract-mels needs Coqui TTS ({error}); install coqui-tts 0.28.x.") from None
    if options.output.is_file():
        raise DiffvocError(f"{options.output} is a file; -o takes a folder.")
    clips = read_corpus(options.data, options.formatter, options.metadata)
    check_device(options.device)
    extractor = Extractor(options.model, options.vocoder, options.device, options.speaker, options.durations)
    outcome = extract_mels(extractor, clips, options.output, batch_size=options.batch_size, overwrite=options.overwrite)
    report(outcome, len(clips), options.output, options.model)


def report(outcome: Outcome, count: int, output: Path, model: str) -> None:
    """Print what was made of ``count`` clips; raise DiffvocError when nothing is there at all."""
    for name, reason in list(outcome.skipped.items())[:10]:
        print(f"left out {name}: {reason}", file=sys.stderr)
    if len(outcome.skipped) > 10:
        print(f"left out {len(outcome.skipped) - 10} more, see mels.json", file=sys.stderr)
    if not outcome.made and not outcome.there:
        raise DiffvocError(f"none of the {count} clips could be used; mels.json says why for each.")
    print(
        f"{output}: {outcome.made} mels by {model}, {outcome.there} were there, {len(outcome.skipped)} clips left out"
    )
    if outcome.made:
        print(f"mean difference from the recordings' own mels: {outcome.mean_difference:.3f} (natural logarithm)")
