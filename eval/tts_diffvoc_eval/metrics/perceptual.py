"""What listeners would say, by models of them in well-known libraries: PESQ, STOI, DNSMOS and DistillMOS."""

from __future__ import annotations

import contextlib
import io
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.metrics.waveforms import at_rate, check_audible

PESQ_SECONDS = 20.0
PESQ_QUIETEST = 30.0  # dB below the original


def pesq_wb(preds: np.ndarray, target: np.ndarray, sample_rate: int) -> float:
    """Wide-band PESQ (ITU-T P.862.2), MOS-LQO from 1.02 to 4.644, by the library pesq at 16 kHz.

    A clip longer than 20 s is refused. The library's table of utterances has 50 places and is not guarded, so that a
    longer clip can end the whole process; an utterance with its pause takes 0.4 s at least. P.862.3 asks for 8 to 12 s.
    PESQ makes both sounds equally loud first, so that one far quieter than the original is refused: nobody hears it.

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
    """Short-time objective intelligibility, -1 to 1 (Taal et al. 2010, equation 6), by pystoi.

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
    """Overall quality, 1 to 5 (DNSMOS P.835: Reddy et al. 2022), as ``speechmos.dnsmos.run`` computes it, without its
    fourth network; the original is not used.

    >>> noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    >>> dnsmos(noise, None, 16000) < 1.5
    True
    """
    check_audible(preds)
    samples = at_rate(preds, sample_rate, 16000).clip(-1, 1)
    scorer, span = _dnsmos_scorer(), int(9.01 * 16000)
    samples = np.resize(samples, max(len(samples), len(samples) * 2 ** int(np.ceil(np.log2(span / len(samples))))))
    starts = range(0, int(len(samples) // 16000 - 9.01) * 16000 + 1, 16000)
    pieces = np.stack([samples[start : start + span] for start in starts if start + span <= len(samples)])
    raw = scorer.onnx_sess.run(None, {"input_1": pieces})[0].astype(np.float64)
    return float(scorer.get_polyfit_val(*raw.T, False)[2].mean())


@lru_cache(maxsize=1)
def _dnsmos_scorer() -> Any:
    """speechmos' DNSMOS with its network for P.835 alone, on one thread: half the time."""
    import onnxruntime
    import speechmos.dnsmos as library

    class Scorer(library.DNSMOS):
        def __init__(self) -> None:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            path = Path(library.__file__).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
            self.onnx_sess = onnxruntime.InferenceSession(str(path), options)

    return Scorer()


def distillmos(preds: np.ndarray, target: np.ndarray | None, sample_rate: int) -> float:
    """Mean opinion score, 1 to 5, by DistillMOS (Stahl and Gamper 2025) at 16 kHz; the original is not used.

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
