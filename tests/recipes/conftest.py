"""Recipes and the benchmark are imported as siblings, as their scripts do."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "recipes" / "voices"))
