"""A vocoder of the package's parts: mel -> pitch -> source and magnitudes -> prior -> denoiser -> waveform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tts_diffvoc.arguments import MOST_STEPS, seed, whole
from tts_diffvoc.base import MelVocoder
from tts_diffvoc.diffusion.bridge import interpolate, restart_levels, restarts
from tts_diffvoc.diffusion.noise import FrameNoise
from tts_diffvoc.diffusion.objectives import log_spectral_error
from tts_diffvoc.diffusion.process import noise_like
from tts_diffvoc.diffusion.samplers import Callback
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, expand, log_mel
from tts_diffvoc.schema import NetworkConfig
from tts_diffvoc.spectral.magnitude import MagnitudeConfig, MagnitudeNetwork, carry_mel, within
from tts_diffvoc.spectral.network import NETWORKS, Denoiser, DiffWaveSizes, Sizes
from tts_diffvoc.spectral.pitch import F0, PitchConfig, PitchNetwork
from tts_diffvoc.spectral.source import (
    LEVEL,
    NOISE,
    MinimumPhase,
    Source,
    periods,
    pulses,
    rebuild_phases,
    source_level,
    turn,
)
from tts_diffvoc.spectral.transform import TINY, Transform, magnitude, power, project, rescale
from tts_diffvoc.streaming import Window

SCALE = 1.12  # brings a spectrum divided by its magnitudes to unit variance, real and imaginary part each
SHARE = 0.9  # of its magnitudes that the prior has, and an estimate that is handed on
NOISE_SCALE = 0.3  # deviation of the noise on the prior
ACCELERATION = 0.99  # of the iterations of consistency
PHASES = 0.3  # weight of the error of x0, of which phases are most, beside that of log spectra
LIMIT = 4.0  # of a divided spectrum's magnitude
CONTEXT = 48  # frames that a chunk is given on both sides, in which all but all of an edge's effect has died away
QUALITIES = {
    "fast": {"steps": 2, "consistency": 0},
    "default": {"steps": 4, "consistency": 0},
    "best": {"steps": 16, "consistency": 0},
}


@dataclass(frozen=True)
class SpectralConfig(NetworkConfig):
    """Everything but the weights.

    Attributes:
        network: "diffwave" or "wavegrad", the kind of ``sizes``.
        pitch, magnitude: sizes of the networks that see the mel alone.
        defaults: what ``generate`` does unless told otherwise (seed, quality; steps and consistency of "default").
        qualities: steps and consistency by name, "default" among them.
    """

    kind = "spectral"
    networks = NETWORKS
    network: str = "diffwave"
    sizes: Sizes = field(default_factory=DiffWaveSizes)
    pitch: PitchConfig = field(default_factory=PitchConfig)
    magnitude: MagnitudeConfig = field(default_factory=MagnitudeConfig)
    mel: MelConfig = field(default_factory=MelConfig)
    defaults: dict[str, Any] = field(default_factory=dict)
    qualities: dict[str, dict[str, int]] = field(default_factory=lambda: QUALITIES)

    def __post_init__(self) -> None:
        settings = [(name, number) for quality in self.qualities.values() for name, number in quality.items()]
        bad = [one for one in settings if one[0] not in ("steps", "consistency") or one[1] != abs(int(one[1]))]
        if bad or "default" not in self.qualities:
            raise DiffvocError(f"qualities {self.qualities} need a default, of whole numbers: steps and consistency.")
        super().__post_init__()
        if self.mel.power != 1:
            raise DiffvocError(f"a spectral vocoder takes a mel of magnitudes; this one has power {self.mel.power}.")
        if self.mel.win_length != self.mel.n_fft:
            raise DiffvocError(f"win_length {self.mel.win_length} must be n_fft, {self.mel.n_fft}.")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SpectralConfig:
        """Read what :meth:`to_dict` wrote; DiffvocError names what is missing or unknown."""
        sizes = values.get("sizes")
        if isinstance(sizes, dict) and sizes.get("block") == "convnext":  # once there was another
            values = {**values, "sizes": {name: value for name, value in sizes.items() if name != "block"}}
        return super().from_dict(values)


class SpectralSettings(NamedTuple):
    """What ``generate`` was asked for: steps, and iterations of consistency."""

    steps: int
    consistency: int


class Carried(NamedTuple):
    """What a window hands on: pitch up to its chunk's end, its first frame, and the part of a period [B] before it."""

    f0: F0
    start: int
    phase: Tensor | None


class Conditions(NamedTuple):
    """What depends on the mel and the source alone: magnitudes [B, F, K], the source, the denoiser's part [B, F, C]."""

    magnitude: Tensor
    source: Source
    hidden: Tensor


