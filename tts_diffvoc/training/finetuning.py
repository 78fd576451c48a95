"""Fine-tuning a vocoder on a folder of recordings: corpus check, measurement, training, measurement, in one call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import load_checkpoint, load_vocoder, save_checkpoint
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import AnyVocoder
from tts_diffvoc.files import make_folder, write_beside
from tts_diffvoc.spectral.vocoder import SpectralVocoder
from tts_diffvoc.training.compare import ClipScore, comparison, score_clips, verdict
from tts_diffvoc.training.corpus import Corpus, Recording, scan
from tts_diffvoc.training.crops import (
    CropBatches,
    CropDataset,
    change_gain,
    check_batch,
    collate,
    crop_loader,
    fixed_crops,
    read_clip,
)
from tts_diffvoc.training.learner import PRECISIONS, VocoderTraining
from tts_diffvoc.training.loop import Loop, LoopConfig
from tts_diffvoc.training.prepared import GAIN_DB, Crops, load, write_target

CHECKED = 16  # held-back crops that the log has the loss of, of a spectral vocoder
LITTLE_MINUTES = 1.0  # less speech than this is learnt by heart
Batch = dict[str, Any]


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


def fine_tune(plan: FineTuning) -> tuple[list[ClipScore], list[ClipScore]]:
    """Fine-tune, compare, and write the result to ``plan.output``; the scores before and after.

    A call with the same output goes on where the last one stopped. Prints what it finds and does.

    Raises: DiffvocError for data, vocoder or output that cannot be used, and when training cannot go on.
    """
    if plan.max_minutes is None and plan.max_steps is None:
        raise DiffvocError("a fine-tuning without an end was asked for; give max_minutes or max_steps.")
    folder = plan.output / "training"
    if plan.output.is_dir() and any(plan.output.iterdir()) and not folder.is_dir():
        raise DiffvocError(f"{plan.output} holds something else already; give a new folder for the result.")
    make_folder(folder)
    vocoder = load_vocoder(plan.vocoder, plan.device)
    corpus = scan(plan.data, vocoder.mel_config, plan.features, highpass=plan.highpass)
    print(corpus.report(), flush=True)
    learnt, held = corpus.split(plan.held_back)
    minutes = sum(r.seconds for r in learnt) / 60
    if minutes < LITTLE_MINUTES:
        print(
            f"  {minutes:.1f} minutes to train on is very little: expect the voice to be learnt by heart, not learnt. "
            "Ten minutes make a difference.",
            flush=True,
        )
    print(f"  {len(learnt)} clips to train on, {len(held)} held back: {', '.join(r.name for r in held)}", flush=True)
    before = _before(plan, vocoder, held, folder / "before.json")
    save_checkpoint(_train(plan, vocoder, learnt, held), plan.output, "In training.\n")
    print("Comparing...", flush=True)
    tuned = load_checkpoint(plan.output, plan.device)  # so that what is compared is what is saved, in half precision
    after = score_clips(tuned, held, plan.clip_seconds, plan.seed)
    result = f"{comparison(before, after)}\n\n{verdict(before, after)}"
    write_beside(plan.output / "README.md", _card(plan, corpus, len(learnt), minutes, result))
    print(f'\n{result}\n\nSpeak with it:\ntts --text "hello" --vocoder_name {plan.output}', flush=True)
    return before, after


def _before(plan: FineTuning, vocoder: AnyVocoder, held: list[Recording], path: Path) -> list[ClipScore]:
    """Scores of the vocoder as it was, kept beside the run for a later call."""
    asked = {"vocoder": plan.vocoder, "clips": [r.name for r in held], "seconds": plan.clip_seconds, "seed": plan.seed}
    asked["highpass"] = plan.highpass
    kept = voices.read_json(path)
    if kept.get("asked") == asked:
        return [ClipScore(**score) for score in kept["scores"]]
    print(f"Measuring {plan.vocoder} on the held-back clips...", flush=True)
    scores = score_clips(vocoder, held, plan.clip_seconds, plan.seed)
    write_beside(path, json.dumps({"asked": asked, "scores": [asdict(s) for s in scores]}))
    return scores


def _card(plan: FineTuning, corpus: Corpus, clips: int, minutes: float, result: str) -> str:
    device = torch.cuda.get_device_name() if plan.device.startswith("cuda") else "a CPU"
    return (
        f"# {plan.output.name}\n\n"
        f"The vocoder {plan.vocoder}, fine-tuned on {clips} clips ({minutes:.1f} minutes) of "
        f"{corpus.folder.name} on {device}.\n\nHeld-back clips, their first {plan.clip_seconds or 'all'} seconds:\n\n"
        f"{result}\n"
    )


class SpectralTraining(VocoderTraining):
    """A spectral vocoder whose denoiser and magnitudes learn together; its pitch network stays as it is."""

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The sum of both networks' losses, which no parameter shares."""
        made = self.vocoder.loss(batch)
        magnitude = self.vocoder.magnitude.loss(batch)["loss"]
        return {**made, "loss": made["loss"] + magnitude, "magnitude": magnitude}


