"""Our vocoders as Coqui's Synthesizer and Trainer see them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import load_vocoder, load_weights
from tts_diffvoc.coqui import configs
from tts_diffvoc.coqui.trainable import TrainableVocoder
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.importers.reading import read_torch

MEL_CHOICES = ("exact", "approximate")


def split_spec(spec: str | os.PathLike[str]) -> tuple[str, bool]:
    """Split a spec into what ``load_vocoder`` takes, and whether it asks for mel=approximate."""
    name, options = voices.parse(os.fspath(spec))
    choice = options.pop("mel", "exact")
    if choice not in MEL_CHOICES:
        raise DiffvocError(f"mel={choice} is unknown; choose one of {', '.join(MEL_CHOICES)}.")
    query = "&".join(f"{option}={value}" for option, value in options.items())
    return f"{name}?{query}" if query else name, choice == "approximate"


def read_training(path: Path) -> dict[str, Tensor]:
    """A vocoder's weights, averaged if possible, in a checkpoint of Coqui's Trainer; nothing else is unpickled."""
    content = read_torch(path)
    state = content.get("model", {}) if isinstance(content, dict) else {}
    for prefix in ("average.module.", "vocoder."):
        weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        if weights:
            return weights
    raise DiffvocError(f"{path} holds no vocoder of this package; give a checkpoint that a recipe wrote.")


class DiffvocVocoder(TrainableVocoder):
    """A vocoder of this package behind Coqui's interface. It adds no weights of its own."""

    def forward(self, x: Tensor, **options: Any) -> Tensor:
        """As :meth:`inference`."""
        return self.inference(x, **options)

    @torch.inference_mode()
    def inference(self, x: Tensor, **options: Any) -> Tensor:  # type: ignore[override]
        """Log-mel ``x`` [B, M, F] to a waveform [B, 1, F * hop], with the options of its ``generate``."""
        waveform = self.vocoder.generate(x, **options)
        if not torch.isfinite(waveform).all():
            name = self.vocoder.name
            raise DiffvocError(f"{name} made NaN of this mel; use other options or weights.")
        return waveform.unsqueeze(1)

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
        spec, _ = split_spec(checkpoint_path)
        if spec.endswith(".pth"):
            load_weights(self.vocoder, read_training(Path(spec)), Path(spec))
            self.train(not eval)
            return
        vocoder = load_vocoder(spec, self.device)
        loaded = configs.from_core(vocoder.config)
        if loaded.model != config.model:
            raise DiffvocError(f"{spec} holds a {loaded.model}, not a {config.model}; set model to it.")
        self.vocoder = vocoder
        self.train(not eval)


# Coqui looks a model up by the name in its configuration.
DiffvocDiffwave = DiffvocWavegrad = DiffvocWaveglow = DiffvocVocoder
