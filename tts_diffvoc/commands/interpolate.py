"""``tts-diffvoc interpolate``: clips between two recordings, mixed in the latent space of a generator."""

from __future__ import annotations

import argparse

from tts_diffvoc.arguments import MOST_STEPS, file_path, whole
from tts_diffvoc.commands.generate import add_common, read_clip, seed_of
from tts_diffvoc.files import make_folder

HELP = "make clips between two recordings with a generator"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("first", type=file_path, help="recording that is 000.wav")
    parser.add_argument("second", type=file_path, help="recording that is the last")
    parser.add_argument("-o", "--output", type=file_path, required=True, help="folder for 000.wav, 001.wav and so on")
    parser.add_argument(
        "--t", type=whole(1, MOST_STEPS), default=50, help="step of the training schedule to mix at; default: 50"
    )
    parser.add_argument(
        "--steps", type=whole(2, 10_000), default=11, help="number of clips, both ends with them; default: 11"
    )
    parser.add_argument(
        "--sampling-steps", type=whole(1, MOST_STEPS), help="network evaluations; default: every step from --t"
    )
    parser.add_argument("--label", help="what is said, for a generator that has labels")
    add_common(parser)


def run(options: argparse.Namespace) -> None:
    """Interpolate and say what was written."""
    from tts_diffvoc.audio import write_audio
    from tts_diffvoc.checkpoint import load_generator
    from tts_diffvoc.generator import centred

    generator = load_generator(options.model, options.device)
    ends = [read_clip(path, generator) for path in (options.first, options.second)]
    length = max(map(len, ends))
    if min(map(len, ends)) < length:
        print(f"the shorter recording was padded with silence to the {length} samples of the longer.")
    first, second = (centred(clip, length) for clip in ends)
    seed = seed_of(options, generator)
    clips = generator.interpolate(
        first,
        second,
        options.t,
        options.steps,
        steps=options.sampling_steps,
        sampler=options.sampler,
        seed=seed,
        label=options.label,
    )
    make_folder(options.output)
    for i, clip in enumerate(clips):
        write_audio(options.output / f"{i:03d}.wav", clip, generator.sample_rate)
    print(
        f"{options.output}: {len(clips)} clips from {options.first} to {options.second}, mixed at step {options.t} "
        f"of {generator.config.schedule.num_steps} by {generator.name}, seed {seed}"
    )