def _train(plan: FineTuning, vocoder: AnyVocoder, learnt: list[Recording], held: list[Recording]) -> AnyVocoder:
    """The vocoder with the averaged weights of a run that is begun in ``plan.output``/training, or gone on with."""
    torch.manual_seed(plan.seed)
    mel = vocoder.mel_config
    frames = max(8, round(plan.crop_seconds * mel.sample_rate / mel.hop_length))
    if isinstance(vocoder, SpectralVocoder):
        model: VocoderTraining = SpectralTraining(vocoder)
        batches, held_out = spectral_crops(plan, vocoder, learnt, held, frames)
    else:
        model = VocoderTraining(vocoder)
        batches, held_out = crops(plan, vocoder, learnt, held, frames)
    vocoder.autocast = PRECISIONS.get(str(plan.mixed_precision))
    config = LoopConfig(
        minutes=plan.max_minutes if plan.max_steps is None else None,
        steps=plan.max_steps,
        learning_rate=plan.lr,
        warmup_steps=50,
        log_steps=10,
        save_minutes=plan.save_minutes,
        device=plan.device,
        grad_scaler=plan.mixed_precision == "fp16",
    )
    loop = Loop(model, config, plan.output / "training")
    checked = _on(held_out, plan.device)

    @torch.no_grad()
    def check(average: nn.Module) -> dict[str, float]:
        with torch.random.fork_rng():  # the same noise each time
            torch.manual_seed(0)
            losses = average.loss(checked)  # type: ignore[operator]
        return {f"held_{name}": float(value) for name, value in losses.items()}

    loop.run((_on(batch, plan.device) for batch in batches(loop.step)), check)
    average: Any = loop.average.module.eval()
    return average.vocoder


def _on(batch: Batch, device: str) -> Batch:
    return {name: value if name == "seed" else value.to(device) for name, value in batch.items()}


def crops(
    plan: FineTuning, vocoder: AnyVocoder, learnt: Sequence[Recording], held: Sequence[Recording], frames: int
) -> tuple[Callable[[int], Iterator[Batch]], Batch]:
    """Batches for :class:`VocoderTraining`: from a step on, without end, and one with a crop of each held-back clip."""
    mel = vocoder.mel_config
    dataset, checked = (CropDataset(recordings, mel, frames) for recordings in (learnt, held))
    order = CropBatches(dataset.lengths, frames, plan.batch_size, plan.seed, passes=20)
    held_out = check_batch(collate([checked[key] for key in fixed_crops(checked.lengths, frames, plan.seed)]))

    def batches(step: int) -> Iterator[Batch]:
        order.position = step
        loader = crop_loader(dataset, order, plan.workers)
        for batch in chain.from_iterable(repeat(loader)):
            yield change_gain(check_batch(batch), GAIN_DB, mel)

    return batches, held_out


def spectral_crops(
    plan: FineTuning, vocoder: SpectralVocoder, learnt: Sequence[Recording], held: Sequence[Recording], frames: int
) -> tuple[Callable[[int], Iterator[Batch]], Batch]:
    """Batches for :class:`SpectralTraining`, at random, and one of held-back crops; their targets are made first.

    Raises: DiffvocError for a plan that a spectral vocoder cannot follow.
    """
    if plan.features is not None:
        raise DiffvocError("a spectral vocoder learns from its recordings' own mels; leave the features out.")
    if plan.mixed_precision == "fp16":
        raise DiffvocError("a spectral vocoder trains in float32 or bf16, not fp16.")
    print("Rebuilding phases...", flush=True)
    targets, hop = plan.output / "training" / "targets", vocoder.config.mel.hop_length
    write_targets(vocoder, learnt, held, targets, plan.seed)
    sets = [load(targets, ("waveform", "recording", "source"), one, hop) for one in (False, True)]
    training, checked = (
        Crops(clips, {"voice": 1.0}, size, frames, seed=plan.seed)
        for clips, size in zip(sets, (plan.batch_size, CHECKED))
    )
    return lambda step: training, next(checked)


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
