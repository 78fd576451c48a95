"""A classifier of spoken digits, whose features and class probabilities the metrics of generation rest on.

A ResNeXt (Xie et al. 2017, "Aggregated residual transformations for deep neural networks") on log-mel spectrograms,
as in DiffWave's section 5.2, small enough to be trained on a CPU. On disk it is a folder with ``config.json``,
``model.safetensors`` and a model card.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from tts_diffvoc.checkpoint import WEIGHTS, write_beside, write_weights
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc.voices import read_json

FORMAT = "diffvoc-classifier/1"
BUNDLED = Path(__file__).resolve().parent / "weights" / "classifier"
DIGITS = tuple("0123456789")


def mel_for(sample_rate: int, length: int) -> MelConfig:
    """64 frames of 32 bands over the whole band of a clip of ``length`` samples.

    The floor lies at white noise of about -70 dB of full scale: what is softer than that counts as silence.
    """
    window = 4 * length // 64
    return MelConfig(
        sample_rate, window, window, length // 64, n_mels=32, fmin=60.0, fmax=sample_rate / 2, floor=2e-4
    )  # fmt: skip


@dataclass(frozen=True)
class ClassifierConfig:
    """Sizes of a classifier.

    Attributes:
        labels: names of the classes.
        length: samples of a clip, 64 hops of the mel.
        stem: channels of the first convolution.
        widths: channels of each stage, halved in time and frequency between two; the last is the number of features.
        inner: channels inside the blocks of each stage, in ``cardinality`` groups.
        blocks: blocks of a stage.
        dropout: share of the features that training leaves out.
    """

    labels: tuple[str, ...] = DIGITS
    length: int = 8192
    mel: MelConfig = field(default_factory=lambda: mel_for(8000, 8192))
    stem: int = 16
    widths: tuple[int, ...] = (32, 64, 128)
    inner: tuple[int, ...] = (32, 64, 128)
    blocks: int = 2
    cardinality: int = 8
    dropout: float = 0.2

    def __post_init__(self) -> None:
        for name in ("labels", "widths", "inner"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.widths) != len(self.inner) or not self.widths:
            raise DiffvocError(f"{len(self.widths)} widths and {len(self.inner)} inner widths; give one each a stage.")
        uneven = [width for width in self.inner if width % self.cardinality]
        if uneven:
            raise DiffvocError(f"inner widths {uneven} do not divide into {self.cardinality} groups; choose multiples.")
        if self.length % self.mel.hop_length:
            raise DiffvocError(f"{self.length} samples are no whole number of hops of {self.mel.hop_length}.")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ClassifierConfig:
        """Read a plain dictionary, and refuse keys that this version does not know."""
        unknown = sorted(set(values) - {one.name for one in fields(cls)})
        if unknown:
            raise DiffvocError(f"unknown settings of a classifier: {', '.join(unknown)}; update tts-diffvoc.")
        mel = {"mel": MelConfig.from_dict(values["mel"])} if "mel" in values else {}
        return cls(**{**values, **mel})

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "mel": self.mel.to_dict()}


class Block(nn.Module):
    """A bottleneck of aggregated transformations (Xie et al. 2017, eq. 3 and figure 3c).

    1x1 to ``inner`` channels, 3x3 in ``groups`` groups, 1x1 to ``after``, added to the input; each convolution has
    batch norm, and a ReLU follows the sum. With a stride or another width the input passes a 1x1 convolution too.
    """

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
        same = stride == 1 and before == after
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, before, M, F] to [B, after, M / stride, F / stride]."""
        return F.relu(self.shortcut(x) + self.transform(x))


