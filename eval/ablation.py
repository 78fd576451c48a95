"""What the network adds to a spectral vocoder: `python eval/ablation.py --help` tells how."""

import sys

from tts_diffvoc_eval import ablation, program

if __name__ == "__main__":
    sys.exit(program.main(ablation))
