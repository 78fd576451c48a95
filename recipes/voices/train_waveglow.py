"""The bundled WaveGlow: 6 flows of 96 channels, small enough for a CPU.

    python recipes/voices/train_waveglow.py --coqpit.data_path SPEECH --coqpit.output_path runs --max_minutes 60

SPEECH is a folder of recordings, of several corpora in sub-folders if you like. ``lend_estimator.py`` makes the bundled
voice of the result.
"""

from tts_diffvoc.coqui.configs import FlowConfig, from_core
from tts_diffvoc.coqui.training import train_from_recipe
from tts_diffvoc.networks.waveglow import WaveGlowConfig

config = from_core(FlowConfig(sizes=WaveGlowConfig(flows=6, early_every=3, layers=4, channels=96, upsample_window=512)))
config.run_name = "waveglow"
config.seq_len = 32 * 256
config.batch_size = 8
config.eval_split_size = 8
config.gain_db = 6.0
config.lr = 6e-4
config.lr_end = 0.05
config.warmup_steps = 50
config.ema_decay = 0.995
config.epochs = 1000
config.test_delay_epochs = 1000
config.data_check = False
config.print_step = 50
config.plot_step = 50
config.save_step = 500
config.save_n_checkpoints = 1

if __name__ == "__main__":
    train_from_recipe(config)
