"""Reading the command lines of ``tts`` and ``tts-server`` where our models are asked for."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tts_diffvoc import voices
from tts_diffvoc.arguments import spoken
from tts_diffvoc.coqui import support, zoo
from tts_diffvoc.english import foreign
from tts_diffvoc.errors import DiffvocError, shown
from tts_diffvoc.files import check_writable

LONGEST_TEXT = 200_000  # characters, about four hours of speech


@contextmanager
def watched() -> Iterator[None]:
    """While inside, command lines with a --model_name and a --vocoder_name are settled by :func:`settle`.

    Coqui's defaults hide whether the user named an acoustic model, so argparse itself is asked.
    """
    original = argparse.ArgumentParser.parse_args

    def parse_args(parser: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> Any:
        default = parser.get_default("model_name")
        if default is None:
            return original(parser, args, namespace)
        add_voice_arguments(parser)
        parser.set_defaults(model_name=None)
        try:
            options = original(parser, args, namespace)
        finally:
            parser.set_defaults(model_name=default)
        named = options.model_name is not None
        options.model_name = options.model_name if named else default
        if hasattr(options, "vocoder_name"):
            settle(options, named)
        return options

    argparse.ArgumentParser.parse_args = parse_args  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        argparse.ArgumentParser.parse_args = original  # type: ignore[method-assign]


@contextmanager
def spoken_errors() -> Iterator[None]:
    """Inside a program: errors in one line, as on our own command line, those of another version of Coqui too."""
    with spoken():
        try:
            yield
        except Exception as error:
            if not support.may_explain(error):
                raise
            raise DiffvocError(
                f"coqui-tts {support.version()} does not do what tts-diffvoc needs ({type(error).__name__}: {error}); "
                f"install {support.SUPPORTED}."
            ) from None


def add_voice_arguments(parser: argparse.ArgumentParser) -> None:
    """Speed and pitch of the bundled voices, on a command line of Coqui's that lacks them."""
    for flag, text in (("--speed", "2 is twice as fast"), ("--pitch", "semitones higher, or lower below 0")):
        if flag not in parser._option_string_actions:
            parser.add_argument(flag, type=float, help=f"{text} (voices of tts-diffvoc only)")


def settle(options: argparse.Namespace, named: bool) -> None:
    """Choose the acoustic model if the user ``named`` none, and check what can be checked before any work.

    Raises: DiffvocError for what cannot be done.
    """
    ours = zoo.is_our_vocoder(options.vocoder_name)
    chosen = ours and not named and options.model_path is None
    if chosen:
        options.model_name = zoo.DEFAULT_ACOUSTIC
    bundled = options.model_path is None and voices.bundled_acoustic(options.model_name) is not None
    if ours or bundled:
        support.check()
        if options.use_cuda or options.device:
            from tts_diffvoc.base import check_device  # imports torch

            check_device("cuda" if options.use_cuda else options.device)
        if getattr(options, "text", None) is not None:
            check_text(options.text, english=bundled)
            check_out_path(Path(options.out_path))
    if chosen:
        said = f"Using the bundled acoustic model {zoo.DEFAULT_ACOUSTIC}; --model_name chooses another."
        print(said, file=sys.stderr)
    set_speed_and_pitch(options)


def set_speed_and_pitch(options: argparse.Namespace) -> None:
    """Put --speed and --pitch behind the name of the bundled voice. Raises DiffvocError for another model."""
    given = {name: value for name in ("speed", "pitch") if (value := getattr(options, name, None)) is not None}
    if not given:
        return
    name = options.model_path or options.model_name
    if options.model_path or voices.bundled_acoustic(name) is None:
        raise DiffvocError(f"--speed and --pitch are for the voices of tts-diffvoc; {name} is none.")
    query = "&".join(f"{key}={value:g}" for key, value in given.items())
    options.model_name += ("&" if "?" in name else "?") + query


def check_text(text: str, english: bool) -> None:
    """Raise DiffvocError when there is nothing to say in ``text``, or nothing that an ``english`` voice can say."""
    if len(text) > LONGEST_TEXT:
        raise DiffvocError(f"the text has {len(text):,} characters; give up to {LONGEST_TEXT:,} at a time.")
    if not any(character.isalnum() for character in text):
        raise DiffvocError(f"the text {shown(text)} holds no letter or digit to speak; give at least one word.")
    if english and not foreign.speakable(text):
        raise DiffvocError(f"the text {shown(text)} holds nothing that an English voice can speak; give English words.")


def check_out_path(path: Path) -> None:
    """Raise DiffvocError when ``path`` cannot become a file; Coqui makes missing folders later."""
    if path.is_dir():
        raise DiffvocError(f"the output path {path} is a folder; give the name of a file in it.")
    if os.path.lexists(path) and not path.is_file():
        return  # a device or a pipe
    folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    try:
        check_writable(folder / path.name)
    except DiffvocError:
        raise DiffvocError(f"the output path {path} cannot be written, in {folder}; give another one.") from None
