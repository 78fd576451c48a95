"""``tts-diffvoc extract-mels``: save the mels that an acoustic model makes of your recordings."""

from __future__ import annotations

import argparse

HELP = "save the mels that an acoustic model makes of your recordings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""


def run(options: argparse.Namespace) -> None:
    """Do it."""
    raise NotImplementedError
