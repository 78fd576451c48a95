"""Compare two runs of the benchmark: `python eval/agree.py --help` tells how."""

import sys

from tts_diffvoc_eval.agree import main

if __name__ == "__main__":
    sys.exit(main())
