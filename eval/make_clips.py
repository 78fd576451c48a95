"""Render the benchmark's own clips with flite, so that it runs where no recordings are.

    python eval/make_clips.py

Needs Debian's ``flite``. Four voices, sentences of ours; 22,050 Hz FLAC and ``metadata.csv`` in LJ Speech's layout.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import soundfile

from tts_diffvoc.audio import read_audio, resample

SENTENCES = (
    ("slt", "The ferry leaves the island at a quarter past seven."),
    ("rms", "Would you bring me the small green box from the shelf?"),
    ("awb", "Heavy rain is expected in the hills this afternoon."),
    ("slt", "She measured the length of the table twice."),
    ("rms", "Nobody in the village remembered his name."),
    ("awb", "Please turn off the lights when you leave the room."),
    ("kal16", "The train to the north was late again."),
    ("slt", "Fresh bread and cheese are all we need for lunch."),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "tts_diffvoc_eval" / "clips")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (voice, text) in enumerate(SENTENCES, 1):
        name = f"{voice}-{number:02}"
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            subprocess.run(["flite", "-voice", voice, "-t", text, "-o", file.name], check=True)
            samples = resample(*read_audio(Path(file.name), highpass=False), 22050).numpy()
        soundfile.write(options.output / f"{name}.flac", samples * (0.6 / abs(samples).max()), 22050, subtype="PCM_16")
        rows.append(f"{name}|{text}|{text}\n")
    (options.output / "metadata.csv").write_text("".join(rows), encoding="utf-8")
    (options.output / "README.md").write_text(
        "# Clips\nRendered with flite by `python eval/make_clips.py`: synthetic voices, not people. They let the "
        "benchmark run\nanywhere; rankings for real speech need `--data` with recordings.\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
