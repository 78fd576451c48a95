"""Other vocoders for the benchmark: Coqui's GANs and its WaveRNN, trained here on our mel contract.

    from baselines import build, from_zoo, load
    baseline = load("runs/hifigan-v2/vocoder")     # or build("hifigan-v2", "small"), untrained
    waveform = baseline.synthesise(mel, seed=0)    # [B, 80, F] to [B, F * 256]

Networks, discriminators and losses are those of ``TTS.vocoder`` (coqui-tts 0.28). ``python eval/baselines/train.py``
trains them; ``baselines.training.train`` does so from Python.
"""

from baselines.baseline import Baseline
from baselines.catalogue import SIZES, SYSTEMS, build
from baselines.folder import is_saved, load, save
from baselines.zoo import Unreachable, from_zoo

NAMES = tuple(SYSTEMS)

__all__ = ["NAMES", "SIZES", "SYSTEMS", "Baseline", "Unreachable", "build", "from_zoo", "is_saved", "load", "save"]
