"""WaveGlow on LJ Speech (Prenger et al. 2019): 12 flows, NVIDIA's 256 channels, exact likelihood.

    python recipes/ljspeech/waveglow/train_waveglow.py --coqpit.data_path LJSpeech-1.1/wavs --coqpit.output_path runs

Every line below, and any other setting, can be changed on the command line, for example --coqpit.batch_size 8. A run
ends after so many --max_steps or --max_minutes, or on Ctrl+C, and goes on with --continue_path runs/RUN.
"""

from tts_diffvoc.coqui.configs import DiffvocWaveglowConfig, audio_config
from tts_diffvoc.coqui.training import train_from_recipe
from tts_diffvoc.mel import MelConfig

config = DiffvocWaveglowConfig(
    run_name="waveglow-ljspeech",
    # Tacotron 2's mel. Another rate or hop is all it takes to train for it.
    audio=audio_config(MelConfig(sample_rate=22050, n_fft=1024, win_length=1024, hop_length=256, n_mels=80)),
    # NVIDIA's sizes; the paper has 512 channels, see tts_diffvoc.networks.waveglow.
    vocoder={},
    seq_len=64 * 256,
    batch_size=16,
    lr=1e-4,
    ema_decay=0.9999,
    mixed_precision=False,  # with precision "bf16" or "fp16" on a GPU that has them
)

if __name__ == "__main__":
    train_from_recipe(config)
