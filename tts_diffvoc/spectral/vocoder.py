"""A vocoder of the package's parts: mel -> pitch -> source and magnitudes -> prior -> denoiser -> waveform."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tts_diffvoc.audio import cut_peaks, scale_peaks
from tts_diffvoc.base import MelVocoder, in_float32, parse_iterations, parse_seed
from tts_diffvoc.diffusion.bridge import interpolate, restart_levels, restarts
from tts_diffvoc.diffusion.noise import FrameNoise
from tts_diffvoc.diffusion.objectives import log_spectral_error
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc.mel_kinds import take_mel
from tts_diffvoc.schema import FromJson, check_part
from tts_diffvoc.spectral.magnitude import MagnitudeConfig, MagnitudeNetwork, make_consistent, within
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
from tts_diffvoc.spectral.transform import TINY, Transform, power, project, rescale
from tts_diffvoc.streaming import windows

SPECTRAL = "spectral"
SCALE = 1.12  # brings a spectrum divided by its magnitudes to unit variance, real and imaginary part each
SHARE = 0.9  # of its magnitudes that the prior has, and an estimate that is handed on
NOISE_SCALE = 0.3  # deviation of the noise on the prior
LIMIT = 4.0  # of a divided spectrum's magnitude
CONTEXT = 48  # frames that a chunk is given on both sides, in which all but all of an edge's effect has died away
FADE = 4  # frames over which a chunk fades into the next
LONGEST = 60.0  # seconds that are made at once
QUALITIES = {
    "fast": {"steps": 1, "consistency": 4},
    "default": {"steps": 4, "consistency": 4},
    "best": {"steps": 16, "consistency": 8},
}


@dataclass(frozen=True)
class SpectralConfig(FromJson):
    """Everything but the weights.

    Attributes:
        network: "diffwave" or "wavegrad", the kind of ``sizes``.
        pitch, magnitude: sizes of the networks that see the mel alone.
        defaults: what ``generate`` does unless told otherwise (seed, quality; steps and consistency of "default").
        qualities: steps and consistency by name, "default" among them.
    """

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
        if NETWORKS.get(self.network) is not type(self.sizes):
            known = ", ".join(NETWORKS)
            raise DiffvocError(f"network {self.network!r} does not go with {self.sizes}; this version has {known}.")
        if self.mel.power != 1:
            raise DiffvocError(f"a spectral vocoder takes a mel of magnitudes; this one has power {self.mel.power}.")
        if self.mel.win_length != self.mel.n_fft:
            raise DiffvocError(f"win_length {self.mel.win_length} must be n_fft, {self.mel.n_fft}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"kind": SPECTRAL, **asdict(self), "mel": self.mel.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SpectralConfig:
        """Read what :meth:`to_dict` wrote; DiffvocError names what is missing or unknown."""
        values = {name: value for name, value in values.items() if name != "kind"}
        check_part(values, "sizes", NETWORKS, values.get("network"))
        return super().from_dict(values)


class Plan(NamedTuple):
    """What ``generate`` was asked for: steps, iterations of mel consistency, and the rows' noise."""

    steps: int
    consistency: int
    noise: FrameNoise


class Conditions(NamedTuple):
    """What depends on the mel and the source alone: magnitudes [B, F, K], the source, the denoiser's part [B, F, C]."""

    magnitude: Tensor
    source: Source
    hidden: Tensor


