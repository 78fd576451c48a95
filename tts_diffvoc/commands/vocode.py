"""``tts-diffvoc vocode``: synthesise recordings again from their mels, or saved mels.

    tts-diffvoc vocode in.wav -o out.flac
    tts-diffvoc vocode recordings/ more/*.mp3 mel.npy --output-dir out/ --format opus --jobs 4

Inputs are recordings (wav, flac, ogg, opus, mp3), of any rate, mels [bands, frames] (.npy, .pt, .safetensors), folders
of both, or "-" for standard input. What cannot be used is told and left out, and the status is then 1.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import uuid
import warnings
from contextlib import nullcontext
from os.path import realpath
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tts_diffvoc import jobs
from tts_diffvoc.arguments import MOST_STEPS, file_path, number, out_of_memory, seed, whole
from tts_diffvoc.errors import DiffvocError, Failure
from tts_diffvoc.files import check_readable, check_writable, make_folder, replacing

if TYPE_CHECKING:
    from torch import Tensor

    from tts_diffvoc.factory import AnyVocoder

HELP = "synthesise recordings' mels, or saved mels, again"
# Of any vocoder; which ones a vocoder takes is its own affair.
OPTIONS = ("quality", "steps", "seed", "sampler", "consistency", "speaker", "sigma", "denoise")
MELS = (".npy", ".pt", ".safetensors")
STDIN = Path("-")
MOST_BYTES = 1 << 30  # of standard input
_loaded: dict[str, tuple[AnyVocoder, dict[str, Any]]] = {}


class Vocoded(NamedTuple):
    """What became of one input: seconds of sound, or why there are none, and warnings."""

    source: Path
    seconds: float
    reason: str
    remarks: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("input", nargs="+", type=file_path, help='recordings, saved mels, folders of them, or "-"')
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("-o", "--output", type=file_path, help="file to write: wav, flac, ogg, opus or mp3")
    where.add_argument("--output-dir", type=file_path, help="folder for any number of files, named as their inputs")
    parser.add_argument("--format", default="wav", help="of the files in --output-dir; default: wav")
    parser.add_argument("--skip-existing", action="store_true", help="leave alone what is in --output-dir already")
    parser.add_argument("--vocoder", default="diffwave", help="name or checkpoint folder, options after '?'")
    parser.add_argument("--quality", help="fast, default or best, of a vocoder that has these")
    parser.add_argument("--steps", type=whole(0, MOST_STEPS), help="network evaluations; goes before the quality's")
    parser.add_argument("--seed", type=seed, help="the same seed gives the same samples")
    parser.add_argument("--sampler", help="ddpm, ddim, dpm_solver_pp_2m or langevin")
    parser.add_argument(
        "--consistency", type=whole(0, MOST_STEPS), help="iterations that carry the result's mel towards the given one"
    )
    parser.add_argument("--speaker", help="name or number of the speaker, of a vocoder that has several")
    parser.add_argument("--sigma", type=number(0, 10), help="deviation of a flow's noise")
    parser.add_argument("--denoise", type=number(0, 10), help="strength of a flow's denoiser")
    parser.add_argument("--mel-kind", default="auto", help="what a saved mel is, if not the vocoder's own: espnet ...")
    parser.add_argument("--channel", type=whole(1, 1024), help="of recordings, from 1; default: their mean")
    parser.add_argument("--keep-dc", action="store_true", help="keep what a recording holds below 20 Hz")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    jobs.add_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Vocode every input, and say what was written and what could not be."""
    options.run = uuid.uuid4().hex
    with tempfile.TemporaryDirectory() if STDIN in options.input else nullcontext() as place:
        if options.output_dir is not None:
            make_folder(options.output_dir)
            if options.backend != "loky":
                make_absolute(options)
            vocode_all(options, targets(options, place))
            return
        source, target = single(options, place)
        seconds = vocode(options, source, target)
        print(f"{target}: {seconds:.2f} s by {load(options)[0].name}")


