"""A vocoder by a normalising flow: WaveGlow (Prenger et al. 2019) with its mel contract."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from tts_diffvoc.arguments import number, seed
from tts_diffvoc.base import MelVocoder
from tts_diffvoc.diffusion.noise import FrameNoise
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.waveglow import WaveGlow, WaveGlowConfig, bias_spectrum, denoise, log_likelihood
from tts_diffvoc.schema import FromJson
from tts_diffvoc.streaming import Window


@dataclass(frozen=True)
class FlowConfig(FromJson):
    """Everything but the weights of a flow vocoder.

    Attributes:
        network: "waveglow".
        sizes: the network's own configuration.
        mel: the mel contract.
        defaults: what ``generate`` does unless told otherwise (seed, sigma, denoise).
    """

    kind = "flow"
    network: Literal["waveglow"] = "waveglow"
    sizes: WaveGlowConfig = field(default_factory=WaveGlowConfig)
    mel: MelConfig = field(default_factory=MelConfig)
    defaults: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = (self.sizes.n_mels, self.sizes.hop_length)
        wanted = (self.mel.n_mels, self.mel.hop_length)
        if given != wanted:
            raise DiffvocError(
                f"the network takes {given[0]} bands and a hop of {given[1]}; the mel has {wanted[0]} and {wanted[1]}."
            )


class FlowVocoder(MelVocoder):
    """WaveGlow as a vocoder: one pass, no steps.

    A stream is exactly the whole, with ``denoise`` if a quarter of the window divides 16 hops. Options of ``generate``
    and ``stream``:

    Args:
        sigma: deviation of the noise (section 2.4); training has 1.
        denoise: strength at which the network's own tone is taken off the magnitudes (NVIDIA's denoiser).
    """

    GENERATE_OPTIONS: dict[str, Callable[[str], Any]] = {
        "seed": seed,
        "sigma": number(0, 1000, zero=True),
        "denoise": number(0, 1000, zero=True),
    }

    def __init__(self, config: FlowConfig, name: str = "vocoder") -> None:
        super().__init__(config, name)
        self.network = WaveGlow(config.sizes)
        self._bias: Tensor | None = None

    def loss(self, waveform: Tensor, mel: Tensor, seeds: Sequence[int] | None = None) -> Tensor:
        """Mean negative log-likelihood of a sample in nats, sigma 1 (equation 12); it draws nothing.

        Args:
            waveform: [B, F * hop].
            mel: [B, M, F].
            seeds: taken as other vocoders take them, and not used.
        """
        with self._mixed():
            found = self.network(waveform, mel)
        return -log_likelihood(*(one.float() for one in found)).mean() / waveform.shape[1]

    def _settle(self, **options: Any) -> dict[str, float]:
        return {"sigma": 0.6, "denoise": 0.0, **self._options(**options)}

    def _context(self, settings: dict[str, float]) -> int:
        sizes, mel = self.config.sizes, self.config.mel
        samples = sizes.reach + (2 * mel.n_fft if settings["denoise"] else 0)
        return math.ceil((samples + sizes.upsample_window) / mel.hop_length)

    def _synthesise(
        self, window: Window, noise: FrameNoise, settings: dict[str, float], carried: None, callback: Any
    ) -> tuple[Tensor, None]:
        drawn = noise(0, window.start, window.mel.shape[-1], self.config.mel.hop_length).flatten(1)
        z = settings["sigma"] * drawn.unflatten(1, (-1, self.config.sizes.group)).transpose(1, 2)
        strength = settings["denoise"]

        def invert(mel: Tensor, z: Tensor) -> Tensor:
            waveform = self.network.inverse(mel, z)
            if not strength or waveform.shape[-1] <= self.config.mel.n_fft:
                return waveform
            if self._bias is None or self._bias.device != waveform.device:
                self._bias = bias_spectrum(self.network, self.config.mel.n_fft)
            return denoise(waveform, self._bias, strength)

        return self._evaluate(strength, invert, [window.mel, z], callback), None
