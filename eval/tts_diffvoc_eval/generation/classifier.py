"""A classifier of spoken digits, from whose probabilities and features the metrics of generation are computed.

A ResNeXt (Xie et al. 2017) on log-mel spectrograms, as in DiffWave's section 5.2, small enough to train on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import mask_along_axis_iid

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc.schema import Depth, FromJson, Length, Width
from tts_diffvoc_eval import folders
from tts_diffvoc_eval.generation.datasets import LABELS

FORMAT = "diffvoc-classifier/1"
BUNDLED = Path(__file__).resolve().parent / "weights" / "classifier"


def mel_for(sample_rate: int, length: int) -> MelConfig:
    """64 frames of 32 bands for a clip of ``length`` samples; the floor is white noise of about -70 dB full scale."""
    window = 4 * length // 64
    return MelConfig(sample_rate, window, window, length // 64, 32, fmin=60.0, fmax=sample_rate / 2, floor=2e-4)


@dataclass(frozen=True)
class ClassifierConfig(FromJson):
    """Sizes of a classifier.

    Attributes:
        labels: names of the classes.
        length: samples of a clip, 64 hops of the mel.
        stem: channels of the first convolution.
        widths: channels of each stage, halved in time and frequency between two; the last is the number of features.
        inner: channels inside the blocks of each stage, in ``cardinality`` groups.
        blocks: blocks of a stage.
        dropout: of the features, in training.
    """

    labels: tuple[str, ...] = LABELS
    length: Length = 8192
    mel: MelConfig = field(default_factory=lambda: mel_for(8000, 8192))
    stem: Width = 16
    widths: tuple[Width, ...] = (32, 64, 128)
    inner: tuple[Width, ...] = (32, 64, 128)
    blocks: Depth = 2
    cardinality: Width = 8
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if not self.widths or len(self.widths) != len(self.inner) or any(n % self.cardinality for n in self.inner):
            raise DiffvocError(
                f"widths {self.widths} and inner widths {self.inner} were given; give one of both for each stage, the "
                f"inner ones multiples of {self.cardinality}."
            )
        if self.length % self.mel.hop_length:
            raise DiffvocError(f"{self.length} samples are not a multiple of the hop, {self.mel.hop_length}.")


class ResNeXtBlock(nn.Module):
    """A bottleneck of aggregated transformations (Xie et al. 2017, eq. 3 and figure 3c), [B, C, M, F]."""

    def __init__(self, before: int, inner: int, after: int, groups: int, stride: int) -> None:
        super().__init__()
        self.transform = nn.Sequential(
            nn.Conv2d(before, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=groups, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        changed = stride > 1 or before != after
        projection = (nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)) if changed else ()
        self.shortcut = nn.Sequential(*projection)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.transform(x))


class Classifier(nn.Module):
    """Which digit a waveform is. ``training_said`` is how it was trained, for cards and tables."""

    def __init__(self, config: ClassifierConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ClassifierConfig()
        self.training_said = "untrained"
        self.stem = nn.Sequential(
            nn.Conv2d(1, config.stem, 3, (1, 2), 1, bias=False), nn.BatchNorm2d(config.stem), nn.ReLU()
        )
        blocks, before = [], config.stem
        for stage, (inner, width) in enumerate(zip(config.inner, config.widths)):
            for number in range(config.blocks):
                stride = 2 if stage and not number else 1
                blocks.append(ResNeXtBlock(before, inner, width, config.cardinality, stride))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(before, len(config.labels))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # half the time on a CPU

    @property
    def parameters_count(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def spectrogram(self, waveform: Tensor) -> Tensor:
        """Log-mel [B, M, F] of waveforms [B, length], F = length / hop."""
        return log_mel(waveform, self.config.mel)[..., : self.config.length // self.config.mel.hop_length]

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, C] and features [B, D], the last stage's mean over time and frequency, of log-mels [B, M, F]."""
        features = self.blocks(self.stem(mel.unsqueeze(1))).mean((2, 3))
        return self.head(F.dropout(features, self.config.dropout, self.training)), features

    @torch.inference_mode()
    def classify(self, waveforms: Tensor | np.ndarray, batch: int = 128) -> tuple[np.ndarray, np.ndarray]:
        """Class probabilities [N, C] and features [N, D], float64, of waveforms [N, length] in [-1, 1].

        Raises: DiffvocError for another shape, or values that are not finite.
        """
        given = torch.as_tensor(waveforms, dtype=torch.float32)
        if given.dim() != 2 or given.shape[1] != self.config.length or not torch.isfinite(given).all():
            raise DiffvocError(
                f"waveforms of shape {list(given.shape)} were given; the classifier takes finite ones, "
                f"[N, {self.config.length}] at {self.config.mel.sample_rate} Hz."
            )
        was_training, device = self.training, self.head.weight.device
        self.eval()
        logits, features = zip(*(self(self.spectrogram(part.to(device))) for part in given.split(batch)))
        self.train(was_training)
        # float64, so that no probability is 0: some metrics take the logarithm
        return torch.cat(logits).double().softmax(1).cpu().numpy(), torch.cat(features).double().cpu().numpy()