class SpectralVocoder(MelVocoder):
    """Diffusion of the complex short-time spectrum divided by its magnitudes, from a source-filter prior.

    A stream's chunks see ``CONTEXT`` frames on both sides: joined they differ from the whole by what lies beyond, PESQ
    between the two above 4.5. Options of ``generate`` and ``stream``:

    Args:
        steps: evaluations of the denoiser; 0 for the prior alone, without noise.
        consistency: iterations of fast Griffin-Lim at the end, which carry the mel towards the given one; 0 for none.
        quality: a name for steps and consistency, one of ``self.qualities``, for those that are not given.
    """

    FADE = 4
    GENERATE_OPTIONS: dict[str, Callable[[str], Any]] = {
        "steps": whole(0, MOST_STEPS),
        "seed": seed,
        "consistency": whole(0, MOST_STEPS),
        "quality": str,
    }

    def __init__(self, config: SpectralConfig, name: str = "vocoder") -> None:
        super().__init__(config, name)
        self.transform = Transform(config.mel.n_fft, config.mel.hop_length)
        self.minimum_phase = MinimumPhase(config.mel.n_fft)
        self.pitch = PitchNetwork(config.pitch, config.mel)
        self.magnitude = MagnitudeNetwork(config.magnitude, config.mel)
        self.denoiser = Denoiser(config.sizes, self.transform.bins)
        own: dict[str, int] = {n: self.defaults.pop(n) for n in ("steps", "consistency") if n in self.defaults}
        self.qualities = {**config.qualities, "default": {**config.qualities["default"], **own}}

    def excitation(self, f0: F0, noise: Tensor, phase: Tensor | None = None) -> Tensor:
        """The source [B, F * hop]: pulses at the pitch, ``phase`` [B] of a period in, and ``noise`` [B, F * hop]."""
        mel = self.config.mel
        return pulses(f0.f0, f0.voiced, mel.hop_length, mel.sample_rate, phase).to(noise.device) + NOISE * noise

    def conditions(self, mel: Tensor, excitation: Tensor) -> Conditions:
        """All that a denoiser is told of an utterance, from its log-mel [B, M, F] and source [B, F * hop]."""
        with torch.no_grad():
            spectrum = self.transform(excitation) / LEVEL
            level = source_level(spectrum)
            wanted = self.magnitude(mel, level)
            log_magnitude = wanted.log()
            source = turn(spectrum, self.minimum_phase(log_magnitude), level)
        with self._mixed():
            return Conditions(wanted, source, self.denoiser.condition(log_magnitude, source))

    def prior(self, conditions: Conditions, noise: Tensor) -> Tensor:
        """The noised prior [B, F, 2, K], from which sampling starts: the source's phases on the magnitudes."""
        return SCALE * SHARE * conditions.source.phases + NOISE_SCALE * noise

    def decode(self, x0: Tensor, wanted: Tensor) -> Tensor:
        """A spectrum x0 [B, F, 2, K] divided by ``wanted`` [B, F, K] to its waveform [B, F * hop]."""
        return self.transform.inverse(x0 * (wanted / SCALE).unsqueeze(2))

    def denoise(self, z: Tensor, noise_level: Tensor, conditions: Conditions) -> Tensor:
        """Predict x0 [B, F, 2, K] from z, likewise, at ``noise_level`` [B]."""
        wanted = conditions.magnitude
        projected = divide(project(z, wanted, self.transform), wanted)
        with self._mixed():
            return self.denoiser(z, projected, noise_level, conditions.hidden, conditions.source)

    def degrade(self, x0: Tensor) -> Tensor:
        """An estimate as the next step gets it: its phases, on a share of the magnitudes."""
        return rescale(x0, SCALE * SHARE)

    def make_consistent(self, state: Tensor, x0: Tensor, wanted: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """One iteration of fast Griffin-Lim (Perraudin et al. 2013, algorithm 2), from the state and estimate x0,
        [B, F, 2, K], to the next: a waveform's spectrum, its phases ``state``'s, whose mel is nearer to ``mel``."""
        bands = expand(mel, self.config.mel).transpose(1, 2)
        spectrum = carry_mel(project(state, wanted, self.transform), bands, self.magnitude.filters)
        made = spectrum * (SCALE / wanted).unsqueeze(2)
        return made + ACCELERATION * (made - x0), made

    @torch.no_grad()
    def targets(self, waveform: Tensor, seed: int, iterations: int = 48) -> tuple[Tensor, Tensor]:
        """``waveform`` [B, F * hop] with phases that can be learnt, and the source that they follow from."""
        mel = log_mel(waveform, self.config.mel)[..., : waveform.shape[-1] // self.config.mel.hop_length]
        noise = FrameNoise([seed] * len(mel), mel.device)(0, 0, mel.shape[-1], self.config.mel.hop_length)
        source = self.excitation(self.pitch(mel), noise.flatten(1))
        return rebuild_phases(waveform, source, self.transform, self.minimum_phase, iterations), source

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Error of the predicted x0 plus that of the log spectra of what it sounds like.

        Half of the batches are states of the bridge; the others are states that the sampler meets, made by one to four
        evaluations without gradient. x0 has the phases of "waveform" and the magnitudes of "recording"; the log spectra
        are the recording's, whose own phases need not be met.

        Args:
            batch: "waveform", whose phases can be learnt, "recording" and "source", [B, F * hop]; "bandwidth" [B], Hz.
            generator: on the CPU; draws noise, levels and the kind of the batch.
        """
        recording, mel = batch["recording"], self.config.mel
        frames = recording.shape[-1] // mel.hop_length
        conditions = self.conditions(log_mel(recording, mel)[..., :frames], batch["source"])
        wanted = conditions.magnitude
        with torch.no_grad():
            target = rescale(self.transform(batch["waveform"]), magnitude(self.transform(recording)))
            x0 = divide(target, wanted)
            z, noise_level = self._draw_state(x0, conditions, generator)
        estimate = self.denoise(z, noise_level, conditions)
        audible = within(batch["bandwidth"], mel).float()
        weight = (wanted / wanted.mean((1, 2), keepdim=True)).clamp(1e-3, 30).sqrt() * audible
        error = ((estimate - x0).square().mean(2) * weight).mean() / weight.mean()
        spectral = log_spectral_error(self.decode(estimate, wanted), recording, batch["bandwidth"], mel.sample_rate)
        return {"loss": PHASES * error + spectral, "error": error, "spectral": spectral}

    def _draw_state(
        self, x0: Tensor, conditions: Conditions, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """States z to learn from and their noise levels: of the bridge, or of the sampler on its way."""
        z = self.prior(conditions, noise_like(x0, generator))
        if torch.rand((), generator=generator) < 0.5:
            passes = int(torch.randint(1, 5, (), generator=generator))
            levels = restart_levels(passes + 1)
            estimate = restarts(lambda z, t: self.denoise(z, t, conditions), z, levels[:-1], self.degrade)
            return self.degrade(estimate), torch.full((len(x0),), levels[-1], device=x0.device)
        noise_level = 0.95 * torch.rand(len(x0), generator=generator)
        noise_level[torch.rand(len(x0), generator=generator) < 0.25] = 0.0
        noise_level = noise_level.to(x0, non_blocking=x0.is_cuda)
        return interpolate(z, x0, noise_level), noise_level

    def restore(
        self,
        mel: Tensor,
        conditions: Conditions,
        z: Tensor,
        settings: SpectralSettings,
        callback: Callback | None = None,
    ) -> Tensor:
        """The sampler, from the noised prior z [B, F, 2, K], of which no step is the prior alone, to [B, F * hop]."""
        x0 = SCALE * conditions.source.phases
        if settings.steps:
            levels = restart_levels(settings.steps)
            x0 = restarts(lambda z, t: self.denoise(z, t, conditions), z, levels, self.degrade, callback)
        state = x0
        for _ in range(settings.consistency):
            state, x0 = self.make_consistent(state, x0, conditions.magnitude, mel)
        return self.decode(x0, conditions.magnitude)

    def _settle(self, **options: Any) -> SpectralSettings:
        options = self._options(**options)
        name = options.get("quality", "default")
        if name not in self.qualities:
            known = ", ".join(self.qualities)
            raise DiffvocError(f"quality={name} is unknown to {self.name}; choose one of {known}.")
        chosen = {"steps": 4, "consistency": 0, **self.qualities[name], **options}
        return SpectralSettings(chosen["steps"], chosen["consistency"])

    def _context(self, settings: SpectralSettings) -> int:
        return CONTEXT

    def _synthesise(
        self,
        window: Window,
        noise: FrameNoise,
        settings: SpectralSettings,
        carried: Carried | None,
        callback: Callback | None,
    ) -> tuple[Tensor, Carried]:
        mel, start, hop = window.mel, window.start, self.config.mel.hop_length
        frames, bins = mel.shape[-1], self.transform.bins
        f0, phase = self.pitch(mel), None
        if carried is not None:  # what was heard stays as it was; the pulses go on from there
            passed = start - carried.start
            before = F0(*(part[:, : passed + 1] for part in carried.f0))
            moved = periods(before.f0, before.voiced, hop, self.sample_rate)[:, : passed * hop].sum(1)
            phase = (moved if carried.phase is None else carried.phase + moved) % 1
            known = [part[:, passed:] for part in carried.f0]
            f0 = F0(*(torch.cat([old, new[:, old.shape[1] :]], 1) for old, new in zip(known, f0)))
        excitation = self.excitation(f0, noise(0, start, frames, hop).flatten(1), phase)
        drawn = noise(1, start, frames, 2 * bins).unflatten(2, (2, bins))

        def make(mel: Tensor, excitation: Tensor, drawn: Tensor) -> Tensor:
            conditions = self.conditions(mel, excitation)
            return self.restore(mel, conditions, self.prior(conditions, drawn), settings, callback)

        waveform = self._evaluate(settings, make, [mel, excitation, drawn], callback)
        return waveform, Carried(F0(*(part[:, : window.keep.stop + 1] for part in f0)), start, phase)


def divide(spectrum: Tensor, wanted: Tensor) -> Tensor:
    """A spectrum [B, F, 2, K] divided by ``wanted`` [B, F, K]; at most ``LIMIT``, where that was guessed too low."""
    gain = torch.minimum(wanted.reciprocal(), LIMIT * (power(spectrum) + TINY).rsqrt())
    return spectrum * (SCALE * gain).unsqueeze(2)
