"""Check the papers' claims on runs: `python eval/claims.py --help` tells how."""

import sys

from tts_diffvoc_eval.claims import main

if __name__ == "__main__":
    sys.exit(main())
