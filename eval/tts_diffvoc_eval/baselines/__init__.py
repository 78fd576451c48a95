"""Other vocoders for the benchmark: Coqui's GANs and its WaveRNN, trained here on our mel contract.

    from tts_diffvoc_eval.baselines import build, from_zoo, load
    baseline = load("runs/hifigan-v2/vocoder")     # or build("hifigan-v2", "small"), untrained
    waveform = baseline.synthesise(mel, seed=0)    # [B, 80, F] to [B, F * 256]

Networks, discriminators and losses are those of ``TTS.vocoder`` (coqui-tts 0.28).
``python -m tts_diffvoc_eval.baselines.train`` trains them; ``baselines.training.train`` does so from Python.
"""

from tts_diffvoc_eval.baselines.baseline import Baseline
from tts_diffvoc_eval.baselines.catalogue import SIZES, SYSTEMS, build
from tts_diffvoc_eval.baselines.folder import is_saved, load, save
from tts_diffvoc_eval.baselines.zoo import Unreachable, from_zoo

NAMES = tuple(SYSTEMS)

__all__ = ["NAMES", "SIZES", "SYSTEMS", "Baseline", "Unreachable", "build", "from_zoo", "is_saved", "load", "save"]
