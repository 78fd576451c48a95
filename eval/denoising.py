"""Measure zero-shot denoising of digits: `python eval/denoising.py --help` tells how."""

import sys

from tts_diffvoc_eval import denoising, program

if __name__ == "__main__":
    sys.exit(program.main(denoising))
