"""Measure generated digits: `python eval/unconditional.py --help` tells how."""

import sys

from tts_diffvoc_eval.unconditional import main

if __name__ == "__main__":
    sys.exit(main())
