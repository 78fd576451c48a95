"""DiffWave on the Free Spoken Digit Dataset, conditioned on the mel and on who speaks, or on which digit is spoken.

    python recipes/fsdd/train_vocoder.py --coqpit.data_path FSDD --coqpit.output_path runs --max_minutes 30
    python recipes/fsdd/train_vocoder.py --condition label --coqpit.data_path FSDD --coqpit.output_path runs

The mel is a local condition, the speaker or digit a global one (Kong et al. 2021, section 3.2). --condition says which:
speaker (default), label, or none. --size small (default) is a network for a CPU, published the paper's Base.
Every line of the configuration below can be changed on the command line, for example --coqpit.batch_size 8. A run ends
after so many --max_steps or --max_minutes, or on Ctrl+C, and goes on with --continue_path runs/RUN.
"""

from tts_diffvoc.coqui.configs import DiffvocDiffwaveConfig, audio_config, from_core
from tts_diffvoc.coqui.training import train_from_recipe
from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.training.corpus import Corpus, Recording
from tts_diffvoc.vocoder import VocoderConfig
from tts_diffvoc_eval.generation.datasets import FSDD_NAME, fsdd_held_out
from tts_diffvoc_eval.generation.training import take_vocoder_options

# Windows of 32 ms, 8 ms apart; the hop is 8 x 8 for the Base network's upsampling.
MEL = MelConfig(sample_rate=8000, n_fft=256, win_length=256, hop_length=64, n_mels=40, fmin=0.0, fmax=4000.0)
# Of a clip's path below data_path, without suffix, what is in parentheses: 3_theo_7 is said by theo, and is a 3.
CONDITIONS = {"speaker": r"(?:^|/)\d_([^/]+)_\d+$", "label": r"(?:^|/)(\d)_[^/]+_\d+$"}

# 32 channels, 10 layers, T = 50.
SMALL = VocoderConfig(
    "diffwave",
    DiffWaveConfig(32, 10, 10, n_mels=MEL.n_mels, upsample_factors=(8, 8)),
    published_schedule("diffwave-50"),
    MEL,
)
config = DiffvocDiffwaveConfig(
    run_name="vocoder-fsdd",
    audio=audio_config(MEL),
    global_condition=CONDITIONS["speaker"],
    vocoder=from_core(SMALL).vocoder,
    seq_len=64 * 64,
    batch_size=16,
    eval_batch_size=16,
    eval_split_size=64,  # of the 500 clips that are held back, those to validate on
    num_loader_workers=1,
    num_eval_loader_workers=0,
    lr=1e-3,
    warmup_steps=100,
    lr_end=0.05,  # at the end of --max_steps or --max_minutes
    grad_clip=1.0,
    ema_decay=0.999,
    gain_db=6.0,
    mixed_precision=False,  # with precision "bf16" or "fp16" on a GPU that has them
    epochs=10000,
    print_step=50,
    plot_step=100,
    save_step=1000,
    save_n_checkpoints=2,
    test_delay_epochs=5,
    training_seed=54321,
)
# What --size published changes: DiffWave Base (section 5.1), 64 channels, 30 layers, T = 50.
PUBLISHED = {"vocoder": {}, "lr": 2e-4, "lr_end": 1.0, "warmup_steps": 0, "ema_decay": 0.9999, "gain_db": 0.0}


def split(corpus: Corpus) -> tuple[list[Recording], list[Recording]]:
    """Clips to train on, and those held back, the same as in everything else that is trained on FSDD."""
    matches = [(recording, FSDD_NAME.fullmatch(recording.path.stem)) for recording in corpus.recordings]
    known = [(recording, match) for recording, match in matches if match]
    rest = [recording for recording, match in matches if not match]  # refused where there is a condition
    held = fsdd_held_out([int(m[1]) for _, m in known], [m[2] for _, m in known], [int(m[3]) for _, m in known])
    parts: dict[bool, list[Recording]] = {False: [], True: []}
    for (recording, _), out in zip(known, held):
        parts[out].append(recording)
    return parts[False] + rest, parts[True]


if __name__ == "__main__":
    take_vocoder_options(config, CONDITIONS, PUBLISHED)
    train_from_recipe(config, split)
