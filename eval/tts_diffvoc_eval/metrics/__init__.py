"""Quality metrics of one sound beside its original: plain functions ``(preds, target, sample_rate)``.

    from tts_diffvoc_eval.metrics import pesq_wb, measure
    pesq_wb(preds, target, 22050)                                       # waveforms [T] in [-1, 1]
    values, reasons = measure(["pesq_wb", "wer"], preds, target, 22050, text="What is said.")

A sample of one waveform belongs to the same sample of the other: nothing is shifted or stretched to fit.
"""

from tts_diffvoc_eval.metrics.perceptual import distillmos, dnsmos, pesq_wb, stoi
from tts_diffvoc_eval.metrics.recognition import wer
from tts_diffvoc_eval.metrics.registry import BUNDLED, METRICS, Metric, applicable, from_file, lacking, measure, select
from tts_diffvoc_eval.metrics.speaker import speaker_similarity
from tts_diffvoc_eval.metrics.spectral import log_mel_l1, lsd, mrstft
from tts_diffvoc_eval.metrics.voice import f0_rmse, mcd, periodicity, vuv_f1

__all__ = [
    "BUNDLED",
    "METRICS",
    "Metric",
    "applicable",
    "distillmos",
    "dnsmos",
    "f0_rmse",
    "from_file",
    "lacking",
    "log_mel_l1",
    "lsd",
    "mcd",
    "measure",
    "mrstft",
    "periodicity",
    "pesq_wb",
    "select",
    "speaker_similarity",
    "stoi",
    "vuv_f1",
    "wer",
]
