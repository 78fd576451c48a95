"""A vocoder: a noise-predicting network, its training schedule and its mel contract, together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from tts_diffvoc.base import MelVocoder, parse_choice, parse_iterations, parse_seed, parse_steps
from tts_diffvoc.diffusion.objectives import (
    LABEL_DROPOUT,
    discrete_levels,
    draw_noise,
    drop_labels,
    hierarchical_levels,
    noise_prediction_loss,
)
from tts_diffvoc.diffusion.process import eps_from_x0, q_sample, x0_from_eps
from tts_diffvoc.diffusion.samplers import SAMPLERS
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.estimator import Estimator, EstimatorConfig, griffin_lim, make_consistent
from tts_diffvoc.folded import precondition, remaining_error
from tts_diffvoc.lapped import Frames, LappedTransform, MagnitudePrior
from tts_diffvoc.mel import MelConfig, check_mel
from tts_diffvoc.networks.diffwave import DiffWave, DiffWaveConfig
from tts_diffvoc.networks.factors import fitting
from tts_diffvoc.networks.fast import fast_inference
from tts_diffvoc.networks.fast_training import fast_training
from tts_diffvoc.networks.wavegrad import WaveGrad, WaveGradConfig

NETWORKS: dict[str, tuple[type, type]] = {
    "diffwave": (DiffWave, DiffWaveConfig),
    "wavegrad": (WaveGrad, WaveGradConfig),
}
# Speech has a deviation of about 0.06; folded networks work on about unit deviation.
FOLDED_SCALE = 10.0
STARTS = ("noise", "estimate")


def parse_level(text: str) -> float:
    """A noise level from text, the square root of the cumulated alphas, in (0, 1)."""
    try:
        level = float(text)
    except ValueError:
        level = -1.0
    if not 0 < level < 1:
        raise DiffvocError(f"level={text} is no noise level; give a number between 0 (all noise) and 1 (none).")
    return level


def parse_speaker(text: str) -> str:
    """A speaker's name or number as it stands: only the vocoder knows which of them it is."""
    return text


