"""Time vocoders on a GPU or a CPU: `python eval/bench.py --help` tells how."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout will do, not installed

from tts_diffvoc_eval import bench, program  # noqa: E402

if __name__ == "__main__":
    sys.exit(program.main(bench))
