"""Started by tts_diffvoc.pth with every interpreter: waits for the first ``import TTS`` and does no more.

It imports nothing, so that it costs well under a millisecond. TTS_DIFFVOC_DISABLE=1 turns it off.
"""

import os
import sys


class TTSWatcher:
    """A meta-path finder that finds nothing: when TTS is first looked for, it registers and steps aside."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "TTS":
            disarm()
            try:
                from tts_diffvoc.coqui import register

                register()
            except Exception as error:  # half removed, or broken: TTS must go on without it
                if sys.stderr is not None:
                    reason = f"{type(error).__name__}: {error}".splitlines()[0]
                    print(f"tts-diffvoc is not complete ({reason}); reinstall or uninstall it.", file=sys.stderr)
        return None


def arm():
    """Watch for TTS, unless switched off or already watching."""
    if os.environ.get("TTS_DIFFVOC_DISABLE", "0") in ("", "0") and TTSWatcher not in sys.meta_path:
        sys.meta_path.insert(0, TTSWatcher)


def disarm():
    """Stop watching."""
    if TTSWatcher in sys.meta_path:
        sys.meta_path.remove(TTSWatcher)


arm()
