"""The command ``tts-diffvoc``: vocode a recording or a mel, list the models, tell about one, and the subcommands."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tts_diffvoc import __version__, generators, voices
from tts_diffvoc.arguments import MOST_STEPS, Parser, file_path, number, seed, spoken, whole
from tts_diffvoc.commands import (
    bound,
    denoise,
    export,
    extract_mels,
    generate,
    import_checkpoint,
    interpolate,
    plugins,
    tune,
)
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import check_readable, check_writable

if TYPE_CHECKING:
    from torch import Tensor

    from tts_diffvoc.factory import AnyVocoder

# Of any vocoder; which ones a vocoder takes is its own affair.
ALL_OPTIONS = ("quality", "steps", "seed", "sampler", "consistency", "speaker", "sigma", "denoise")
COMMANDS = {
    "generate": generate,
    "denoise": denoise,
    "interpolate": interpolate,
    "bound": bound,
    "import": import_checkpoint,
    "export": export,
    "tune": tune,
    "extract-mels": extract_mels,
}


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="tts-diffvoc", description="Diffusion vocoders for Coqui TTS.")
    parser.add_argument("--version", action="version", version=f"tts-diffvoc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    vocode = commands.add_parser("vocode", help="synthesise a recording's mel, or a saved mel, again")
    vocode.add_argument("input", type=file_path, help="audio (wav, flac), or a mel [bands, frames] as .npy or .pt")
    vocode.add_argument("-o", "--output", type=file_path, required=True, help="wav file to write")
    vocode.add_argument("--vocoder", default="diffwave", help="name or checkpoint folder, options after '?'")
    vocode.add_argument("--quality", help="fast, default or best, of a vocoder that has these")
    vocode.add_argument("--steps", type=whole(0, MOST_STEPS), help="network evaluations; goes before the quality's")
    vocode.add_argument("--seed", type=seed, help="the same seed gives the same samples")
    vocode.add_argument("--sampler", help="ddpm, ddim, dpm_solver_pp_2m or langevin")
    vocode.add_argument(
        "--consistency", type=whole(0, MOST_STEPS), help="iterations that carry the result's mel towards the given one"
    )
    vocode.add_argument("--speaker", help="name or number of the speaker, of a vocoder that has several")
    vocode.add_argument("--sigma", type=number(0, 10), help="deviation of a flow's noise")
    vocode.add_argument("--denoise", type=number(0, 10), help="strength of a flow's denoiser")
    vocode.add_argument("--mel-kind", default="auto", help="what a saved mel is, if not the vocoder's own: espnet ...")
    vocode.add_argument("--keep-dc", action="store_true", help="keep what a recording holds below 20 Hz")
    vocode.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")

    commands.add_parser("list", help="list the vocoders and generators that come with the package")
    info = commands.add_parser("info", help="print the model card and settings of a vocoder or generator")
    info.add_argument("name", help="name or checkpoint folder")
    for name, module in COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=module.HELP, description=module.__doc__))
    for name in plugins.find():
        commands.add_parser(name, help=f"an extra's command: `tts-diffvoc {name} --help` tells")
    return parser


def read_input(path: Path, vocoder: AnyVocoder, highpass: bool = True) -> tuple[Tensor, int | None]:
    """The mel [1, M, F] of ``path`` and the number of samples to keep, None for a saved mel."""
    if path.suffix in (".npy", ".pt", ".pth"):
        return read_mel(path), None
    from tts_diffvoc.audio import read_audio, resample

    samples, rate = read_audio(path, highpass=highpass)
    waveform = resample(samples, rate, vocoder.sample_rate)
    return vocoder.mel(waveform), waveform.shape[-1]


def read_mel(path: Path) -> Tensor:
    """A saved mel, [M, F] or [1, M, F]."""
    import numpy as np
    import torch

    check_readable(path)
    try:
        if path.suffix == ".npy":
            mel = torch.from_numpy(np.load(path, allow_pickle=False))
        else:
            mel = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a foreign file makes the readers raise
        raise DiffvocError(f"{path} cannot be read as a mel: {type(error).__name__}; save a plain array.") from None
    if isinstance(mel, torch.Tensor) and mel.dim() == 3 and len(mel) > 1:
        raise DiffvocError(f"{path} holds {len(mel)} mels; save each, [bands, frames], in a file of its own.")
    return mel


def vocode(options: argparse.Namespace) -> None:
    from tts_diffvoc.audio import write_wav
    from tts_diffvoc.checkpoint import load_vocoder, parse_options

    check_writable(options.output)
    vocoder = load_vocoder(options.vocoder, options.device)
    given = {name: getattr(options, name) for name in ALL_OPTIONS}
    settings = parse_options(vocoder, {name: str(value) for name, value in given.items() if value is not None})
    mel, length = read_input(options.input, vocoder, not options.keep_dc)
    kind = options.mel_kind if length is None else "own"
    waveform = vocoder.generate(mel, mel_kind=kind, **settings)[0]
    write_wav(options.output, waveform[:length], vocoder.sample_rate)
    print(f"{options.output}: {waveform[:length].shape[-1] / vocoder.sample_rate:.2f} s by {vocoder.name}")


def list_models() -> None:
    for name, folder in sorted(voices.VOCODERS.items()):
        print(f"{name:12} {voices.full_name(name)}  {voices.card(folder)['description']}")
    for name, folder in sorted(generators.GENERATORS.items()):
        print(f"{name:12} generator  {voices.card(folder)['description']}")


def find_model(name: str) -> tuple[Path, str]:
    """The checkpoint folder of a vocoder's or generator's name or path, and its format."""
    from tts_diffvoc.checkpoint import FORMAT, GENERATOR_FORMAT

    folder = generators.find(name)
    if folder is not None:
        return folder, GENERATOR_FORMAT
    try:
        return voices.resolve(name), FORMAT
    except DiffvocError:
        known = [*voices.VOCODERS, *map(voices.full_name, voices.VOCODERS), *generators.GENERATORS]
        raise voices.unknown(name, known, "vocoder, generator or checkpoint folder") from None


def info(name: str) -> None:
    import json

    from tts_diffvoc.checkpoint import read_config
    from tts_diffvoc.naming import read_text

    folder, kind = find_model(name)
    config = read_config(folder, kind)
    card = folder / "README.md"
    print(read_text(card) if card.is_file() else f"{folder} has no model card.")
    keys = (
        "network",
        "sizes",
        "mel",
        "block",
        "sample_rate",
        "length",
        "labels",
        "hop",
        "speaker_names",
        "defaults",
        "qualities",
    )
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
    if options.command == "vocode":
        vocode(options)
    elif options.command == "list":
        list_models()
    elif options.command == "info":
        info(options.name)
    else:
        COMMANDS[options.command].run(options)


if __name__ == "__main__":
    sys.exit(main())
