"""DiffWave on spoken digits, conditioned on the mel and on who speaks, or on which digit is spoken.

    python recipes/digits/train_vocoder.py --coqpit.data_path FSDD --coqpit.output_path runs --max_minutes 30
    python recipes/digits/train_vocoder.py --corpus sc09 --condition speaker --coqpit.data_path SPEECH_COMMANDS ...

The mel is a local condition, the speaker or digit a global one (Kong et al. 2021, section 3.2). --corpus is fsdd
(default), or sc09 for Speech Commands; --condition is speaker (FSDD's default), label (SC09's), or none; --size small
(default) is a network for a CPU, published the paper's Base. Every line of the configuration below can be changed on
the command line, for example --coqpit.batch_size 8. A run ends after so many --max_steps or --max_minutes, or on
Ctrl+C, and goes on with --continue_path runs/RUN.
"""

from __future__ import annotations

import argparse
import sys

from tts_diffvoc.coqui.configs import DiffvocDiffwaveConfig, audio_config, from_core
from tts_diffvoc.coqui.training import train_from_recipe
from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.training.corpus import Corpus, Recording
from tts_diffvoc.vocoder import VocoderConfig
from tts_diffvoc_eval.generation import datasets

# Windows of 32 ms, 8 ms apart.
MELS = {
    "fsdd": MelConfig(sample_rate=8000, n_fft=256, win_length=256, hop_length=64, n_mels=40, fmin=0.0, fmax=4000.0),
    "sc09": MelConfig(sample_rate=16000, n_fft=512, win_length=512, hop_length=128, n_mels=80, fmin=0.0, fmax=8000.0),
}
# Of a clip's path below data_path, without suffix, what is in parentheses: recordings/3_theo_7 is a 3, said by theo,
# zero/0a7c2a8d_nohash_0 a zero said by 0a7c2a8d. The first of each corpus is its default.
CONDITIONS = {
    "fsdd": {"speaker": r"(?:^|/)\d_([^/]+)_\d+$", "label": r"(?:^|/)(\d)_[^/]+_\d+$", "none": ""},
    "sc09": {"label": r"^([^/]+)/", "speaker": r"^[^/]+/([^/]+)_nohash_\d+$", "none": ""},
}
# What --size published changes: DiffWave Base (section 5.1), 64 channels, 30 layers, T = 50.
PUBLISHED = {"vocoder": {}, "lr": 2e-4, "lr_end": 1.0, "warmup_steps": 0, "ema_decay": 0.9999, "gain_db": 0.0}
ENOUGH = 4  # clips; speakers of SC09 with fewer are only trained on


def configure(corpus: str = "fsdd", condition: str | None = None, size: str = "small") -> DiffvocDiffwaveConfig:
    """The configuration of a new run."""
    mel, conditions = MELS[corpus], CONDITIONS[corpus]
    network = DiffWaveConfig(32, 10, 10, n_mels=mel.n_mels, upsample_factors=(8, mel.hop_length // 8))
    small = VocoderConfig("diffwave", network, published_schedule("diffwave-50"), mel)
    config = DiffvocDiffwaveConfig(
        run_name=f"vocoder-{corpus}",
        audio=audio_config(mel),
        global_condition=conditions[condition or next(iter(conditions))],
        vocoder=from_core(small).vocoder,
        seq_len=64 * mel.hop_length,
        batch_size=16,
        eval_batch_size=16,
        eval_split_size=64,  # of the clips that are held back, those to validate on
        num_loader_workers=1,
        num_eval_loader_workers=0,
        lr=1e-3,
        warmup_steps=100,
        lr_end=0.05,  # at the end of --max_steps or --max_minutes
        grad_clip=1.0,
        ema_decay=0.999,
        gain_db=6.0,
        mixed_precision=False,  # with precision "bf16" or "fp16" on a GPU that has them
        data_check=corpus == "fsdd",  # a hundred thousand files, of which most are other words
        epochs=10000,
        print_step=50,
        plot_step=100,
        save_step=1000,
        save_n_checkpoints=2,
        test_delay_epochs=5,
        training_seed=54321,
    )
    for name, value in PUBLISHED.items() if size == "published" else ():
        setattr(config, name, value)
    return config


def split(corpus: Corpus) -> tuple[list[Recording], list[Recording]]:
    """Clips to train on, and those held back, the same as in everything else that is trained on digits.

    A speaker of SC09 is in one part only. Where speakers are the condition, the last clip of every one with enough
    clips is held back instead.
    """
    parts = {clip.path: clip.part for clip in datasets.list_clips(corpus.folder)}
    train, held = ([r for r in corpus.recordings if parts.get(r.path) == part] for part in ("train", "held"))
    clips: dict[str | None, list[Recording]] = {}
    for recording in train:
        clips.setdefault(recording.condition, []).append(recording)
    if held and clips and not any(recording.condition in clips for recording in held):
        held = [own[-1] for own in clips.values() if len(own) >= ENOUGH]
        names = {recording.name for recording in held}
        train = [recording for recording in train if recording.name not in names]
    return train, held


def take_options() -> DiffvocDiffwaveConfig:
    """The configuration by the options of this recipe; the rest of the command line is left for Coqui's parser."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("--corpus", choices=CONDITIONS)
    parser.add_argument("--condition", choices=CONDITIONS["fsdd"])
    parser.add_argument("--size", choices=("small", "published"))
    found, sys.argv[1:] = parser.parse_known_args()
    if vars(found) and any(word.split("=")[0] == "--continue_path" for word in sys.argv[1:]):
        sys.exit("error: --corpus, --condition and --size are for a new run; a continued run keeps its own.")
    return configure(**vars(found))


if __name__ == "__main__":
    train_from_recipe(take_options(), split)
