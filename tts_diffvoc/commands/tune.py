"""``tts-diffvoc tune``: search inference schedules for a trained checkpoint."""

from __future__ import annotations

import argparse

HELP = "search inference schedules for a trained checkpoint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""


def run(options: argparse.Namespace) -> None:
    """Do it."""
    raise NotImplementedError
