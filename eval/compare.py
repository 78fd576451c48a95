"""Rank vocoders by quality, speed and diversity: `python eval/compare.py --help` tells how."""

import sys

from tts_diffvoc_eval.compare import main

if __name__ == "__main__":
    sys.exit(main())
