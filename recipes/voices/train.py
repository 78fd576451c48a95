"""Train the bundled vocoders, stage by stage; each goes on where it stopped, so that a longer budget trains further.

for stage in prepare pitch targets magnitude diffwave wavegrad; do
    python recipes/voices/train.py --data SPEECH[=SHARE] MORE... --stage $stage --minutes 20 --output runs/spectral
done

prepare    recordings to 22,050 Hz, glottal closures, F0              OUTPUT/clips
pitch      F0 from the mel                                           OUTPUT/pitch
targets    each clip with phases rebuilt from the predicted pitch    OUTPUT/targets
magnitude  linear magnitudes from the mel and the source             OUTPUT/magnitude
diffwave, wavegrad   the denoiser                                    OUTPUT/NAME, ready to use: OUTPUT/NAME/vocoder

On several GPUs or machines: torchrun --nproc_per_node 4 recipes/voices/train.py ... --device cuda
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import clips
import numpy as np
import torch
from torch import Tensor, nn

from tts_diffvoc.checkpoint import load_vocoder, save_checkpoint
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc.spectral.magnitude import MagnitudeConfig
from tts_diffvoc.spectral.network import DiffWaveSizes, WaveGradSizes
from tts_diffvoc.spectral.pitch import PitchConfig
from tts_diffvoc.spectral.vocoder import SpectralConfig, SpectralVocoder
from tts_diffvoc.training.loop import LoopConfig, join, train, world
from tts_diffvoc.training.prepared import Crops, Prepared, load, write_target

STAGES = ("prepare", "pitch", "targets", "magnitude", "diffwave", "wavegrad")
MEL, PITCH, MAGNITUDE = MelConfig(), PitchConfig(), MagnitudeConfig()
VOCODERS = {
    "diffwave": SpectralConfig("diffwave", DiffWaveSizes(), PITCH, MAGNITUDE, MEL),
    "wavegrad": SpectralConfig("wavegrad", WaveGradSizes(), PITCH, MAGNITUDE, MEL),
}
# Rows and frames of a batch.
BATCHES = {"pitch": (16, 128), "magnitude": (12, 64), "diffwave": (12, 64), "wavegrad": (12, 64)}
RATES = {"pitch": 1e-3, "magnitude": 1e-3, "diffwave": 1e-3, "wavegrad": 3e-4}
CHECKED = 48  # held-out crops that a stage is checked on
CHECKS = (0.25, 0.5, 0.75)  # shares of the minutes after which that is done, besides every five


def parse_data(text: str) -> tuple[Path, float]:
    folder, _, share = text.partition("=")
    return Path(folder), float(share or 1.0)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=parse_data, nargs="+", required=True, metavar="FOLDER[=SHARE]")
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder of the run, for all stages")
    parser.add_argument(
        "--init", type=Path, help="a vocoder's folder to begin with, such as tts_diffvoc/voices/diffwave"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, all runs of a stage together")
    parser.add_argument("--batch-size", type=int, help="rows of a batch; a GPU takes many")
    parser.add_argument("--frames", type=int, help="of a crop")
    parser.add_argument("--rate", type=float, help="learning rate")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--jobs", type=int, default=1, help="processes of the stage prepare")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    options.device = join(options.device)
    if options.stage in ("prepare", "targets") and world()[0]:
        return  # the first process makes them
    if options.stage == "prepare":
        clips.prepare([folder for folder, _ in options.data], options.output / "clips", options.jobs)
    elif options.stage == "targets":
        write_targets(options)
    else:
        train_stage(options.stage, options)


def finish(network: nn.Module, folder: Path, done: bool) -> None:
    """Give ``network`` the averaged weights that a stage left in ``folder``; without, it stays if it is ``done``."""
    path = folder / "average.pt"
    if path.is_file():
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    elif not done:
        raise DiffvocError(f"{path} is not there; run the stage {folder.name} first, or begin with --init.")
    network.eval().requires_grad_(False)


def build(stage: str, output: Path, init: Path | None = None) -> nn.Module:
    """What a stage trains; a vocoder has the networks of the stages before it, which stay as they are.

    Args:
        init: a vocoder's checkpoint folder, whose weights training begins with.
    """
    config = VOCODERS.get(stage, VOCODERS["diffwave"])
    vocoder = SpectralVocoder(config, stage)
    if init is not None:
        begun = load_vocoder(init)
        if begun.config.sizes != config.sizes:
            raise DiffvocError(f"{init} has the sizes {begun.config.sizes}; the stage {stage} has {config.sizes}.")
        vocoder.load_state_dict(begun.state_dict())
    if stage in ("pitch", "magnitude"):
        return getattr(vocoder, stage)
    finish(vocoder.pitch, output / "pitch", init is not None)
    if stage != "targets":
        finish(vocoder.magnitude, output / "magnitude", init is not None)
    return vocoder


def train_stage(stage: str, options: argparse.Namespace) -> None:
    """Train a network until its minutes are spent; its averaged weights are there from the first check on."""
    size, frames = options.batch_size or BATCHES[stage][0], options.frames or BATCHES[stage][1]
    shares = {clips.corpus_name(folder): share for folder, share in options.data}
    names = ("waveform", "f0", "sure") if stage == "pitch" else ("waveform", "recording", "source")
    folder = options.output / ("clips" if stage == "pitch" else "targets")
    learnt, held = load(folder, names, held=False), load(folder, names, held=True)
    crops = Crops(learnt, shares, size, frames, noisy=0.2 if stage == "pitch" else 0.0)
    minutes = sum(clip.frames for clip in learnt) * clips.HOP / clips.RATE / 60
    if not world()[0]:
        print(f"{stage}: {len(learnt)} clips, {minutes:.0f} minutes", flush=True)
    rate = options.rate or RATES[stage]
    config = LoopConfig(minutes=options.minutes, learning_rate=rate, device=options.device, checks=CHECKS)
    network, place = build(stage, options.output, options.init), options.output / stage
    if options.bf16 and isinstance(network, SpectralVocoder):
        network.autocast = torch.bfloat16  # of the denoiser alone: spectra and phases stay float32

    def report(average: nn.Module) -> dict[str, float]:
        checked = (check_pitch if stage == "pitch" else check_loss)(average, held, options.device)
        export(average, place, checked)
        return checked

    train(network, to_device(crops, options.device), config, place, report)


def export(average: nn.Module, place: Path, checked: dict[str, float]) -> None:
    """Write the averaged weights for the stages to come, and a vocoder's checkpoint folder."""
    torch.save({name: value.cpu() for name, value in average.state_dict().items()}, place / "average.pt")
    if isinstance(average, SpectralVocoder):
        facts = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in checked.items())
        text = f"A spectral {average.config.network} in training; on held-out speech: {facts}.\n"
        save_checkpoint(average, place / "vocoder", f"---\nlicense: MIT\n---\n{text}")


