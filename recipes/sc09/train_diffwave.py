"""Train a DiffWave without a mel on SC09, the digits of Speech Commands (Kong et al. 2021, 5.2 and 5.3).

    python recipes/sc09/train_diffwave.py conditional --data SPEECH_COMMANDS --output runs/small --minutes 120
    python recipes/sc09/train_diffwave.py unconditional --data SPEECH_COMMANDS --output runs/sc09 --size published \\
        --minutes 600 --device cuda

The same command continues a run. OUTPUT/generator is the result, written at every checkpoint, for `tts-diffvoc generate
--model OUTPUT/generator`. On a CPU the minutes are those of the process's own computing.
"""

from dataclasses import replace

from tts_diffvoc.diffusion.objectives import discrete_levels, focused_levels
from tts_diffvoc.diffusion.schedules import NoiseSchedule, published_schedule
from tts_diffvoc.generator import GeneratorConfig
from tts_diffvoc.networks.diffwave import SC09, SC09_DEEP_THIN, DiffWaveConfig
from tts_diffvoc.training.loop import LoopConfig
from tts_diffvoc_eval.generation import diffwave, training

CORPUS = {"sample_rate": 16000, "length": 16384}
HOP = 64  # of the folded network, 4 ms
CONFIGS = {
    # A folded network at unit deviation: its levels end where a clip is a fiftieth of the state.
    "small": GeneratorConfig(
        sizes=DiffWaveConfig(192, 12, 6, n_mels=0, in_channels=6 * HOP + 3),
        schedule=NoiseSchedule.log_snr(0.9999, 0.02, 200),
        hop=HOP,
        defaults={"steps": 50, "sampler": "ddim"},
        **CORPUS,
    ),
    "published": GeneratorConfig(SC09, published_schedule("diffwave-200"), **CORPUS),
    "deep-thin": GeneratorConfig(replace(SC09_DEEP_THIN, labels=0), published_schedule("diffwave-200"), **CORPUS),
}
PUBLISHED = LoopConfig(
    steps=1,
    learning_rate=2e-4,
    final_share=1.0,  # constant
    warmup_steps=50,
    betas=(0.9, 0.999),
    weight_decay=0.0,
    clip_norm=1.0,
    ema_decay=0.9999,
)
SMALL = LoopConfig(
    steps=1,
    learning_rate=1e-3,
    final_share=0.1,
    warmup_steps=50,
    betas=(0.9, 0.999),
    weight_decay=0.0,
    clip_norm=1.0,
    ema_decay=0.999,
)
BATCH = 16
# Which digit it is, and its formants, are decided at signal-to-noise ratios of about -30 to 5 dB.
DRAW = {"small": focused_levels(1.4, 1.2), "published": discrete_levels, "deep-thin": discrete_levels}


if __name__ == "__main__":
    options = diffwave.parse(__doc__, list(CONFIGS))
    loop = SMALL if options.size == "small" else PUBLISHED
    recipe = (CONFIGS[options.size], loop, BATCH, DRAW[options.size])
    training.main(lambda: diffwave.train(options, *recipe), options.threads)
