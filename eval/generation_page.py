"""Make the page of generated digits: `python eval/generation_page.py --help` tells how."""

import sys

from tts_diffvoc_eval.generation_page import main

if __name__ == "__main__":
    sys.exit(main())
