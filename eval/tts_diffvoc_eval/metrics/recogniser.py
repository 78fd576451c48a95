"""Words wrong by an independent recogniser: pocketsphinx, with the English model that comes with it, and jiwer."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from scipy.signal import resample_poly

from tts_diffvoc_eval.metrics.metric import MetricError
from tts_diffvoc_eval.metrics.sound import Pair, Sound


def words(text: str) -> str:
    """Lower case, no punctuation, single spaces."""
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower()).split())


class Recogniser:
    """pocketsphinx with the model that comes with it.

    Args:
        forget: drop the estimate of the noise before each sound, so that the order of sounds does not matter.
        options: of its decoder.
    """

    def __init__(self, forget: bool = False, **options: float) -> None:
        from pocketsphinx import Decoder

        self.forget = forget
        self.decoder = Decoder(samprate=16000, loglevel="FATAL", **options)

    def __call__(self, audio: np.ndarray, rate: int) -> str:
        """What is said in `audio` [T], sampled at `rate`."""
        divisor = np.gcd(16000, rate)
        audio = resample_poly(audio, 16000 // divisor, rate // divisor)
        audio = 0.5 * audio / max(float(np.abs(audio).max()), 1e-6)
        # A breath of faint noise on both sides: digital silence upsets the recogniser's noise estimate.
        noise = 1e-4 * np.random.default_rng(0).standard_normal(len(audio) + 9600)
        noise[4800:-4800] += audio
        if self.forget:
            self.decoder.reinit_feat()
        self.decoder.start_utt()
        self.decoder.process_raw((np.clip(noise, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        self.decoder.end_utt()
        found = self.decoder.hyp()
        return words(found.hypstr) if found else ""


def wer(pair: Pair) -> float:
    """Words of the transcript that the recogniser gets wrong, in percent (more than 100 where it invents words)."""
    said = words(pair.text or "")
    if not said:
        raise MetricError("there is no transcript in English letters." if pair.text else "there is no transcript.")
    return _error(said, pair.degraded)


def wer_original(pair: Pair) -> float:
    """Words in percent that the recogniser reads differently in the original."""
    said = heard(pair.reference)
    if not said:
        raise MetricError("the recogniser hears no word in the original.")
    return _error(said, pair.degraded)


def _error(said: str, sound: Sound) -> float:
    import jiwer

    return 100 * jiwer.wer(said, heard(sound))


@lru_cache(maxsize=64)
def heard(sound: Sound) -> str:
    """What the recogniser hears; a silent sound has no words."""
    return "" if sound.silent else _recogniser()(sound.samples, sound.rate)


@lru_cache(maxsize=1)
def _recogniser() -> Recogniser:
    # A tenth of the usual width of the search takes half the time and gets as many words right.
    return Recogniser(forget=True, maxhmmpf=3000)
