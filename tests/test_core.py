"""The core stands alone: without Coqui TTS it imports, and synthesises."""

import subprocess
import sys

ALONE = """
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("TTS", "trainer", "coqpit"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import tts_diffvoc
assert "torch" not in sys.modules, "importing the package alone must not import torch"
import tts_diffvoc.diffusion.objectives, tts_diffvoc.networks, tts_diffvoc.checkpoint, tts_diffvoc.cli
import torch
vocoder = tts_diffvoc.load_vocoder("diffwave")
print(tuple(vocoder.generate(torch.full((1, 80, 4), -4.0), seed=0).shape))
"""


def test_core_works_with_coqui_blocked():
    run = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "(1, 1024)"


QUICK = """
import sys
from tts_diffvoc.cli import build_parser

parser = build_parser()
for command in ([], ["vocode"], ["import"], ["tune"], ["finetune"], ["extract-mels"]):
    try:
        parser.parse_args([*command, "--help"])
    except SystemExit:
        pass
print("heavy:", sorted({"torch", "TTS", "trainer", "coqpit", "numpy", "soundfile"} & set(sys.modules)))
"""


def test_help_is_quick():
    run = subprocess.run([sys.executable, "-c", QUICK], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "extract-mels" in run.stdout and run.stdout.splitlines()[-1] == "heavy: []"
