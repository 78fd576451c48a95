"""Draw a run's tables, plots and page: `python eval/report.py --help` tells how."""

import sys

from tts_diffvoc_eval import program, report

if __name__ == "__main__":
    sys.exit(program.main(report))
