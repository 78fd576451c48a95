"""What listeners would say, by models of them in well-known libraries: PESQ, STOI, DNSMOS and DistillMOS."""

from __future__ import annotations

import contextlib
import io
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.metrics.waveforms import at_rate, check_audible

PESQ_SECONDS = 20.0
PESQ_QUIETEST = 30.0  # dB below the original


def pesq_wb(preds: np.ndarray, target: np.ndarray, sample_rate: int) -> float:
    """How near a listener would find the sound to the original, 1.02 to 4.644 (ITU-T P.862.2, up to 8 kHz).

    Limits:
        Made for telephony: it flatters Griffin-Lim, forgives shifts in time, and takes no clip above 20 s.

    By the library pesq at 16 kHz. Its table of utterances has 50 places and is not guarded, so that a longer clip can
    end the whole process; an utterance with its pause takes 0.4 s at least. P.862.3 asks for 8 to 12 s. PESQ makes both
    sounds equally loud first, so that one far quieter than the original is refused: nobody hears it.

    >>> speech = np.random.default_rng(0).standard_normal(16000) * np.sin(np.arange(16000) / 800)
    >>> round(pesq_wb(speech, speech, 16000), 2)
    4.64
    """
    from pesq import PesqError, pesq

    check_audible(preds)
    preds, target = at_rate(preds, sample_rate, 16000), at_rate(target, sample_rate, 16000)
    if len(target) > PESQ_SECONDS * 16000:
        seconds = len(target) / 16000
        raise DiffvocError(f"PESQ is for clips of up to {PESQ_SECONDS:g} s; this one lasts {seconds:.1f} s.")
    quieter = -20 * np.log10(np.sqrt(np.mean(preds**2)) / np.sqrt(np.mean(target**2)))
    if quieter > PESQ_QUIETEST:
        raise DiffvocError(f"it is {quieter:.0f} dB quieter than the original, which PESQ would not count against it.")
    try:
        return float(pesq(16000, target, preds, "wb"))
    except PesqError as error:
        reason = error.args[0] if error.args else type(error).__name__
        reason = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise DiffvocError(f"PESQ: {reason.rstrip('.')}.") from error


def stoi(preds: np.ndarray, target: np.ndarray, sample_rate: int) -> float:
    """How well words should be understood, up to 1: the correlation of short-time envelopes in one-third octaves.

    Limits:
        Near its ceiling for any working vocoder; it hears neither timbre, nor pitch, nor anything above 4.3 kHz.

    Short-time objective intelligibility (Taal et al. 2010, equation 6), by pystoi.

    >>> speech = np.random.default_rng(0).standard_normal(10000)
    >>> round(stoi(0.5 * speech, speech, 10000), 3)
    1.0
    """
    import pystoi

    check_audible(preds)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # pystoi returns 1e-5 and warns where there is too little speech
        try:
            return float(pystoi.stoi(target.astype(np.float64), preds.astype(np.float64), sample_rate))
        except RuntimeWarning as warning:
            raise DiffvocError("the original has less than 0.4 s of speech, too little for STOI.") from warning


def dnsmos(preds: np.ndarray, target: np.ndarray | None, sample_rate: int) -> float:
    """Overall quality that listeners would give, 1 to 5, predicted by a network from the sound alone (P.835).

    Limits:
        It never sees the original: a clean voice that says other words scores well, and the original is no ceiling.

    DNSMOS (Reddy et al. 2022) by speechmos at 16 kHz.

    >>> noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    >>> dnsmos(noise, None, 16000) < 1.5
    True
    """
    from speechmos import dnsmos as library

    check_audible(preds)
    return float(library.run(at_rate(preds, sample_rate, 16000).clip(-1, 1), 16000)["ovrl_mos"])


def distillmos(preds: np.ndarray, target: np.ndarray | None, sample_rate: int) -> float:
    """Overall quality that listeners would give, 1 to 5, predicted by a small network that learnt from a large one.

    Limits:
        Learnt on noise, codecs and calls more than on vocoders; it never sees the original.

    DistillMOS (Stahl and Gamper 2025) at 16 kHz.

    >>> noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    >>> distillmos(noise, None, 16000) < 2.5
    True
    """
    check_audible(preds)
    samples = torch.from_numpy(at_rate(preds, sample_rate, 16000))
    with torch.inference_mode():
        return _distillmos()(samples[None]).item()


@lru_cache(maxsize=1)
def _distillmos() -> Any:
    import distillmos as library

    with contextlib.redirect_stdout(io.StringIO()):  # it prints where its weights lie
        return library.ConvTransformerSQAModel().eval()
