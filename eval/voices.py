"""Measure the bundled acoustic voices beside their teachers: `python eval/voices.py --help` tells how."""

import sys

from tts_diffvoc_eval import program, voices

if __name__ == "__main__":
    sys.exit(program.main(voices))
