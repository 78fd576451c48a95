"""Draw a run's tables, plots and page: `python eval/report.py --help` tells how."""

import sys

from tts_diffvoc_eval.report import main

if __name__ == "__main__":
    sys.exit(main())