def single(options: argparse.Namespace, place: str | None) -> tuple[Path, Path]:
    """The one input and its output; standard input becomes a file in ``place``."""
    from tts_diffvoc.audio import format_of

    source = options.input[0]
    if len(options.input) > 1 or source.is_dir():
        raise DiffvocError("-o takes one file; give --output-dir FOLDER for several, or for a folder.")
    check_writable(options.output)
    format_of(options.output)
    return standard_input(place) if source == STDIN else source, options.output


def make_absolute(options: argparse.Namespace) -> None:
    """Make the paths of the options mean the same to processes that began in another folder."""
    options.input = [given if given == STDIN else given.absolute() for given in options.input]
    options.output_dir = options.output_dir.absolute()
    name, mark, rest = options.vocoder.partition("?")
    if Path(name).exists():
        options.vocoder = f"{Path(name).absolute()}{mark}{rest}"


def targets(options: argparse.Namespace, place: str | None) -> dict[Path, Path]:
    """The input of each file to write.

    Raises: DiffvocError where there is none, two would be written to one place, or one over an input.
    """
    from tts_diffvoc.audio import format_of

    found: dict[Path, Path] = {}
    format_of(Path(f"x.{options.format}"))
    for given in options.input:
        for source, name in inputs(given, options.output_dir, place):
            target = (options.output_dir / name).with_suffix(f".{options.format}")
            if realpath(found.setdefault(target, source)) != realpath(source):
                raise DiffvocError(f"{found[target]} and {source} would both become {target}; give them one by one.")
    taken = set(map(realpath, found.values()))
    for target in found:
        if realpath(target) in taken:
            raise DiffvocError(f"{target} would take the place of an input; give another --output-dir.")
    return found


def inputs(given: Path, output: Path, place: str | None) -> list[tuple[Path, Path]]:
    """The files that an argument means, and their names; those in the output folder, if it lies there, are not."""
    from tts_diffvoc.audio import SUFFIXES
    from tts_diffvoc.training.corpus import list_audio

    if not given.is_dir():
        source = standard_input(place) if given == STDIN else given
        return [(source, Path(source.name))]
    files = list_audio(given, SUFFIXES + MELS)
    if Path(realpath(given)) in Path(realpath(output)).parents:
        files = [path for path in files if Path(realpath(output)) not in Path(realpath(path)).parents]
    if not files:
        raise DiffvocError(f"{given} holds no recordings and no mels; give a folder with some in it.")
    return [(path, path.relative_to(given)) for path in files]


def standard_input(place: str | None) -> Path:
    """What standard input holds as a file in ``place``, its suffix by its first bytes."""
    assert place is not None
    data = sys.stdin.buffer.read(MOST_BYTES + 1)
    if not 0 < len(data) <= MOST_BYTES:
        held = f"more than {MOST_BYTES:,} bytes" if data else "nothing"
        raise DiffvocError(f"standard input holds {held}; give one recording or one mel.")
    magic = {b"\x93NUMPY": ".npy", b"PK\x03\x04": ".pt"}
    suffix = next((suffix for begin, suffix in magic.items() if data.startswith(begin)), ".wav")
    path = Path(place) / f"stdin{'.safetensors' if data[8:9] == b'{' else suffix}"
    with replacing(path) as beside:
        beside.write_bytes(data)
    return path


