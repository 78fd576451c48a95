"""A generator: a noise-predicting network without mel, its training schedule and its labels, together.

B is the batch, T samples. Unconditional and class-conditional generation is that of Kong et al. (2021, sections 5.2 and
5.3), zero-shot denoising and interpolation that of their section 5.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from numbers import Integral
from statistics import NormalDist
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.audio import scale_peaks
from tts_diffvoc.base import AudioModel, parse_choice, parse_seed, parse_steps
from tts_diffvoc.diffusion.objectives import (
    LABEL_DROPOUT,
    DrawLevels,
    discrete_levels,
    draw_noise,
    drop_labels,
    noise_prediction_loss,
)
from tts_diffvoc.diffusion.process import Denoiser, denoiser_from, q_sample
from tts_diffvoc.diffusion.samplers import SAMPLERS
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.networks.diffwave import DiffWave, DiffWaveConfig
from tts_diffvoc.preconditioning import MDCT, STFT, precondition, remaining_error, with_gains
from tts_diffvoc.schema import FromJson, Length, Rate

Callback = Callable[[int, Tensor, Tensor], None]
Label = str | int | None
Labels = Label | Sequence[Label] | Tensor
# The least deviation that data are expected to have, about one step of 16-bit audio.
FLOOR = 3e-5
# Of a clip's frames of 20 ms, the share that is taken for noise alone.
QUIET = 0.1


def parse_guidance(text: str) -> float:
    """A weight of classifier-free guidance from text, at least 0."""
    try:
        weight = float(text)
    except ValueError:
        weight = -1.0
    if not 0 <= weight < math.inf:
        raise DiffvocError(f"guidance={text} is no weight; give 0 for none, or for example guidance=1.")
    return weight


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
            (:mod:`tts_diffvoc.preconditioning`). With 4 * hop + 2 channels it sees them and corrects them; with
            6 * hop + 3 it sees each bin's power as well, and also answers with a gain for each bin.
        defaults: what ``generate`` does unless told otherwise (steps, seed, sampler, guidance).
    """

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
        fitting = (4 * self.hop + 2, 6 * self.hop + 3) if self.hop else (1,)
        if self.sizes.in_channels not in fitting:
            raise DiffvocError(
                f"the network has {self.sizes.in_channels} channels; a hop of {self.hop} samples needs "
                f"{' or '.join(map(str, fitting))}."
            )

    @property
    def gains(self) -> bool:
        """Whether a network on spectra sees powers and answers with gains."""
        return self.hop > 0 and self.sizes.in_channels == 6 * self.hop + 3

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            **values,
            "sizes": asdict(self.sizes),
            "schedule": self.schedule.to_dict(),
            "labels": list(self.labels),
            "defaults": dict(self.defaults),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GeneratorConfig:
        """Read what :meth:`to_dict` wrote; DiffvocError names what is missing or unknown."""
        if "schedule" in values:
            values = {**values, "schedule": {"betas": NoiseSchedule.from_dict(values["schedule"]).betas}}
        return super().from_dict(values)


def is_one(label: Any) -> bool:
    """Whether ``label`` is one label, or none, and no sequence of them."""
    return label is None or isinstance(label, (str, Integral))


def estimate_noise(waveform: Tensor, sample_rate: int) -> float:
    """The deviation of the noise in ``waveform`` [T], from its quietest frames; 0 where there is none.

    A tenth of all frames of 20 ms is taken for noise alone. The quietest frames of noise are quieter than noise, which
    is put right as for normal deviates: the power of n samples has a deviation of sqrt(2 / n) of itself. Digital
    silence at the ends, with which clips are padded, does not count.
    """
    heard = waveform.nonzero()
    if not len(heard):
        return 0.0
    waveform = waveform[int(heard[0]) : int(heard[-1]) + 1].double()
    size = min(max(round(0.02 * sample_rate), 1), len(waveform))
    power = waveform.unfold(-1, size, size).var(-1, correction=0).sort().values
    quiet = power[: max(round(QUIET * len(power)), 1)].mean()
    normal = NormalDist()
    bias = normal.pdf(normal.inv_cdf(QUIET)) / QUIET * math.sqrt(2 / size)
    return math.sqrt(float(quiet) / max(1 - bias, 0.1))


