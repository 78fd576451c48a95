"""Words wrong by an independent recogniser: pocketsphinx, with the English model that comes with it, and jiwer."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.metrics.waveforms import at_rate, is_silent, once

LANGUAGE = "en"  # of the recogniser


def words(text: str) -> str:
    """Lower case, no punctuation, single spaces.

    >>> words("Fresh bread, and cheese!")
    'fresh bread and cheese'
    """
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower()).split())


def wer(preds: np.ndarray, target: np.ndarray | None, sample_rate: int, text: str | None) -> float:
    """Words of the transcript that an independent recogniser (pocketsphinx, English) gets wrong.

    Limits:
        The recogniser errs on originals too, and spells as Americans do; a few words a clip make it coarse. Needs a
        transcript.

    In percent of the words of ``text``; above 100 where it invents words.

    >>> wer(np.zeros(22050), None, 22050, "Nothing at all.")
    100.0
    """
    import jiwer

    said = words(text or "")
    if not said:
        raise DiffvocError("there is no transcript in English letters." if text else "there is no transcript.")
    return float(100 * jiwer.wer(said, heard(preds, sample_rate)))


@once
def heard(samples: np.ndarray, sample_rate: int) -> str:
    """What the recogniser hears in a waveform [T]; silence has no words."""
    if is_silent(samples):
        return ""
    audio = at_rate(samples, sample_rate, 16000)
    audio = 0.5 * audio / np.abs(audio).max()
    # A breath of faint noise on both sides: digital silence upsets the recogniser's noise estimate.
    noisy = 1e-4 * np.random.default_rng(0).standard_normal(len(audio) + 9600)
    noisy[4800:-4800] += audio
    decoder = _decoder()
    decoder.reinit_feat()  # forgets the noise of earlier sounds, so that their order does not matter
    decoder.start_utt()
    decoder.process_raw((noisy.clip(-1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return words(found.hypstr) if found else ""


@lru_cache(maxsize=1)
def _decoder() -> Any:
    from pocketsphinx import Decoder

    # A tenth of the usual width of the search takes half the time and gets as many words right.
    return Decoder(samprate=16000, loglevel="FATAL", maxhmmpf=3000)
