"""The training side of our vocoders: the methods that Coqui's Trainer calls."""

from __future__ import annotations

import math
import os
import weakref
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from trainer.trainer_utils import get_optimizer, get_scheduler
from TTS.vocoder.models.base_vocoder import BaseVocoder

from tts_diffvoc.building import AnyVocoder, build
from tts_diffvoc.checkpoint import load_vocoder, save_checkpoint
from tts_diffvoc.coqui import configs, training
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc.training.conditions import conditioned, numbered, shown
from tts_diffvoc.training.corpus import Recording
from tts_diffvoc.training.crops import (
    CropBatches,
    CropDataset,
    as_recordings,
    change_gain,
    collate,
    fixed_crops,
    read_clip,
)

DEFAULT_FRAMES = 64


class TrainableVocoder(BaseVocoder):
    """A vocoder that Coqui's Trainer can train.

    Attributes:
        vocoder: the vocoder that is trained.
        average: its averaged weights, once training has begun.
        steps_done: steps of training behind these weights.
        minutes_spent: minutes of it, where a budget counts them.
    """

    config: configs.DiffvocConfig
    steps_done: Tensor
    minutes_spent: Tensor

    def __init__(self, config: configs.DiffvocConfig) -> None:
        super().__init__(config)
        self.vocoder = build(configs.to_core(config), name=config.model)
        self.average: AveragedModel | None = None
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.long))
        self.register_buffer("minutes_spent", torch.zeros((), dtype=torch.float64))
        self._accumulated = 1
        self._trainer: weakref.ref[Any] | None = None

    def get_data_loader(  # type: ignore[override]
        self, config: configs.DiffvocConfig, *, is_eval: bool = False, samples: Any = None, verbose: bool = True
    ) -> DataLoader:
        """Batches of aligned crops.

        Args:
            config: the training's configuration.
            is_eval: fixed crops with fixed noise, one a clip, instead of random ones.
            samples: recordings, paths, or pairs of a path and a saved mel.
        """
        dataset = CropDataset(
            self._recordings(samples), self.vocoder.mel_config, self.crop_frames, self.condition_names
        )
        rank, world = training.world()
        if is_eval:
            keys = fixed_crops(dataset.lengths, self.crop_frames, config.training_seed)
            batches: Any = [keys[i : i + config.eval_batch_size] for i in range(0, len(keys), config.eval_batch_size)]
        else:
            size = config.batch_size * self._accumulated
            passes, seed = config.epoch_passes, config.training_seed
            batches = CropBatches(dataset.lengths, self.crop_frames, size, seed, rank, world, passes)
            batches.position = int(self.steps_done)
        workers = config.num_eval_loader_workers if is_eval else config.num_loader_workers
        return DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    @property
    def condition_names(self) -> tuple[str, ...]:
        """The speakers, or other classes, that training is conditioned on; none without a global condition."""
        if not self.config.global_condition:
            return ()
        names = getattr(self.vocoder.config, "speaker_names", ())
        if not names:
            raise DiffvocError(
                "global_condition is set and the vocoder has no named speakers yet; begin the run with a recipe "
                "(train_from_recipe), which finds them in the corpus and writes them to the run's config.json."
            )
        return names

    def _recordings(self, samples: Any) -> list[Recording]:
        """What the Trainer was given to learn from, with conditions where they are wanted."""
        found = as_recordings(samples or [], self.vocoder.mel_config, self.config.data_path or None)
        return conditioned(found, self.config.global_condition)

    @property
    def crop_frames(self) -> int:
        """Mel frames of a training crop."""
        return self.config.seq_len // self.vocoder.mel_config.hop_length or DEFAULT_FRAMES

    def get_criterion(self) -> nn.Module:
        """A placeholder: the vocoder knows its own loss."""
        return nn.Identity()

    def get_optimizer(self) -> torch.optim.Optimizer:
        """The configured optimizer."""
        config = self.config
        return get_optimizer(config.optimizer, config.optimizer_params, config.lr, parameters=self.vocoder.parameters())

    def get_scheduler(self, optimizer: list[torch.optim.Optimizer]) -> Any:
        """The configured schedule of the learning rate."""
        return get_scheduler(self.config.lr_scheduler, self.config.lr_scheduler_params, optimizer[0])

    def on_init_start(self, trainer: Any) -> None:
        """Before a checkpoint is restored: weights to begin with, and their average."""
        if trainer.args.use_accelerate and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise DiffvocError(
                "--use_accelerate with several processes hides the model from Coqui's Trainer; leave the option out: "
                "accelerate launch works without it."
            )
        training.make_saving_whole()
        _ = self.condition_names  # or the words of why not
        self._trainer = weakref.ref(trainer)
        self._accumulated = trainer.grad_accum_steps
        config = self.config
        if config.start_from and not trainer.args.restore_path:
            self._start_from(config.start_from)
        self.vocoder.autocast = configs.PRECISIONS[config.precision] if config.mixed_precision else None
        self.average = AveragedModel(self.vocoder, multi_avg_fn=training.average_weights(config.ema_decay))
        self.average.requires_grad_(False)

    def _start_from(self, spec: str) -> None:
        """Take over a vocoder's weights. One without speakers lends them to each speaker, all alike at first."""
        start = load_vocoder(spec)
        own, other = self.vocoder.config, start.config
        if (without_labels(other.sizes), other.mel) != (without_labels(own.sizes), own.mel):
            raise DiffvocError(f"start_from={spec} has other sizes or another mel than this configuration.")
        if speakers_of(other) not in (speakers_of(own), (0, ())):
            raise DiffvocError(
                f"start_from={spec} has {describe_speakers(other)} and this configuration {describe_speakers(own)}; "
                "give a vocoder with the same ones, or one without speakers."
            )
        fresh = {name: value for name, value in self.vocoder.state_dict().items() if "label_" in name}
        for name, value in fresh.items():
            if "label_projection" in name:  # so that untrained speakers change nothing
                fresh[name] = torch.zeros_like(value)
        self.vocoder.load_state_dict({**fresh, **start.state_dict()})

    def on_init_end(self, trainer: Any) -> None:
        """After a checkpoint was restored: count on from it, or from zero when it only lent its weights."""
        if not trainer.continue_run:
            self.steps_done.zero_()
            self.minutes_spent.zero_()
        budget = getattr(trainer, "budget", None)
        if budget is not None:
            budget.spent = budget.saved = float(self.minutes_spent)
        trainer.total_steps_done = int(self.steps_done)

    def on_epoch_start(self, trainer: Any) -> None:
        """Do not begin what the budget does not hold."""
        if self._spent(trainer) >= 1:
            raise training.BudgetSpent

    def _spent(self, trainer: Any) -> float:
        """How much of the budget is used up, the same in every process."""
        budget = getattr(trainer, "budget", None)
        if budget is None:
            return 0.0
        share = budget.share(int(self.steps_done))
        return share if budget.max_minutes is None else training.agree(share, self.vocoder.device)

    def on_train_step_end(self, trainer: Any) -> None:
        """Save when it is time, and stop when the budget is spent."""
        budget = getattr(trainer, "budget", None)
        if budget is None:
            return
        self.minutes_spent.fill_(budget.minutes())
        if self._spent(trainer) >= 1:
            raise training.BudgetSpent
        if budget.wants_saving():
            trainer.save_now()

    def on_epoch_end(self, trainer: Any) -> None:
        """Leave the vocoder ready to use beside the checkpoints."""
        if trainer.args.rank == 0:
            self.export(trainer.output_path / "vocoder")

    def format_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """What the loader's processes read, or the words of what went wrong there."""
        if "error" in batch:
            raise self._stopped(batch["error"])
        return {**batch, "seed": batch["seed"].tolist()}

    def format_batch_on_device(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make crops louder or softer, if that is configured and they are trained on."""
        if not self.training or not self.config.gain_db:
            return batch
        mel_config = self.vocoder.mel_config
        waveform, mel = change_gain(batch["waveform"], batch["mel"], batch["seed"], self.config.gain_db, mel_config)
        return {**batch, "waveform": waveform, "mel": mel}

    def _losses(self) -> nn.Module:
        """The losses as a module; where several processes train, one that averages gradients over them.

        Coqui's Trainer calls methods of the bare model, past its own DistributedDataParallel, which therefore
        averages nothing.
        """
        losses = self.__dict__.get("_parallel")
        if losses is None:
            losses = training.TrainingLoss(self.vocoder)
            if training.world()[1] > 1:
                devices = [self.vocoder.device] if self.vocoder.device.type == "cuda" else None
                losses = nn.parallel.DistributedDataParallel(losses, device_ids=devices)
            self.__dict__["_parallel"] = losses  # not a submodule: its weights are the vocoder's
        return losses

    def optimize(self, batch: dict[str, Any], trainer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """One step: losses of each part of the batch, clipping, the optimizer, the average.

        With ``grad_accum_steps`` n, the batch is n times as large and its parts go through one after another, so a
        step is whole whenever a checkpoint is written.
        """
        optimizer, scaler = trainer.optimizer[0], trainer.scaler
        self._set_rate(optimizer, trainer)
        with torch.autocast(self.vocoder.device.type, enabled=False):
            report = self._gradients(batch, scaler)
        if scaler is not None:
            scaler.unscale_(optimizer)
        limit = self.config.grad_clip if self.config.grad_clip > 0 else float("inf")
        norm = nn.utils.clip_grad_norm_(trainer.master_params(optimizer), limit)
        if scaler is None:
            self._check(norm, "the gradient")
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        if trainer.scheduler[0] is not None and not self.config.scheduler_after_epoch:
            trainer.scheduler[0].step()
        trainer._stepped_optimizers.add(None)
        optimizer.zero_grad(set_to_none=True)
        assert self.average is not None
        self.average.update_parameters(self.vocoder)
        self.steps_done += 1
        return {"steps": int(self.steps_done)}, {**report, "grad_norm": norm}

    def _gradients(self, batch: dict[str, Any], scaler: Any) -> dict[str, Tensor]:
        """Back-propagate the mean loss of a batch in parts; returns the mean of each loss."""
        losses, parts, total = self._losses(), self._accumulated, len(batch["seed"])
        size = -(-total // parts)
        report: dict[str, Tensor] = {}
        for start in range(0, total, size):
            rows = slice(start, start + size)
            last = start + size >= total
            wait = nullcontext() if last or not hasattr(losses, "no_sync") else losses.no_sync()
            with wait:
                found = losses(*_inputs(batch, rows))
                share = len(batch["seed"][rows]) / total
                self._check(found["loss"], "the loss")
                loss = found["loss"] * share
                (scaler.scale(loss) if scaler is not None else loss).backward()
            for name, value in found.items():
                report[name] = report.get(name, torch.zeros(())).to(value) + value.detach() * share
        return report

    def _set_rate(self, optimizer: torch.optim.Optimizer, trainer: Any) -> None:
        """Let the learning rate rise at first and fall towards the end of the budget, as configured."""
        if trainer.scheduler[0] is not None:
            return
        step = int(self.steps_done)
        spent = min(1.0, self._spent(trainer))
        fall = self.config.lr_end + (1 - self.config.lr_end) * (1 + math.cos(math.pi * spent)) / 2
        rise = min(1.0, (step + 1) / self.config.warmup_steps) if self.config.warmup_steps else 1.0
        for group in optimizer.param_groups:
            group["lr"] = self.config.lr * rise * fall

    def _check(self, value: Tensor, what: str) -> None:
        if not bool(torch.isfinite(value)):
            raise self._stopped(
                f"{what} became {float(value.detach())} at step {int(self.steps_done) + 1}: lower lr or grad_clip, "
                "or train in float32"
            )

    def _stopped(self, reason: str) -> DiffvocError:
        """The error that ends a training, with where the last good checkpoint is."""
        trainer = self._trainer() if self._trainer is not None else None
        place = f"; {training.last_good(trainer.output_path)}" if trainer is not None else ""
        return DiffvocError(f"{reason.rstrip('.')}{place}.")

    def train_step(self, batch: dict[str, Any], criterion: Any, optimizer_idx: int | None = None) -> Any:
        """The losses of a batch, for loops other than :meth:`optimize`."""
        return {"steps": int(self.steps_done)}, self._losses()(*_inputs(batch))

    @torch.inference_mode()
    def eval_step(self, batch: dict[str, Any], criterion: Any, optimizer_idx: int | None = None) -> Any:
        """The losses of the averaged weights, on noise that is the same at each validation."""
        losses = training.TrainingLoss(self.averaged())
        return {"steps": int(self.steps_done)}, losses(*_inputs(batch))

    def averaged(self) -> AnyVocoder:
        """The vocoder with averaged weights; the bare one outside training or before its first step."""
        if self.average is None or not int(self.average.n_averaged):
            return self.vocoder
        return cast(AnyVocoder, self.average.module).eval()

    @torch.inference_mode()
    def test_run(self, trainer: Any) -> dict[str, Any]:
        """Synthesise held-back clips, each by its own speaker, the same with the same noise each time."""
        from TTS.tts.utils.visual import plot_spectrogram  # brings matplotlib, which speaking does not need

        figures: dict[str, Any] = {}
        audios: dict[str, Any] = {}
        vocoder = self.averaged()
        samples = (trainer.eval_samples or [])[: self.config.test_clips]
        recordings, names = self._recordings(samples) if samples else [], self.condition_names
        speakers: list[Any] = numbered(recordings, names) if names else [None] * len(recordings)
        for recording, speaker in zip(recordings, speakers):
            waveform, mel = read_clip(recording, vocoder.mel_config, self.config.test_seconds)
            options = {} if speaker is None else {"speaker": speaker}
            made = vocoder.generate(mel.unsqueeze(0), seed=0, **options)[0]
            for kind, samples_ in (("recorded", waveform), ("made", made)):
                spectrogram = vocoder.mel(samples_)[0].cpu().numpy().T
                figures[f"{recording.name}/{kind}"] = plot_spectrogram(spectrogram, output_fig=False)
                audios[f"{recording.name}/{kind}"] = samples_.cpu().numpy()
        return {"figures": figures, "audios": audios}

    def test_log(self, outputs: dict[str, Any], logger: Any, steps: int) -> None:
        """Show what :meth:`test_run` made."""
        logger.test_figures(steps, outputs["figures"])
        logger.test_audios(steps, outputs["audios"], self.vocoder.sample_rate)

    def export(self, folder: str | os.PathLike[str]) -> None:
        """Write the averaged vocoder as a checkpoint folder, for ``--vocoder_name FOLDER``."""
        vocoder = self.averaged()
        config = self.config
        card = (
            f"# {config.run_name}\n\nA {vocoder.config.network} vocoder after {int(self.steps_done)} steps of training"
            f" on {Path(config.data_path).name or 'recordings'}"
            + (f", begun from {config.start_from}" if config.start_from else "")
            + ".\n"
        )
        names = self.condition_names
        if names:
            card += f"\nConditioned on {len(names)} speakers or classes, by name or number: {', '.join(names)}.\n"
        save_checkpoint(vocoder, folder, card)


def _inputs(batch: dict[str, Any], rows: slice = slice(None)) -> tuple[Any, ...]:
    """What :class:`training.TrainingLoss` takes, of some rows of a batch."""
    columns = ("waveform", "mel", "seed", "condition")
    return tuple(batch[name][rows] for name in columns if name in batch)


def without_labels(sizes: Any) -> Any:
    """A network's sizes but for its labels."""
    if not isinstance(sizes, DiffWaveConfig):
        return sizes
    return replace(sizes, labels=0, label_channels=DiffWaveConfig.label_channels)


def speakers_of(config: Any) -> tuple[int, tuple[str, ...]]:
    """How many speakers a vocoder's configuration has, and their names."""
    return getattr(config, "speakers", 0), tuple(getattr(config, "speaker_names", ()))


def describe_speakers(config: Any) -> str:
    """Its speakers in words, for messages."""
    count, names = speakers_of(config)
    return f"{count} speakers" + (f" ({shown(names)})" if names else "")
