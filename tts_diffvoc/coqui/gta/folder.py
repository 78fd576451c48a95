"""A folder of mels: a .npy for each clip, and mels.json with what made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tts_diffvoc import voices
from tts_diffvoc.audio import read_header
from tts_diffvoc.coqui.gta.corpus import Clip
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import make_folder, replacing, write_beside

if TYPE_CHECKING:
    from tts_diffvoc.coqui.gta.extractor import Extractor
    from tts_diffvoc.coqui.gta.utterance import Utterance

FORMAT = "tts-diffvoc-mels/1"


def target(folder: Path, clip: Clip | Utterance) -> Path:
    """The file of a clip's mel."""
    return folder / f"{clip.name}.npy"


def is_done(folder: Path, clip: Clip, extractor: Extractor) -> bool:
    """Whether the mel of `clip` is there, whole and as long as the clip."""
    try:
        mel = np.load(target(folder, clip), mmap_mode="r", allow_pickle=False)
        sound = read_header(clip.path)
    except (OSError, ValueError, EOFError):
        return False
    return mel.dtype == np.float32 and mel.shape == (
        extractor.mel.n_mels,
        extractor.frames(sound.samples, sound.rate),
    )


def write(path: Path, mel: np.ndarray) -> None:
    """Write an array beside and rename, so that no half file is left."""
    make_folder(path.parent)
    with replacing(path) as beside, beside.open("wb") as file:
        np.save(file, mel)


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Write mels.json beside and rename."""
    make_folder(folder)
    write_beside(folder / "mels.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def check_same(folder: Path, identity: dict[str, Any]) -> None:
    """Raise DiffvocError when `folder` holds mels of another model, vocoder or corpus."""
    there = voices.read_json(folder / "mels.json").get("identity")
    if there is None or there == identity:
        return
    other = [name for name in identity if there.get(name) != identity[name]]
    raise DiffvocError(
        f"{folder} holds mels made with another {' and '.join(other)}; give another folder, or --overwrite to make "
        "all of them again."
    )
