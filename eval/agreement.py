"""Do two runs agree in everything but timings: `python eval/agreement.py --help` tells how."""

import sys

from tts_diffvoc_eval import agreement, program

if __name__ == "__main__":
    sys.exit(program.main(agreement))