@dataclass(frozen=True)
class VocoderConfig:
    """Everything but the weights.

    Attributes:
        network: "diffwave" or "wavegrad".
        sizes: the network's own configuration; a DiffWave with ``labels`` speaks with as many speakers.
        schedule: the training schedule.
        mel: the mel contract.
        folded: False for the published networks, which work on samples. True for a network that works on
            short-time spectra, conditioned on the logarithm of the deviations that the estimator expects.
        estimator: sizes of the first estimate, or None for a vocoder that starts from noise only.
        inference: betas of tuned schedules by number of steps; other numbers are respaced from training.
        defaults: what ``generate`` does unless told otherwise (steps, seed, sampler, start, level, speaker).
        speaker_names: of the speakers, or of whatever else a global condition tells apart, in the order of their
            numbers; empty for speakers that have numbers alone.
    """

    network: str
    sizes: DiffWaveConfig | WaveGradConfig
    schedule: NoiseSchedule
    mel: MelConfig = field(default_factory=MelConfig)
    folded: bool = False
    estimator: EstimatorConfig | None = None
    inference: dict[int, tuple[float, ...]] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    speaker_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "speaker_names", tuple(self.speaker_names))
        if self.network not in NETWORKS:
            raise DiffvocError(f"network {self.network!r} is unknown; this version has {', '.join(NETWORKS)}.")
        if self.folded and self.estimator is None:
            raise DiffvocError("a folded vocoder needs an estimator, whose magnitudes precondition it.")
        if self.estimator is not None and self.mel.power != 1:
            raise DiffvocError(
                f"the estimator reads a mel as magnitudes and this one has power {self.mel.power}; give a mel of "
                "power 1, or a vocoder without estimator, not folded."
            )
        bands = self.mel.hop_length if self.folded else self.mel.n_mels
        if self.sizes.n_mels != bands:
            raise DiffvocError(f"the network is conditioned on {self.sizes.n_mels} bands; this contract gives {bands}.")
        positions, channels = (1, self.mel.n_fft + 2) if self.folded else (self.mel.hop_length, 1)
        if (self.sizes.positions_per_frame, self.sizes.in_channels) != (positions, channels):
            raise DiffvocError(
                f"the network has {self.sizes.positions_per_frame} positions a mel frame, {self.sizes.in_channels} "
                f"channels each; a hop of {self.mel.hop_length} samples needs {positions} of {channels}"
                + ("." if self.folded else f": {fitting(self.network, self.mel.hop_length)}.")
            )
        names = self.speaker_names
        if names and (len(names) != self.speakers or len(set(names)) != len(names) or not all(names)):
            raise DiffvocError(
                f"the network has {self.speakers} speakers and their names are {', '.join(map(repr, names[:20]))}; "
                "give one name for each, no two alike and none empty, or no names."
            )

    @property
    def speakers(self) -> int:
        """How many speakers the network knows by number; 0 for one that hears them in the mel alone."""
        return self.sizes.labels if isinstance(self.sizes, DiffWaveConfig) else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        sizes = asdict(self.sizes)
        if not self.speakers:  # as they were before there were labels
            sizes = {name: value for name, value in sizes.items() if name not in ("labels", "label_channels")}
        named = {"speaker_names": list(self.speaker_names)} if self.speaker_names else {}
        return {
            "network": self.network,
            "sizes": sizes,
            "schedule": self.schedule.to_dict(),
            "mel": self.mel.to_dict(),
            "folded": self.folded,
            "estimator": asdict(self.estimator) if self.estimator else None,
            "inference": {str(steps): list(betas) for steps, betas in self.inference.items()},
            "defaults": self.defaults,
            **named,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> VocoderConfig:
        """Read what :meth:`to_dict` wrote; DiffvocError names what is missing or unknown."""
        values = dict(values)
        try:
            network = values.pop("network")
            sizes = values.pop("sizes")
            schedule = NoiseSchedule.from_dict(values.pop("schedule"))
        except KeyError as missing:
            raise DiffvocError(f"the vocoder's configuration lacks {missing}.") from None
        if network not in NETWORKS:
            raise DiffvocError(f"network {network!r} is unknown; this version has {', '.join(NETWORKS)}.")
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise DiffvocError(f"the vocoder's configuration has unknown entries {sorted(unknown)}.")
        try:
            return cls(
                network=network,
                sizes=NETWORKS[network][1](**sizes),
                schedule=schedule,
                mel=MelConfig.from_dict(values.get("mel", {})),
                folded=values.get("folded", False),
                estimator=EstimatorConfig(**values["estimator"]) if values.get("estimator") else None,
                inference={int(k): tuple(v) for k, v in values.get("inference", {}).items()},
                defaults=dict(values.get("defaults", {})),
                speaker_names=tuple(values.get("speaker_names", ())),
            )
        except TypeError as error:
            raise DiffvocError(f"the vocoder's configuration does not fit this version: {error}.") from None


class Vocoder(MelVocoder):
    """A diffusion vocoder. B is the batch, T samples, M mel bands, F mel frames."""

    GENERATE_OPTIONS: dict[str, Callable[[str], Any]] = {
        "steps": parse_steps,
        "seed": parse_seed,
        "sampler": parse_choice("sampler", tuple(SAMPLERS)),
        "start": parse_choice("start", STARTS),
        "level": parse_level,
        "project": parse_iterations("project"),
        "consistency": parse_iterations("consistency"),
        "speaker": parse_speaker,
    }

    def __init__(self, config: VocoderConfig, name: str = "vocoder") -> None:
        super().__init__(config, name)
        if config.network == "diffwave":
            assert isinstance(config.sizes, DiffWaveConfig)
            self.network: DiffWave | WaveGrad = DiffWave(config.sizes, config.schedule)
        else:
            assert isinstance(config.sizes, WaveGradConfig)
            self.network = WaveGrad(config.sizes)
            if config.folded:
                # Like DiffWave's: an untrained correction must not be worse than none.
                nn.init.zeros_(self.network.last_conv.weight)
        mel = config.mel
        self.transform = LappedTransform(mel.hop_length) if config.folded else None
        self.prior = MagnitudePrior(mel, mel.hop_length, bands=False) if config.folded else None
        self.frames = Frames(mel.n_fft, mel.hop_length) if config.folded else None
        self.estimator = Estimator(config.estimator, config.mel) if config.estimator else None
        # Of the training loss; a benchmark of the two sets it.
        self.norm = "l2" if config.network == "diffwave" else "l1"

    def scale(self, mel: Tensor) -> Tensor | None:
        """Deviations [B, hop, F] that a folded vocoder expects of the lapped transform's coefficients; else None."""
        if self.prior is None or self.estimator is None:
            return None
        with torch.no_grad():
            return self.prior(self.estimator.magnitude(mel))

    def encode(self, waveform: Tensor) -> Tensor:
        """Waveform [B, T] to what is diffused, [B, T]: itself, or scaled to about unit deviation."""
        return waveform * FOLDED_SCALE if self.config.folded else waveform

    def decode(self, x: Tensor) -> Tensor:
        """The inverse of :meth:`encode`, cut to [-1, 1]."""
        return (x / FOLDED_SCALE if self.config.folded else x).clamp(-1.0, 1.0)

    def denoiser(
        self, mel: Tensor, scale: Tensor | None = None, labels: Tensor | None = None
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The function (x [B, T], noise_level [B]) -> eps [B, T] that samplers and losses see.

        An unfolded DiffWave takes its fast path on a CPU, for inference or for training. A folded network is
        preconditioned with the deviations that the prior expects (:mod:`tts_diffvoc.folded`).

        Args:
            mel: [B, M, F].
            scale: from :meth:`scale`, when it is known already.
            labels: speakers [B] of a vocoder that has them.
        """
        condition = () if labels is None else (labels,)
        if self.frames is None or self.transform is None:
            network: Any = self.network
            if self.autocast is None:  # the fast paths are float32
                network = fast_inference(network)
                network = fast_training(network) if network is self.network else network
            with self._mixed():
                plain = network.condition(mel, *condition)

            def predict(x: Tensor, noise_level: Tensor) -> Tensor:
                with self._mixed():
                    return network(x, noise_level, plain).to(x.dtype)

            return predict
        scale = self.scale(mel) if scale is None else scale
        assert scale is not None
        with self._mixed():
            conditioning: Any = self.network.condition((scale.log() + 6.0) / 2.0, *condition)

        def correct(spectra: Tensor, noise_level: Tensor) -> Tensor:
            with self._mixed():
                return self.network(spectra, noise_level, conditioning)

        return precondition(correct, (scale * FOLDED_SCALE).square(), self.transform, self.frames)

    def loss(
        self,
        waveform: Tensor,
        mel: Tensor,
        generator: torch.Generator | None = None,
        seeds: Sequence[int] | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Mean error of the predicted noise, one scalar.

        DiffWave: squared error at levels of the discrete training steps (Kong et al. 2021, algorithm 1).
        WaveGrad: absolute error at continuous levels drawn hierarchically (Chen et al. 2021, algorithm 1).
        ``norm`` is the attribute that says which error.
        A folded vocoder's errors are divided by what its best linear estimate leaves at that level on average over
        the batch, so that no level drowns the others: below 1 is what the network has learnt.

        Args:
            waveform: [B, F * hop].
            mel: [B, M, F].
            generator: draws levels and noise of the batch.
            seeds: one for each row instead, so that a row's level and noise do not depend on its batch.
            labels: speakers [B] of a vocoder that has them; in training, one in ten is left out.
        """
        x0 = self.encode(waveform)
        diffwave = self.config.network == "diffwave"
        draw = discrete_levels if diffwave else hierarchical_levels
        noise_level, eps = draw_noise(x0, self.config.schedule, draw, generator, seeds)
        if labels is not None:
            self._check_has_speakers()
            labels = labels.to(self.device)
            if self.training:
                labels = drop_labels(labels, self.config.speakers, LABEL_DROPOUT, generator, seeds)
        norm = self.norm
        scale = self.scale(mel)
        if scale is None:
            return noise_prediction_loss(self.denoiser(mel, None, labels), x0, noise_level, norm=norm, eps=eps).mean()
        # Where the prior expects far too little, nothing is to be learnt and the error is huge: hence the limit.
        denoiser = self.denoiser(mel, scale, labels)
        error = noise_prediction_loss(denoiser, x0, noise_level, norm=norm, limit=4.0, eps=eps)
        return (error / remaining_error((scale * FOLDED_SCALE).square(), noise_level, norm)).mean()

    def magnitude_loss(self, waveform: Tensor, mel: Tensor) -> Tensor:
        """Mean absolute error of the estimator's log magnitudes, in nepers, one scalar.

        Frames whose windows reach beyond the crop do not count.

        Args:
            waveform: [B, F * hop].
            mel: [B, M, F].
        """
        if self.estimator is None:
            raise DiffvocError(f"{self.name} has no estimator to train.")
        return self.estimator.loss(waveform, mel)

    def inference_schedule(self, steps: int, level: float | None = None) -> NoiseSchedule:
        """The schedule that ``generate`` walks.

        Args:
            steps: network evaluations, from 1 to the length of the training schedule.
            level: noise level to start at, None for the noisiest of training.
        """
        training = self.config.schedule
        if steps > training.num_steps:
            raise DiffvocError(
                f"steps={steps} is past the schedule that {self.name} was trained with; "
                f"give at most {training.num_steps}."
            )
        if level is not None:
            return training.between(level, steps)
        if steps in self.config.inference:
            return NoiseSchedule(self.config.inference[steps])
        return training.respace(steps)

    @torch.inference_mode()
    def generate(
        self,
        mel: Tensor,
        steps: int | None = None,
        seed: int | None = None,
        sampler: str | None = None,
        start: str | None = None,
        level: float | None = None,
        project: int | None = None,
        consistency: int | None = None,
        speaker: str | int | None = None,
        callback: Callable[[int, Tensor, Tensor], None] | None = None,
    ) -> Tensor:
        """Synthesise ``mel`` [B, M, F] to a waveform [B, F * hop] in [-1, 1].

        Args:
            steps: network evaluations; more is slower and, from noise, better.
            seed: the same seed gives the same samples on one device; None draws a new one.
            sampler: one of ``tts_diffvoc.diffusion.samplers.SAMPLERS``.
            start: "noise", or "estimate" for a vocoder that has an estimator (SDEdit, Meng et al. 2022).
            level: noise level at which an estimate enters the reverse process.
            project: iterations of Griffin-Lim that carry each step's clean data towards the estimator's magnitudes
                (GLA-Grad, Liu et al. 2024); 0 for none.
            consistency: iterations that carry the waveform's own mel towards ``mel`` at the end; 0 for none.
            speaker: name or number, from 0, of one of this vocoder's speakers; None for none of them.
            callback: called as (step, x, x0) after each step.

        Raises: DiffvocError for a mel of another shape, with NaN or without frames, and for bad options.
        """
        mel = check_mel(mel, self.config.mel).to(self.device)
        steps = self._option("steps", steps, 6)
        sampler = self._option("sampler", sampler, "ddpm")
        start = self._option("start", start, "noise")
        seed = self._option("seed", seed, None)
        project = self._option("project", project, 0)
        consistency = self._option("consistency", consistency, 0)
        speaker = self.defaults.get("speaker") if speaker is None else speaker
        number = None if speaker is None else self.speaker_number(speaker)
        generator = torch.Generator()
        generator.manual_seed(seed) if seed is not None else generator.seed()
        if start == "estimate":
            schedule = self.inference_schedule(steps, self._option("level", level, 0.9))
            x = self._noised_estimate(mel, schedule, generator)
        else:
            schedule = self.inference_schedule(steps)
            x = torch.randn(mel.shape[0], mel.shape[2] * self.config.mel.hop_length, generator=generator).to(mel)
        labels = None if number is None else torch.full((mel.shape[0],), number, device=mel.device)
        denoiser = self.denoiser(mel, labels=labels)
        if project:
            denoiser = self._projected(denoiser, mel, project)
        x = SAMPLERS[sampler](denoiser, x, schedule, generator=generator, callback=callback)
        waveform = self.decode(x)
        if consistency:
            waveform = make_consistent(waveform, mel, self.config.mel, consistency).clamp(-1.0, 1.0)
        return waveform

    def check_options(self, options: dict[str, Any]) -> None:
        """Raise DiffvocError for more steps than the schedule has, and for a speaker that this vocoder has not."""
        self.inference_schedule({**self.defaults, **options}.get("steps", 6))
        if options.get("speaker") is not None:
            self.speaker_number(options["speaker"])

    def speaker_number(self, speaker: str | int) -> int:
        """The number of a speaker given by name or by number; a text is a name first, even one of digits.

        Raises: DiffvocError for a vocoder without speakers, or without this one.
        """
        self._check_has_speakers()
        names, count = self.config.speaker_names, self.config.speakers
        if isinstance(speaker, str) and speaker in names:
            return names.index(speaker)
        number = int(speaker) if isinstance(speaker, Integral) or str(speaker).isdecimal() else -1
        if 0 <= number < count:
            return number
        shown = ", ".join(names[:10]) + (f" and {count - 10} more" if count > 10 else "")
        raise DiffvocError(
            f"speaker={speaker} is unknown to {self.name}; give 0 to {count - 1}, a whole number"
            + (f", or a name: {shown}." if names else ".")
        )

    def _check_has_speakers(self) -> None:
        """Raise DiffvocError for a vocoder without speakers."""
        if not self.config.speakers:
            raise DiffvocError(f"{self.name} has no speakers to choose from; leave the speaker out.")

    def _noised_estimate(self, mel: Tensor, schedule: NoiseSchedule, generator: torch.Generator) -> Tensor:
        """The estimator's waveform, carried to the noisiest level of ``schedule``."""
        if self.estimator is None:
            raise DiffvocError(f"{self.name} has no estimator to start from; use start=noise.")
        x0 = self.encode(self.estimator(mel, generator))
        eps = torch.randn(x0.shape, generator=generator).to(x0)
        return q_sample(x0, schedule.noise_levels[-1].expand(x0.shape[0]), eps)

    def _projected(
        self, denoiser: Callable[[Tensor, Tensor], Tensor], mel: Tensor, iterations: int
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """``denoiser`` with its clean data carried towards the estimator's magnitudes at each step."""
        if self.estimator is None:
            raise DiffvocError(f"{self.name} has no estimator to project on; use project=0.")
        magnitude = self.estimator.magnitude(mel)

        def denoise(x: Tensor, noise_level: Tensor) -> Tensor:
            x0 = x0_from_eps(x, noise_level, denoiser(x, noise_level))
            x0 = self.encode(griffin_lim(magnitude, self.config.mel, iterations, start=x0))
            return eps_from_x0(x, noise_level, x0)

        return denoise