class SpectralVocoder(MelVocoder):
    """Diffusion of the complex short-time spectrum divided by its magnitudes, from a source-filter prior."""

    GENERATE_OPTIONS: dict[str, Callable[[str], Any]] = {
        "steps": parse_iterations("steps"),
        "seed": parse_seed,
        "consistency": parse_iterations("consistency"),
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
        return pulses(f0.f0, f0.voiced, mel.hop_length, mel.sample_rate, phase) + NOISE * noise

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

    @torch.no_grad()
    def targets(self, waveform: Tensor, seed: int, iterations: int = 48) -> tuple[Tensor, Tensor]:
        """``waveform`` [B, F * hop] with phases that can be learnt, and the source that they follow from."""
        mel = log_mel(waveform, self.config.mel)[..., : waveform.shape[-1] // self.config.mel.hop_length]
        noise = FrameNoise([seed] * len(mel), mel.device)(0, 0, mel.shape[-1], self.config.mel.hop_length)
        source = self.excitation(self.pitch(mel), noise.flatten(1))
        return rebuild_phases(waveform, source, self.transform, self.minimum_phase, iterations), source

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Error of the predicted x0 plus 0.15 of that of its log spectra.

        Half of the batches are states of the bridge; the others are states that the sampler meets, made by one to four
        evaluations without gradient.

        Args:
            batch: "waveform", the target, and "source", [B, F * hop], and "bandwidth" [B] in Hz.
            generator: on the CPU; draws noise, levels and the kind of the batch.
        """
        waveform, mel = batch["waveform"], self.config.mel
        frames = waveform.shape[-1] // mel.hop_length
        conditions = self.conditions(log_mel(waveform, mel)[..., :frames], batch["source"])
        wanted = conditions.magnitude
        with torch.no_grad():
            x0 = divide(self.transform(waveform), wanted)
            z, noise_level = self._draw_state(x0, conditions, generator)
        estimate = self.denoise(z, noise_level, conditions)
        audible = within(batch["bandwidth"], mel).float()
        weight = (wanted / wanted.mean((1, 2), keepdim=True)).clamp(1e-3, 30).sqrt() * audible
        error = ((estimate - x0).square().mean(2) * weight).mean() / weight.mean()
        spectral = log_spectral_error(self.decode(estimate, wanted), waveform, batch["bandwidth"], mel.sample_rate)
        return {"loss": error + 0.15 * spectral, "error": error, "spectral": spectral}

    def _draw_state(
        self, x0: Tensor, conditions: Conditions, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """States z to learn from and their noise levels: of the bridge, or of the sampler on its way."""
        z = self.prior(conditions, torch.randn(x0.shape, generator=generator).to(x0))
        if torch.rand((), generator=generator) < 0.5:
            passes = int(torch.randint(1, 5, (), generator=generator))
            levels = restart_levels(passes + 1)
            estimate = restarts(lambda z, t: self.denoise(z, t, conditions), z, levels[:-1], self.degrade)
            return self.degrade(estimate), torch.full((len(x0),), levels[-1], device=x0.device)
        noise_level = 0.95 * torch.rand(len(x0), generator=generator)
        noise_level[torch.rand(len(x0), generator=generator) < 0.25] = 0.0
        noise_level = noise_level.to(x0)
        return interpolate(z, x0, noise_level), noise_level

    def check_options(self, options: dict[str, Any]) -> None:
        """Raise DiffvocError for a quality that this vocoder has not."""
        self._quality(options.get("quality"))

    def _quality(self, quality: str | None) -> dict[str, int]:
        name = self._option("quality", quality, "default")
        if name not in self.qualities:
            known = ", ".join(self.qualities)
            raise DiffvocError(f"quality={name} is unknown to {self.name}; choose one of {known}.")
        return self.qualities[name]

    @torch.no_grad()
    def generate(
        self,
        mel: Tensor,
        steps: int | None = None,
        seed: int | Sequence[int] | None = None,
        consistency: int | None = None,
        quality: str | None = None,
        callback: Callable[[int, Tensor, Tensor], None] | None = None,
        mel_kind: str | MelConfig = "auto",
    ) -> Tensor:
        """Synthesise ``mel`` [B, M, F] to a waveform [B, F * hop] in [-1, 1].

        A row whose peak is above 1 is scaled down to 1, with a warning.

        Args:
            steps: evaluations of the denoiser; 0 for the prior alone, without noise.
            seed: the same seed gives the same samples on one device; one for all rows, or one a row; None draws anew.
            consistency: iterations that carry the waveform's own mel towards ``mel`` at the end; 0 for none.
            quality: a name for steps and consistency, one of ``self.qualities``, for those that are not given.
            callback: called as (step, z, x0) after each step.
            mel_kind: what the mel is, one of ``tts_diffvoc.mel_kinds.KINDS`` or its settings, if not the vocoder's own.

        Raises: DiffvocError for a mel that :func:`check_mel` refuses, and for bad options.
        """
        mel = take_mel(mel, self.config.mel, mel_kind).to(self.device)
        plan = self._plan(len(mel), steps, seed, consistency, quality)
        hop, rate = self.config.mel.hop_length, self.config.mel.sample_rate
        longest = round(LONGEST * rate / hop)
        if mel.shape[-1] > longest and callback is None:
            return scale_peaks(torch.cat(list(self._stream(mel, longest // 8, plan)), 1), self.name)
        return scale_peaks(self._synthesise(mel, self._f0(mel), plan, 0, None, callback), self.name)

    def stream(
        self,
        mel: Tensor | Iterable[Tensor],
        chunk_frames: int = 64,
        steps: int | None = None,
        seed: int | Sequence[int] | None = None,
        consistency: int | None = None,
        quality: str | None = None,
        mel_kind: str | MelConfig = "auto",
    ) -> Iterator[Tensor]:
        """Synthesise a mel [B, M, F], or its pieces as they come, chunk after chunk: waveforms [B, chunk * hop].

        A chunk is there as soon as ``CONTEXT`` frames that follow it are. Joined they are what :meth:`generate` makes
        of the whole but for what lies beyond a chunk's context; memory does not grow with length. A peak above 1 is
        cut, with a warning.

        Raises: DiffvocError, before the first chunk, for what ``generate`` refuses, and for a chunk of no frames.
        """
        pieces = [mel] if isinstance(mel, Tensor) else mel
        checked = (take_mel(piece, self.config.mel, mel_kind).to(self.device) for piece in pieces)
        first = next(checked, None)
        if first is None:
            raise DiffvocError("the stream of mels ended before its first; give at least one piece [B, M, F].")
        plan = self._plan(len(first), steps, seed, consistency, quality)
        return (cut_peaks(one, self.name) for one in self._stream(chain([first], checked), chunk_frames, plan))

    @torch.no_grad()
    def _stream(self, mels: Tensor | Iterable[Tensor], chunk: int, plan: Plan) -> Iterator[Tensor]:
        mel = self.config.mel
        hop, begin = mel.hop_length, 0
        f0, phase, fading = None, None, None
        for window in windows(mels, chunk, CONTEXT, CONTEXT):
            found = self._f0(window.mel)
            if f0 is not None:  # what was heard stays as it was; the pulses go on from there
                passed = window.start - begin
                step = periods(f0.f0[:, : passed + 1], f0.voiced[:, : passed + 1], hop, mel.sample_rate)
                moved = step[:, : passed * hop].sum(1)
                phase = (moved if phase is None else phase + moved) % 1
                known = [part[:, passed:] for part in f0]
                found = F0(*(torch.cat([old, new[:, old.shape[1] :]], 1) for old, new in zip(known, found)))
            waveform = self._synthesise(window.mel, found, plan, window.start, phase)
            piece = waveform[:, window.keep.start * hop : window.keep.stop * hop].clone()
            if fading is not None:
                size = min(fading.shape[1], piece.shape[1])
                share = torch.linspace(0, 1, size, device=piece.device)
                piece[:, :size] = torch.lerp(fading[:, :size], piece[:, :size], share)
            fading = waveform[:, window.keep.stop * hop : (window.keep.stop + FADE) * hop]
            f0 = F0(*(part[:, : window.keep.stop + 1] for part in found))
            begin = window.start
            yield piece

    def _plan(self, rows: int, steps: Any, seed: Any, consistency: Any, quality: str | None) -> Plan:
        settings = self._quality(quality)
        return Plan(
            self._option("steps", steps, settings.get("steps", 4)),
            self._option("consistency", consistency, settings.get("consistency", 0)),
            FrameNoise(self._seeds(seed, rows), self.device),
        )

    @in_float32
    def _f0(self, mel: Tensor) -> F0:
        return self.pitch(mel)

    @in_float32
    def _synthesise(
        self,
        mel: Tensor,
        f0: F0,
        plan: Plan,
        start: int,
        phase: Tensor | None,
        callback: Callable[[int, Tensor, Tensor], None] | None = None,
    ) -> Tensor:
        """The waveform [B, F * hop] of a mel [B, M, F] that begins at frame ``start``, ``phase`` [B] of a period in."""
        frames, bins = mel.shape[-1], self.transform.bins
        noise = plan.noise(0, start, frames, self.config.mel.hop_length).flatten(1)
        conditions = self.conditions(mel, self.excitation(f0, noise, phase))
        x0 = SCALE * conditions.source.phases
        if plan.steps:
            noise = plan.noise(1, start, frames, 2 * bins).unflatten(2, (2, bins))
            z, levels = self.prior(conditions, noise), restart_levels(plan.steps)
            x0 = restarts(lambda z, t: self.denoise(z, t, conditions), z, levels, self.degrade, callback)
        waveform = self.decode(x0, conditions.magnitude)
        return make_consistent(waveform, mel, self.config.mel, self.transform, plan.consistency)

    def _seeds(self, seed: int | Sequence[int] | None, rows: int) -> list[int]:
        if isinstance(seed, Sequence):
            if len(seed) != rows:
                raise DiffvocError(f"{len(seed)} seeds were given for {rows} mels; give one, or one for each.")
            return [self._option("seed", one, None) for one in seed]
        one = self._option("seed", seed, None)
        return torch.randint(2**31, (rows,)).tolist() if one is None else [one] * rows


def divide(spectrum: Tensor, wanted: Tensor) -> Tensor:
    """A spectrum [B, F, 2, K] divided by ``wanted`` [B, F, K]; at most ``LIMIT``, where that was guessed too low."""
    gain = torch.minimum(wanted.reciprocal(), LIMIT * (power(spectrum) + TINY).rsqrt())
    return spectrum * (SCALE * gain).unsqueeze(2)