class ClassifierTraining(nn.Module):
    """Cross-entropy on augmented clips, with label smoothing so that probabilities stay away from 0 and 1."""

    def __init__(self, classifier: Classifier, smoothing: float) -> None:
        super().__init__()
        self.classifier, self.smoothing = classifier, smoothing

    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Of a :class:`tts_diffvoc_eval.generation.training.Batch`."""
        network, device = self.classifier, self.classifier.head.weight.device
        torch.manual_seed(batch.seed)  # of the augmentation and of dropout
        mel = network.spectrogram(vary(batch.waveform.cpu(), network.config.mel.sample_rate))
        target = F.one_hot(batch.labels.cpu(), len(network.config.labels)).float()
        mel, target = mix(mask(mel), target)
        logits, _ = network(mel.to(device))
        return {"loss": F.cross_entropy(logits, target.to(device), label_smoothing=self.smoothing)}


def uniform(count: int, low: float, high: float) -> Tensor:
    return torch.empty(count).uniform_(low, high)


def vary(waveform: Tensor, rate: int) -> Tensor:
    """Clips [B, T] up to 12 % faster or slower, shifted up to 0.1 s, scaled by -10 to 6 dB, half of them with noise."""
    count, length = waveform.shape
    shift = uniform(count, -0.1, 0.1)[:, None] * 2 * rate / length
    across = torch.linspace(-1, 1, length) * uniform(count, 0.88, 1.12)[:, None] + shift
    grid = torch.stack([across, torch.zeros_like(across)], -1)[:, None]
    moved = F.grid_sample(waveform[:, None, None], grid, align_corners=True)[:, 0, 0]
    gain = 10 ** uniform(count, -0.5, 0.3)
    level = 10 ** uniform(count, -4.5, -2.3) * (torch.rand(count) < 0.5)
    return (moved * gain[:, None] + torch.randn(waveform.shape) * level[:, None]).clamp(-1, 1)


def mask(mel: Tensor) -> Tensor:
    """Mels [B, M, F] with up to 6 bands and 12 frames of each clip at 0, the mean: SpecAugment (Park et al. 2019)."""
    return mask_along_axis_iid(mask_along_axis_iid(mel, 6, 0.0, axis=1), 12, 0.0, axis=2)


def mix(mel: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018, eq. 1) of half of the clips, weights up to 0.5: mels [B, M, F] and targets [B, C]."""
    share = uniform(len(mel), 0, 0.5) * (torch.rand(len(mel)) < 0.5)
    other = torch.randperm(len(mel))
    mixed = mel + share[:, None, None] * (mel[other] - mel)
    return mixed, target + share[:, None] * (target[other] - target)


def save(classifier: Classifier, folder: str | Path, card: str) -> None:
    """Write ``classifier`` to ``folder``. Raises: DiffvocError when it cannot be written."""
    values = {"format": FORMAT, "training": classifier.training_said, **classifier.config.to_dict()}
    folders.save(classifier, Path(folder), values, card)


def load(folder: str | Path = BUNDLED, device: str | torch.device = "cpu") -> Classifier:
    """The classifier in ``folder``, by default the bundled one, in evaluation mode.

    Raises: DiffvocError for a folder that is missing, damaged or no classifier's.
    """
    values = folders.read(Path(folder), FORMAT, "classifier")
    training = values.pop("training", "not said")
    classifier = Classifier(ClassifierConfig.from_dict(values))
    folders.fill(classifier, Path(folder), device)
    classifier.training_said = training
    return classifier
