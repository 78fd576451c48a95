"""The page of a generator of digits: tables, samples to hear, spectrograms, and what the reverse process can do.

One static ``index.html`` that works from ``file://``, with its sounds and pictures in the folder ``page`` beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from tts_diffvoc_eval.generation import pictures, standings
from tts_diffvoc_eval.generation.exhibits import Between, Cleaned, Clip, Film
from tts_diffvoc_eval.generation.players import FOLDER, Folder, card, cells, decibels, paragraph, said, score
from tts_diffvoc_eval.reporting.page import HERE as REPORTING
from tts_diffvoc_eval.reporting.spectrograms import RANGE

HERE = Path(__file__).parent
TITLE = "DiffWave without a mel: spoken digits"
FILM_BYTES = 600_000
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LARGE, MEDIUM, SCREEN = (4.6, 2.8), (3.1, 2.5), (6.4, 4.0)  # inches


@dataclass(frozen=True)
class Content:
    """What is shown, and the facts that are told of it.

    Attributes:
        labels: the classes' names. rate: Hz.
        seeds: of the grid's columns. grid: a row for each label, the recording last.
        others: rows without labels: what made them, its training in words, and its clips.
        facts: (name, words) of how the page was made. command: the line that made it.
    """

    labels: Sequence[str]
    rate: int
    seeds: list[int]
    grid: list[list[Clip]]
    others: list[tuple[str, str, list[Clip]]]
    film: Film
    between: Between
    cleaned: Cleaned
    label: str
    facts: list[tuple[str, str]]
    command: str


def write(run: Path, content: Content, folder: Path) -> str:
    """The text of ``index.html``; its sounds and pictures are written into ``folder``, later the run's ``page``."""
    files = Folder(folder, content.rate)
    parts = {
        "title": escape(TITLE),
        "css": "\n".join((place / "page.css").read_text(encoding="utf-8") for place in (REPORTING, HERE)),
        "script": (HERE / "page.js").read_text(encoding="utf-8"),
        "summary": _summary(content),
        "tables": standings.section(run),
        "listen": _listen(files, content),
        "pictures": _pictures(files, content),
        "film": _film(files, content.film, content.labels),
        "between": _between(files, content.between, content.labels),
        "cleaned": _cleaned(files, content.cleaned, content.labels),
        "made": _made(content),
    }
    template = (HERE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _summary(content: Content) -> str:
    right, count = score(clip for row in content.grid for clip in row[:-1])
    return escape(
        f"{content.label}: no text, no mel, only noise and a label go in. Of the {count} generated clips on this page "
        f"the classifier hears {right} as what was asked for."
    )


# 2. Samples


def _listen(files: Folder, content: Content) -> str:
    labels, seeds = content.labels, content.seeds
    right, count = score(clip for row in content.grid for clip in row[:-1])
    real, of = score(row[-1] for row in content.grid)
    first = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    top = paragraph(
        f"Each row is one digit: {content.label} says it with {first}, and a person says it in a held-back "
        "recording, which neither the generator nor the classifier has heard. Click a picture to hear it.",
        "No clip was chosen: these are the first of their seeds, and the seed also draws the recording.",
        f"The classifier hears {right} of {count} generated clips and {real} of {of} recordings as what they should "
        f"say. Pictures run from 0 to {len(content.grid[0][0].samples) / content.rate:.2f} s and up to "
        f"{content.rate // 2:,} Hz; brighter is louder ({RANGE:.0f} dB).",
    )
    legend = (
        '<ul class="legend"><li>✓ heard as what was asked for</li><li>✗ wrong, in a dashed frame</li>'
        "<li>the number is how sure the classifier is</li></ul>"
    )
    rows = []
    for label, row in enumerate(content.grid):
        word = WORDS[label] if tuple(labels) == tuple("0123456789") else ""
        heading = f"<h3>{escape(labels[label])}{f'<small>{word}</small>' if word else ''}</h3>"
        cards = [card(files, clip, labels, f"{said(label, labels)}, {clip.title}") for clip in row]
        rows.append(f'<div class="row grid" style="--columns:{len(row)}">{heading}{cells(cards)}</div>')
    more = []
    for name, training, clips in content.others:
        said_of = paragraph(
            f"Without labels: it chooses what it says. The first {len(clips)} clips of seed {seeds[0]}, none left out. "
            f"Training: {training}."
        )
        cards = [card(files, clip, labels, f"{name}, {clip.title}") for clip in clips]
        more.append(f"<h3>{escape(name)}</h3>{said_of}" + _row(cards))
    return top + legend + "\n".join(rows) + "\n".join(more)


def _row(cards: list[str]) -> str:
    return f'<div class="grid" style="--columns:{len(cards)}">{cells(cards)}</div>'


# 3. Spectrograms


def _pictures(files: Folder, content: Content) -> str:
    labels = content.labels
    chosen = sorted({round(one) for one in np.linspace(0, len(labels) - 1, 4)})
    said_of = paragraph(
        "The first seed of a few rows above, larger, beside the recording of the same digit: the waveform, and below "
        "it how much sound there is at each frequency.",
        "Stacked lines are the harmonics of a voice, their bright bands the resonances that make a vowel, and clouds "
        "up high are hiss as in “six”. A pair shares its axes and colours.",
    )
    pairs = []
    for label in chosen:
        two = [content.grid[label][0], content.grid[label][-1]]
        cards = []
        for clip, image in zip(two, pictures.alike([one.samples for one in two], files.rate, LARGE)):
            link = files.picture(f"large-{clip.name}.webp", image)
            what = f"{said(label, labels)}, {clip.title}"
            cards.append(card(files, clip, labels, what, link, "axes", image.size))
        pairs.append(f'<div class="pair"><h3>{said(label, labels)}</h3>{cells(cards)}</div>')
    return said_of + f'<div class="pairs">{"".join(pairs)}</div>'


# 4. The film


def _film(files: Folder, film: Film, labels: Sequence[str]) -> str:
    samples = [x for _, _, x in film.states]
    top = float(pictures.levels(samples[-1], files.rate).max())
    limit = max(float(np.abs(x).max()) for x in samples)
    canvas = pictures.Canvas(files.rate, len(samples[0]), limit, top, SCREEN, heading=True)
    heads = [f"step {step:>3} of {film.steps}   {_level(level)}" for step, level, _ in film.states]
    frames = [canvas.draw(x, head) for x, head in zip(samples, heads)]
    pictures.save_film(frames, files.path / "film.webp", FILM_BYTES)
    moving, still = files.link("film.webp"), files.picture("film-still.webp", frames[-1])
    width, height = frames[0].size
    said_of = paragraph(
        f"One clip of {said(film.label, labels)} on its way from noise to speech, {film.steps} steps in all: every "
        f"frame is the state after a step, {len(frames)} frames of them.",
        "The noise level √ᾱ is the weight of the clean clip in the state, and √(1 − ᾱ) that of the noise: near 0 at "
        "the start and 1 at the end. Low frequencies, where a voice is loudest, come out of the noise first.",
        "Below, stages of the way can be heard; no state is played or drawn louder than the finished clip.",
    )
    alt = (
        f"Film: the waveform and the spectrogram of a clip of {said(film.label, labels)} emerge from noise in "
        f"{film.steps} steps"
    )
    movie = (
        f'<figure class="movie"><picture><source media="(prefers-reduced-motion: reduce)" srcset="{still}">'
        f'<img class="film" src="{moving}" data-film="{moving}" data-still="{still}" alt="{escape(alt)}" '
        f'width="{width}" height="{height}"></picture>'
        '<button id="pause" type="button" hidden>Stop the film</button></figure>'
    )
    heard = {step: level for step, level, _ in film.states}
    cards = []
    for clip in film.stages:
        note = f'<p class="measured">{escape(_level(heard[int(clip.name.rpartition("-")[2])]))}</p>'
        source = files.thumbnail(clip, top)
        cards.append(card(files, clip, labels, clip.title, source, note=note))
    return f'{said_of}<div class="way">{movie}<div class="stages">{cells(cards)}</div></div>'


def _level(level: float) -> str:
    return f"noise level {level:.3f}"


# 5. Between


def _between(files: Folder, between: Between, labels: Sequence[str]) -> str:
    first, last = between.ends
    names = [str(clip.source) for clip in between.ends]
    said_of = paragraph(
        f"Two held-back recordings of {said(between.label, labels)}, {names[0]} and {names[1]}, whose speakers the "
        f"seed drew: both were noised to step {between.t} of the schedule (noise level {between.level:.3f}), mixed "
        f"there, and led back to clean sound in {between.steps} steps, the digit told.",
        "What lies between should be one voice that changes into another, not two voices at once; the later the step, "
        "the freer the generator is. At both sides are the recordings as they are; 0\xa0% and 100\xa0% have only been "
        "through the noise and back.",
    )
    clips = [first, *between.points, last]
    top = max(float(pictures.levels(clip.samples, files.rate).max()) for clip in clips)
    cards = []
    for clip in clips:
        what = f"recorded {clip.source}" if clip.source else f"{clip.title} of the way from {names[0]} to {names[1]}"
        cards.append(card(files, clip, labels, what, files.thumbnail(clip, top)))
    return said_of + f'<div class="strip">{cells(cards)}</div>'


# 6. Denoised


def _cleaned(files: Folder, cleaned: Cleaned, labels: Sequence[str]) -> str:
    said_of = paragraph(
        f"White noise of deviation {cleaned.noise:g} (full scale is 1) was added to held-back recordings, drawn by the "
        f"seed. The noisy sound enters the reverse process at noise level {cleaned.level:.3f}, without being told the "
        "digit; the generator was never trained to take noise off.",
        f"One step gives the average of all clean sounds that fit, which has the least error and sounds dull; "
        f"{cleaned.steps} steps give one of these sounds, clearer at the price of some error.",
        "SI-SDR is how many decibels the recording stands above everything else, whatever the volume (Le Roux et al. "
        "2019); higher is better. The four pictures of a row have the same axes and colours.",
    )
    rows = []
    for row in cleaned.rows:
        images = pictures.alike([clip.samples for clip in row], files.rate, MEDIUM)
        cards, name = [], str(row[0].source)
        for clip, image in zip(row, images):
            link = files.picture(f"axes-{clip.name}.webp", image)
            text = "clean: SI-SDR has no limit" if clip.si_sdr is None else f"SI-SDR {decibels(clip.si_sdr)}"
            note = f'<p class="measured">{escape(text)}</p>'
            cards.append(card(files, clip, labels, f"{name}, {clip.title}", link, "axes", image.size, note))
        heading = f"<h3>{said(row[0].asked or 0, labels)}, {escape(name)}</h3>"
        rows.append(f'<div class="cleaning">{heading}{cells(cards)}</div>')
    return said_of + "".join(rows)


# How it was made


def _made(content: Content) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in content.facts)
    files = (
        f'<p class="files">Sounds (FLAC, 16 bit, {content.rate:,} Hz) and pictures lie in <code>{FOLDER}/</code>. The '
        'tables as files: <a href="summary.md">Markdown</a>, <a href="summary.csv">CSV</a>, '
        '<a href="summary.json">JSON</a>.</p>'
    )
    return f'<pre>{escape(content.command)}</pre><dl class="facts">{facts}</dl>{files}'
