"""Other vocoders for the benchmark: Coqui's GANs and its WaveRNN, and the training of every system from nothing.

    from tts_diffvoc_eval.baselines import build, folder
    system = folder.load("runs/hifigan-v2/vocoder")     # or build("hifigan-v2", "small"), untrained
    waveform = system.synthesise(mel, seed=0)           # [B, 80, F] to [B, F * 256]

Networks, discriminators and losses are those of ``TTS.vocoder`` (coqui-tts 0.28). ``recipes/benchmark`` trains them.
"""

from tts_diffvoc_eval.baselines.configs import COQUI
from tts_diffvoc_eval.baselines.networks import build

NAMES = tuple(COQUI)

__all__ = ["NAMES", "build"]
