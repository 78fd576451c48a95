"""DiffWave on SC09, the digits of Speech Commands, conditioned on the mel and on the word, or on the speaker.

    python recipes/sc09/train_vocoder.py --coqpit.data_path SPEECH_COMMANDS --coqpit.output_path runs --max_minutes 60
    python recipes/sc09/train_vocoder.py --condition speaker --coqpit.data_path SPEECH_COMMANDS ...

--condition label (default), speaker or none, and --size small (default, for a CPU) or published; every line of the
configuration can be changed on the command line, for example --coqpit.batch_size 8. The published testing list is held
back, and the validation list is not used. A speaker is in one of the three parts only, so with --condition speaker a
clip of each of the training part's speakers is held back instead.
"""

from tts_diffvoc.coqui.configs import DiffvocDiffwaveConfig, audio_config, from_core
from tts_diffvoc.coqui.training import train_from_recipe
from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.training.corpus import Corpus, Recording
from tts_diffvoc.vocoder import VocoderConfig
from tts_diffvoc_eval.generation import datasets
from tts_diffvoc_eval.generation.training import take_vocoder_options

# Windows of 32 ms, 8 ms apart; the hop is 8 x 16 for the Base network's upsampling.
MEL = MelConfig(sample_rate=16000, n_fft=512, win_length=512, hop_length=128, n_mels=80, fmin=0.0, fmax=8000.0)
# Of a clip's path below data_path, without suffix: zero/0a7c2a8d_nohash_0 is a zero said by 0a7c2a8d.
CONDITIONS = {"label": r"^([^/]+)/", "speaker": r"^[^/]+/([^/]+)_nohash_\d+$"}
# To train on more of Speech Commands, name more of its folders.
WORDS = datasets.WORDS
# Speakers with fewer clips are only trained on.
ENOUGH = 4

# 32 channels, 10 layers, T = 50.
SMALL = VocoderConfig(
    "diffwave",
    DiffWaveConfig(32, 10, 10, n_mels=MEL.n_mels, upsample_factors=(8, 16)),
    published_schedule("diffwave-50"),
    MEL,
)
config = DiffvocDiffwaveConfig(
    run_name="vocoder-sc09",
    audio=audio_config(MEL),
    global_condition=CONDITIONS["label"],
    vocoder=from_core(SMALL).vocoder,
    seq_len=64 * 128,
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
    data_check=False,  # a hundred thousand files, of which most belong to other words
    epochs=10000,
    print_step=50,
    plot_step=100,
    save_step=1000,
    save_n_checkpoints=2,
    test_delay_epochs=5,
    training_seed=54321,
)
# DiffWave Base (section 5.1), 64 channels, 30 layers, T = 50.
PUBLISHED = {"vocoder": {}, "lr": 2e-4, "lr_end": 1.0, "warmup_steps": 0, "ema_decay": 0.9999, "gain_db": 0.0}


def split(corpus: Corpus) -> tuple[list[Recording], list[Recording]]:
    """Clips of the words to train on, and those held back."""
    listed = datasets.sc09_lists(corpus.folder)
    parts: dict[str, list[Recording]] = {"train": [], "held": [], "validation": []}
    for recording in corpus.recordings:
        name = recording.path.relative_to(corpus.folder).as_posix()
        if name.split("/")[0] in WORDS:
            parts[next((part for part, names in listed.items() if name in names), "train")].append(recording)
    if config.global_condition == CONDITIONS["speaker"]:
        return by_speaker(parts["train"])
    return parts["train"], parts["held"]


def by_speaker(recordings: list[Recording]) -> tuple[list[Recording], list[Recording]]:
    """The last clip of every speaker with enough clips is held back."""
    clips: dict[str | None, list[Recording]] = {}
    for recording in recordings:
        clips.setdefault(recording.condition, []).append(recording)
    held = {own[-1].name for speaker, own in clips.items() if speaker and len(own) >= ENOUGH}
    return [r for r in recordings if r.name not in held], [r for r in recordings if r.name in held]


if __name__ == "__main__":
    take_vocoder_options(config, CONDITIONS, PUBLISHED)
    train_from_recipe(config, split)
