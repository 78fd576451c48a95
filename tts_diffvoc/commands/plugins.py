"""Subcommands that other packages add, by entry points of the group ``tts_diffvoc.commands``: the benchmark's, for one.

A command's module has add_arguments(parser) and run(options), as those in this folder; it is imported when it is run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from tts_diffvoc.arguments import Parser
from tts_diffvoc.errors import DiffvocError


def find() -> dict[str, EntryPoint]:
    """The commands by name."""
    return {entry.name: entry for entry in entry_points(group="tts_diffvoc.commands")}


def run(entry: EntryPoint, arguments: Sequence[str]) -> None:
    """Run a command with its ``arguments``, which it is given as ``options.typed``, too.

    Raises: DiffvocError where a library that it needs is missing.
    """
    try:
        module = entry.load()
    except ModuleNotFoundError as error:
        raise DiffvocError(
            f"{entry.name} needs {error.name}, which is not installed: pip install 'tts-diffvoc[eval]'."
        ) from None
    parser = Parser(
        f"tts-diffvoc {entry.name}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.add_arguments(parser)
    options = parser.parse_args(arguments)
    options.typed = list(arguments)
    module.run(options)
