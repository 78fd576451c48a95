"""Speed and memory of systems that turn a mel into a waveform."""

from .speed import Setting, measure, settings
from .summary import summarise

__all__ = ["Setting", "measure", "settings", "summarise"]
