"""What the page of a generator presents: sounds that it makes, and recordings of the corpus beside them.

Nothing is chosen by ear. Generated samples are the first of their seeds, and the recordings are drawn with the page's
seed from those that training never heard.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import Generator
from tts_diffvoc_eval.generation.classifier import Classifier
from tts_diffvoc_eval.generation.datasets import DigitCorpus, fit
from tts_diffvoc_eval.generation.denoising import add_white_noise, si_sdr
from tts_diffvoc_eval.generation.systems import GeneratorSystem

FRAMES = 40  # of the film
STAGES = 6  # of the film that can be played
DENOISED = 4  # recordings with noise


@dataclass(frozen=True, eq=False)
class Sample:
    """A sound of the page.

    Attributes:
        name: of its files, without suffix.
        samples: [T] float32, exactly what its 16-bit file holds.
        title: what it is, in few words.
        p: class probabilities [C].
        asked: the label that it should have; None where there is none.
        source: of a recording, its file in the corpus.
        note: a line below it.
    """

    name: str
    samples: np.ndarray
    title: str
    p: np.ndarray
    asked: int | None = None
    source: str | None = None
    note: str | None = None

    @property
    def label(self) -> int:
        """The most probable label."""
        return int(self.p.argmax())

    @property
    def confidence(self) -> float:
        return float(self.p.max())

    @property
    def right(self) -> bool | None:
        """Whether the classifier agrees with the label asked for; None where there is none."""
        return None if self.asked is None else self.label == self.asked


@dataclass(frozen=True)
class Film:
    """The reverse process of one clip: (steps done, noise level, waveform [T]) of each frame, some of them samples."""

    label: int
    steps: int
    states: list[tuple[int, float, np.ndarray]]
    stages: list[Sample]


@dataclass(frozen=True)
class Interpolation:
    """Two recordings of one digit, and points between them."""

    label: int
    t: int
    level: float
    steps: int
    ends: tuple[Sample, Sample]
    points: list[Sample]


@dataclass(frozen=True)
class Denoised:
    """Rows of clean, noisy, denoised in one step, denoised in many."""

    noise: float
    level: float
    steps: int
    rows: list[list[Sample]]


def quantised(samples: Any) -> np.ndarray:
    """``samples`` clipped and rounded as in a 16-bit file, float32."""
    integers = np.round(np.asarray(samples, dtype=np.float64) * 32768)
    return (integers.clip(-32768, 32767) / 32768).astype(np.float32)


def spread(count: int, most: int) -> list[int]:
    """At most ``most`` of the places 0 to ``count - 1``, evenly spread, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, count - 1, most)})


