"""Reading and writing audio files at the edges of the package."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from tts_diffvoc.errors import DiffvocError


def resample(waveform: Tensor, rate: int, wanted: int) -> Tensor:
    """``waveform`` [..., T] from ``rate`` to ``wanted`` samples a second."""
    if rate == wanted:
        return waveform
    import torchaudio.functional as F  # a heavy import, paid only when rates differ

    return F.resample(waveform, rate, wanted, lowpass_filter_width=64)


def read_audio(path: Path) -> tuple[Tensor, int]:
    """The samples [T] of a recording, channels averaged, and their rate; DiffvocError for what is no audio."""
    import soundfile
    import torch

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError):
        raise DiffvocError(f"{path} cannot be read as audio; give wav, flac or ogg.") from None
    return torch.from_numpy(samples.mean(axis=1)), rate


def check_writable(path: Path) -> None:
    """Raise DiffvocError when ``path`` cannot become a file, before any work is done for it."""
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise DiffvocError(f"{path} cannot be written; give a file in a folder that exists and that you may write to.")


def write_wav(path: Path, waveform: Tensor, sample_rate: int) -> None:
    """Write ``waveform`` [T] in [-1, 1] as 16-bit wav, beside and renamed, so that no half file is left."""
    import soundfile

    check_writable(path)
    beside = path.with_name(f".{path.name}.part")
    try:
        soundfile.write(beside, waveform.cpu().numpy(), sample_rate, format="WAV", subtype="PCM_16")
        os.replace(beside, path)
    except (OSError, soundfile.LibsndfileError) as error:
        beside.unlink(missing_ok=True)
        raise DiffvocError(f"{path} cannot be written: {error}.") from None
