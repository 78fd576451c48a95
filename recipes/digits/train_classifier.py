"""Train the classifier whose features eval/unconditional.py measures with: a ResNeXt on log-mels of spoken digits.

    python recipes/digits/train_classifier.py --data FSDD --output runs/classifier

FSDD is a folder of the Free Spoken Digit Dataset, or of Speech Commands (SC09). The same command continues a run. Clips
that are held back are only counted: the last weights are kept, not the best.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import torch

from tts_diffvoc.arguments import number, whole
from tts_diffvoc_eval.generation import datasets, metrics, training
from tts_diffvoc_eval.generation.classifier import Classifier, ClassifierConfig, ClassifierTraining, mel_for, save
from tts_diffvoc_eval.generation.datasets import LABELS, DigitCorpus

SMOOTHING = 0.05
LOOP = {"final_share": 0.005, "weight_decay": 0.02, "clip_norm": 5.0, "ema_decay": 0.0}  # the last weights
CARD = """---
license: MIT
data: {data}
training: {training}
---
# A classifier of spoken digits

A ResNeXt ({parameters:,} parameters) on log-mels of {length:,} samples at {rate:,} Hz. `eval/unconditional.py` computes
FID, IS, mIS, AM and NDB from its class probabilities and the {features} features before its last layer.

| | |
| --- | --- |
| data | {data}: {train:,} clips to train on, {held:,} held back |
| training | {training} |
| accuracy on the held-back clips | {right} of {held} right, {accuracy} |
| wrong | {wrong} |

Made by `recipes/digits/train_classifier.py`. FSDD's held-back clips are other takes of the same speakers: expect less
of other voices.
"""


parser = training.make_parser(__doc__)
parser.add_argument("--epochs", type=whole(1, 100_000), default=60, help="passes over the clips (default: 60)")
parser.add_argument("--batch-size", type=whole(2, 100_000), default=64)
parser.add_argument("--lr", type=number(0, 1), default=4e-3)


def configure(corpus: DigitCorpus) -> ClassifierConfig:
    """The configuration for clips of this length and rate, whose mels have mean 0 and deviation 1 over the corpus."""
    plain = ClassifierConfig(length=corpus.length, mel=mel_for(corpus.sample_rate, corpus.length))
    mel = Classifier(plain).spectrogram(corpus.train.waveforms[:: max(1, len(corpus.train) // 500)])
    deviation = max(float(mel.std()), 1e-3)
    scaled = replace(plain.mel, scale=round(1 / deviation, 4), shift=round(-float(mel.mean()) / deviation, 4))
    return replace(plain, mel=scaled)


def describe(classifier: Classifier, corpus: DigitCorpus) -> tuple[str, metrics.Estimate]:
    """The model card, and the accuracy on the held-back clips."""
    held = corpus.held
    p, _ = classifier.classify(held.waveforms)
    share = metrics.accuracy(p, held.labels.numpy())
    guesses = zip(held.names, p.argmax(1).tolist(), held.labels.tolist())
    wrong = [f"{name} as {LABELS[guess]}" for name, guess, label in guesses if guess != label]
    card = CARD.format(
        data=corpus.credit,
        training=classifier.training_said,
        parameters=classifier.parameters_count,
        length=corpus.length,
        rate=corpus.sample_rate,
        features=classifier.head.in_features,
        train=len(corpus.train),
        held=len(held),
        right=len(held) - len(wrong),
        accuracy=f"{share.value:.1%} (95 % interval {share.low:.1%} to {share.high:.1%})",
        wrong=", ".join(wrong[:20]) + (f" and {len(wrong) - 20} more" if len(wrong) > 20 else "") or "none",
    )
    return card, share


def train(options: argparse.Namespace) -> None:
    """Train a classifier in ``options.output``, or continue."""
    corpus = datasets.load(options.data)
    if options.minutes is None and options.steps is None:
        options.steps = max(1, options.epochs * len(corpus.train) // options.batch_size)
    torch.manual_seed(options.seed)
    model = ClassifierTraining(Classifier(configure(corpus)), SMOOTHING)

    def finish(average: Any, trained: str) -> dict[str, float]:
        average.classifier.training_said = trained
        card, share = describe(average.classifier, corpus)
        save(average.classifier, options.output, card)
        return {"held_accuracy": share.value}

    training.run(model, corpus, options, options.batch_size, finish, learning_rate=options.lr, **LOOP)


if __name__ == "__main__":
    training.main(parser, train)