class Classifier(nn.Module):
    """Which digit a waveform says.

    Attributes:
        training_said: how it was trained, in a few words, for cards and tables.
    """

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
                blocks.append(Block(before, inner, width, config.cardinality, stride))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(before, len(config.labels))
        self.to(memory_format=torch.channels_last)  # on a CPU the grouped convolutions take half the time so

    @property
    def labels(self) -> tuple[str, ...]:
        return self.config.labels

    @property
    def sample_rate(self) -> int:
        return self.config.mel.sample_rate

    @property
    def length(self) -> int:
        return self.config.length

    @property
    def parameters_count(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def spectrogram(self, waveform: Tensor) -> Tensor:
        """Log-mel [B, M, F] of waveforms [B, length], F = length / hop."""
        return log_mel(waveform, self.config.mel)[..., : self.config.length // self.config.mel.hop_length]

    def features(self, mel: Tensor) -> Tensor:
        """The penultimate layer [B, D]: the last stage, averaged over time and frequency."""
        return self.blocks(self.stem(mel.unsqueeze(1))).mean((2, 3))

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, C] and features [B, D] of log-mels [B, M, F]."""
        features = self.features(mel)
        return self.head(F.dropout(features, self.config.dropout, self.training)), features

    @torch.inference_mode()
    def classify(self, waveforms: Tensor | np.ndarray, batch: int = 128) -> tuple[np.ndarray, np.ndarray]:
        """Class probabilities [N, C] and features [N, D], float64, of waveforms [N, length] in [-1, 1].

        Raises: DiffvocError for another shape, or values that are not finite.
        """
        given = torch.as_tensor(waveforms, dtype=torch.float32)
        if given.dim() != 2 or given.shape[1] != self.length:
            raise DiffvocError(
                f"waveforms of shape {list(given.shape)} were given; the classifier takes [N, {self.length}] "
                f"at {self.sample_rate} Hz."
            )
        if not torch.isfinite(given).all():
            raise DiffvocError("the waveforms hold NaN or infinite samples; they cannot be classified.")
        was_training, device = self.training, self.head.weight.device
        self.eval()
        found = [self(self.spectrogram(part.to(device))) for part in given.split(batch)] if len(given) else []
        self.train(was_training)
        if not found:
            return np.empty((0, len(self.labels))), np.empty((0, self.head.in_features))
        logits = torch.cat([one for one, _ in found]).double()
        features = torch.cat([one for _, one in found]).double()
        # In float64, so that no probability becomes zero, of which some metrics take the logarithm.
        return logits.softmax(1).cpu().numpy(), features.cpu().numpy()


def save(classifier: Classifier, folder: str | Path, card: str, half: bool = True) -> None:
    """Write ``classifier`` to ``folder``; each file is written beside and renamed.

    Args:
        card: the text of the model card.
        half: keep what training sets as float16; running means and variances stay float32.

    Raises: DiffvocError when the folder cannot be written.
    """
    folder = Path(folder)
    learnt = {name for name, _ in classifier.named_parameters()}
    state = classifier.state_dict().items()
    weights = {k: (v.half() if half and k in learnt else v).detach().cpu().contiguous() for k, v in state}
    values = {"format": FORMAT, "training": classifier.training_said, **classifier.config.to_dict()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{WEIGHTS}.part"
        write_weights(beside, weights)
        os.replace(beside, folder / WEIGHTS)
        write_beside(folder / "config.json", json.dumps(values, indent=1) + "\n")
        write_beside(folder / "README.md", card)
    except OSError as error:
        raise DiffvocError(f"the classifier cannot be written to {folder}: {error.strerror or error}.") from None


def load(folder: str | Path = BUNDLED, device: str | torch.device = "cpu") -> Classifier:
    """The classifier in ``folder``, float32, ready to classify; the bundled one unless another is named.

    Raises: DiffvocError for a folder that is missing, damaged or no classifier.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DiffvocError(f"there is no folder {folder}; train a classifier by recipes/fsdd/train_classifier.py.")
    values = read_json(folder / "config.json")
    if values.pop("format", None) != FORMAT:
        raise DiffvocError(f'{folder} is no classifier: its config.json does not say "format": "{FORMAT}".')
    said = values.pop("training", "not said")
    classifier = Classifier(ClassifierConfig.from_dict(values))
    try:
        classifier.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, OSError) as error:
        raise DiffvocError(f"{folder / WEIGHTS} cannot be read ({error}); copy the classifier again.") from None
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise DiffvocError(f"{folder / WEIGHTS} does not belong to its config.json: {reason}") from None
    classifier.training_said = said
    return classifier.to(device).eval()
