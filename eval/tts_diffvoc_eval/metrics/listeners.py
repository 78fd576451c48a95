"""Models of listeners from well-known libraries: PESQ, STOI and DNSMOS."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

import numpy as np

from tts_diffvoc_eval.metrics.metric import MetricError
from tts_diffvoc_eval.metrics.sound import Pair, Sound

PESQ_SECONDS = 20.0
PESQ_QUIETEST = 30.0  # dB below the original


def pesq_wb(pair: Pair) -> float:
    """Wide-band PESQ (ITU-T P.862.2), MOS-LQO from 1.02 to 4.644, by the library pesq at 16 kHz.

    A clip longer than 20 s is refused. The library's table of utterances has 50 places and is not guarded, so that a
    longer clip can end the whole process; an utterance with its pause takes 0.4 s at least. P.862.3 asks for 8 to 12 s.
    PESQ makes both sounds equally loud first, so that one far quieter than the original is refused: nobody hears it.
    """
    from pesq import PesqError, pesq

    degraded, reference = pair.audible().at(16000)
    if len(reference) > PESQ_SECONDS * 16000:
        raise MetricError(
            f"PESQ is for clips of up to {PESQ_SECONDS:g} s; this one lasts {len(reference) / 16000:.1f} s."
        )
    quieter = -20 * np.log10(np.sqrt(np.mean(degraded**2)) / np.sqrt(np.mean(reference**2)))
    if quieter > PESQ_QUIETEST:
        raise MetricError(f"it is {quieter:.0f} dB quieter than the original, which PESQ would not count against it.")
    try:
        return pesq(16000, reference, degraded, "wb")
    except PesqError as error:
        reason = error.args[0] if error.args else type(error).__name__
        reason = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise MetricError(f"PESQ: {reason.rstrip('.')}.") from error


def stoi(pair: Pair) -> float:
    """Short-time objective intelligibility, -1 to 1 (Taal et al. 2010, equation 6), by pystoi."""
    return _stoi(pair, extended=False)


def estoi(pair: Pair) -> float:
    """Extended STOI, -1 to 1 (Jensen and Taal 2016), by pystoi."""
    return _stoi(pair, extended=True)


def _stoi(pair: Pair, extended: bool) -> float:
    import pystoi

    pair.audible()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # pystoi returns 1e-5 and warns where there is too little speech
        try:
            return pystoi.stoi(
                pair.reference.samples.astype(np.float64),
                pair.degraded.samples.astype(np.float64),
                pair.reference.rate,
                extended=extended,
            )
        except RuntimeWarning as warning:
            raise MetricError("the reference has less than 0.4 s of speech, too little for STOI.") from warning


def dnsmos(pair: Pair) -> float:
    """Overall quality, 1 to 5 (DNSMOS P.835: Reddy et al. 2022), by speechmos; the reference is not used."""
    return _dnsmos(pair.audible().degraded)[2]


def dnsmos_sig(pair: Pair) -> float:
    """DNSMOS P.835 of the speech itself."""
    return _dnsmos(pair.audible().degraded)[0]


def dnsmos_bak(pair: Pair) -> float:
    """DNSMOS P.835 of the background."""
    return _dnsmos(pair.audible().degraded)[1]


@lru_cache(maxsize=64)
def _dnsmos(sound: Sound) -> tuple[float, float, float]:
    """Speech, background and overall, as ``speechmos.dnsmos.run`` computes them, without its fourth network."""
    samples = np.clip(sound.at(16000).samples, -1, 1)
    scorer, span = _dnsmos_scorer(), int(9.01 * 16000)
    while len(samples) < span:
        samples = np.concatenate([samples, samples])
    starts = range(0, int(len(samples) // 16000 - 9.01) * 16000 + 1, 16000)
    pieces = np.stack([samples[start : start + span] for start in starts if start + span <= len(samples)])
    raw = scorer.onnx_sess.run(None, {"input_1": pieces})[0].astype(np.float64)
    speech, background, overall = scorer.get_polyfit_val(*raw.T, False)
    return float(speech.mean()), float(background.mean()), float(overall.mean())


@lru_cache(maxsize=1)
def _dnsmos_scorer() -> Any:
    """speechmos' DNSMOS with its network for P.835 alone, on one thread: half the time."""
    from pathlib import Path

    import onnxruntime
    import speechmos.dnsmos as library

    class Scorer(library.DNSMOS):
        def __init__(self) -> None:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            path = Path(library.__file__).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
            self.onnx_sess = onnxruntime.InferenceSession(str(path), options)

    return Scorer()
