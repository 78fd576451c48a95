"""kill -9 in the middle of a folder; ``make soak`` has more of them, and of training and fine-tuning."""

import subprocess
import sys
import time

from small_vocoders import random_vocoder
from soak import outlives, whole_clips, write_clips

from tts_diffvoc.checkpoint import save_checkpoint
from tts_diffvoc.cli import main


def test_a_killed_vocode_leaves_whole_files_and_no_process_and_goes_on(tmp_path):
    data, out = write_clips(tmp_path / "clips", 40), tmp_path / "out"
    save_checkpoint(random_vocoder("spectral diffwave"), tmp_path / "voice", "# A\n")
    words = ["vocode", data, "--output-dir", out, "--vocoder", tmp_path / "voice", "--skip-existing"]
    command = [sys.executable, "-m", "tts_diffvoc.cli", *words, "--jobs", "2"]
    program = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while not whole_clips(out) and program.poll() is None:
        time.sleep(0.05)
    program.kill()
    assert program.wait() == -9 and not outlives(program.pid)
    assert 0 < whole_clips(out) < 40
    assert main(list(map(str, words))) == 0
    assert whole_clips(out) == len(list(out.iterdir())) == 40
