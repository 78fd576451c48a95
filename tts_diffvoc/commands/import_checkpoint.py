"""``tts-diffvoc import``: turn a published checkpoint into a folder of ours."""

from __future__ import annotations

import argparse

HELP = "turn a published checkpoint into a folder of ours"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""


def run(options: argparse.Namespace) -> None:
    """Do it."""
    raise NotImplementedError
