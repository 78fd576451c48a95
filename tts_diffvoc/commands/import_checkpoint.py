"""``tts-diffvoc import``: turn a published checkpoint into a folder of ours."""

from __future__ import annotations

import argparse

from tts_diffvoc.arguments import file_path
from tts_diffvoc.importers import KINDS, import_checkpoint

HELP = "turn a published checkpoint into a folder of ours"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    kinds = "; ".join(f"{kind}: {facts.about}" for kind, facts in KINDS.items())
    parser.add_argument("checkpoint", type=file_path, help="the published file (.pt, .pth or .safetensors)")
    parser.add_argument("-k", "--kind", choices=list(KINDS), help=f"{kinds}; told from the file if left out")
    parser.add_argument("-o", "--output", type=file_path, required=True, help="folder to write, then a vocoder's name")
    parser.add_argument("--config", type=file_path, help="the publisher's config.json, if it is not beside the file")
    parser.add_argument("--force", action="store_true", help="replace a checkpoint that is in the folder")


def run(options: argparse.Namespace) -> None:
    """Import the checkpoint and say where it is; torch is imported here."""
    kind = import_checkpoint(options.checkpoint, options.kind, options.output, options.config, options.force)
    print(f"{options.output}: {KINDS[kind].about}, imported from {options.checkpoint}")
