"""Write a voice that Coqui TTS speaks with from a run of train.py: config.json and the averaged weights in float16.

python recipes/voices/acoustic/export.py --run runs/ada --output runs/ada/voice
python recipes/voices/acoustic/export.py --run runs/joe --output runs/joe/voice --data runs/joe-data --variance 0.5
tts --text "hello" --model_path runs/ada/voice/model.safetensors --config_path runs/ada/voice/config.json \\
    --vocoder_name diffwave --out_path hello.wav
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import scipy.fft
import torch
from train import HELD_BACK, Utterance, collate, load

from tts_diffvoc.acoustic import AcousticModel, expand
from tts_diffvoc.checkpoint import WEIGHTS, write_weights
from tts_diffvoc.training.loop import CHECKPOINT
from tts_diffvoc.voices import ACOUSTIC, read_json

SILENCE = -8.0  # log-mel, below which a frame is no speech


@torch.no_grad()
def raise_variance(model: AcousticModel, rows: list[Utterance], power: float) -> None:
    """Widen the cepstrum of the model's mel towards the teacher's, in the last layer, where both are linear.

    A network that learns by absolute error is too smooth, the more so the finer the detail over the bands. Each
    coefficient of the mel's cosine transform is scaled around its mean by the ratio of the teacher's deviation to the
    model's, over `rows`, to the power `power` (global variance, Toda and Tokuda 2007). What is silent does not count.
    """
    transform = torch.from_numpy(scipy.fft.dct(np.eye(model.config.mel.n_mels), axis=0, norm="ortho")).float()
    own, teacher = [], []
    for row in rows:
        batch = collate([row], "cpu")
        hidden, _ = model.encode(batch["symbols"], batch["lengths"])
        x, place = expand(hidden, batch["durations"], batch["mel"].shape[1])
        loud = batch["mel"][0].mean(1) > SILENCE
        own.append(model.decode_frames(x, place, torch.ones_like(x[..., :1]))[0, loud])
        teacher.append(batch["mel"][0, loud])
    cepstrum, wanted = (torch.cat(mels) @ transform.T for mels in (own, teacher))
    scale = (wanted.std(0) / cepstrum.std(0)) ** power
    matrix, mean = transform.T @ torch.diag(scale) @ transform, cepstrum.mean(0) @ transform
    layer, deviation = model.mel_out, model.mel_std
    layer.weight.copy_(matrix @ (deviation[:, None] * layer.weight) / deviation[:, None])
    layer.bias.copy_((mean + matrix @ (deviation * layer.bias + model.mel_mean - mean) - model.mel_mean) / deviation)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of train.py")
    parser.add_argument("--output", type=Path, required=True, help="folder of the voice")
    parser.add_argument("--data", type=Path, help="folder of render.py, for --variance")
    parser.add_argument("--variance", type=float, default=0.0, help="0: as learnt, 1: the mel varies as the teacher's")
    args = parser.parse_args()
    if args.variance and args.data is None:
        parser.error("--variance needs the folder of render.py as --data.")
    args.output.mkdir(parents=True, exist_ok=True)
    state = torch.load(args.run / CHECKPOINT, map_location="cpu", weights_only=True)
    state["average"].pop("n_averaged")
    model = AcousticModel()
    model.load_state_dict({name.removeprefix("module."): value for name, value in state["average"].items()})
    if args.variance:
        raise_variance(model.eval(), load(args.data)[:HELD_BACK], args.variance)
    write_weights(args.output / WEIGHTS, {name: value.half() for name, value in model.state_dict().items()})
    config = {**read_json(ACOUSTIC["ada"] / "config.json"), "run_name": args.output.name}  # all have its sizes and mel
    (args.output / "config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")
    print(f"{args.output}: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {state['step']} steps")


if __name__ == "__main__":
    main()
