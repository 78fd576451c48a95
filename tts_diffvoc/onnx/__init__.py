"""Vocoders as ONNX graphs: exported with torch, run without it.

``tts-diffvoc export VOCODER FOLDER`` writes one graph a part, and the host runs the sampler's loop;
``tts-diffvoc export VOCODER FILE.onnx`` writes one graph of everything, the number of steps fixed.
"""

from tts_diffvoc.onnx.runtime import OnnxVocoder

__all__ = ["OnnxVocoder"]
