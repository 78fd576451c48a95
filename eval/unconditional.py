"""Measure generated digits: `python eval/unconditional.py --help` tells how."""

import sys

from tts_diffvoc_eval import program, unconditional

if __name__ == "__main__":
    sys.exit(program.main(unconditional))
