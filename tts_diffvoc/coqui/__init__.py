"""The adapter to Coqui TTS, the only room that imports TTS, trainer or coqpit.

``register()`` is all that is public. It imports neither torch nor TTS: each part waits for the module of
Coqui that it concerns.
"""

from tts_diffvoc.coqui.plug import register

__all__ = ["register"]