def to_device(batches: Iterator[dict[str, Tensor]], device: str) -> Iterator[dict[str, Tensor]]:
    """The batches on ``device``; a thread draws two ahead for a GPU, which never waits for one."""
    if device == "cpu":
        yield from batches
    with ThreadPoolExecutor(1) as pool:
        ahead = deque(pool.submit(next, batches) for _ in range(2))
        while True:
            ahead.append(pool.submit(next, batches))
            batch = ahead.popleft().result()
            yield {name: value.pin_memory().to(device, non_blocking=True) for name, value in batch.items()}


@torch.no_grad()
def check_loss(network: nn.Module, held: list[Prepared], device: str) -> dict[str, float]:
    """Losses on crops of held-out clips that are always the same."""
    shares = dict.fromkeys({clip.folder for clip in held}, 1.0)
    crops = Crops(held, shares, CHECKED // 4, 64)
    crops.random = np.random.default_rng(0)
    options = {"generator": torch.Generator().manual_seed(0)} if isinstance(network, SpectralVocoder) else {}
    loss: Callable[..., dict[str, Tensor]] = network.loss  # type: ignore[assignment]
    rows = [loss(batch, **options) for batch, _ in zip(to_device(crops, device), range(4))]
    return {f"held_{name}": float(torch.stack([row[name] for row in rows]).mean()) for name in rows[0]}


@torch.no_grad()
def check_pitch(network: nn.Module, held: list[Prepared], device: str) -> dict[str, float]:
    """On held-out clips' frames that are sure: the median error in cents, and shares of gross errors and of voicing."""
    cents, voiced = [], []
    for clip in held[:: max(1, len(held) // CHECKED)]:
        waveform = torch.from_numpy(clip.arrays["waveform"].astype(np.float32) / 32767)[None].to(device)
        f0, sure = (torch.from_numpy(clip.arrays[name][: clip.frames]) for name in ("f0", "sure"))
        made = network(log_mel(waveform, MEL)[..., : clip.frames])
        cents.append((1200 * (made.f0[0].cpu() / f0.clamp_min(1)).log2()).abs()[sure])
        voiced.append((made.voiced[0].cpu() == (f0 > 0)).float())
    error = torch.cat(cents)
    return {
        "held_cents": float(error.median()),
        "held_gross": float((error > 50).float().mean()),
        "held_octaves": float((error > 600).float().mean()),
        "held_voicing": float(torch.cat(voiced).mean()),
    }


def write_targets(options: argparse.Namespace) -> None:
    """Rebuild the phases of every prepared clip from the source that inference will have, float16."""
    output = options.output
    vocoder = build("targets", output, options.init).to(options.device).eval()
    (output / "targets").mkdir(parents=True, exist_ok=True)
    paths = sorted((output / "clips").glob("*.npz"), key=lambda path: clips.stable_hash(path.name))
    for number, path in enumerate(paths, 1):
        place = output / "targets" / path.name
        if not place.exists():
            with np.load(path) as values:
                waveform = torch.from_numpy(values["waveform"].astype(np.float32) / 32767)
                bandwidth, tracked = values["bandwidth"], values["tracked"]
            write_target(vocoder, waveform, place, clips.stable_hash(path.name), bandwidth, tracked)
        if number % 100 == 0:
            print(f"{number} of {len(paths)} targets", flush=True)


if __name__ == "__main__":
    main()
