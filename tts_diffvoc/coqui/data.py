"""The recordings that Coqui's Trainer is given, as batches of aligned crops."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader

from tts_diffvoc.coqui.configs import DiffvocConfig
from tts_diffvoc.coqui.distributed import world
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import AnyConfig
from tts_diffvoc.training.conditions import conditioned
from tts_diffvoc.training.corpus import Recording
from tts_diffvoc.training.crops import CropBatches, CropDataset, as_recordings, collate, fixed_crops

DEFAULT_FRAMES = 64


def condition_names(config: DiffvocConfig, core: AnyConfig) -> tuple[str, ...]:
    """The speakers, or other classes, that training is conditioned on; none without a global condition."""
    if not config.global_condition:
        return ()
    names = getattr(core, "speaker_names", ())
    if not names:
        raise DiffvocError(
            "global_condition is set and the vocoder has no named speakers yet; begin the run with a recipe "
            "(train_from_recipe), which finds them in the corpus and writes them to the run's config.json."
        )
    return names


def recordings(config: DiffvocConfig, core: AnyConfig, samples: Any) -> list[Recording]:
    """Recordings, paths, or pairs of a path and a saved mel, as recordings, with conditions where they are wanted."""
    found = as_recordings(samples or [], core.mel, config.data_path or None)
    return conditioned(found, config.global_condition)


def crop_loader(
    config: DiffvocConfig, core: AnyConfig, samples: Any, *, is_eval: bool, batch_size: int, position: int
) -> DataLoader[Any]:
    """Random crops of recordings in an endless order that the seed decides, or one of each with fixed noise.

    Args:
        config: the training's settings.
        core: the vocoder's configuration.
        samples: as for :func:`recordings`.
        is_eval: one crop of each recording, always the same.
        batch_size: random crops a step and process.
        position: steps behind, after which the order is taken up.
    """
    frames = config.seq_len // core.mel.hop_length or DEFAULT_FRAMES
    dataset = CropDataset(recordings(config, core, samples), core.mel, frames, condition_names(config, core))
    workers = config.num_eval_loader_workers if is_eval else config.num_loader_workers
    batches: Any
    if is_eval:
        keys, size = fixed_crops(dataset.lengths, frames, config.training_seed), config.eval_batch_size
        batches = [keys[i : i + size] for i in range(0, len(keys), size)]
    else:
        batches = CropBatches(dataset.lengths, frames, batch_size, config.training_seed, *world(), config.epoch_passes)
        batches.position = position
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
