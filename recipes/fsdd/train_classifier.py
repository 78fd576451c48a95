"""Train the classifier whose features eval/unconditional.py measures with: a ResNeXt on log-mels of spoken digits.

    python recipes/fsdd/train_classifier.py --data FSDD --output runs/classifier

FSDD is a folder of the Free Spoken Digit Dataset, or of Speech Commands (SC09). The same command continues a run. Clips
that are held back are only counted: the last weights are kept, not the best.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from torch import nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.training.loop import LoopConfig
from tts_diffvoc_eval.generation import datasets, metrics, training
from tts_diffvoc_eval.generation.classifier import Classifier, ClassifierConfig, ClassifierTraining, mel_for, save
from tts_diffvoc_eval.generation.datasets import DigitCorpus, Digits

CONFIG = ClassifierConfig()  # length and mel are the corpus's
SMOOTHING = 0.05
LOOP = LoopConfig(
    steps=1,
    final_share=0.005,
    warmup_steps=50,
    betas=(0.9, 0.999),
    weight_decay=0.02,
    clip_norm=5.0,
    ema_decay=0.0,  # the last weights
)
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

Made by `recipes/fsdd/train_classifier.py`. FSDD's held-back clips are other takes of the same speakers: expect less of
other voices.
"""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = training.parser(__doc__)
    parser.add_argument("--epochs", type=int, default=60, help="passes over the training clips (default: 60)")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=4e-3)
    return parser.parse_args(arguments)


def normalised(clips: Digits) -> ClassifierConfig:
    """The configuration for clips of this length and rate, whose mels have mean 0 and deviation 1 over the corpus."""
    length = clips.waveforms.shape[1]
    plain = mel_for(clips.sample_rate, length)
    some = clips.waveforms[:: max(1, len(clips) // 500)]
    mel = Classifier(replace(CONFIG, length=length, mel=plain)).spectrogram(some)
    deviation = max(float(mel.std()), 1e-3)
    scaled = replace(plain, scale=round(1 / deviation, 4), shift=round(-float(mel.mean()) / deviation, 4))
    return replace(CONFIG, length=length, mel=scaled)


def describe(classifier: Classifier, corpus: DigitCorpus) -> tuple[str, metrics.Estimate]:
    """The model card, and the accuracy on the held-back clips."""
    held = corpus.held
    p, _ = classifier.classify(held.waveforms)
    share = metrics.accuracy(p, held.labels.numpy())
    guesses = zip(held.names, p.argmax(1).tolist(), held.labels.tolist())
    wrong = [f"{name} as {classifier.labels[guess]}" for name, guess, label in guesses if guess != label]
    card = CARD.format(
        data=corpus.credit,
        training=classifier.training_said,
        parameters=classifier.parameters_count,
        length=classifier.length,
        rate=classifier.sample_rate,
        features=classifier.head.in_features,
        train=len(corpus.train),
        held=len(held),
        right=len(held) - len(wrong),
        accuracy=f"{share.value:.1%} (95 % interval {share.low:.1%} to {share.high:.1%})",
        wrong=", ".join(wrong[:20]) + (f" and {len(wrong) - 20} more" if len(wrong) > 20 else "") or "none",
    )
    return card, share


def train(options: argparse.Namespace) -> None:
    if options.epochs < 1 or options.batch_size < 2:
        raise DiffvocError("--epochs must be above 0, and --batch-size at least 2.")
    corpus = datasets.load(options.data)
    print(f"{corpus.name}: {len(corpus.train)} clips to train on, {len(corpus.held)} held back", flush=True)
    steps = max(1, options.epochs * len(corpus.train) // options.batch_size)
    budget = {"minutes": options.minutes, "steps": None} if options.minutes is not None else {"steps": steps}
    config = replace(LOOP, **budget, learning_rate=options.lr, device=options.device)
    torch.manual_seed(options.seed)
    model = ClassifierTraining(Classifier(normalised(corpus.train)), SMOOTHING)

    def finish(average: nn.Module, trained: str) -> dict[str, float]:
        average.classifier.training_said = trained
        card, share = describe(average.classifier, corpus)
        save(average.classifier, options.output, card)
        return {"held_accuracy": share.value}

    training.run(model, corpus, config, options, options.batch_size, finish)


if __name__ == "__main__":
    options = parse()
    training.main(lambda: train(options), options.threads)