def vocode_all(options: argparse.Namespace, pairs: dict[Path, Path]) -> None:
    """Write every target of its source, with a bar; Failure at the end if any failed."""
    name = load(options)[0].name  # and refuses options before any work
    waiting = [pair for pair in pairs.items() if not (options.skip_existing and pair[0].exists())]
    outcomes = jobs.each(functools.partial(attempt, options), waiting, options)
    seconds, failed = 0.0, 0
    shown = jobs.bar(outcomes, "vocoding", len(waiting))
    for outcome in shown:
        for remark in outcome.remarks:
            shown.write(f"warning: {outcome.source}: {remark}", sys.stderr)
        if outcome.reason:
            shown.write(f"left out: {outcome.reason}", sys.stderr)
        failed += bool(outcome.reason)
        seconds += outcome.seconds
    there = f", {len(pairs) - len(waiting)} were there" if options.skip_existing else ""
    done = f"{len(waiting) - failed} of {len(waiting)} inputs vocoded"
    print(f"{options.output_dir}: {done}, {seconds:.2f} s by {name}{there}")
    if failed:
        raise Failure(f"{failed} of {len(waiting)} inputs could not be vocoded; the lines above say why.")


def attempt(options: argparse.Namespace, pair: tuple[Path, Path]) -> Vocoded:
    """What became of one input; whatever is wrong with it does not end the others."""
    target, source = pair
    seconds, reason = 0.0, ""
    with warnings.catch_warnings(record=True) as caught:
        try:
            make_folder(target.parent)
            seconds = vocode(options, source, target)
        except DiffvocError as error:
            reason = str(error) if str(source) in str(error) else f"{source}: {error}"
        except Exception as error:
            said = "the memory does not suffice." if out_of_memory(error) else f"{type(error).__name__}: {error}"
            reason = f"{source}: {said.splitlines()[0]}"
    return Vocoded(source, seconds, reason, [str(warning.message) for warning in caught])


def vocode(options: argparse.Namespace, source: Path, target: Path) -> float:
    """Vocode one file into another; the seconds that it lasts."""
    from tts_diffvoc.audio import write_audio

    vocoder, settings = load(options)
    mel, length = read_input(source, vocoder, options)
    waveform = vocoder.generate(mel, mel_kind=options.mel_kind if length is None else "own", **settings)[0, :length]
    write_audio(target, waveform, vocoder.sample_rate)
    return waveform.shape[-1] / vocoder.sample_rate


def load(options: argparse.Namespace) -> tuple[AnyVocoder, dict[str, Any]]:
    """The vocoder and the options of ``generate``, once in a process and run: a cluster's workers outlive a run."""
    from tts_diffvoc.checkpoint import load_vocoder, parse_options

    if options.run not in _loaded:
        _loaded.clear()
        vocoder = load_vocoder(options.vocoder, options.device)
        given = {name: str(getattr(options, name)) for name in OPTIONS if getattr(options, name) is not None}
        _loaded[options.run] = vocoder, parse_options(vocoder, given)
    return _loaded[options.run]


def read_input(path: Path, vocoder: AnyVocoder, options: argparse.Namespace) -> tuple[Tensor, int | None]:
    """The mel [1, M, F] of ``path`` and the number of samples to keep, None for a saved mel."""
    if path.suffix.lower() in (*MELS, ".pth"):
        return read_mel(path), None
    from tts_diffvoc.audio import read_audio, resample

    samples, rate = read_audio(path, highpass=not options.keep_dc, channel=options.channel)
    waveform = resample(samples, rate, vocoder.sample_rate)
    return vocoder.mel(waveform), waveform.shape[-1]


def read_mel(path: Path) -> Tensor:
    """A saved mel, [M, F] or [1, M, F]."""
    import numpy as np
    import torch
    from safetensors.torch import load_file

    check_readable(path)
    try:
        if path.suffix.lower() == ".npy":
            mel = torch.from_numpy(np.load(path, allow_pickle=False))
        elif path.suffix.lower() == ".safetensors":
            (mel,) = load_file(path).values()
        else:
            mel = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a foreign file makes the readers raise
        raise DiffvocError(f"{path} cannot be read as a mel: {type(error).__name__}; save one plain array.") from None
    if isinstance(mel, torch.Tensor) and mel.dim() == 3 and len(mel) > 1:
        raise DiffvocError(f"{path} holds {len(mel)} mels; save each, [bands, frames], in a file of its own.")
    return mel
