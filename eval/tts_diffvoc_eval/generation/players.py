"""Sounds on a page: their files, and the small players with what the classifier hears."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
import soundfile
from PIL import Image

from tts_diffvoc_eval.generation import pictures, tables
from tts_diffvoc_eval.generation.exhibits import Clip

FOLDER = "page"


@dataclass
class Folder:
    """Where sounds and pictures go, each written once."""

    path: Path
    rate: int
    written: set[str] = field(default_factory=set)

    def link(self, name: str) -> str:
        return quote(f"{FOLDER}/{name}")

    def sound(self, clip: Clip) -> str:
        """The link of a clip's file: FLAC, which is lossless and half the size of WAV."""
        name = f"{clip.name}.flac"
        if name not in self.written:
            samples = np.round(clip.samples * 32768).astype(np.int16)
            soundfile.write(self.path / name, samples, self.rate, subtype="PCM_16")
            self.written.add(name)
        return self.link(name)

    def thumbnail(self, clip: Clip, top: float | None = None) -> str:
        name = f"{clip.name}.webp"
        if name not in self.written:
            pictures.thumbnail(clip.samples, self.rate, self.path / name, top)
            self.written.add(name)
        return self.link(name)

    def picture(self, name: str, image: Image.Image) -> str:
        pictures.save(image, self.path / name)
        return self.link(name)


def paragraph(*sentences: str) -> str:
    return f"<p>{' '.join(escape(one) for one in sentences)}</p>"


def score(clips: Iterable[Clip]) -> tuple[int, int]:
    """How many of the clips are heard as what was asked for, of how many."""
    each = [clip.right for clip in clips]
    return sum(one is True for one in each), len(each)


def said(label: int, labels: Sequence[str]) -> str:
    return f"“{labels[label]}”"


def card(
    files: Folder,
    clip: Clip,
    labels: Sequence[str],
    what: str,
    picture: str | None = None,
    kind: str = "",
    size: tuple[int, int] = (128, 64),
    note: str = "",
) -> str:
    """A player: a picture that plays, a title, and what the classifier hears.

    Args:
        what: what the sound is, in words for who does not see it.
        picture: the link of a picture; by default a thumbnail of the sound's own.
        kind: "axes" for a picture with axes. note: HTML below.
    """
    picture = picture or files.thumbnail(clip)
    kind = f"{kind} recorded".strip() if clip.source else kind
    classes = " ".join(["clip", *([kind] if kind else []), *(["wrong"] if clip.right is False else [])])
    width, height = size
    drawn = "Waveform and spectrogram with axes" if kind.startswith("axes") else "Spectrogram"
    return (
        f'<li class="{classes}"><a class="sound" href="{files.sound(clip)}" '
        f'aria-label="Play {escape(what)}"><span class="spectrogram">'
        f'<img src="{picture}" alt="{drawn}: {escape(what)}" width="{width}" height="{height}" loading="lazy">'
        f'<span class="cursor"></span></span><span class="button">{escape(clip.title)}</span></a>'
        f"{source_of(clip)}{verdict(clip, labels)}{note}</li>"
    )


def source_of(clip: Clip) -> str:
    return f"<p>{escape(clip.source)}</p>" if clip.source else ""


def verdict(clip: Clip, labels: Sequence[str]) -> str:
    """What the classifier hears and how sure it is; a sign and words tell right from wrong."""
    words = f"{said(clip.heard, labels)}, {100 * clip.confidence:.0f}\xa0%"
    start = {True: "✓ ", False: "✗ wrong: ", None: "heard as "}[clip.right]
    return f'<p class="verdict">{start}{escape(words)}</p>'


def cells(cards: Iterable[str]) -> str:
    return f'<ul class="cells">\n{chr(10).join(cards)}\n</ul>'


def decibels(value: float) -> str:
    """ "−3.2 dB"."""
    if math.isnan(value):
        return tables.NONE
    return f"{value:.1f} dB".replace("-", "−").replace("inf", "∞")
