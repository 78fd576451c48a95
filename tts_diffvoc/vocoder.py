"""A vocoder: a noise-predicting network, its training schedule and its mel contract, together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tts_diffvoc.arguments import MOST_STEPS, choice, seed, whole
from tts_diffvoc.base import MelVocoder
from tts_diffvoc.diffusion.noise import FrameNoise
from tts_diffvoc.diffusion.objectives import (
    LABEL_DROPOUT,
    discrete_levels,
    draw_noise,
    drop_labels,
    hierarchical_levels,
    noise_prediction_loss,
)
from tts_diffvoc.diffusion.process import Denoiser, NoisePredictor, denoiser_from
from tts_diffvoc.diffusion.samplers import SAMPLERS, Callback, sample
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.labels import label_number
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.diffwave import DiffWave, DiffWaveConfig
from tts_diffvoc.networks.factors import upsample_factors
from tts_diffvoc.networks.fast import fast_inference
from tts_diffvoc.networks.wavegrad import WaveGrad, WaveGradConfig
from tts_diffvoc.schema import NetworkConfig
from tts_diffvoc.streaming import Window


@dataclass(frozen=True)
class VocoderConfig(NetworkConfig):
    """Everything but the weights.

    Attributes:
        network: "diffwave" or "wavegrad".
        sizes: the network's own configuration; a DiffWave with ``labels`` speaks with as many speakers.
        schedule: the training schedule.
        mel: the mel contract.
        inference: betas of tuned schedules by number of steps; other numbers are respaced from training.
        defaults: what ``generate`` does unless told otherwise (steps, seed, sampler, speaker).
        speaker_names: of the speakers, or of whatever else a global condition tells apart, in the order of their
            numbers; empty for speakers that have numbers alone.
    """

    kind = "diffusion"
    networks = {"diffwave": DiffWaveConfig, "wavegrad": WaveGradConfig}
    network: str
    sizes: DiffWaveConfig | WaveGradConfig
    schedule: NoiseSchedule
    mel: MelConfig = field(default_factory=MelConfig)
    inference: dict[int, tuple[float, ...]] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    speaker_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "speaker_names", tuple(self.speaker_names))
        super().__post_init__()
        if self.sizes.n_mels != self.mel.n_mels:
            raise DiffvocError(
                f"the network is conditioned on {self.sizes.n_mels} bands; this contract gives {self.mel.n_mels}."
            )
        if self.sizes.in_channels != 1:
            raise DiffvocError(f"the network has {self.sizes.in_channels} channels; a vocoder's has 1, the samples.")
        hop = self.mel.hop_length
        if self.sizes.positions_per_frame != hop:
            raise DiffvocError(
                f"the network has {self.sizes.positions_per_frame} positions a mel frame; a hop of {hop} samples needs "
                f"as many, for example {upsample_factors(self.network, hop)}."
            )
        self.schedule.check_terminal()
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


class DiffusionSettings(NamedTuple):
    """What ``generate`` was asked for."""

    schedule: NoiseSchedule
    sampler: str
    speaker: int | None

    @property
    def evaluations(self) -> int:
        """Of the network, and no fewer draws of noise."""
        return self.schedule.num_steps + (self.sampler == "langevin")  # whose last estimate is one more


class Vocoder(MelVocoder):
    """A diffusion vocoder. B is the batch, T samples, M mel bands, F mel frames.

    Options of ``generate`` and ``stream``:

    Args:
        steps: network evaluations; more is slower and better, and a stream waits for more frames.
        sampler: one of ``tts_diffvoc.diffusion.samplers.SAMPLERS``.
        speaker: name or number, from 0, of one of this vocoder's speakers; None for none of them.
    """

    GENERATE_OPTIONS: dict[str, Callable[[str], Any]] = {
        "steps": whole(1, MOST_STEPS),
        "seed": seed,
        "sampler": choice(*SAMPLERS),
        "speaker": str,  # a name or a number: only the vocoder knows which
    }

    def __init__(self, config: VocoderConfig, name: str = "vocoder") -> None:
        super().__init__(config, name)
        sizes = config.sizes
        self.network: DiffWave | WaveGrad = (
            DiffWave(sizes, config.schedule) if isinstance(sizes, DiffWaveConfig) else WaveGrad(sizes)
        )
        # Of the training loss; a benchmark of the two sets it.
        self.norm = "l2" if config.network == "diffwave" else "l1"

    def denoiser(self, mel: Tensor, labels: Tensor | None = None, start: int = 0) -> Denoiser:
        """The function (x [B, T], noise_level [B]) -> x0 [B, T] that samplers see; as :meth:`noise_predictor`."""
        return denoiser_from(self.noise_predictor(mel, labels, start))

    def noise_predictor(self, mel: Tensor, labels: Tensor | None = None, start: int = 0) -> NoisePredictor:
        """The function (x [B, T], noise_level [B]) -> eps [B, T] that the network is, for one mel.

        A DiffWave takes its fast path on a CPU.

        Args:
            mel: [B, M, F].
            labels: speakers [B] of a vocoder that has them.
            start: frame of the utterance at which the mel begins.
        """
        network: Any = self.network
        if self.autocast is None:  # the fast path is float32
            network = fast_inference(network)
        told: dict[str, Any] = {"start": start} if isinstance(self.network, WaveGrad) else {}
        told |= {} if labels is None else {"labels": labels}
        with self._mixed():
            conditioning = network.condition(mel, **told)
        positions = mel.shape[-1] * self.config.mel.hop_length

        def predict(x: Tensor, noise_level: Tensor) -> Tensor:
            if x.shape[-1] != positions:
                raise DiffvocError(f"{x.shape[-1]} samples were given for a mel of {positions}; they must be equal.")
            with self._mixed():
                return network(x, noise_level.to(x.dtype), conditioning).to(x.dtype)

        return predict

    def loss(
        self, waveform: Tensor, mel: Tensor, seeds: Sequence[int] | None = None, labels: Tensor | None = None
    ) -> Tensor:
        """Mean error of the predicted noise, one scalar.

        DiffWave: squared error at levels of the discrete training steps (Kong et al. 2021, algorithm 1).
        WaveGrad: absolute error at continuous levels drawn hierarchically (Chen et al. 2021, algorithm 1).
        ``norm`` is the attribute that says which error.

        Args:
            waveform: [B, F * hop].
            mel: [B, M, F].
            seeds: one for each row, so that its level, noise and missing label do not depend on its batch.
            labels: speakers [B] of a vocoder that has them; in training, one in ten is left out.
        """
        diffwave = self.config.network == "diffwave"
        draw = discrete_levels if diffwave else hierarchical_levels
        noise_level, eps = draw_noise(waveform, self.config.schedule, draw, seeds)
        if labels is not None:
            if not self.config.speakers:
                raise DiffvocError(f"{self.name} has no speakers to learn; leave the labels out.")
            labels = labels.to(self.device)
            if self.training:
                labels = drop_labels(labels, self.config.speakers, LABEL_DROPOUT, seeds)
        predict = self.noise_predictor(mel, labels)
        return noise_prediction_loss(predict, waveform, noise_level, norm=self.norm, eps=eps).mean()

    def inference_schedule(self, steps: int) -> NoiseSchedule:
        """The schedule that ``generate`` walks in ``steps`` network evaluations, a tuned one if there is one."""
        training = self.config.schedule
        if steps > training.num_steps:
            raise DiffvocError(
                f"steps={steps} is past the schedule that {self.name} was trained with; "
                f"give at most {training.num_steps}."
            )
        if steps in self.config.inference:
            return NoiseSchedule(self.config.inference[steps])
        return training.respace(steps)

    def _settle(self, **options: Any) -> DiffusionSettings:
        chosen, given = self._options(**options), options.get("speaker")
        speaker = chosen.get("speaker") if given is None else given  # a number, unlike its text, is no name
        return DiffusionSettings(
            self.inference_schedule(chosen.get("steps", 6)),
            chosen.get("sampler", "ddpm"),
            None if speaker is None else self.speaker_number(speaker),
        )

    def _context(self, settings: DiffusionSettings) -> int:
        sizes = self.config.sizes
        return math.ceil(settings.evaluations * sizes.reach / self.config.mel.hop_length) + sizes.mel_reach

    def _synthesise(
        self, window: Window, noise: FrameNoise, settings: DiffusionSettings, carried: None, callback: Callback | None
    ) -> tuple[Tensor, None]:
        rows, _, frames = window.mel.shape
        labels, sampler = self.labels(settings.speaker, rows), SAMPLERS[settings.sampler]
        draw = noise.draws(window.start, frames, self.config.mel.hop_length, settings.evaluations)
        ahead = 0 if self.captures is None else settings.evaluations

        def walk(mel: Tensor, *drawn: Tensor) -> Tensor:
            following = iter(drawn).__next__ if drawn else draw
            denoiser = self.denoiser(mel, labels, window.start)
            return sample(sampler, denoiser, following(), settings.schedule, generator=following, callback=callback)

        key = (settings, window.start if isinstance(self.network, WaveGrad) else 0)
        return self._evaluate(key, walk, [window.mel, *(draw() for _ in range(ahead))], callback), None

    def labels(self, speaker: int | None, rows: int) -> Tensor | None:
        """The labels [rows] of one speaker by number; None for no speaker."""
        return None if speaker is None else torch.full((rows,), speaker, device=self.device)

    def speaker_number(self, speaker: str | int) -> int:
        """The number of a speaker given by name or by number; a text is a name first, even one of digits.

        Raises: DiffvocError for a vocoder without speakers, or without this one.
        """
        return label_number(speaker, self.config.speaker_names, self.config.speakers, "speaker", self.name)
