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
from tts_diffvoc.generator import centred
from tts_diffvoc.zero_shot import entry_level, schedule_from
from tts_diffvoc_eval.denoising import add_white_noise, si_sdr
from tts_diffvoc_eval.generation.classifier import Classifier
from tts_diffvoc_eval.generation.datasets import LABELS, DigitCorpus
from tts_diffvoc_eval.generation.systems import GeneratorSystem

DENOISED = 4  # recordings with noise


@dataclass(frozen=True, eq=False)
class Sample:
    """A sound of the page.

    Attributes:
        name: of its files, without suffix.
        title: what it is, in few words.
        asked: the label that it should have; None where there is none.
        waveform: [T] float32, exactly what its 16-bit file holds.
        p: class probabilities [C].
        source: of a recording, its file in the corpus.
        note: a line below it.
    """

    name: str
    title: str
    asked: int | None
    waveform: Tensor
    p: np.ndarray
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


def quantised(waveform: Tensor) -> Tensor:
    """``waveform`` clipped and rounded as in a 16-bit file, float32."""
    return (waveform.double() * 32768).round().clamp(-32768, 32767).float() / 32768


class SampleMaker:
    """Makes everything that the page presents, of one seed.

    Args:
        corpus: the recordings. classifier: which classifies all sounds. system: the generator with labels.
    """

    def __init__(self, corpus: DigitCorpus, classifier: Classifier, system: GeneratorSystem, seed: int) -> None:
        self.corpus, self.classifier, self.system, self.seed = corpus, classifier, system, seed
        self.model: Any = system.module

    def _samples(self, sounds: Any, described: Iterable[tuple[str, str, int | None]]) -> list[Sample]:
        """``sounds`` [N, T'] fitted to the corpus's length and classified; of each its name, title and label asked."""
        waveforms = torch.as_tensor(sounds).float().cpu()
        fitted = quantised(torch.stack([centred(row, self.corpus.length) for row in waveforms]))
        p, _ = self.classifier.classify(fitted)
        return [Sample(*one, *parts) for one, *parts in zip(described, fitted, p)]

    def _recording(self, index: int, prefix: str) -> Sample:
        held = self.corpus.held
        described = [(f"{prefix}-{index:04}", "recorded", int(held.labels[index]))]
        return replace(self._samples(held.waveforms[index : index + 1], described)[0], source=held.names[index])

    def _draw(self, part: int) -> np.random.Generator:
        """For one part of the page, whatever the others draw."""
        return np.random.default_rng([self.seed, part])

    def _held(self, label: int | None = None, speaker: str | None = None) -> list[int]:
        """Places of the held-back clips with a label or speaker. Raises: DiffvocError where there are none."""
        each = enumerate(zip(self.corpus.held.labels.tolist(), self.corpus.held.speakers))
        found = [i for i, (a, b) in each if label in (None, a) and speaker in (None, b)]
        if not found:
            raise DiffvocError(f"no held-back clip of {self.corpus.name} has the label {label}; give the whole corpus.")
        return found

    def grid(self, columns: int) -> list[list[Sample]]:
        """A row for each label: a sample of each of the first ``columns`` seeds, and a recording."""
        labels, draw, made = range(len(LABELS)), self._draw(1), []
        for seed in range(self.seed, self.seed + columns):
            sounds = self.system.generate(len(labels), seed, list(labels))
            made.append(self._samples(sounds, [(f"said-{i}-seed-{seed}", f"seed {seed}", i) for i in labels]))
        recorded = [self._recording(int(draw.choice(self._held(label))), "recorded") for label in labels]
        return [list(row) for row in zip(*made, recorded)]

    def row(self, system: GeneratorSystem, count: int) -> list[Sample]:
        """The first ``count`` samples of a generator without labels."""
        described = [(f"{system.name}-{number}", f"clip {number + 1}", None) for number in range(count)]
        return self._samples(system.generate(count, self.seed, None), described)

    def interpolation(self, t: int, points: int) -> dict[str, Any]:
        """Between two speakers of one digit, mixed at step ``t``; the seed draws all three: ``samples``, the two
        recordings at both ends, with ``label``, ``t``, noise ``level`` and ``steps``.

        Raises: DiffvocError where no digit has two speakers, or for a step that the schedule does not have.
        """
        held, draw, level = self.corpus.held, self._draw(3), entry_level(self.model, t)
        for label in draw.permutation(len(LABELS)).tolist():
            speakers = sorted({held.speakers[i] for i in self._held(label)})
            if len(speakers) > 1:
                break
        else:
            raise DiffvocError(f"no digit has two speakers in the held-back clips of {self.corpus.name}.")
        two = [speakers[i] for i in draw.permutation(len(speakers))[:2]]
        first, last = (self._recording(self._held(label, one)[0], "end") for one in two)
        made = self.model.interpolate(first.waveform, last.waveform, t, points, seed=self.seed, label=label)
        between = [(f"between-{i:02}", f"{round(100 * i / (points - 1))}\xa0%", label) for i in range(points)]
        samples = [first, *self._samples(made, between), last]
        steps = schedule_from(self.model, level).num_steps
        return {"label": label, "t": t, "level": level, "steps": steps, "samples": samples}

    def denoised(self, noise: float) -> dict[str, Any]:
        """``rows`` of clean, noisy, denoised in one step and in ``steps``, of recordings of different speakers.

        Noisy sounds are clipped to full scale first, as in a file.

        Raises: DiffvocError for noise beyond the schedule's.
        """
        level = entry_level(self.model, noise=noise)
        steps = schedule_from(self.model, level).num_steps
        clean = [self._recording(index, "clean") for index in self._of_different_speakers(DENOISED)]
        target = torch.stack([one.waveform for one in clean])
        noisy = quantised(add_white_noise(target, noise, relative=False, seed=self.seed)[0])
        versions = {
            "noisy": ("with noise", noisy),
            "one": ("1 step", self.model.denoise(noisy, noise=noise, steps=1)),
            "many": (f"{steps} step{'s' if steps > 1 else ''}", self.model.denoise(noisy, noise=noise, seed=self.seed)),
        }
        rows = [[one] for one in clean]
        for version, (title, sounds) in versions.items():
            made = self._samples(sounds, [(one.name.replace("clean", version), title, one.asked) for one in clean])
            ratios = si_sdr(torch.stack([one.waveform for one in made]), target).tolist()
            for row, sample, ratio in zip(rows, made, ratios):
                decibels = f"{ratio:.1f}".replace("-", "−")
                row.append(replace(sample, note=f"SI-SDR {decibels} dB"))
        return {"noise": noise, "level": level, "steps": steps, "rows": rows}

    def _of_different_speakers(self, count: int) -> list[int]:
        """Places of held-back clips, each of another speaker and, if possible, another digit."""
        held, draw = self.corpus.held, self._draw(5)
        found: list[int] = []
        for speaker in draw.permutation(sorted(set(held.speakers)))[:count].tolist():
            own, digits = self._held(speaker=speaker), held.labels[found].tolist()
            found.append(int(draw.choice([i for i in own if int(held.labels[i]) not in digits] or own)))
        return found
