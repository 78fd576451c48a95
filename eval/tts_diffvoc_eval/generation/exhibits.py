"""What the page of a generator shows: sounds that it makes, and recordings of the corpus beside them.

Nothing is chosen by ear. Generated clips are the first of their seeds, and which recordings are taken is drawn with
the page's seed from those that training never heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import Generator
from tts_diffvoc_eval.generation.classifier import Classifier
from tts_diffvoc_eval.generation.contestants import Contestant
from tts_diffvoc_eval.generation.corpus import Corpus, fit
from tts_diffvoc_eval.generation.denoising import add_white_noise, si_sdr

FRAMES = 40  # of the film
STAGES = 6  # of its way that can be heard
CLEANED = 4  # clips that are noised and cleaned


@dataclass(frozen=True, eq=False)
class Clip:
    """A sound of the page.

    Attributes:
        name: of its files, without suffix.
        samples: [T] float32, to the last bit what its 16-bit file holds.
        title: what it is, in few words.
        p: class probabilities [C].
        asked: the label that it should say; None where there is none.
        source: of a recording, its file in the corpus.
        si_sdr: dB against the clean clip, see :func:`generation.denoising.si_sdr`.
    """

    name: str
    samples: np.ndarray
    title: str
    p: np.ndarray
    asked: int | None = None
    source: str | None = None
    si_sdr: float | None = None

    @property
    def heard(self) -> int:
        """The label that the classifier hears."""
        return int(self.p.argmax())

    @property
    def confidence(self) -> float:
        return float(self.p.max())

    @property
    def right(self) -> bool | None:
        """Whether it is heard as what was asked for; None where nothing was."""
        return None if self.asked is None else self.heard == self.asked


@dataclass(frozen=True)
class Film:
    """The way from noise to one clip.

    Attributes:
        label: what is said. steps: network evaluations.
        states: (steps done, noise level, waveform [T]) of each frame; the level is the weight of the clean clip.
        stages: some of them, to be heard.
    """

    label: int
    steps: int
    states: list[tuple[int, float, np.ndarray]]
    stages: list[Clip]


@dataclass(frozen=True)
class Between:
    """Two recordings of one digit and what lies between: ends[0], points, ends[1]."""

    label: int
    t: int
    level: float
    steps: int
    ends: tuple[Clip, Clip]
    points: list[Clip]


@dataclass(frozen=True)
class Cleaned:
    """Rows of clean, noisy, denoised in one step, denoised in many."""

    noise: float
    level: float
    steps: int
    rows: list[list[Clip]]


def kept(samples: Any) -> np.ndarray:
    """``samples`` cut to full scale and rounded as a 16-bit file keeps them, float32."""
    whole = np.round(np.asarray(samples, dtype=np.float64) * 32768)
    return (whole.clip(-32768, 32767) / 32768).astype(np.float32)


def states_shown(steps: int, most: int) -> list[int]:
    """Which of ``steps`` states are shown, from 0, at most ``most``, the first and the last with them."""
    return sorted({round(one) for one in np.linspace(0, steps - 1, most)})


class Studio:
    """Makes everything that the page shows.

    Args:
        data: the corpus. classifier: who judges. one: the generator with labels, as it usually generates.
        model: the same, for what a contestant cannot be asked. seed: of everything.
    """

    def __init__(self, data: Corpus, classifier: Classifier, one: Contestant, model: Generator, seed: int) -> None:
        self.data, self.classifier, self.one, self.model, self.seed = data, classifier, one, model, seed
        self.labels = classifier.labels

    def _clips(
        self, names: Iterable[str], sounds: Any, titles: Iterable[str], asked: Iterable[int | None]
    ) -> list[Clip]:
        """``sounds`` [N, T'] as clips of the corpus's length, judged."""
        rows = np.stack([fit(row, self.data.length) for row in torch.as_tensor(sounds).float().cpu().numpy()])
        samples = kept(rows)
        p, _ = self.classifier.classify(samples)
        return [Clip(*parts) for parts in zip(names, samples, titles, p, asked)]

    def _recorded(self, index: int, prefix: str) -> Clip:
        """A held-back clip, by its place."""
        held = self.data.held
        sounds, asked = held.waveforms[index : index + 1], [int(held.labels[index])]
        (clip,) = self._clips([f"{prefix}-{index:04}"], sounds, ["recorded"], asked)
        return replace(clip, source=held.names[index])

    def _draw(self, salt: int) -> np.random.Generator:
        """Draws for one part of the page, the same whatever the others draw."""
        return np.random.default_rng([self.seed, salt])

    # Samples

    def seeds(self, columns: int) -> list[int]:
        return list(range(self.seed, self.seed + columns))

    def grid(self, columns: int) -> list[list[Clip]]:
        """A row for each label: a clip of each of the first ``columns`` seeds, and a recording.

        Raises: DiffvocError where no held-back clip says a label.
        """
        count = len(self.labels)
        rows: list[list[Clip]] = [[] for _ in range(count)]
        for seed in self.seeds(columns):
            made = self.one.make(count, seed, list(range(count)))
            names = [f"said-{label}-seed-{seed}" for label in range(count)]
            for row, clip in zip(rows, self._clips(names, made, [f"seed {seed}"] * count, range(count))):
                row.append(clip)
        draw = self._draw(1)
        for label, row in enumerate(rows):
            among = (self.data.held.labels == label).nonzero().flatten().tolist()
            if not among:
                raise DiffvocError(
                    f"no held-back clip of {self.data.name} says {self.labels[label]}; give the whole corpus."
                )
            row.append(self._recorded(int(draw.choice(among)), "recorded"))
        return rows

    def row(self, other: Contestant, count: int) -> list[Clip]:
        """The first ``count`` clips of a generator without labels, in one batch."""
        made = other.make(count, self.seed, None)
        names = [f"{other.name}-{number}" for number in range(count)]
        return self._clips(names, made, [f"clip {number + 1}" for number in range(count)], [None] * count)

    # The way from noise

    def film(self) -> Film:
        """One clip on its way from noise, of a label that the seed draws.

        It takes the generator's usual steps, and more where these are fewer than frames. States are played and drawn
        no louder than the clip is in the end.
        """
        schedule = self.model.config.schedule
        steps = max(self.one.steps or 1, min(FRAMES, schedule.num_steps))
        levels = [1.0, *self.model.inference_schedule(steps).noise_levels.tolist()]
        label, found = int(self._draw(2).integers(len(self.labels))), {}
        shown = set(states_shown(steps, FRAMES))

        def watch(step: int, x: Tensor, x0: Tensor) -> None:
            if step in shown:
                found[step] = self.model.decode(x)[0, : self.data.length].float().cpu().numpy()

        options = {"steps": steps, "sampler": self.one.sampler, "guidance": self.one.guidance, "seed": self.seed}
        self.model.generate(1, label=label, callback=watch, **options)
        states = [(step + 1, levels[steps - step - 1], fit(found[step], self.data.length)) for step in sorted(found)]
        loudest = float(np.abs(states[-1][2]).max())
        gains = [min(1.0, loudest / max(float(np.abs(x).max()), 1e-9)) for _, _, x in states]
        quiet = [(step, level, kept(gain * x)) for gain, (step, level, x) in zip(gains, states)]
        places = states_shown(len(quiet), min(STAGES, len(quiet)))
        chosen = [quiet[place] for place in places]
        stages = self._clips(
            [f"step-{step:03}" for step, _, _ in chosen],
            np.stack([x for _, _, x in chosen]),
            [f"step {step} of {steps}" for step, _, _ in chosen],
            [*[None] * (len(chosen) - 1), label],  # only the last one should say something yet
        )
        return Film(label, steps, quiet, stages)

    # Recordings changed

    def between(self, t: int, points: int) -> Between:
        """Between two speakers who say one digit; the seed draws all three, and takes the first clip of each.

        Raises: DiffvocError where no digit is said by two speakers, or for a step that the schedule has not.
        """
        held, draw = self.data.held, self._draw(3)
        level = self.model.entry_level(t)
        for label in draw.permutation(len(self.labels)).tolist():
            among = [i for i in range(len(held)) if int(held.labels[i]) == label]
            speakers = sorted({held.speakers[i] for i in among})
            if len(speakers) > 1:
                break
        else:
            raise DiffvocError(f"no two speakers say one digit in {self.data.name}'s held-back clips; give all of it.")
        two = [speakers[i] for i in draw.permutation(len(speakers))[:2]]
        first, last = (self._recorded(next(i for i in among if held.speakers[i] == one), "end") for one in two)
        a, b = (torch.from_numpy(one.samples) for one in (first, last))
        made = self.model.interpolate(a, b, t, points, seed=self.seed, label=label)
        names = [f"between-{number:02}" for number in range(points)]
        titles = [f"{round(100 * number / (points - 1))}\xa0%" for number in range(points)]
        steps = self.model.schedule_from(level).num_steps
        return Between(label, t, level, steps, (first, last), self._clips(names, made, titles, [label] * points))

    def cleaned(self, noise: float) -> Cleaned:
        """Recordings of different speakers and digits, noised and cleaned in one step and in many, and their SI-SDR.

        Noisy sounds are cut to full scale, as a file would be, before anything else.

        Raises: DiffvocError for noise that the schedule has not.
        """
        level = self.model.entry_level(noise=noise)
        steps = self.model.schedule_from(level).num_steps
        clean = [self._recorded(index, "clean") for index in self._of_all_speakers(CLEANED)]
        target = torch.from_numpy(np.stack([clip.samples for clip in clean]))
        said = [self.labels[clip.asked or 0] for clip in clean]
        noisy = kept(add_white_noise(target, said, noise, relative=False, seed=self.seed).noisy)
        given = torch.from_numpy(noisy)
        versions = {
            "noisy": noisy,
            "one": self.model.denoise(given, noise=noise, steps=1),
            "many": self.model.denoise(given, noise=noise, seed=self.seed),
        }
        titles = {"noisy": "with noise", "one": "1 step", "many": f"{steps} step{'s' if steps > 1 else ''}"}
        rows = [[clip] for clip in clean]
        asked = [clip.asked for clip in clean]
        for version, sounds in versions.items():
            names = [f"{version}{clip.name[len('clean') :]}" for clip in clean]
            made = self._clips(names, sounds, [titles[version]] * len(clean), asked)
            ratios = si_sdr(torch.from_numpy(np.stack([clip.samples for clip in made])), target)
            for row, clip, ratio in zip(rows, made, ratios.tolist()):
                row.append(replace(clip, si_sdr=ratio))
        return Cleaned(noise, level, steps, rows)

    def _of_all_speakers(self, count: int) -> list[int]:
        """Places of held-back clips, each of another speaker and, as far as there are any, another digit."""
        held, draw = self.data.held, self._draw(5)
        speakers = sorted(set(held.speakers))
        said: set[int] = set()
        found = []
        for place in draw.permutation(len(speakers))[:count].tolist():
            own = [i for i in range(len(held)) if held.speakers[i] == speakers[place]]
            among: Sequence[int] = [i for i in own if int(held.labels[i]) not in said] or own
            found.append(int(draw.choice(np.array(among))))
            said.add(int(held.labels[found[-1]]))
        return found
