"""Rank vocoders by quality, speed and diversity: `tts-diffvoc compare`, from a checkout."""

import sys

from tts_diffvoc.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
