"""Measure zero-shot denoising of digits: `python eval/denoising.py --help` tells how."""

import sys

from tts_diffvoc_eval.denoising import main

if __name__ == "__main__":
    sys.exit(main())
