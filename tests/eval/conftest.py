"""The modules of eval/ are imported as siblings, as in `python eval/compare.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "eval"))
