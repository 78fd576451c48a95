"""``tts-diffvoc denoise``: take noise off a recording with a generator that was never trained to.

The recording enters the reverse process at the step whose noise is as loud as the recording's.
"""

from __future__ import annotations

import argparse

from tts_diffvoc.arguments import MOST_STEPS, file_path, number, whole
from tts_diffvoc.commands.generate import add_common, read_clip, seed_of
from tts_diffvoc.files import check_writable

HELP = "take noise off a recording with a generator"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("input", type=file_path, help="noisy recording")
    parser.add_argument(
        "-o", "--output", type=file_path, required=True, help="file to write: wav, flac, ogg, opus or mp3"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--t", type=whole(1, MOST_STEPS), help="step of the training schedule to enter at, from 1")
    where.add_argument("--noise", type=number(0, 10), help="deviation of the noise, full scale 1; default: estimated")
    parser.add_argument("--label", help="what is said, for a generator that has labels")
    parser.add_argument(
        "--steps",
        type=whole(1, MOST_STEPS),
        help="network evaluations; 1 is the mean estimate; default: every step from there",
    )
    add_common(parser)


def run(options: argparse.Namespace) -> None:
    """Denoise the recording and say from where."""
    from tts_diffvoc.audio import format_of, write_audio
    from tts_diffvoc.checkpoint import load_generator
    from tts_diffvoc.zero_shot import entry_level, noise_deviation

    check_writable(options.output)
    format_of(options.output)
    generator = load_generator(options.model, options.device)
    waveform = read_clip(options.input, generator)
    level = entry_level(generator, options.t, options.noise, waveform)
    clean = generator.denoise(
        waveform,
        options.t,
        options.noise,
        steps=options.steps,
        sampler=options.sampler,
        seed=seed_of(options, generator),
        label=options.label,
    )
    write_audio(options.output, clean[0], generator.sample_rate)
    estimated = "estimated " if options.t is None and options.noise is None else ""
    print(
        f"{options.output}: {clean.shape[1] / generator.sample_rate:.2f} s by {generator.name}, "
        f"{estimated}noise of deviation {noise_deviation(generator, level):.4f} taken off"
    )
