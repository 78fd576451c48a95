"""Write a voice that Coqui TTS speaks with from a run of train.py: config.json and the averaged weights in float16.

    python recipes/voices/acoustic/export.py --run runs/ada --output tts_diffvoc/voices/ada
    tts --text "hello" --model_name tts_models/en/diffvoc/ada --vocoder_name diffwave --out_path hello.wav
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from tts_diffvoc.acoustic import AcousticModel
from tts_diffvoc.checkpoint import WEIGHTS, write_weights
from tts_diffvoc.coqui.acoustic import MODEL_ID, DiffvocAcousticArgs
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.training.loop import CHECKPOINT


def coqui_audio(mel: MelConfig) -> dict[str, object]:
    """Coqui's names of the mel's settings."""
    return {
        "sample_rate": mel.sample_rate, "fft_size": mel.n_fft, "win_length": mel.win_length,
        "hop_length": mel.hop_length, "num_mels": mel.n_mels, "mel_fmin": mel.fmin, "mel_fmax": mel.fmax,
        "log_func": "np.log", "spec_gain": mel.gain, "signal_norm": False, "stft_pad_mode": "reflect",
        "preemphasis": 0.0, "do_trim_silence": False, "do_sound_norm": False, "griffin_lim_iters": 60, "power": 1.2,
        "do_amp_to_db_linear": False, "do_amp_to_db_mel": True,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of train.py")
    parser.add_argument("--output", type=Path, required=True, help="folder of the voice")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    state = torch.load(args.run / CHECKPOINT, map_location="cpu", weights_only=True)
    average = {name.removeprefix("module."): value for name, value in state["average"].items() if name != "n_averaged"}
    model = AcousticModel()
    model.load_state_dict(average)
    write_weights(args.output / WEIGHTS, {name: value.half() for name, value in model.state_dict().items()})
    config = {
        "model": MODEL_ID,
        "run_name": args.output.name,
        "use_phonemes": False,
        "languages": ["en"],
        "audio": coqui_audio(model.config.mel),
        "model_args": DiffvocAcousticArgs().to_dict(),
    }
    (args.output / "config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")
    print(f"{args.output}: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {state['step']} steps")


if __name__ == "__main__":
    main()
