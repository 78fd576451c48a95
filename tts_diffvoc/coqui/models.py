"""Our vocoders as Coqui's Synthesizer and Trainer see them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import trainer.io as trainer_io
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from TTS.vocoder.models.base_vocoder import BaseVocoder

from tts_diffvoc.checkpoint import load_vocoder, load_weights, save_checkpoint
from tts_diffvoc.coqui import configs
from tts_diffvoc.coqui.trainer import DiffvocTrainer, save_whole
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import AnyVocoder, build
from tts_diffvoc.importers.reading import read_torch
from tts_diffvoc.training.conditions import conditioned
from tts_diffvoc.training.corpus import Recording
from tts_diffvoc.training.crops import (
    CropBatches,
    CropDataset,
    as_recordings,
    change_gain,
    check_batch,
    crop_loader,
    fixed_crops,
    read_clip,
)
from tts_diffvoc.training.learner import PRECISIONS, VocoderTraining, take_weights
from tts_diffvoc.training.loop import average_weights, rate_factor, world

DEFAULT_FRAMES = 64  # of a crop


def read_training(path: Path) -> dict[str, Tensor]:
    """A vocoder's weights, averaged if possible, in a checkpoint of Coqui's Trainer; nothing else is unpickled."""
    content = read_torch(path)
    state = content.get("model", {}) if isinstance(content, dict) else {}
    for prefix in ("average.module.", "vocoder."):
        weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        if weights:
            return weights
    raise DiffvocError(f"{path} holds no vocoder of this package; give a checkpoint that a recipe wrote.")


class DiffvocVocoder(BaseVocoder):
    """A vocoder of this package behind Coqui's interface, which speaks and trains. It adds no weights of its own.

    Attributes:
        vocoder: the vocoder, which is fresh unless one is given.
        average: its averaged weights, once training has begun.
        steps_done: steps of training behind these weights.
        minutes_spent: minutes of it, where a budget counts them.
        batch_parts: parts of a batch that go through the network one after another (``grad_accum_steps``).
    """

    config: configs.DiffvocConfig
    steps_done: Tensor
    minutes_spent: Tensor

    def __init__(self, config: configs.DiffvocConfig, vocoder: AnyVocoder | None = None) -> None:
        super().__init__(config)
        self.vocoder = build(configs.to_core(config), name=config.model) if vocoder is None else vocoder
        self.average: AveragedModel | None = None
        self.batch_parts = 1
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.long))
        self.register_buffer("minutes_spent", torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor, **options: Any) -> Tensor:
        """As :meth:`inference`."""
        return self.inference(x, **options)

    @torch.inference_mode()
    def inference(self, x: Tensor, **options: Any) -> Tensor:  # type: ignore[override]
        """Log-mel ``x`` [B, M, F] to a waveform [B, 1, F * hop], with the options of its ``generate``."""
        return self.vocoder.generate(x, **options).unsqueeze(1)

    def load_checkpoint(
        self,
        config: configs.DiffvocConfig,
        checkpoint_path: str | os.PathLike[Any],
        *,
        eval: bool = False,
        strict: bool = True,
        cache: bool = False,
        **kwargs: Any,
    ) -> None:
        """Load a checkpoint folder, or its ``model.safetensors``, with options after a "?" as in a name.

        The folder brings its own configuration, which must be of this model's kind. A ``.pth`` that Coqui's Trainer
        wrote is loaded too, its averaged weights where it has them. Weights always match strictly, and nothing is
        cached elsewhere, so ``strict`` and ``cache`` change nothing.

        Raises: DiffvocError for what is missing, truncated or of another kind.
        """
        spec = os.fspath(checkpoint_path)
        if spec.endswith(".pth"):
            load_weights(self.vocoder, read_training(Path(spec)), Path(spec))
        else:
            self.vocoder = load_vocoder(spec, self.device)
            held = configs.from_core(self.vocoder.config).model
            if held != config.model:
                raise DiffvocError(f"{spec} holds a {held}, not a {config.model}; set model to it.")
        self.train(not eval)

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

    def recordings(self, samples: Any) -> list[Recording]:
        """Recordings, paths, or pairs of a path and a saved mel, as recordings, with the conditions that are wanted."""
        found = as_recordings(samples or [], self.vocoder.mel_config, self.config.data_path or None)
        return conditioned(found, self.config.global_condition)

    def get_data_loader(  # type: ignore[override]
        self, config: configs.DiffvocConfig, *, is_eval: bool = False, samples: Any = None, verbose: bool = True
    ) -> DataLoader:
        """Random crops of ``samples``, as of :meth:`recordings`, or one of each with noise that never changes."""
        mel, seed = self.vocoder.mel_config, config.training_seed
        frames = config.seq_len // mel.hop_length or DEFAULT_FRAMES
        dataset = CropDataset(self.recordings(samples), mel, frames, self.condition_names())
        if is_eval:
            keys, size = fixed_crops(dataset.lengths, frames, seed), config.eval_batch_size
            batches = [keys[i : i + size] for i in range(0, len(keys), size)]
            return crop_loader(dataset, batches, config.num_eval_loader_workers)
        size = config.batch_size * self.batch_parts
        order = CropBatches(dataset.lengths, frames, size, seed, *world(), config.epoch_passes)
        order.position = int(self.steps_done)
        return crop_loader(dataset, order, config.num_loader_workers)

    def get_criterion(self) -> nn.Module:
        """The vocoder's own loss; DiffvocError for a vocoder that Coqui's Trainer does not train."""
        configs.check_trainable(self.vocoder.config)
        return VocoderTraining(self.vocoder)

    def on_init_start(self, trainer: Any) -> None:
        """Before a checkpoint is restored: weights to begin with, and their average."""
        if trainer.args.use_accelerate and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise DiffvocError(
                "--use_accelerate with several processes hides the model from Coqui's Trainer; leave the option out: "
                "accelerate launch works without it."
            )
        trainer_io.save_fsspec = save_whole  # in this process Coqui's Trainer writes checkpoints whole
        self.condition_names()  # or the words of why not
        self.batch_parts = trainer.grad_accum_steps
        config = self.config
        if config.start_from and not trainer.args.restore_path:
            take_weights(self.vocoder, load_vocoder(config.start_from), f"start_from={config.start_from}")
        self.vocoder.autocast = PRECISIONS[config.precision] if config.mixed_precision else None
        self.average = AveragedModel(self.vocoder, multi_avg_fn=average_weights(config.ema_decay))
        self.average.requires_grad_(False)

    def on_init_end(self, trainer: Any) -> None:
        """After a checkpoint was restored: count on from it, or from zero when it only lent its weights.

        Coqui's Trainer calls methods of the bare model, past its own DistributedDataParallel, which therefore averages
        no gradients: the loss is what is wrapped.
        """
        if not trainer.continue_run:
            self.steps_done.zero_()
            self.minutes_spent.zero_()
        trainer.total_steps_done = int(self.steps_done)
        if world()[1] > 1:
            devices = [self.vocoder.device] if self.vocoder.device.type == "cuda" else None
            trainer.criterion = [nn.parallel.DistributedDataParallel(trainer.criterion[0], device_ids=devices)]

    def on_train_step_start(self, trainer: Any) -> None:
        """Let the learning rate rise at first and fall towards the end of the budget, unless a scheduler is set."""
        if trainer.scheduler[0] is not None:
            return
        config = self.config
        spent = trainer.spent() if isinstance(trainer, DiffvocTrainer) else 0.0
        factor = rate_factor(spent, int(self.steps_done), config.warmup_steps, config.lr_end)
        for group in trainer.optimizer[0].param_groups:
            group["lr"] = config.lr * factor

    def on_epoch_end(self, trainer: Any) -> None:
        """Leave the vocoder ready to use beside the checkpoints."""
        if trainer.args.rank == 0:
            self.export(trainer.output_path / "vocoder")

    def format_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """What the loader's processes read, or the words of what went wrong there."""
        return {**check_batch(batch), "seed": batch["seed"].tolist()}

    def format_batch_on_device(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make crops louder or softer, if that is configured and they are trained on."""
        if not self.training or not self.config.gain_db:
            return batch
        return change_gain(batch, self.config.gain_db, self.vocoder.mel_config)

    def optimize(self, batch: dict[str, Any], trainer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """One step: losses of each part of the batch, clipping, the optimizer, the average.

        With ``grad_accum_steps`` n, the batch is n times as large and its parts go through one after another, so a
        step is whole whenever a checkpoint is written.
        """
        optimizer = trainer.optimizer[0]
        scaler = trainer.scaler or torch.amp.GradScaler(enabled=False)
        with torch.autocast(self.vocoder.device.type, enabled=False):  # the vocoder has its own
            loss = self._backward(batch, trainer.criterion[0], scaler)
        scaler.unscale_(optimizer)
        limit = self.config.grad_clip if self.config.grad_clip > 0 else float("inf")
        norm = nn.utils.clip_grad_norm_(trainer.master_params(optimizer), limit)
        if not scaler.is_enabled():  # which leaves out steps that overflow
            self._check_finite(norm, "the gradient")
        scaler.step(optimizer)
        scaler.update()
        if trainer.scheduler[0] is not None and not self.config.scheduler_after_epoch:
            trainer.scheduler[0].step()
        trainer._stepped_optimizers.add(0)
        optimizer.zero_grad(set_to_none=True)
        assert self.average is not None
        self.average.update_parameters(self.vocoder)
        self.steps_done += 1
        return {"steps": int(self.steps_done)}, {"loss": loss, "grad_norm": norm}

    def _backward(self, batch: dict[str, Any], criterion: nn.Module, scaler: torch.amp.GradScaler) -> Tensor:
        """Back-propagate the mean loss of a batch in parts, and return it."""
        total, mean = len(batch["seed"]), torch.zeros((), device=self.vocoder.device)
        size = -(-total // self.batch_parts)
        for start in range(0, total, size):
            part = {name: column[start : start + size] for name, column in batch.items()}
            loss = criterion(part) * (len(part["seed"]) / total)
            self._check_finite(loss, "the loss")
            scaler.scale(loss).backward()
            mean += loss.detach()
        return mean

    def _check_finite(self, value: Tensor, what: str) -> None:
        if not bool(torch.isfinite(value)):
            raise DiffvocError(
                f"{what} became {float(value.detach())} at step {int(self.steps_done) + 1}: lower lr or grad_clip, "
                "or train in float32."
            )

    @torch.inference_mode()
    def eval_step(self, batch: dict[str, Any], criterion: nn.Module, optimizer_idx: int | None = None) -> Any:
        """The loss of the averaged weights, on noise that is the same at each validation."""
        return {"steps": int(self.steps_done)}, {"loss": VocoderTraining(self.averaged())(batch)}

    def averaged(self) -> AnyVocoder:
        """The vocoder with averaged weights; the bare one outside training or before its first step."""
        if self.average is None or not int(self.average.n_averaged):
            return self.vocoder
        return self.average.module.eval()

    @torch.inference_mode()
    def test_run(self, trainer: Any) -> dict[str, Any]:
        """Synthesise held-back clips, each by its own speaker, the same with the same noise each time."""
        from TTS.tts.utils.visual import plot_spectrogram  # brings matplotlib, which speaking does not need

        figures: dict[str, Any] = {}
        audios: dict[str, Any] = {}
        vocoder = self.averaged()
        samples = (trainer.eval_samples or [])[: self.config.test_clips]
        for recording in self.recordings(samples) if samples else []:
            waveform, mel = read_clip(recording, vocoder.mel_config, self.config.test_seconds)
            options: dict[str, Any] = {"speaker": recording.condition} if recording.condition else {}
            try:
                made = vocoder.generate(mel.unsqueeze(0), seed=0, **options)[0]
            except DiffvocError:  # what the first steps of a WaveGrad may make is not finite
                continue
            for kind, heard in (("recorded", waveform), ("made", made)):
                spectrogram = vocoder.mel(heard)[0].cpu().numpy().T
                figures[f"{recording.name}/{kind}"] = plot_spectrogram(spectrogram, output_fig=False)
                audios[f"{recording.name}/{kind}"] = heard.cpu().numpy()
        return {"figures": figures, "audios": audios}

    def test_log(self, outputs: dict[str, Any], logger: Any, steps: int) -> None:
        """Show what :meth:`test_run` made."""
        logger.test_figures(steps, outputs["figures"])
        logger.test_audios(steps, outputs["audios"], self.vocoder.sample_rate)

    def export(self, folder: str | os.PathLike[str]) -> None:
        """Write the averaged vocoder as a checkpoint folder, for ``--vocoder_name FOLDER``."""
        vocoder, config = self.averaged(), self.config
        card = (
            f"# {config.run_name}\n\nA {vocoder.config.network} vocoder after {int(self.steps_done)} steps of training"
            f" on {Path(config.data_path).name or 'recordings'}"
            + (f", begun from {config.start_from}" if config.start_from else "")
            + ".\n"
        )
        names = self.condition_names()
        if names:
            card += f"\nConditioned on {len(names)} speakers or classes, by name or number: {', '.join(names)}.\n"
        save_checkpoint(vocoder, folder, card)


# Coqui looks a model up by the name in its configuration.
DiffvocDiffwave = DiffvocWavegrad = DiffvocWaveglow = DiffvocVocoder
