"""Fine-tuning a vocoder on a folder of recordings, from the look at the data to the comparison.

A published layout is trained by Coqui's Trainer, a spectral vocoder by :mod:`tts_diffvoc.training.finetuning`.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from typing import Any

import torch
from trainer import TrainerArgs
from trainer.logging import ConsoleLogger

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import load_checkpoint, load_vocoder, save_checkpoint
from tts_diffvoc.coqui import training
from tts_diffvoc.coqui.configs import DiffvocConfig, from_core
from tts_diffvoc.coqui.trainer import Budget
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import AnyVocoder
from tts_diffvoc.files import make_folder, write_beside
from tts_diffvoc.spectral.vocoder import SpectralVocoder
from tts_diffvoc.training.compare import ClipScore, comparison, score_clips, verdict
from tts_diffvoc.training.corpus import Corpus, Recording, scan
from tts_diffvoc.training.finetuning import FineTuning, train_spectral

# Less speech than this is learnt by heart.
LITTLE_MINUTES = 1.0


class Progress(ConsoleLogger):
    """One line now and then: the step, its loss, and the time left."""

    def __init__(self, budget: Budget, every: float = 10.0) -> None:
        super().__init__()
        self.budget, self.every, self.shown = budget, every, 0.0

    def print_train_step(self, batch_steps: int, step: int, global_step: int, losses: Any, averages: Any) -> None:
        now = time.monotonic()
        if now - self.shown < self.every:
            return
        self.shown = now
        minutes = self.budget.minutes()
        share = self.budget.share(global_step + 1)
        left = f"{max(0.0, minutes / share - minutes):.1f} minutes left" if share > 0 else ""
        parts = [f"{name} {losses[name]:.4f}" for name in losses if name.endswith("loss")]
        print(f"step {global_step + 1}: {', '.join(parts)}; {minutes:.1f} minutes, {left}", flush=True)

    def print_eval_step(self, step: int, losses: Any, averages: Any) -> None:
        """Nothing: the epoch's mean is enough."""

    def print_epoch_end(self, epoch: int, averages: Any) -> None:
        if "avg_loss" in averages:
            print(f"  held-back loss {averages['avg_loss']:.4f}", flush=True)

    def print_epoch_start(self, *arguments: Any) -> None:
        """Nothing: steps are counted, not epochs."""

    def print_train_start(self) -> None:
        """Nothing."""

    def print_eval_start(self) -> None:
        """Nothing."""


def fine_tune(plan: FineTuning) -> tuple[list[ClipScore], list[ClipScore]]:
    """Fine-tune, compare, and write the result to ``plan.output``; the scores before and after.

    A call with the same output goes on where the last one stopped. Prints what it finds and does.

    Raises: DiffvocError for data, vocoder or output that cannot be used, and when training cannot go on.
    """
    _check_output(plan)
    vocoder = load_vocoder(plan.vocoder, plan.device)
    corpus = scan(plan.data, vocoder.mel_config, plan.features, highpass=plan.highpass)
    print(corpus.report(), flush=True)
    train, held = corpus.split(plan.held_back)
    _remark(corpus, train)
    print(f"  {len(train)} clips to train on, {len(held)} held back: {', '.join(r.name for r in held)}", flush=True)
    before = _before(plan, vocoder, held)
    learn = train_spectral if isinstance(vocoder, SpectralVocoder) else _train
    tuned = learn(plan, vocoder, train, held)
    print("Comparing...", flush=True)
    after = score_clips(tuned, held, plan.clip_seconds, plan.seed)
    result = f"{comparison(before, after)}\n\n{verdict(before, after)}"
    save_checkpoint(tuned, plan.output, _card(plan, corpus, train, result))
    print(f'\n{result}\n\nSpeak with it:\ntts --text "hello" --vocoder_name {plan.output}', flush=True)
    return before, after


def _check_output(plan: FineTuning) -> None:
    if plan.max_minutes is None and plan.max_steps is None:
        raise DiffvocError("a fine-tuning without an end was asked for; give max_minutes or max_steps.")
    foreign = plan.output.is_dir() and any(plan.output.iterdir()) and not (plan.output / "training").is_dir()
    if foreign:
        raise DiffvocError(f"{plan.output} holds something else already; give a new folder for the result.")
    make_folder(plan.output / "training")


def _remark(corpus: Corpus, train: list[Recording]) -> None:
    minutes = sum(r.seconds for r in train) / 60
    if minutes < LITTLE_MINUTES:
        print(
            f"  {minutes:.1f} minutes to train on is very little: expect the voice to be learnt by heart, not learnt. "
            "Ten minutes make a difference.",
            flush=True,
        )