class Generator(AudioModel):
    """Waveforms from noise, with a label or without."""

    GENERATE_OPTIONS: dict[str, Callable[[str], Any]] = {
        "steps": parse_steps,
        "seed": parse_seed,
        "sampler": parse_choice("sampler", tuple(SAMPLERS)),
        "guidance": parse_guidance,
    }

    deviation: Tensor

    def __init__(self, config: GeneratorConfig, name: str = "generator") -> None:
        super().__init__(config, name)
        self.network = DiffWave(config.sizes, config.schedule)
        self.mdct = MDCT(config.hop) if config.hop else None
        self.stft = STFT(4 * config.hop, config.hop) if config.hop else None
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
        """Waveform [B, T] to what is diffused, [B, T]."""
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
        for part in self._padded(waveforms).split(64):
            coefficients = self.mdct(self.encode(part.to(self.deviation)))
            power += coefficients.double().square().sum((0, 2))
            count += coefficients.shape[0] * coefficients.shape[2]
        self.deviation.copy_((power / count).sqrt().clamp_min(FLOOR * self.config.scale))

    def indices(self, label: Labels, count: int) -> Tensor | None:
        """Labels [count] of the network from names or numbers, one for all or one each; None for an unconditional one.

        None among them is no label.

        Raises: DiffvocError for labels that this generator does not know, or of another number.
        """
        if isinstance(label, Tensor):
            label = label.tolist()
        if label is not None and not self.labels:
            raise DiffvocError(f"{self.name} has no labels; leave the label out.")
        if not self.labels:
            return None
        each: list[Any] = [label] * count if is_one(label) else list(label)  # type: ignore[arg-type]
        if len(each) != count:
            raise DiffvocError(f"{len(each)} labels were given for {count} clips; give one, or one for each.")
        return torch.tensor([self._index(one) for one in each], device=self.device)

    def _index(self, label: Label) -> int:
        if label is None:
            return self.network.no_label
        if isinstance(label, str) and label in self.labels:
            return self.labels.index(label)
        if isinstance(label, Integral) and 0 <= int(label) < len(self.labels):
            return int(label)
        raise DiffvocError(
            f"{self.name} knows no label {label!r}; its labels are {', '.join(self.labels)}, or 0 to "
            f"{len(self.labels) - 1}."
        )

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
        network = with_gains(predict) if self.config.gains else predict
        # Guidance is linear, and the linear estimate the same with a label and without: so it guides eps as well.
        return precondition(network, self.deviation.square().reshape(1, -1, 1), self.mdct, self.stft)

    def _prediction(self, labels: Tensor | None, guidance: float = 0) -> Denoiser:
        """What the network itself answers to (x, noise_level): the noise, or a correction of spectra."""
        if guidance and labels is None:
            raise DiffvocError(f"guidance={guidance} leads away from no label towards one; give {self.name} a label.")
        if guidance and labels is not None:
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
        if count is None:
            count = 1 if is_one(label) else len(label)  # type: ignore[arg-type]
        length = self.length if length is None else length
        if min(count, length) < 1:
            raise DiffvocError(f"{count} clips of {length} samples were asked for; give at least 1 of 1.")
        labels = self.indices(label, count)
        schedule = self.inference_schedule(self._option("steps", steps, self.config.schedule.num_steps))
        weight = self._option("guidance", guidance, 0.0)
        if label is None:  # where there is nothing to guide to, guidance by default is none
            labels, weight = None, weight if guidance else 0.0
        generator = self._random(seed)
        size = -(-length // self.config.hop) * self.config.hop if self.config.hop else length
        x = torch.randn(count, size, generator=generator).to(self.device)
        sample = SAMPLERS[self._option("sampler", sampler, "ddpm")]
        x = sample(self.denoiser(labels, weight), x, schedule, generator=generator, callback=callback)
        return self.decode(x)[:, :length]

    def inference_schedule(self, steps: int) -> NoiseSchedule:
        """The schedule that ``generate`` walks in ``steps`` network evaluations."""
        training = self.config.schedule
        if steps > training.num_steps:
            raise DiffvocError(
                f"steps={steps} is past the schedule that {self.name} was trained with; "
                f"give at most {training.num_steps}."
            )
        return training.respace(steps)

    def check_options(self, options: dict[str, Any]) -> None:
        """Raise DiffvocError for more steps than the schedule has, and for guidance without labels."""
        self.inference_schedule({**self.defaults, **options}.get("steps", 1))
        if options.get("guidance") and not self.labels:
            raise DiffvocError(f"{self.name} has no labels to guide towards; leave guidance out.")

    @torch.inference_mode()
    def denoise(
        self,
        waveform: Tensor,
        t: int | None = None,
        noise: float | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        seed: int | None = None,
        label: Labels = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Take noise off ``waveform`` [B, T] by the reverse process, which the generator was never trained to do.

        Zero-shot denoising (Kong et al. 2021, section 5.4): a noisy clip enters the reverse process as if it were the
        state at step t. The state is x = a x0 + s eps, so a clip with noise of deviation s / a, in units of
        :meth:`encode`, is that state once it is multiplied by a. The level is that of ``t``, or the one where this
        holds for ``noise``.

        With the default sampler, "ddim", the result is determined by the clip. In one step it is the posterior mean,
        the estimate of least mean squared error; in many it is as rich as clean data, at some cost in that error.

        Args:
            t: step of the training schedule, counted from 1 for the cleanest as in the paper.
            noise: deviation of the noise in the waveform. If neither is given it is estimated, clip by clip, from the
                quietest frames (:func:`estimate_noise`).
            steps: network evaluations from there to clean data; by default all steps of the training schedule.
            sampler: as in :meth:`generate`.
            seed: of the noise that a sampler adds.
            label: what is said, for a generator that has labels; None for not known.
            callback: called as (step, x, x0) after each step.

        Returns: [B, T] in [-1, 1].
        """
        waveform = self.check_waveform(waveform)
        if t is not None and noise is not None:
            raise DiffvocError(f"both t={t} and noise={noise} were given; each alone says where to begin.")
        if t is None and noise is None and len(waveform) > 1:
            labels = self.indices(label, len(waveform))
            rows = [None] * len(waveform) if labels is None else [self._name(i) for i in labels.tolist()]
            options: dict[str, Any] = {"steps": steps, "sampler": sampler, "seed": seed, "callback": callback}
            return torch.cat([self.denoise(w[None], label=row, **options) for w, row in zip(waveform, rows)])
        level = self.entry_level(t, noise, waveform[0])
        x = level * self.encode(self._padded(waveform))
        return self._reverse(x, level, waveform.shape[1], steps, sampler, self._random(seed), label, callback)

    def entry_level(self, t: int | None = None, noise: float | None = None, waveform: Tensor | None = None) -> float:
        """The noise level at which a noisy clip enters the reverse process, see :meth:`denoise`.

        Raises: DiffvocError for a step that the schedule has not, and for noise louder than any in training.
        """
        levels = self.config.schedule.noise_levels
        if t is not None:
            if not 1 <= t <= len(levels):
                raise DiffvocError(f"t={t} is no step of {self.name}'s schedule; give 1 to {len(levels)}.")
            return float(levels[t - 1])
        cleanest, noisiest = float(levels[0]), float(levels[-1])
        if noise is None:
            if waveform is None:
                raise DiffvocError("neither t, noise nor a waveform was given; one must say where to begin.")
            level = self._level(estimate_noise(waveform, self.sample_rate))
            return min(max(level, noisiest), cleanest)
        level = self._level(noise) if noise > 0 else math.nan
        if not level >= noisiest:
            raise DiffvocError(
                f"noise={noise} was given; {self.name} knows noise up to a deviation of "
                f"{self.noise_deviation(noisiest):.3g}, which must be above 0."
            )
        return min(level, cleanest)

    def _level(self, noise: float) -> float:
        return 1 / math.hypot(1, noise * self.config.scale)

    def noise_deviation(self, level: float) -> float:
        """The deviation of the noise, in units of the waveform, at a noise level: s / a over the scale."""
        return math.sqrt(1 - level * level) / level / self.config.scale

    @torch.inference_mode()
    def interpolate(
        self,
        a: Tensor,
        b: Tensor,
        t: int,
        points: int = 11,
        steps: int | None = None,
        sampler: str | None = None,
        seed: int | None = None,
        label: Labels = None,
        same_noise: bool = True,
        callback: Callback | None = None,
    ) -> Tensor:
        """Clips between ``a`` [T] and ``b`` [T], mixed at step ``t``, [points, T] (Kong et al. 2021, section 5.4).

        Both are noised to step t, mixed there with weights l from 0 to 1, x = (1 - l) x_a + l x_b, and all mixtures
        led back to clean data.

        Args:
            t: as in :meth:`denoise`; the larger, the freer the generator is.
            points: how many, the two ends with them.
            steps, sampler, label, callback: as in :meth:`denoise`.
            seed: of the noise; the same seed gives the same clips.
            same_noise: both ends get the same noise, so that mixtures hold as much noise as step t has. Two noises of
                their own cancel in part: half and half is left with 0.71 of the deviation.
        """
        a, b = self.check_waveform(a), self.check_waveform(b)
        if a.shape != b.shape or len(a) != 1:
            raise DiffvocError(f"clips of shape {list(a.shape)} and {list(b.shape)} were given; give [T] both, alike.")
        if points < 2:
            raise DiffvocError(f"{points} points were asked for; give at least 2, which are the ends.")
        level, generator, length = self.entry_level(t), self._random(seed), a.shape[1]
        ends = self.encode(self._padded(torch.cat([a, b])))
        eps = torch.randn(2, ends.shape[1], generator=generator).to(ends)
        eps = eps[:1].expand(2, -1) if same_noise else eps
        noised = q_sample(ends, torch.full((2,), level, dtype=torch.float64), eps)
        weight = torch.linspace(0, 1, points).unsqueeze(1).to(noised)
        x = (1 - weight) * noised[:1] + weight * noised[1:]
        return self._reverse(x, level, length, steps, sampler, generator, label, callback)

    def _reverse(
        self,
        x: Tensor,
        level: float,
        length: int,
        steps: int | None,
        sampler: str | None,
        generator: torch.Generator,
        label: Labels,
        callback: Callback | None,
    ) -> Tensor:
        """From the state ``x`` [B, T] at a noise level to waveforms [B, length]."""
        sample = SAMPLERS[self.GENERATE_OPTIONS["sampler"](sampler or "ddim")]
        schedule = self.schedule_from(level, steps)
        denoiser = self.denoiser(self.indices(label, len(x)))
        return self.decode(sample(denoiser, x, schedule, generator=generator, callback=callback))[:, :length]

    def schedule_from(self, level: float, steps: int | None = None) -> NoiseSchedule:
        """The schedule from a noise level to clean data.

        Args:
            level: within the training schedule.
            steps: network evaluations; None for the training schedule's own levels above ``level``, and ``level``.
        """
        training = self.config.schedule
        if steps is not None:
            steps = self.GENERATE_OPTIONS["steps"](str(steps))
            self.inference_schedule(steps)  # refuses too many
        cleaner = [one for one in training.noise_levels.tolist() if one > level + 1e-9]
        if steps is None or not cleaner:
            return NoiseSchedule.from_noise_levels([*cleaner, level])
        return training.between(level, steps)

    def _name(self, index: int) -> Label:
        return None if index == self.network.no_label else index

    def _padded(self, waveform: Tensor) -> Tensor:
        """``waveform`` [B, T] with T made a multiple of the hop; what is added is the end mirrored, its noise too."""
        short = -waveform.shape[1] % self.config.hop if self.config.hop else 0
        if not short:
            return waveform
        mirrored = short < waveform.shape[1]
        return F.pad(waveform, (0, short), mode="reflect" if mirrored else "constant")
