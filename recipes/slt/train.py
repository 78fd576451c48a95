"""Train the bundled acoustic model on a folder of render.py and prepare.py; the same line goes on.

    python recipes/slt/train.py --data slt --output slt-run --minutes 60
    python recipes/slt/train.py --data slt --output slt-run --export tts_diffvoc/voices/slt
    python recipes/slt/train.py --data slt --output slt-run --gta slt-gta --count 300

`--minutes` counts all runs together: the learning rate falls along a cosine over them, and a run that was
stopped goes on from its last checkpoint. One core is enough.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.optim.swa_utils import AveragedModel

from tts_diffvoc.coqui.acoustic import SYMBOL_IDS, DiffvocForwardTTS, DiffvocForwardTTSConfig

AUDIO = {
    "sample_rate": 22050, "fft_size": 1024, "win_length": 1024, "hop_length": 256, "num_mels": 80,
    "mel_fmin": 0.0, "mel_fmax": 8000.0, "log_func": "np.log", "spec_gain": 1.0, "signal_norm": False,
    "stft_pad_mode": "reflect", "preemphasis": 0.0, "do_trim_silence": False, "do_sound_norm": False,
    "griffin_lim_iters": 60, "power": 1.2, "do_amp_to_db_linear": False, "do_amp_to_db_mel": True,
}  # fmt: skip
HELD_BACK = 60


def load(data: Path) -> list[dict[str, Any]]:
    """All features of the folder, in the order of their names."""
    items = []
    for path in sorted((data / "features").glob("slt-?????.npz")):
        with np.load(path) as file:
            pitch = torch.from_numpy(file["pitch"])
            items.append(
                {
                    "id": path.stem,
                    "symbols": torch.tensor([SYMBOL_IDS[s] for s in file["symbols"].tolist()]),
                    "durations": torch.from_numpy(file["durations"]).long(),
                    # log2 relative to 180 Hz; the shift keeps voiced values from being 0
                    "pitch": torch.where(pitch > 0, 3 * torch.log2(pitch.clamp_min(1) / 180) + 1e-3, 0.0),
                    "mel": torch.from_numpy(file["mel"]).T,
                }
            )
    return items


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch under the names that Coqui's ForwardTTS.train_step reads."""
    pad = {key: pad_sequence([i[key] for i in items], batch_first=True) for key in items[0] if key != "id"}
    return {
        "text_input": pad["symbols"],
        "text_lengths": torch.tensor([len(i["symbols"]) for i in items]),
        "mel_input": pad["mel"].float(),
        "mel_lengths": torch.tensor([len(i["mel"]) for i in items]),
        "durations": pad["durations"],
        "pitch": pad["pitch"].unsqueeze(1),
        "energy": None,
        "d_vectors": None,
        "speaker_ids": None,
    }


def batches(items: list[dict[str, Any]], frames: int, rng: random.Random) -> list[list[dict[str, Any]]]:
    """One epoch of batches of items of like length, about `frames` mel frames each."""
    order = sorted(items, key=lambda item: len(item["mel"]) * rng.uniform(0.9, 1.1))
    out, batch, longest = [], [], 0
    for item in order:
        longest = max(longest, len(item["mel"]))
        if batch and longest * (len(batch) + 1) > frames:
            out.append(batch)
            batch, longest = [], len(item["mel"])
        batch.append(item)
    out.append(batch)
    rng.shuffle(out)
    return out


def build(items: list[dict[str, Any]]) -> DiffvocForwardTTS:
    """The model, its mel statistics set from the data."""
    config = DiffvocForwardTTSConfig()
    for name, value in AUDIO.items():
        setattr(config.audio, name, value)
    model = DiffvocForwardTTS(config)
    frames = torch.cat([item["mel"].float() for item in items[::10]])
    model.decoder.mel_mean.copy_(frames.mean(0).unsqueeze(1))
    model.decoder.mel_std.copy_(frames.std(0).unsqueeze(1))
    return model


@torch.no_grad()
def validate(model: DiffvocForwardTTS, items: list[dict[str, Any]]) -> dict[str, float]:
    """Losses on held-back utterances."""
    model.eval()
    losses = model.train_step(collate(items), model.get_criterion())[1]
    return {name: round(float(value), 4) for name, value in losses.items()}


@torch.no_grad()
def average(averaged: Any, current: Any, count: Tensor) -> None:
    """Exponential moving average of weights, its memory short at first so that the random start fades."""
    keep = min(0.997, (1 + int(count)) / (10 + int(count)))
    torch._foreach_lerp_(averaged, current, 1 - keep)