def _before(plan: FineTuning, vocoder: AnyVocoder, held: list[Recording]) -> list[ClipScore]:
    """Scores of the vocoder as it was, kept beside the run for a later call."""
    path = plan.output / "training" / "before.json"
    asked = {"vocoder": plan.vocoder, "clips": [r.name for r in held], "seconds": plan.clip_seconds, "seed": plan.seed}
    asked["highpass"] = plan.highpass
    kept = voices.read_json(path)
    if kept.get("asked") == asked:
        return [ClipScore(**score) for score in kept["scores"]]
    print(f"Measuring {plan.vocoder} on the held-back clips...", flush=True)
    scores = score_clips(vocoder, held, plan.clip_seconds, plan.seed)
    write_beside(path, json.dumps({"asked": asked, "scores": [asdict(s) for s in scores]}))
    return scores


def configuration(plan: FineTuning, vocoder: AnyVocoder, clips: list[Recording]) -> DiffvocConfig:
    """The Coqui configuration of the run."""
    config = from_core(vocoder.config)
    mel = vocoder.mel_config
    frames = max(8, round(plan.crop_seconds * mel.sample_rate / mel.hop_length))
    pieces = sum(max(1, int(r.seconds / plan.crop_seconds)) for r in clips)
    settings: dict[str, Any] = {
        "run_name": "finetune",
        "run_description": f"{plan.vocoder} fine-tuned on {plan.data.name}",
        "data_path": str(plan.data),
        "feature_path": str(plan.features) if plan.features else "",
        "highpass": plan.highpass,
        "output_path": str(plan.output / "training"),
        "start_from": plan.vocoder,
        "seq_len": frames * mel.hop_length,
        "batch_size": plan.batch_size,
        # Validation comes after an epoch: not too often.
        "epoch_passes": max(1, 200 * plan.batch_size // max(1, pieces)),
        "epochs": 1_000_000,
        "num_loader_workers": plan.workers,
        "lr": plan.lr,
        "warmup_steps": 50,
        "lr_end": 0.05,
        "ema_decay": 0.999,
        "gain_db": 6.0,
        "mixed_precision": plan.mixed_precision is not None,
        "precision": plan.mixed_precision or "bf16",
        "save_step": 1_000_000_000,
        "save_n_checkpoints": 1,
        "print_step": 1,
        "plot_step": 10,
        "training_seed": plan.seed,
        "test_clips": 2,
    }
    for name, value in settings.items():
        setattr(config, name, value)
    config.check_values()
    return config


def _train(plan: FineTuning, vocoder: AnyVocoder, train: list[Recording], held: list[Recording]) -> AnyVocoder:
    """The vocoder with the averaged weights of a run that is begun, or gone on with."""
    config = configuration(plan, vocoder, train)
    budget = Budget(plan.max_steps, plan.max_minutes, save_minutes=plan.save_minutes)
    args = TrainerArgs()
    runs = sorted(path.parent for path in (plan.output / "training").glob("*/checkpoint_*.pth"))
    if runs:
        args.continue_path = str(runs[-1])
        print(f"Going on with {runs[-1]}.", flush=True)
    if plan.device.startswith("cuda:"):
        args.gpu = int(plan.device.partition(":")[2])
    logging.getLogger("trainer").setLevel(logging.WARNING)
    print(f"Training; losses, audio and spectrograms: tensorboard --logdir {plan.output / 'training'}", flush=True)
    ran = training.fit(config, args, budget, train, held, c_logger=Progress(budget))
    print(f"{ran.total_steps_done} steps in all.", flush=True)
    # Through the file, so that what is compared is what is saved, half precision and all.
    return load_checkpoint(ran.output_path / voices.TRAINED, plan.device)


def _card(plan: FineTuning, corpus: Corpus, train: list[Recording], result: str) -> str:
    device = torch.cuda.get_device_name() if plan.device.startswith("cuda") else "a CPU"
    minutes = sum(r.seconds for r in train) / 60
    return (
        f"# {plan.output.name}\n\n"
        f"The vocoder {plan.vocoder}, fine-tuned on {len(train)} clips ({minutes:.1f} minutes) of "
        f"{corpus.folder.name} on {device}.\n\nHeld-back clips, their first {plan.clip_seconds or 'all'} seconds:\n\n"
        f"{result}\n"
    )
