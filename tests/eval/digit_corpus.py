"""A small corpus laid out as FSDD, for the tests of generated digits."""

import numpy as np
import soundfile


def write_corpus(folder, takes):
    """Ten digits, two speakers; each clip is a tone of the digit's pitch. Returns the folder to give as --data."""
    (folder / "recordings").mkdir()
    draw = np.random.default_rng(0)
    for digit in range(10):
        for speaker in ("ann", "bob"):
            for take in takes:
                pitch = 150 * (1 + digit) + draw.uniform(0, 20)
                samples = 0.3 * np.sin(2 * np.pi * pitch * np.arange(4000) / 8000)
                soundfile.write(folder / "recordings" / f"{digit}_{speaker}_{take}.flac", samples, 8000)
    return folder
