"""Copy a trained voice or vocoder into the package, its weights as int8 with a scale a row: half of float16's size.

    python recipes/voices/bundle.py runs/spectral/diffwave/vocoder tts_diffvoc/voices/diffwave
    python recipes/voices/bundle.py runs/ada/voice tts_diffvoc/voices/ada
"""

import argparse
import shutil
from pathlib import Path

from tts_diffvoc.checkpoint import WEIGHTS, quantize, read_weights, write_weights

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("source", type=Path, help="folder with config.json and model.safetensors")
parser.add_argument("target", type=Path, help="folder in the package; its README.md is left alone")
args = parser.parse_args()
args.target.mkdir(parents=True, exist_ok=True)
write_weights(args.target / WEIGHTS, quantize(read_weights(args.source)))
if args.source.resolve() != args.target.resolve():
    shutil.copyfile(args.source / "config.json", args.target / "config.json")
print(f"{args.target / WEIGHTS}: {(args.target / WEIGHTS).stat().st_size / 1e6:.1f} MB")
