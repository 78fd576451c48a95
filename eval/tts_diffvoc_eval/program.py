"""What ``python eval/NAME.py`` does: a module with ``add_arguments(parser)`` and ``run(options)`` as a program."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from tts_diffvoc.arguments import Parser, spoken


def main(module: ModuleType, arguments: Sequence[str] | None = None) -> int:
    """Run ``module``, which is given its arguments as ``options.typed``, too; its docstring is its help.

    Returns 0, or after one sentence on stderr 2 for bad use and 1 for a failure on the way.
    """
    name, typed = module.__name__.rpartition(".")[2], list(sys.argv[1:] if arguments is None else arguments)
    parser = Parser(
        f"python eval/{name}.py", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.add_arguments(parser)
    try:
        with spoken():
            options = parser.parse_args(typed)
            options.typed = typed
            module.run(options)
    except SystemExit as end:
        return int(end.code or 0)
    return 0
