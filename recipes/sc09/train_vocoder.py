"""DiffWave on SC09, the digits of Speech Commands, conditioned on the mel and on which word is said, or on who says it.

    python recipes/sc09/train_vocoder.py --coqpit.data_path SPEECH_COMMANDS --coqpit.output_path runs --max_minutes 60
    python recipes/sc09/train_vocoder.py --condition speaker --coqpit.data_path SPEECH_COMMANDS ...

--condition label (default), speaker or none, and --size small (default) or published, as in
recipes/fsdd/train_vocoder.py, whose configuration this is at 16 kHz. The published testing list is held back, and the
validation list is left out. A speaker is in one of the three parts only, so with --condition speaker a clip of each of
the training part's speakers is held back instead.
"""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # the sibling's module has the same name

from recipes.fsdd import train_vocoder as recipe
from tts_diffvoc.coqui.configs import audio_config, from_core
from tts_diffvoc.coqui.training import train_from_recipe
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.training.corpus import Corpus, Recording
from tts_diffvoc_eval.generation import sc09 as digits

# Windows of 32 ms, 8 ms apart; the hop is 8 x 16 for the Base network's upsampling.
MEL = MelConfig(sample_rate=16000, n_fft=512, win_length=512, hop_length=128, n_mels=80, fmin=0.0, fmax=8000.0)
# Of a clip's path below data_path, without suffix: zero/0a7c2a8d_nohash_0 is a zero said by 0a7c2a8d.
CONDITIONS = {"label": r"^([^/]+)/", "speaker": r"^[^/]+/([^/]+)_nohash_\d+$"}
# To train on more of Speech Commands, name more of its folders.
WORDS = digits.WORDS
# Speakers with fewer clips are only trained on.
ENOUGH = 4

config = replace(
    recipe.config,
    run_name="vocoder-sc09",
    audio=audio_config(MEL),
    global_condition=CONDITIONS["label"],
    vocoder=from_core(recipe.small(MEL)).vocoder,
    seq_len=64 * 128,
    data_check=False,  # a hundred thousand files, of which most belong to other words
)


def split(corpus: Corpus) -> tuple[list[Recording], list[Recording]]:
    """Clips of the words to train on, and those held back."""
    listed = digits.listed(corpus.folder)
    parts: dict[str, list[Recording]] = {"train": [], "held": [], "validation": []}
    for recording in corpus.recordings:
        name = recording.path.relative_to(corpus.folder).as_posix()
        if name.split("/")[0] in WORDS:
            parts[next((part for part, names in listed.items() if name in names), "train")].append(recording)
    if config.global_condition == CONDITIONS["speaker"]:
        return by_speaker(parts["train"])
    return parts["train"], parts["held"]


def by_speaker(recordings: list[Recording]) -> tuple[list[Recording], list[Recording]]:
    """Of every speaker with enough clips the last one is held back."""
    clips: dict[str | None, list[Recording]] = {}
    for recording in recordings:
        clips.setdefault(recording.condition, []).append(recording)
    held = {own[-1].name for speaker, own in clips.items() if speaker and len(own) >= ENOUGH}
    return [r for r in recordings if r.name not in held], [r for r in recordings if r.name in held]


if __name__ == "__main__":
    recipe.take_options(config, CONDITIONS)
    train_from_recipe(config, split)