class Run:
    """Model, average, optimiser and clock of a training run, with their checkpoint."""

    def __init__(self, model: DiffvocForwardTTS, folder: Path, rate: float) -> None:
        self.model, self.folder, self.rate = model, folder, rate
        self.average = AveragedModel(model, multi_avg_fn=average, use_buffers=False)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
        self.step, self.seconds = 0, 0.0
        self.file = folder / "checkpoint.pt"
        if self.file.exists():
            self.read()

    def read(self) -> None:
        """Go on from the last checkpoint (tensors and numbers only; nothing else is unpickled)."""
        state = torch.load(self.file, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]

    def write(self) -> None:
        """Save all of it, whole or not at all."""
        state = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimizer")}
        part = self.file.with_suffix(".part")
        torch.save({**state, "step": self.step, "seconds": self.seconds}, part)
        part.replace(self.file)

    def train(self, items: list[dict[str, Any]], held: list[dict[str, Any]], minutes: float, frames: int) -> None:
        """Train until `minutes` of training, over all runs, are spent."""
        criterion = self.model.get_criterion()
        rng = random.Random(self.step)
        total, saved, shown = 60 * minutes, time.monotonic(), []
        while self.seconds < total:
            for batch in batches(items, frames, rng):
                start = time.monotonic()
                progress = min(1.0, self.seconds / total)
                rate = (
                    self.rate * min(1, (self.step + 1) / 100) * (0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2)
                )
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                self.model.train()
                losses = self.model.train_step(collate(batch), criterion)[1]
                self.optimizer.zero_grad()
                losses["loss"].backward()
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
                self.optimizer.step()
                self.average.update_parameters(self.model)
                self.step += 1
                self.seconds += time.monotonic() - start
                shown.append(float(losses["loss_spec"].detach()))
                if self.step % 50 == 0:
                    print(f"step {self.step} {self.seconds:.0f} s, mel loss {np.mean(shown):.4f}", flush=True)
                    shown = []
                if time.monotonic() - saved > 120 or self.seconds >= total:
                    self.write()
                    print("held back:", validate(self.average.module, held), flush=True)
                    saved = time.monotonic()
                if self.seconds >= total:
                    return


def export(run: Run, folder: Path) -> None:
    """Write config.json and the averaged weights as float16 safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    model = run.average.module
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"steps": str(run.step)})
    (folder / "model.safetensors").chmod(0o644)
    default, values = DiffvocForwardTTSConfig().to_dict(), model.config.to_dict()
    kept = {name: value for name, value in values.items() if value != default[name] or name == "model_args"}
    text = {"model": model.config.model, "run_name": "slt", "use_phonemes": False, **kept}
    (folder / "config.json").write_text(json.dumps(text, indent=1, ensure_ascii=False) + "\n", "utf-8")


@torch.no_grad()
def write_predictions(run: Run, items: list[dict[str, Any]], data: Path, folder: Path) -> None:
    """Mels predicted with true durations and pitch, and the 22,050 Hz audio: what a vocoder tunes on."""
    import soundfile
    from scipy.signal import resample_poly

    folder.mkdir(parents=True, exist_ok=True)
    model = run.average.module.eval()
    for item in items:
        batch = collate([item])
        mel = model(
            batch["text_input"],
            batch["text_lengths"],
            batch["mel_lengths"],
            dr=batch["durations"],
            pitch=batch["pitch"],
        )["model_outputs"]
        audio = resample_poly(soundfile.read(data / "wavs" / f"{item['id']}.wav", dtype="float32")[0], 441, 320)
        wav = folder / f"{item['id']}.wav"
        soundfile.write(wav, np.clip(audio, -1, 1), 22050)
        np.savez(folder / f"{item['id']}.npz", mel=mel[0].T.half().numpy(), wav=str(wav.resolve()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of render.py and prepare.py")
    parser.add_argument("--output", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--minutes", type=float, default=0.0, help="training time, all runs together")
    parser.add_argument("--frames", type=int, default=3000, help="mel frames in a batch")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--export", type=Path, help="folder to write the voice to")
    parser.add_argument("--gta", type=Path, help="folder to write mels predicted with true durations to")
    parser.add_argument("--count", type=int, default=300, help="utterances for --gta")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    args.output.mkdir(parents=True, exist_ok=True)
    items = load(args.data)
    run = Run(build(items), args.output, args.rate)
    hours = sum(len(i["mel"]) for i in items) * 256 / 22050 / 3600
    print(f"{len(items)} utterances, {hours:.2f} h, step {run.step}", flush=True)
    run.train(items[:-HELD_BACK], items[-HELD_BACK:], args.minutes, args.frames)
    if args.export:
        export(run, args.export)
    if args.gta:
        write_predictions(run, items[-args.count :], args.data, args.gta)


if __name__ == "__main__":
    main()
