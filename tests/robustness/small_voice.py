"""A small voice in a folder of Coqui's, and the options that name it with a small vocoder."""

import json
from pathlib import Path

from safetensors.torch import save_file

import tts_diffvoc
from tts_diffvoc import voices

SMALL = {"channels": 16, "encoder_blocks": 1, "prosody_channels": 8, "prosody_blocks": 1, "decoder_blocks": 1}


def save_voice(folder: Path) -> Path:
    """An untrained voice with the mels of the bundled ones."""
    tts_diffvoc.register()
    from tts_diffvoc.coqui.acoustic import DiffvocAcoustic, DiffvocAcousticArgs, DiffvocAcousticConfig

    folder.mkdir(parents=True, exist_ok=True)
    config = DiffvocAcousticConfig(model_args=DiffvocAcousticArgs(**SMALL))
    ada = json.loads((voices.ACOUSTIC["ada"] / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**ada, "model_args": {**ada["model_args"], **SMALL}}))
    save_file(DiffvocAcoustic(config).network.state_dict(), folder / "model.safetensors")
    return folder


def options(voice: Path, vocoder: Path) -> list[str]:
    """What ``tts`` and ``tts-server`` take to speak with the two."""
    models = ["--model_path", voice / "model.safetensors", "--config_path", voice / "config.json"]
    return [*map(str, models), "--vocoder_name", f"{vocoder}?steps=1&seed=1"]
