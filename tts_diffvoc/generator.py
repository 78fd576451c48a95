"""A generator: a noise-predicting network without mel, its training schedule and its labels, together.

B is the batch, T samples. Unconditional and class-conditional generation is that of Kong et al. (2021, sections 5.2 and
5.3), zero-shot denoising and interpolation that of their section 5.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc import zero_shot
from tts_diffvoc.arguments import MOST_STEPS, choice, number, seed, whole
from tts_diffvoc.audio import scale_peaks
from tts_diffvoc.base import AudioModel
from tts_diffvoc.diffusion.objectives import (
    LABEL_DROPOUT,
    DrawLevels,
    discrete_levels,
    draw_noise,
    drop_labels,
    noise_prediction_loss,
)
from tts_diffvoc.diffusion.process import Denoiser, denoiser_from, q_sample
from tts_diffvoc.diffusion.samplers import SAMPLERS, Callback, sample
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.labels import Label, Labels, label_number, one_each
from tts_diffvoc.networks.diffwave import DiffWave, DiffWaveConfig
from tts_diffvoc.preconditioning import MDCT, STFT, precondition, remaining_error, with_gains
from tts_diffvoc.schema import FromJson, Length, Rate

# The least deviation that data are expected to have, about one step of 16-bit audio.
FLOOR = 3e-5


@dataclass(frozen=True)
class GeneratorConfig(FromJson):
    """Everything but the weights.

    Attributes:
        sizes: of the network, which has no mel and as many labels as there are names in ``labels``.
        schedule: the training schedule. It must end near noise for what ``scale`` makes of the data: the published
            200 steps end at a noise level of 0.36, which is near noise for speech as it is, but not at unit deviation.
        sample_rate: samples a second.
        length: samples of a training clip.
        labels: the classes' names; empty for an unconditional generator.
        scale: brings the data to what is diffused: 1 for the published networks, which work on samples, about one over
            the data's deviation for those that work on spectra.
        hop: 0 for the published network; else the network works on short-time spectra of 4 * hop samples, one a hop
            (:mod:`tts_diffvoc.preconditioning`), and has 6 * hop + 3 channels.
        defaults: what ``generate`` does unless told otherwise (steps, seed, sampler, guidance).
    """

    kind = "generator"
    sizes: DiffWaveConfig
    schedule: NoiseSchedule
    sample_rate: Rate
    length: Length
    labels: tuple[str, ...] = ()
    scale: float = 1.0
    hop: int = 0
    defaults: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        if min(self.sample_rate, self.length) < 1 or not 0 < self.scale < math.inf:
            raise DiffvocError(
                f"a sample rate of {self.sample_rate}, clips of {self.length} samples and a scale of {self.scale} were "
                "given; all must be positive."
            )
        self.schedule.check_terminal()
        if self.sizes.n_mels:
            raise DiffvocError(f"a generator has no mel, and its network {self.sizes.n_mels} mel bands; give n_mels=0.")
        if len(set(self.labels)) != len(self.labels) or self.sizes.labels != len(self.labels):
            raise DiffvocError(
                f"the network has {self.sizes.labels} labels and their names are {', '.join(self.labels) or 'none'}; "
                "give one name for each, no two alike."
            )
        if self.hop < 0 or self.hop % 2 or (self.hop and self.length % self.hop):
            raise DiffvocError(
                f"a hop of {self.hop} samples does not fit clips of {self.length}; give 0, or an even divisor."
            )
        channels = 6 * self.hop + 3 if self.hop else 1
        if self.sizes.in_channels != channels:
            raise DiffvocError(
                f"the network has {self.sizes.in_channels} channels; a hop of {self.hop} samples needs {channels}."
            )


def centred(waveform: Tensor, length: int) -> Tensor:
    """``waveform`` [T] with silence at both sides, or its middle, as ``length`` samples."""
    missing = length - len(waveform)
    before = int(missing / 2)  # towards zero, for what is too long too
    return F.pad(waveform, (before, missing - before))


class Generator(AudioModel):
    """Waveforms from noise, with a label or without."""

    GENERATE_OPTIONS: dict[str, Callable[[str], Any]] = {
        "steps": whole(1, MOST_STEPS),
        "seed": seed,
        "sampler": choice(*SAMPLERS),
        "guidance": number(0, 1000, zero=True),
    }

    deviation: Tensor
    denoise = zero_shot.denoise
    interpolate = zero_shot.interpolate

    def __init__(self, config: GeneratorConfig, name: str = "generator") -> None:
        super().__init__(config, name)
        self.network = DiffWave(config.sizes, config.schedule)
        self.mdct = MDCT(config.hop) if config.hop else None
        self.stft = STFT(config.hop) if config.hop else None
        if config.hop:
            # Deviations of the coefficients of encoded training data, see measure().
            self.register_buffer("deviation", torch.ones(config.hop))
            # An untrained correction of the best linear estimate must not be worse than none.
            assert self.network.output_projection.bias is not None
            nn.init.zeros_(self.network.output_projection.bias)

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def length(self) -> int:
        """Samples of a training clip, and of a generated one unless told otherwise."""
        return self.config.length

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes; empty for an unconditional generator."""
        return self.config.labels

    def encode(self, waveform: Tensor) -> Tensor:
        """Waveform [B, T] to what is diffused, [B, T']: T' is the next multiple of the hop, the end mirrored."""
        missing = -waveform.shape[1] % self.config.hop if self.config.hop else 0
        if missing:
            mode = "reflect" if missing < waveform.shape[1] else "constant"
            waveform = F.pad(waveform, (0, missing), mode=mode)
        return waveform * self.config.scale

    def decode(self, x: Tensor) -> Tensor:
        """The inverse of :meth:`encode`; a row whose peak is above 1 is scaled to 1, with a warning."""
        return scale_peaks(x / self.config.scale, self.name)

    @torch.no_grad()
    def measure(self, waveforms: Tensor) -> None:
        """Set ``deviation`` of a generator on spectra to the root mean squares over ``waveforms`` [N, T].

        Once, before training: the network learns what these deviations leave open.
        """
        if self.mdct is None:
            raise DiffvocError(f"{self.name} works on samples and expects no deviations; measure one that has a hop.")
        power, count = torch.zeros_like(self.deviation, dtype=torch.float64), 0
        for part in waveforms.split(64):
            coefficients = self.mdct(self.encode(part.to(self.deviation)))
            power += coefficients.double().square().sum((0, 2))
            count += coefficients.shape[0] * coefficients.shape[2]
        self.deviation.copy_((power / count).sqrt().clamp_min(FLOOR * self.config.scale))

    def indices(self, label: Labels, count: int) -> Tensor | None:
        """Labels [count] as the network takes them, given by name or number, one for all or one each.

        None is no label, whose index is the number of names; an unconditional generator gives None for it.

        Raises: DiffvocError for labels that the generator does not have, or of another number.
        """
        if label is None and not self.labels:
            return None
        given, names = one_each(label, count), self.labels
        if len(given) != count:
            raise DiffvocError(f"{len(given)} labels were given for {count} clips; give one, or one for each.")
        known = len(names)
        found = [known if one is None else label_number(one, names, known, "label", self.name) for one in given]
        return torch.tensor(found, device=self.device)

    def denoiser(self, labels: Tensor | None = None, guidance: float = 0) -> Denoiser:
        """The function (x [B, T], noise_level [B]) -> x0 [B, T] that samplers see.

        A network on spectra is preconditioned with ``deviation`` (:mod:`tts_diffvoc.preconditioning`).

        Args:
            labels: [B], as :meth:`indices` makes them; None for no label.
            guidance: weight w of classifier-free guidance, eps = (1 + w) eps(label) - w eps(no label), both from one
                call of the network (Ho and Salimans 2022, equation 6).
        """
        predict = self._prediction(labels, guidance)
        if self.mdct is None or self.stft is None:
            return denoiser_from(predict)
        # Guidance is linear, and the linear estimate the same with a label and without: so it guides eps as well.
        return precondition(with_gains(predict), self.deviation.square().reshape(1, -1, 1), self.mdct, self.stft)

    def _prediction(self, labels: Tensor | None, guidance: float = 0) -> Denoiser:
        """What the network itself answers to (x, noise_level): the noise, or a correction of spectra."""
        if guidance:
            if labels is None:
                raise DiffvocError(f"guidance={guidance} leads from no label towards one; give {self.name} a label.")
            labels = torch.cat([labels, torch.full_like(labels, self.network.no_label)])
        with self._mixed():
            conditioning = self.network.condition(labels=labels)

        def predict(x: Tensor, noise_level: Tensor) -> Tensor:
            noise_level = noise_level.to(x.dtype)
            with self._mixed():
                if not guidance:
                    return self.network(x, noise_level, conditioning).to(x.dtype)
                both = self.network(torch.cat([x, x]), torch.cat([noise_level, noise_level]), conditioning)
            with_label, without = both.to(x.dtype).chunk(2)
            return (1 + guidance) * with_label - guidance * without

        return predict

    def loss(
        self,
        waveform: Tensor,
        labels: Tensor | Sequence[Label] | None = None,
        seeds: Sequence[int] | None = None,
        draw: DrawLevels = discrete_levels,
    ) -> Tensor:
        """Mean squared error of the predicted noise at discrete levels (Kong et al. 2021, algorithm 1), one scalar.

        On spectra it is the error of clean data, which is as much, divided by what the best linear estimate leaves at
        that level, so that no level drowns the others: 1 before training, and below is what the network has learnt.

        Args:
            waveform: [B, T]; T is a multiple of the hop.
            labels: [B] of a generator that has them; in training, one in ten is left out.
            seeds: one for each row, so that its level, noise and missing label do not depend on its batch.
            draw: how levels are drawn; evenly from the schedule unless told otherwise.
        """
        x0 = self.encode(waveform.to(self.device))
        noise_level, eps = draw_noise(x0, self.config.schedule, draw, seeds=seeds)
        indices = self.indices(labels, x0.shape[0])
        if labels is not None and indices is not None and self.training:
            indices = drop_labels(indices, self.network.no_label, LABEL_DROPOUT, seeds=seeds)
        if not self.config.hop:
            return noise_prediction_loss(self._prediction(indices), x0, noise_level, eps=eps).mean()
        error = self.denoiser(indices)(q_sample(x0, noise_level, eps), noise_level) - x0
        return (error.square().mean(1) / remaining_error(self.deviation.square(), noise_level)).mean()

    @torch.inference_mode()
    def generate(
        self,
        count: int | None = None,
        label: Labels = None,
        steps: int | None = None,
        sampler: str | None = None,
        seed: int | None = None,
        guidance: float | None = None,
        length: int | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """New waveforms [count, length] in [-1, 1], from noise.

        Args:
            count: how many; by default one for each label.
            label: name or number of the class, one for all or a sequence of one each; None for none.
            steps: network evaluations; by default as many as in training.
            sampler: one of ``tts_diffvoc.diffusion.samplers.SAMPLERS``.
            seed: the same seed and count give the same samples on one device; None draws a new one.
            guidance: weight of classifier-free guidance, 0 for none; larger ones are more typical of the label.
            length: samples, by default those of a training clip.
            callback: called as (step, x, x0) after each step.

        Raises: DiffvocError for labels that the generator does not know and for bad options.
        """
        count = len(one_each(label)) if count is None else count
        length = self.length if length is None else length
        if min(count, length) < 1:
            raise DiffvocError(f"{count} clips of {length} samples were asked for; give at least 1 of 1.")
        labels = None if label is None else self.indices(label, count)
        options = self._options(steps=steps, sampler=sampler, guidance=guidance)
        schedule = self.inference_schedule(options.get("steps", self.config.schedule.num_steps))
        # Where there is nothing to guide to, guidance by default is none.
        weight = options.get("guidance", 0.0) if label is not None or guidance else 0.0
        generator = self._random(seed)
        size = -(-length // self.config.hop) * self.config.hop if self.config.hop else length
        x = torch.randn(count, size, generator=generator).to(self.device)
        taken = SAMPLERS[options.get("sampler", "ddpm")]
        x = sample(taken, self.denoiser(labels, weight), x, schedule, generator=generator, callback=callback)
        return self.decode(x)[:, :length]

    def inference_schedule(self, steps: int) -> NoiseSchedule:
        """The schedule that ``generate`` walks in ``steps`` network evaluations."""
        return self.config.schedule.respace(steps)

    def check_options(self, options: dict[str, Any]) -> None:
        """Raise DiffvocError for more steps than the schedule has, and for guidance without labels."""
        self.inference_schedule({**self.defaults, **options}.get("steps", 1))
        if options.get("guidance") and not self.labels:
            raise DiffvocError(f"{self.name} has no labels to guide towards; leave guidance out.")
