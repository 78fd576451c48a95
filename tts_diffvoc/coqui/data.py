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


def training_loader(
    config: DiffvocConfig, core: AnyConfig, samples: Any, batch_size: int, position: int
) -> DataLoader[Any]:
    """Random crops of recordings in an endless order that the seed decides.

    Args:
        config: the training's settings.
        core: the vocoder's configuration.
        samples: as for :func:`recordings`.
        batch_size: crops a step and process.
        position: steps behind, after which the order is taken up.
    """
    dataset = _crops(config, core, samples)
    rank, processes = world()
    batches = CropBatches(
        dataset.lengths, dataset.frames, batch_size, config.training_seed, rank, processes, config.epoch_passes
    )
    batches.position = position
    return _loader(dataset, batches, config.num_loader_workers)


def validation_loader(config: DiffvocConfig, core: AnyConfig, samples: Any) -> DataLoader[Any]:
    """One crop of each recording, always the same, with fixed noise."""
    dataset = _crops(config, core, samples)
    keys, size = fixed_crops(dataset.lengths, dataset.frames, config.training_seed), config.eval_batch_size
    batches = [keys[i : i + size] for i in range(0, len(keys), size)]
    return _loader(dataset, batches, config.num_eval_loader_workers)


def _crops(config: DiffvocConfig, core: AnyConfig, samples: Any) -> CropDataset:
    frames = config.seq_len // core.mel.hop_length or DEFAULT_FRAMES
    return CropDataset(recordings(config, core, samples), core.mel, frames, condition_names(config, core))


def _loader(dataset: CropDataset, batches: Any, workers: int) -> DataLoader[Any]:
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