class SampleMaker:
    """Makes everything that the page presents.

    Args:
        corpus: the recordings. classifier: which classifies all sounds.
        system: the generator with labels, at its usual settings. model: the same generator.
        seed: of everything.
    """

    def __init__(
        self, corpus: DigitCorpus, classifier: Classifier, system: GeneratorSystem, model: Generator, seed: int
    ) -> None:
        self.corpus, self.classifier, self.system, self.model, self.seed = corpus, classifier, system, model, seed
        self.labels = classifier.labels

    def _samples(
        self, names: Iterable[str], sounds: Any, titles: Iterable[str], asked: Iterable[int | None]
    ) -> list[Sample]:
        """``sounds`` [N, T'] fitted to the corpus's length and classified."""
        waveforms = torch.as_tensor(sounds).float().cpu().numpy()
        samples = quantised(np.stack([fit(row, self.corpus.length) for row in waveforms]))
        p, _ = self.classifier.classify(samples)
        return [Sample(*parts) for parts in zip(names, samples, titles, p, asked)]

    def _recording(self, index: int, prefix: str) -> Sample:
        held = self.corpus.held
        sound, asked = held.waveforms[index : index + 1], [int(held.labels[index])]
        (sample,) = self._samples([f"{prefix}-{index:04}"], sound, ["recorded"], asked)
        return replace(sample, source=held.names[index])

    def _draw(self, part: int) -> np.random.Generator:
        """For one part of the page, whatever the others draw."""
        return np.random.default_rng([self.seed, part])

    def _held(self, label: int | None = None, speaker: str | None = None) -> list[int]:
        """Places of the held-back clips with a label or speaker."""
        held = self.corpus.held
        each = enumerate(zip(held.labels.tolist(), held.speakers))
        return [i for i, (a, b) in each if label in (None, a) and speaker in (None, b)]

    def grid(self, columns: int) -> list[list[Sample]]:
        """A row for each label: a sample of each of the first ``columns`` seeds, and a recording.

        Raises: DiffvocError where no held-back clip has a label.
        """
        count = len(self.labels)
        columns_made = []
        for seed in range(self.seed, self.seed + columns):
            made = self.system.generate(count, seed, list(range(count)))
            names = [f"said-{label}-seed-{seed}" for label in range(count)]
            columns_made.append(self._samples(names, made, [f"seed {seed}"] * count, range(count)))
        rows, draw = [list(row) for row in zip(*columns_made)], self._draw(1)
        for label, row in enumerate(rows):
            recordings = self._held(label)
            if not recordings:
                raise DiffvocError(f"no held-back clip of {self.corpus.name} has the label {self.labels[label]}.")
            row.append(self._recording(int(draw.choice(recordings)), "recorded"))
        return rows

    def row(self, system: GeneratorSystem, count: int) -> list[Sample]:
        """The first ``count`` samples of a generator without labels."""
        names = [f"{system.name}-{number}" for number in range(count)]
        titles = [f"clip {number + 1}" for number in range(count)]
        return self._samples(names, system.generate(count, self.seed, None), titles, [None] * count)

    def film(self) -> Film:
        """The reverse process of one sample, with a label that the seed draws and at least as many steps as frames.

        No state is louder than the last one.
        """
        steps = max(self.system.steps or 1, min(FRAMES, self.model.config.schedule.num_steps))
        levels = [1.0, *self.model.inference_schedule(steps).noise_levels.tolist()]
        label, states = int(self._draw(2).integers(len(self.labels))), {}
        shown = set(spread(steps, FRAMES))

        def keep(step: int, x: Tensor, x0: Tensor) -> None:
            if step in shown:
                states[step] = fit(self.model.decode(x)[0].float().cpu().numpy(), self.corpus.length)

        options = {"steps": steps, "sampler": self.system.sampler, "guidance": self.system.guidance, "seed": self.seed}
        self.model.generate(1, label=label, callback=keep, **options)
        loudest = float(np.abs(states[max(states)]).max())
        gains = {step: min(1.0, loudest / max(float(np.abs(x).max()), 1e-9)) for step, x in states.items()}
        frames = [
            (step + 1, levels[steps - step - 1], quantised(gains[step] * states[step])) for step in sorted(states)
        ]
        chosen = [frames[place] for place in spread(len(frames), STAGES)]
        stages = self._samples(
            [f"step-{step:03}" for step, _, _ in chosen],
            np.stack([x for _, _, x in chosen]),
            [f"step {step} of {steps}" for step, _, _ in chosen],
            [*[None] * (len(chosen) - 1), label],
        )
        notes = [f"noise level {level:.3f}" for _, level, _ in chosen]
        return Film(label, steps, frames, [replace(one, note=note) for one, note in zip(stages, notes)])

    def interpolation(self, t: int, points: int) -> Interpolation:
        """Between two speakers of one digit, mixed at step ``t``; the seed draws all three.

        Raises: DiffvocError where no digit has two speakers, or for a step that the schedule does not have.
        """
        held, draw, level = self.corpus.held, self._draw(3), self.model.entry_level(t)
        for label in draw.permutation(len(self.labels)).tolist():
            speakers = sorted({held.speakers[i] for i in self._held(label)})
            if len(speakers) > 1:
                break
        else:
            raise DiffvocError(f"no digit has two speakers in the held-back clips of {self.corpus.name}.")
        two = [speakers[i] for i in draw.permutation(len(speakers))[:2]]
        first, last = (self._recording(self._held(label, one)[0], "end") for one in two)
        a, b = (torch.from_numpy(one.samples) for one in (first, last))
        made = self.model.interpolate(a, b, t, points, seed=self.seed, label=label)
        names = [f"between-{number:02}" for number in range(points)]
        titles = [f"{round(100 * number / (points - 1))}\xa0%" for number in range(points)]
        steps = self.model.schedule_from(level).num_steps
        return Interpolation(
            label, t, level, steps, (first, last), self._samples(names, made, titles, [label] * points)
        )

    def denoised(self, noise: float) -> Denoised:
        """Recordings of different speakers with noise, denoised in one step and in many, and their SI-SDR.

        Noisy sounds are clipped to full scale first, as in a file.

        Raises: DiffvocError for noise beyond the schedule's.
        """
        level = self.model.entry_level(noise=noise)
        steps = self.model.schedule_from(level).num_steps
        clean = [self._recording(index, "clean") for index in self._of_different_speakers(DENOISED)]
        target = torch.from_numpy(np.stack([one.samples for one in clean]))
        asked = [one.asked for one in clean]
        noisy = quantised(add_white_noise(target, [""] * len(clean), noise, relative=False, seed=self.seed).noisy)
        given = torch.from_numpy(noisy)
        versions = {
            "noisy": ("with noise", noisy),
            "one": ("1 step", self.model.denoise(given, noise=noise, steps=1)),
            "many": (f"{steps} step{'s' if steps > 1 else ''}", self.model.denoise(given, noise=noise, seed=self.seed)),
        }
        rows = [[replace(one, note="clean: SI-SDR has no limit")] for one in clean]
        for version, (title, sounds) in versions.items():
            names = [one.name.replace("clean", version) for one in clean]
            made = self._samples(names, sounds, [title] * len(clean), asked)
            ratios = si_sdr(torch.from_numpy(np.stack([one.samples for one in made])), target).tolist()
            for row, sample, ratio in zip(rows, made, ratios):
                decibels = f"{ratio:.1f}".replace("-", "−")
                row.append(replace(sample, note=f"SI-SDR {decibels} dB"))
        return Denoised(noise, level, steps, rows)

    def _of_different_speakers(self, count: int) -> list[int]:
        """Places of held-back clips, each of another speaker and, if possible, another digit."""
        held, draw, digits, found = self.corpus.held, self._draw(5), set(), []
        for speaker in draw.permutation(sorted(set(held.speakers)))[:count].tolist():
            own = self._held(speaker=speaker)
            found.append(int(draw.choice([i for i in own if int(held.labels[i]) not in digits] or own)))
            digits.add(int(held.labels[found[-1]]))
        return found
