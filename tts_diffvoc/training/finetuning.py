"""Fine-tuning a spectral vocoder on one voice: its targets, its crops, one loop over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import load_checkpoint, save_checkpoint
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import make_folder
from tts_diffvoc.spectral.vocoder import SpectralVocoder
from tts_diffvoc.training.corpus import Recording
from tts_diffvoc.training.crops import read_clip
from tts_diffvoc.training.loop import LoopConfig, train
from tts_diffvoc.training.prepared import Crops, load, write_target

CHECKED = 16  # held-back crops that the log has the loss of


@dataclass(frozen=True)
class FineTuning:
    """What to fine-tune, on what, for how long.

    Attributes:
        data: folder of recordings.
        vocoder: name or checkpoint folder to begin from, options allowed.
        output: folder for the result; ``training`` in it holds the run.
        max_minutes: of training, in all.
        max_steps: of training, in all; None for as many as the minutes hold.
        held_back: clips kept for the comparison.
        features: folder of saved mels, such as an acoustic model's own, or None for the recordings' mels.
        batch_size: crops a step.
        crop_seconds: length of a crop.
        lr: learning rate after the warm-up.
        device: "cpu", "cuda" or "cuda:N".
        mixed_precision: "bf16", "fp16" or None.
        workers: processes that read data.
        save_minutes: between two checkpoints.
        clip_seconds: of each held-back clip that are compared; None for all.
        highpass: take off what recordings hold below 20 Hz.
        seed: of the data's order and of the noise.
    """

    data: Path
    output: Path
    vocoder: str = "diffwave"
    max_minutes: float | None = 20.0
    max_steps: int | None = None
    held_back: int = 8
    features: Path | None = None
    batch_size: int = 16
    crop_seconds: float = 0.75
    lr: float = 2e-4
    device: str = "cpu"
    mixed_precision: str | None = None
    workers: int = 1
    save_minutes: float = 2.0
    clip_seconds: float | None = 5.0
    highpass: bool = True
    seed: int = 0


class Learner(nn.Module):
    """A spectral vocoder whose denoiser and magnitudes learn together; its pitch network stays as it is."""

    def __init__(self, vocoder: SpectralVocoder) -> None:
        super().__init__()
        self.vocoder = vocoder

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The sum of both networks' losses, which no parameter shares."""
        made = self.vocoder.loss(batch, generator)
        magnitude = self.vocoder.magnitude.loss(batch)["loss"]
        return {**made, "loss": made["loss"] + magnitude, "magnitude": magnitude}


def train_spectral(
    plan: FineTuning, vocoder: SpectralVocoder, learnt: Sequence[Recording], held: Sequence[Recording]
) -> SpectralVocoder:
    """The vocoder with the averaged weights of a run in ``plan.output``/training that is begun, or gone on with.

    Raises: DiffvocError for a plan that only Coqui's Trainer can follow, and when training cannot go on.
    """
    if plan.features is not None:
        raise DiffvocError("a spectral vocoder learns from its recordings' own mels; leave the features out.")
    if plan.mixed_precision == "fp16":
        raise DiffvocError("a spectral vocoder trains in float32 or bf16, not fp16.")
    place = plan.output / "training"
    print("Rebuilding phases...", flush=True)
    write_targets(vocoder, learnt, held, place / "targets", plan.seed)
    mel = vocoder.config.mel
    frames = max(8, round(plan.crop_seconds * mel.sample_rate / mel.hop_length))
    sets = [load(place / "targets", ("waveform", "recording", "source"), one, mel.hop_length) for one in (False, True)]
    batches, checked = (
        Crops(clips, {"voice": 1.0}, size, frames, seed=plan.seed)
        for clips, size in zip(sets, (plan.batch_size, CHECKED))
    )
    vocoder.autocast = torch.bfloat16 if plan.mixed_precision else None
    config = LoopConfig(
        minutes=plan.max_minutes if plan.max_steps is None else None,
        steps=plan.max_steps,
        learning_rate=plan.lr,
        warmup_steps=50,
        save_minutes=plan.save_minutes,
        device=plan.device,
    )
    torch.manual_seed(plan.seed)
    batch = _on(next(checked), plan.device)
    made = train(Learner(vocoder.train()), (_on(one, plan.device) for one in batches), config, place, _check(batch))
    assert isinstance(made, Learner)
    save_checkpoint(made.vocoder, place / voices.TRAINED, "In training.\n")
    # Through the file, so that what is compared is what is saved, half precision and all.
    tuned = load_checkpoint(place / voices.TRAINED, plan.device)
    assert isinstance(tuned, SpectralVocoder)
    return tuned


def write_targets(
    vocoder: SpectralVocoder, learnt: Sequence[Recording], held: Sequence[Recording], folder: Path, seed: int
) -> None:
    """The target of each recording, those left alone that are there from an earlier run."""
    make_folder(folder)
    for kind, recordings in (("train", learnt), ("held", held)):
        for number, recording in enumerate(recordings):
            place = folder / f"voice~{recording.name.replace('/', '-')}~{kind}.npz"
            if not place.exists():
                waveform = read_clip(recording, vocoder.config.mel)[0]
                bandwidth = min(recording.rate, vocoder.sample_rate) / 2
                write_target(vocoder, waveform, place, seed + number, bandwidth)


def _on(batch: dict[str, Tensor], device: str) -> dict[str, Tensor]:
    return {name: value.to(device) for name, value in batch.items()}


def _check(batch: dict[str, Tensor]) -> Callable[[nn.Module], dict[str, float]]:
    """Losses on one batch of held-back crops, with the same noise each time."""

    @torch.no_grad()
    def check(average: nn.Module) -> dict[str, float]:
        losses = average.loss(batch, torch.Generator().manual_seed(0))  # type: ignore[operator]
        return {f"held_{name}": float(value) for name, value in losses.items()}

    return check
