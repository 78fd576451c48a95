"""Coqui's Trainer with what it leaves open: a budget, whole checkpoints, and words in place of a stack trace."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import trainer.io
from trainer import Trainer
from trainer.generic_utils import remove_experiment_folder

from tts_diffvoc.coqui.configs import RecipeArgs
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import replacing
from tts_diffvoc.training.conditions import shown
from tts_diffvoc.training.loop import broadcast

_coqui_save = trainer.io.save_fsspec


def save_whole(state: Any, path: str | os.PathLike[Any], **kwargs: Any) -> None:
    """Stands in for ``trainer.io.save_fsspec``: a local checkpoint is written beside and renamed.

    Raises: DiffvocError when it cannot be written, as on a full disk; what was there before stays.
    """
    if "://" in str(path):
        return _coqui_save(state, path, **kwargs)
    with replacing(Path(path)) as beside, beside.open("wb") as file:
        torch.save(state, file, **kwargs)


class BudgetSpent(Exception):
    """The budget is used up; training ends here as planned."""


class DiffvocTrainer(Trainer):
    """Coqui's Trainer with a budget and an end that explains itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
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
    def init_training(args: RecipeArgs, coqpit_overrides: list[str], config: Any = None) -> tuple[Any, dict[str, str]]:
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
        kept = trainer.io.load_fsspec(path, map_location="cpu").get("config")
        theirs, own = (((config or {}).get("vocoder") or {}).get("speaker_names", ()) for config in (kept, self.config))
        if list(theirs) != list(own):
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

    def spent(self) -> float:
        """How much of the budget that ends first is used up, from 0 to 1, the same in every process."""
        used = ((self.model.steps_done, self.args.max_steps), (self.model.minutes_spent, self.args.max_minutes))
        share = max((float(done) / limit for done, limit in used if limit), default=0.0)
        return broadcast(min(1.0, share), self.model.device)

    def train_epoch(self) -> None:
        """An epoch, if the budget holds one more step."""
        if self.spent() >= 1:
            raise BudgetSpent
        super().train_epoch()

    def train_step(self, *args: Any) -> Any:
        """A step; then stop when the budget is spent."""
        made = super().train_step(*args)
        now = time.monotonic()
        self.model.minutes_spent += (now - self.counted) / 60
        self.counted = now
        if self.spent() >= 1:
            raise BudgetSpent
        return made

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
        self.counted = time.monotonic()  # until when minutes are
        for begun in self.output_path.glob(".*.part"):  # by a process that was killed
            begun.unlink()
        try:
            with suppress(BudgetSpent):
                self._fit()
            self._finish()
        except KeyboardInterrupt:
            if self.config.save_on_interrupt and self.total_steps_done:
                self._finish()
            raise
        except DiffvocError as error:
            place = last_good(self.output_path)
            self.dashboard_logger.finish()
            self._leave_nothing()
            raise DiffvocError(f"{str(error).rstrip('.')}; {place}.") from None

    def _finish(self) -> None:
        """Save where training stands, under the number of its last step, and close the dashboard."""
        if self.total_steps_done:
            self.total_steps_done -= 1
            self.save_checkpoint()
            self.total_steps_done += 1
        if self.args.rank == 0:
            self.dashboard_logger.flush()
            self.dashboard_logger.finish()


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
