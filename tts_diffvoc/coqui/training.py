"""Training with Coqui's Trainer: what the Trainer leaves open, and how a recipe starts it.

The Trainer owns the loop, the dashboard and the checkpoints. Here are the parts that make a run trustworthy:
checkpoints that are written beside and renamed, processes that average their gradients, an end after so many steps
or minutes, and words instead of a stack trace.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import trainer.io
from torch import Tensor, nn
from trainer import Trainer, TrainerArgs
from trainer.generic_utils import remove_experiment_folder

from tts_diffvoc.building import AnyVocoder
from tts_diffvoc.coqui.configs import DiffvocConfig, learn_speakers, mel_config
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.conditions import conditioned, names_of, shown
from tts_diffvoc.training.corpus import Corpus, Recording, scan

# A corpus to the clips to train on and those to hold back; others are left out.
Split = Callable[[Corpus], tuple[list[Recording], list[Recording]]]


class TrainingLoss(nn.Module):
    """The loss of a vocoder as a module's forward, which is what DistributedDataParallel can wrap."""

    def __init__(self, vocoder: AnyVocoder) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(
        self, waveform: Tensor, mel: Tensor, seeds: list[int], condition: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The scalar "loss".

        Args:
            waveform: [B, F * hop].
            mel: [B, M, F].
            seeds: of each row's noise.
            condition: number [B] of each row's speaker, of a vocoder that is conditioned on it.
        """
        labels: dict[str, Any] = {} if condition is None else {"labels": condition}
        return {"loss": self.vocoder.loss(waveform, mel, seeds=seeds, **labels)}


def average_weights(decay: float) -> Any:
    """An exponential mean for ``torch.optim.swa_utils.AveragedModel`` that forgets its random start quickly.

    After n updates the decay is the smaller of ``decay`` and (1 + n) / (10 + n).
    """

    @torch.no_grad()
    def update(averages: Any, currents: Any, count: Tensor | int) -> None:
        seen = int(count)
        share = 1 - min(decay, (1 + seen) / (10 + seen))
        torch._foreach_lerp_(list(averages), [c.to(a.dtype) for a, c in zip(averages, currents)], share)

    return update


def save_whole(state: Any, path: str | os.PathLike[Any], **kwargs: Any) -> None:
    """Stands in for ``trainer.io.save_fsspec``: a local checkpoint is written beside, flushed and renamed.

    Raises: DiffvocError when it cannot be written, as on a full disk; what was there before stays.
    """
    if "://" in str(path):
        return _coqui_save(state, path, **kwargs)
    path = Path(path)
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            torch.save(state, file, **kwargs)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except (OSError, RuntimeError) as error:
        beside.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free / 2**20 if path.parent.is_dir() else 0
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DiffvocError(
            f"the checkpoint {path} cannot be written ({reason}; {free:,.0f} MiB free): make room; "
            f"{last_good(path.parent)}."
        ) from None


_coqui_save = trainer.io.save_fsspec


def make_saving_whole() -> None:
    """Let Coqui's Trainer write its checkpoints with :func:`save_whole`, in this process."""
    trainer.io.save_fsspec = save_whole


def world() -> tuple[int, int]:
    """This process's rank, and how many train together."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def agree(value: float, device: torch.device) -> float:
    """The first process's value, in every process: clocks differ, and all must learn and stop alike."""
    if world()[1] == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    torch.distributed.broadcast(shared, 0)
    return float(shared)


def join_processes(args: TrainerArgs, config: DiffvocConfig) -> None:
    """Join the other processes of this training, if there are any, and set the rank in ``args``.

    ``torchrun`` and ``accelerate launch`` say who is who in the environment, for one machine or many;
    ``python -m trainer.distribute`` does on the command line. On GPUs the latter is left to Coqui's Trainer, which
    joins over NCCL; without them the processes join over Gloo.
    """
    if torch.distributed.is_initialized():
        return
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1:
        args.rank = int(os.environ["RANK"])
        if torch.cuda.is_available():
            # One GPU a process: without the variable, and with a number, Coqui's Trainer sees just that one and
            # does not join the processes a second time. The GPUs are counted first, while the variable hides some.
            torch.cuda.init()
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
            args.gpu = int(os.environ.get("LOCAL_RANK", args.rank))
            torch.cuda.set_device(args.gpu)
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    elif args.use_ddp and not torch.cuda.is_available():
        places = [place for place in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if place.strip()]
        torch.distributed.init_process_group(
            "gloo", init_method=config.distributed_url, world_size=max(1, len(places)), rank=args.rank
        )


@dataclass
class Budget:
    """When to stop: after so many steps, or minutes of training, in all; None for no end.

    ``save_minutes`` is how often to save, beside what the configuration's steps say; ``spent`` what earlier calls used.
    """

    max_steps: int | None = None
    max_minutes: float | None = None
    save_minutes: float | None = None
    spent: float = 0.0
    started: float = 0.0
    saved: float = 0.0

    def minutes(self) -> float:
        """Minutes of training so far, earlier calls included."""
        return self.spent + (time.monotonic() - self.started) / 60 if self.started else self.spent

    def wants_saving(self) -> bool:
        """Whether it is time to save; asking makes it so."""
        if self.save_minutes is None or self.minutes() - self.saved < self.save_minutes:
            return False
        self.saved = self.minutes()
        return True

    def share(self, step: int) -> float:
        """How much is used up, from 0 to 1, by the budget that ends first."""
        shares = [0.0]
        if self.max_steps:
            shares.append(step / self.max_steps)
        if self.max_minutes:
            shares.append(self.minutes() / self.max_minutes)
        return max(shares)


class BudgetSpent(Exception):
    """The budget is used up; training ends here as planned."""


class DiffvocTrainer(Trainer):
    """Coqui's Trainer with a budget and an end that explains itself."""

    def __init__(self, *args: Any, budget: Budget | None = None, **kwargs: Any) -> None:
        self.budget = budget or Budget()
        try:
            super().__init__(*args, **kwargs)
        except DiffvocError:
            self._leave_nothing()
            raise

    def _leave_nothing(self) -> None:
        """Remove the folder of a run that ended before it saved anything."""
        if hasattr(self, "output_path") and self.args.rank == 0:
            remove_experiment_folder(self.output_path)

    @staticmethod
    def init_training(args: TrainerArgs, coqpit_overrides: list[str], config: Any = None) -> tuple[Any, dict[str, str]]:
        """Find the checkpoint to go on from; ``config`` holds the run's settings and the command line's already."""
        if args.continue_path:
            args.restore_path, best = find_checkpoint(args.continue_path)
            args.best_path = args.best_path or best
        return config, {"restore_path": args.restore_path} if args.restore_path else {}

    def restore_model(self) -> None:
        """Restore a checkpoint, or say that it cannot be read, or that others speak in it."""
        try:
            self._check_speakers()
            super().restore_model()
        except DiffvocError:
            raise
        except Exception as error:  # whatever a truncated or foreign file makes the reader raise
            raise DiffvocError(
                f"{self.args.restore_path} cannot be restored ({type(error).__name__}); give another checkpoint, or "
                "delete this one to go on from the one before."
            ) from None

    def _check_speakers(self) -> None:
        """Raise DiffvocError for a checkpoint whose speakers are others: Coqui's Trainer would restore a part."""
        path = self.args.restore_path
        if "://" in path:
            kept = trainer.io.load_fsspec(path, map_location="cpu")
        else:
            kept = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        theirs, own = (_speaker_names(values) for values in (kept.get("config"), self.config))
        if theirs != own:
            raise DiffvocError(
                f"{path} knows {shown(theirs) or 'no speakers by name'} and this run {shown(own) or 'none'}; go on "
                "with a checkpoint of the same ones, or begin with a vocoder without speakers by start_from."
            )

    def _restore_best_loss(self) -> None:
        """Take the best loss so far from the best checkpoint; Coqui's takes that of the last, which may have none."""
        if self.continue_run and os.path.basename(self.args.best_path).startswith("best_model"):
            kept = trainer.io.load_fsspec(self.args.best_path, map_location="cpu").get("model_loss")
            known = {name: loss for name, loss in (kept or {}).items() if loss is not None}
            self.best_loss = {**self.best_loss, **known}

    def save_checkpoint(self) -> None:
        """Save the state to go on from, and beside it the vocoder ready to use, in the folder ``vocoder``."""
        super().save_checkpoint()
        if self.args.rank == 0:
            self._get_model().export(self.output_path / "vocoder")

    def fit(self) -> None:
        """Train until the epochs or the budget are over, and save.

        Raises: DiffvocError with what went wrong and where the last good checkpoint is; KeyboardInterrupt after
        saving.
        """
        self.budget.started = time.monotonic()
        for begun in self.output_path.glob(".*.part"):  # by a process that was killed
            begun.unlink()
        try:
            self._fit()
        except BudgetSpent:
            pass
        except KeyboardInterrupt:
            if self.config.save_on_interrupt and self.total_steps_done:
                self.finish()
            raise
        except DiffvocError:
            self.dashboard_logger.finish()
            self._leave_nothing()
            raise
        self.finish()

    def save_now(self) -> None:
        """Save after a step has been counted; checkpoints carry the number of their last step."""
        if self.total_steps_done == 0:
            return
        self.total_steps_done -= 1
        self.save_checkpoint()
        self.total_steps_done += 1

    def finish(self) -> None:
        """Save where training stands, and close the dashboard."""
        self.save_now()
        if self.args.rank == 0:
            self.dashboard_logger.flush()
            self.dashboard_logger.finish()


def _speaker_names(config: Any) -> list[str]:
    """The speakers' names in a Coqui configuration of ours, or in its plain values; none in anything else."""
    vocoder = (config or {}).get("vocoder") or {}
    return list(vocoder.get("speaker_names") or [])


def find_checkpoint(folder: str | os.PathLike[Any]) -> tuple[str, str]:
    """The last checkpoint in a training folder, and the best; DiffvocError when there is none."""
    try:
        return trainer.io.get_last_checkpoint(folder)
    except (ValueError, OSError):
        raise DiffvocError(f"{folder} holds no checkpoint to go on from; give a training folder of ours.") from None


def last_good(folder: str | os.PathLike[Any]) -> str:
    """Words that say where the last checkpoint in a training folder is."""
    try:
        last = find_checkpoint(folder)[0]
    except DiffvocError:
        return "no checkpoint had been written yet"
    return f"the last good checkpoint is {last}; go on with --continue_path {folder}"


def split_corpus(config: DiffvocConfig, split: Split | None = None) -> tuple[Corpus, list[Recording], list[Recording]]:
    """The corpus of ``config.data_path`` and its recordings to train on and to hold back.

    Args:
        split: of the corpus, instead of one evenly over its names. Of what it holds back, ``eval_split_size`` clips
            are used, and none of the others.
    """
    if not config.data_path:
        raise DiffvocError("no recordings were named; add --coqpit.data_path FOLDER.")
    corpus = scan(config.data_path, mel_config(config), config.feature_path or None, config.data_check)
    corpus.recordings = conditioned(corpus.recordings, config.global_condition)
    if split is None:
        train, held = corpus.split(min(config.eval_split_size, max(1, len(corpus.recordings) // 4)))
        return corpus, train, held
    train, held = split(corpus)
    for part, clips in (("train on", train), ("hold back", held)):
        if not clips:
            raise DiffvocError(f"{corpus.folder} holds no usable clip to {part}; give the whole corpus.")
    count = min(config.eval_split_size, len(held))
    return corpus, train, [held[int((i + 0.5) * len(held) / count)] for i in range(count)]


def train_from_recipe(config: DiffvocConfig, split: Split | None = None) -> None:
    """What the recipes run: take Coqui's command line, look at the data, train, say where the result is.

    Every setting can be changed on the command line (``--coqpit.batch_size 8``), and a run is taken up again with
    ``--continue_path RUN``. Exits with status 1 and one sentence when something is wrong. ``split`` says which clips
    are held back, where a corpus has an opinion on that.
    """
    try:
        run(config, split)
    except DiffvocError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def run(config: DiffvocConfig, split: Split | None = None) -> DiffvocTrainer:
    """:func:`train_from_recipe` without its ending; returns the trainer that ran."""
    args, budget = TrainerArgs(), Budget()
    rest = _take_budget(args.parse_known_args(arg_prefix=""), budget)
    if args.continue_path:
        find_checkpoint(args.continue_path)
        config.load_json(os.path.join(args.continue_path, "config.json"))
    if rest:
        config.parse_known_args(rest, relaxed_parser=True)
    config.check_values()
    join_processes(args, config)
    corpus, train, held = split_corpus(config, split)
    names = names_of(train)
    if args.rank == 0:
        print(corpus.report(), flush=True)
        print(f"  {len(train)} clips to train on, {len(held)} held back", flush=True)
        if names:
            print(f"  conditioned on {len(names)}: {shown(names)}", flush=True)
    ran = fit(config, args, budget, train, held)
    if args.rank == 0:
        print(f"{ran.total_steps_done} steps. Speak with what it learnt:")
        result = ran.output_path / "vocoder"
        if names:
            print(f'tts-diffvoc vocode RECORDING.wav -o out.wav --vocoder "{result}?speaker={names[0]}"')
        else:
            print(f'tts --text "hello" --vocoder_name {result}')
    return ran


def fit(
    config: DiffvocConfig,
    args: TrainerArgs,
    budget: Budget,
    train: list[Recording],
    held: list[Recording],
    **options: Any,
) -> DiffvocTrainer:
    """Train the model of ``config``; every process but the first writes to a folder that is thrown away.

    Coqui's Trainer writes its logs and configuration in every process. ``options`` go to the Trainer.
    """
    from TTS.vocoder.models import setup_model

    learn_speakers(config, train, held)
    output, beside = config.output_path, None
    if args.rank:
        output = beside = tempfile.mkdtemp(prefix="tts-diffvoc-rank-")
        if args.continue_path:
            for checkpoint in set(find_checkpoint(args.continue_path)):
                os.symlink(os.path.abspath(checkpoint), os.path.join(output, os.path.basename(checkpoint)))
            args.continue_path = output
    torch.manual_seed(config.training_seed)  # of the first weights, which Coqui's Trainer does not make
    try:
        ran = DiffvocTrainer(
            args,
            config,
            output,
            model=setup_model(config),
            train_samples=train,
            eval_samples=held,
            parse_command_line_args=False,
            budget=budget,
            **options,
        )
        ran.fit()
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)
    return ran


def _take_budget(arguments: list[str], budget: Budget) -> list[str]:
    """Read ``--max_steps`` and ``--max_minutes`` into ``budget``; returns the other arguments."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--max_steps", type=int)
    parser.add_argument("--max_minutes", type=float)
    found, rest = parser.parse_known_args(arguments)
    for name, value in vars(found).items():
        if value is not None and not value > 0:
            raise DiffvocError(f"--{name} is {value}; give a number above zero, or leave it out for no end.")
    budget.max_steps, budget.max_minutes = found.max_steps, found.max_minutes
    return rest
