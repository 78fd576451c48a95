"""How a voice's durations, F0 and mel differ from those of the teacher that it learnt from, symbol by symbol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from tts_diffvoc.acoustic import F0_REFERENCE, AcousticModel, expand
from tts_diffvoc.english.phonemes import phonemes
from tts_diffvoc.english.symbols import SYMBOL_IDS, SYMBOLS, is_phone
from tts_diffvoc.errors import DiffvocError


class Utterance(NamedTuple):
    """One sentence before the vocoder.

    Attributes:
        symbols: numbers of `tts_diffvoc.english.symbols.SYMBOLS` [T].
        durations: mel frames of each symbol [T], fractions too.
        mel: natural log-mel [F, M].
        f0: in Hz [F], 0 where unvoiced.
    """

    symbols: np.ndarray
    durations: np.ndarray
    mel: np.ndarray
    f0: np.ndarray

    def owners(self) -> np.ndarray:
        """The index of the symbol that each frame belongs to [F]."""
        index = np.searchsorted(np.cumsum(self.durations), np.arange(len(self.mel)), side="right")
        return index.clip(max=len(self.symbols) - 1)


def f0_correlation(student: Utterance, teacher: Utterance) -> float:
    """Pearson's correlation of log F0 over the symbols that both voice throughout; NaN where there is none."""
    pairs = [np.empty((2, 0))]
    ours, theirs = student.owners(), teacher.owners()
    for index in range(len(teacher.symbols)):
        a, b = student.f0[ours == index], teacher.f0[theirs == index]
        if len(a) and len(b) and a.min() > 0 and b.min() > 0:
            pairs.append(np.stack([resampled(np.log(a), len(b)), np.log(b)]))
    a, b = np.concatenate(pairs, axis=1)
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 1 and np.ptp(a) and np.ptp(b) else np.nan


def resampled(values: np.ndarray, count: int) -> np.ndarray:
    """`values` at `count` evenly spaced places, by linear interpolation between the centres of frames."""
    return np.interp((np.arange(count) + 0.5) / count, (np.arange(len(values)) + 0.5) / len(values), values)


def duration_error(student: Utterance, teacher: Utterance) -> float:
    """Mean absolute difference in mel frames over all symbols but the first and the last."""
    return float(np.abs(student.durations - teacher.durations)[1:-1].mean())


def contrast(utterance: Utterance) -> float:
    """Mean absolute difference of neighbouring bands of the log-mel over the frames of phones."""
    phones = [index for index, number in enumerate(utterance.symbols) if is_phone(SYMBOLS[number])]
    return float(np.abs(np.diff(utterance.mel[np.isin(utterance.owners(), phones)], axis=1)).mean())


def compared(student: Utterance, teacher: Utterance) -> dict[str, float]:
    """The measures that need a teacher."""
    return {
        "f0_correlation": f0_correlation(student, teacher),
        "duration_error": duration_error(student, teacher),
        "contrast": contrast(student) / contrast(teacher),
    }


@torch.no_grad()
def predicted(network: AcousticModel, text: str) -> Utterance:
    """What a voice makes of a text, before the vocoder."""
    symbols = torch.tensor([[SYMBOL_IDS[symbol] for symbol in phonemes(text)]])
    mel, frames, durations = network.generate(symbols)
    hidden, _ = network.encode(symbols, torch.tensor([symbols.shape[1]]))
    x, place = expand(hidden, durations, int(frames[0]))
    octaves, voicing, _ = network.predict_prosody(x, place, torch.ones(1, x.shape[1], 1))
    f0 = torch.where(voicing > 0, F0_REFERENCE * 2**octaves, 0.0)
    return Utterance(symbols[0].numpy(), durations[0].numpy(), mel[0].T.numpy(), f0[0].numpy())


def read_teacher(folder: Path, texts: Sequence[str]) -> list[tuple[Utterance, Path]]:
    """A teacher's utterance and sound of each text. Raises DiffvocError when the folder lacks one."""
    utterances: list[Utterance] = []
    for path in sorted(folder.glob("?????.npz")):
        with np.load(path) as file:
            symbols, frames = file["lengths"].cumsum(0)[:-1].T
            ends = {"symbols": symbols, "durations": symbols, "mel": frames, "f0": frames}
            parts = {key: np.split(file[key], ends[key]) for key in ends}
        utterances += map(Utterance, parts["symbols"], *(map(np.float32, parts[key]) for key in list(ends)[1:]))
    sounds = sorted((folder / "audio").glob("*.flac"))
    found = {tuple(one.symbols): (one, sound) for one, sound in zip(utterances, sounds)}
    wanted = {text: tuple(SYMBOL_IDS[symbol] for symbol in phonemes(text)) for text in texts}
    lacking = next((text for text in texts if wanted[text] not in found), None)
    if lacking or len(sounds) != len(utterances):
        raise DiffvocError(f"{folder} lacks the sound or the symbols of {lacking!r}; render it with --audio.")
    return [found[wanted[text]] for text in texts]
