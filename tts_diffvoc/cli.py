"""The command ``tts-diffvoc``: list the models, tell about one, and the subcommands."""

from __future__ import annotations

import argparse
import os
import sys

from tts_diffvoc import __version__, generators, naming, voices
from tts_diffvoc.arguments import MOST_THREADS, THREADS, Parser, spoken, whole
from tts_diffvoc.commands import (
    bound,
    denoise,
    export,
    extract_mels,
    finetune,
    generate,
    import_checkpoint,
    interpolate,
    plugins,
    tune,
    vocode,
)

COMMANDS = {
    "vocode": vocode,
    "generate": generate,
    "denoise": denoise,
    "interpolate": interpolate,
    "bound": bound,
    "import": import_checkpoint,
    "export": export,
    "tune": tune,
    "extract-mels": extract_mels,
    "finetune": finetune,
}


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="tts-diffvoc", description="Diffusion vocoders for Coqui TTS.")
    parser.add_argument("--version", action="version", version=f"tts-diffvoc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    commands.add_parser("list", help="list the vocoders and generators that come with the package")
    info = commands.add_parser("info", help="print the model card and settings of a vocoder or generator")
    info.add_argument("name", help="name or checkpoint folder")
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.HELP, description=module.__doc__)
        module.add_arguments(command)
        command.add_argument("--threads", type=whole(1, MOST_THREADS), help=f"of the CPU; default: {THREADS}, or all")
    for name in plugins.find():
        commands.add_parser(name, help=f"an extra's command: `tts-diffvoc {name} --help` tells")
    return parser


def list_models() -> None:
    for name, folder in sorted(voices.VOCODERS.items()):
        print(f"{name:12} {voices.full_name(name)}  {voices.card(folder)['description']}")
    for name, folder in sorted(generators.GENERATORS.items()):
        print(f"{name:12} generator  {voices.card(folder)['description']}")


def info(name: str) -> None:
    import json

    from tts_diffvoc.checkpoint import FORMAT, GENERATOR_FORMAT, read_config

    folder = generators.GENERATORS.get(name) or voices.bundled(name) or naming.existing(name)
    if folder is None:
        known = [*voices.VOCODERS, *map(voices.full_name, voices.VOCODERS), *generators.GENERATORS]
        raise voices.unknown(name, known, "vocoder, generator or checkpoint folder")
    config = read_config(folder, GENERATOR_FORMAT if naming.has_format(folder, naming.GENERATOR) else FORMAT)
    card = folder / "README.md"
    print(naming.read_text(card) if card.is_file() else f"{folder} has no model card.")
    keys = "network sizes mel sample_rate length labels hop speaker_names defaults qualities".split()
    print(json.dumps({key: config[key] for key in keys if key in config}, indent=1))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns 0, or after one sentence on stderr 2 for bad use and 1 for a failure on the way."""
    try:
        with spoken():
            run(sys.argv[1:] if arguments is None else arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def run(arguments: list[str]) -> None:
    """Run the command that ``arguments`` name."""
    further = plugins.find()
    if arguments and arguments[0] in further:
        plugins.run(further[arguments[0]], arguments[1:])
        return
    options = build_parser().parse_args(arguments)
    if getattr(options, "threads", None):
        os.environ[THREADS] = str(options.threads)  # of other processes, too
    if options.command == "list":
        list_models()
    elif options.command == "info":
        info(options.name)
    else:
        COMMANDS[options.command].run(options)


if __name__ == "__main__":
    sys.exit(main())
