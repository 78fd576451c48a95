"""Our vocoders as Coqui's Synthesizer and Trainer see them."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor
from TTS.vocoder.models.base_vocoder import BaseVocoder

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import load_vocoder
from tts_diffvoc.coqui import configs
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.vocoder import Vocoder

MEL_CHOICES = ("exact", "approximate")


def split_spec(spec: str | os.PathLike[str]) -> tuple[str, bool]:
    """Split a spec into what ``load_vocoder`` takes, and whether it asks for mel=approximate."""
    name, options = voices.parse(os.fspath(spec))
    choice = options.pop("mel", "exact")
    if choice not in MEL_CHOICES:
        raise DiffvocError(f"mel={choice} is unknown; choose one of {', '.join(MEL_CHOICES)}.")
    query = "&".join(f"{option}={value}" for option, value in options.items())
    return f"{name}?{query}" if query else name, choice == "approximate"


class DiffvocVocoder(BaseVocoder):
    """A vocoder of this package behind Coqui's interface. It adds no weights of its own.

    Attributes:
        vocoder: the :class:`tts_diffvoc.vocoder.Vocoder` that does the work.
    """

    config: configs.DiffvocConfig

    def __init__(self, config: configs.DiffvocConfig) -> None:
        super().__init__(config)
        self.vocoder = Vocoder(configs.to_core(config), name=config.model)

    def forward(self, x: Tensor, noise_level: Tensor, mel: Tensor) -> Tensor:  # type: ignore[override]
        """The noise predicted in ``x`` at ``noise_level`` [B], given the log-mel ``mel`` [B, M, F]."""
        return self.vocoder.network(x, noise_level, self.vocoder.network.condition(mel))

    @torch.inference_mode()
    def inference(self, x: Tensor, **options: Any) -> Tensor:  # type: ignore[override]
        """Log-mel ``x`` [B, M, F] to a waveform [B, 1, F * hop], with the options of ``Vocoder.generate``."""
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

        The folder brings its own configuration, which must be of this model's kind. Weights always match
        strictly, and nothing is cached elsewhere, so ``strict`` and ``cache`` change nothing.

        Raises: DiffvocError for a folder that is missing, truncated or of another kind.
        """
        spec, _ = split_spec(checkpoint_path)
        vocoder = load_vocoder(spec, self.device)
        loaded = configs.from_core(vocoder.config)
        if loaded.model != config.model:
            raise DiffvocError(f"{spec} holds a {loaded.model}, not a {config.model}; set model to it.")
        self.vocoder = vocoder
        self.train(not eval)

    def get_data_loader(self, config: Any, *, is_eval: bool = False, **kwargs: Any) -> Any:
        """Not offered: the recipes of this package train the vocoders, not yet Coqui's Trainer."""
        raise NotImplementedError("Coqui's Trainer cannot train tts-diffvoc vocoders yet; see recipes.")


class DiffvocDiffwave(DiffvocVocoder):
    """DiffWave (Kong et al. 2021)."""


class DiffvocWavegrad(DiffvocVocoder):
    """WaveGrad (Chen et al. 2021)."""
