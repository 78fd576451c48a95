"""Speed, memory and operations of systems that turn a mel into a waveform."""

from .operations import Flops, count_flops
from .speed import Setting, measure, settings
from .summary import summarise

__all__ = ["Flops", "Setting", "count_flops", "measure", "settings", "summarise"]
