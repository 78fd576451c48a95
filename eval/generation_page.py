"""Make the page of generated digits: `python eval/generation_page.py --help` tells how."""

import sys

from tts_diffvoc_eval import generation_page, program

if __name__ == "__main__":
    sys.exit(program.main(generation_page))
