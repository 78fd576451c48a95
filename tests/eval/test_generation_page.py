"""The page of generated digits, made of a tiny generator, a corpus of tones, and the bundled classifier."""

import json
import math
import re
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote

import browser
import numpy as np
import pytest
import soundfile
import torch
from digit_corpus import write_corpus
from small_generators import HOP, SPECTRA, falling, sizes

from tts_diffvoc.checkpoint import load_generator, save_checkpoint
from tts_diffvoc.generator import Generator, GeneratorConfig, centred
from tts_diffvoc_eval import generation_page, program, records, registry, unconditional
from tts_diffvoc_eval.generation import classifier as classifiers
from tts_diffvoc_eval.generation import datasets, systems, tables
from tts_diffvoc_eval.generation.datasets import LABELS
from tts_diffvoc_eval.generation.wavegan import WaveGan, WaveGanConfig

COLUMNS, POINTS, NOISE, SEED = 2, 3, 0.05, 7
VOID = {"meta", "img", "source", "link", "br"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """60 clips, of which 40 are held back."""
    return write_corpus(tmp_path_factory.mktemp("fsdd"), (0, 1, 9))


def generator(folder, labels=LABELS, rate=8000):
    torch.manual_seed(0)
    config = {**SPECTRA, "length": 8192, "sample_rate": rate, "defaults": {"steps": 3, "sampler": "ddim"}}
    made = Generator(GeneratorConfig(sizes(HOP, len(labels)), labels=tuple(labels), **config))
    with torch.no_grad():
        made.deviation.copy_(falling(HOP))
    save_checkpoint(made, folder, "---\ntraining: 3 CPU minutes & <a tea>\n---\nTiny.\n")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    generator(folder / "spoken")
    generator(folder / "mute", ())
    torch.manual_seed(0)
    WaveGan(WaveGanConfig(width=1)).save(folder / "wavegan", "untrained", "nothing")
    return folder


@pytest.fixture(scope="module")
def measured(data, models, tmp_path_factory):
    """A run of eval/unconditional.py, of three generators."""
    run = tmp_path_factory.mktemp("a run & more") / "made #1"
    words = ["--model", models / "spoken", models / "mute", models / "wavegan", "--output", run]
    quick = ["--count", 20, "--bins", 4, "--resamples", 8, "--threads", 1]
    assert program.main(unconditional, [str(word) for word in ["--data", data, *words, *quick]]) == 0
    return run


def command(run, data, models, *more):
    few = ["--columns", COLUMNS, "--points", POINTS, "--noise", NOISE, "--seed", SEED, "--t", 50, "--threads", 1]
    words = [run, "--data", data, "--model", models / "spoken", "--unlabelled", models / "mute"]
    words += ["--baselines", models / "wavegan", *few, *more]
    return [str(word) for word in words]


@pytest.fixture(scope="module")
def run(measured, data, models):
    assert program.main(generation_page, command(measured, data, models)) == 0
    return measured


@pytest.fixture(scope="module")
def text(run):
    return (run / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def classifier():
    return classifiers.load()


class Reader(HTMLParser):
    """Cards, tables, links and anything wrong with the nesting of a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.ids, self.cards, self.tables, self.images = [], [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in VOID:
            self.open.append((tag, found))
        self.links += [found[name] for name in ("href", "src", "srcset") if name in found]
        self.ids += [found["id"]] if "id" in found else []
        if tag == "li" and "clip" in found.get("class", "").split():
            self.cards.append({"classes": set(found["class"].split()), "text": ""})
        if tag == "a" and found.get("class") == "sound":
            self.cards[-1] |= {"sound": found["href"], "label": found["aria-label"]}
        if tag == "img":
            self.images.append(found)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        tags = [tag for tag, _ in self.open]
        if any("clip" in found.get("class", "").split() for _, found in self.open):
            self.cards[-1]["text"] += data + "\n"
        if "td" in tags or "th" in tags:
            self.tables[-1][-1][-1] += data


@pytest.fixture(scope="module")
def page(text):
    return Reader(text)


def heard(run, card):
    samples, rate = soundfile.read(run / unquote(card["sound"]), dtype="float32")
    assert rate == 8000 and samples.shape == (8192,)
    return samples


def cards(page, start):
    """Those whose sounds' names begin so, one a file."""
    return list({card["sound"]: card for card in page.cards if card["sound"].startswith(f"page/{start}")}.values())


# What is there


def test_every_link_leads_to_a_file_and_every_file_is_linked(run, text, page):
    assert not re.search(r"https?://|src=\"//|@import|url\(", text)
    files = {unquote(link) for link in page.links if not link.startswith("#")}
    assert all((run / file).is_file() for file in files)
    assert {f"page/{path.name}" for path in (run / "page").iterdir()} == {f for f in files if f.startswith("page/")}
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert all(image.get("alt") and image.get("width") and image.get("height") for image in page.images)
    assert not list(run.glob(".page*"))


def test_every_sound_decodes(run, page):
    for path in (run / "page").glob("*.flac"):
        about = soundfile.info(path)
        assert (about.samplerate, about.frames, about.channels, about.subtype) == (8000, 8192, 1, "PCM_16")
    assert len(cards(page, "said-")) == 10 * COLUMNS and len(cards(page, "recorded-")) == 10
    assert len(cards(page, "mute-")) == len(cards(page, "wavegan-")) == COLUMNS + 1
    assert len(cards(page, "between-")) == POINTS and len(cards(page, "end-")) == 2
    for version in ("clean", "noisy", "one", "many"):
        assert len(cards(page, f"{version}-")) == 2  # as many as there are speakers


def test_samples_are_the_first_of_their_seeds(run, page, models, data):
    spoken = load_generator(str(models / "spoken"))
    for seed in (SEED, SEED + 1):
        made = spoken.generate(10, label=list(range(10)), seed=seed).numpy()
        for label in range(10):
            (card,) = cards(page, f"said-{label}-seed-{seed}.")
            assert np.abs(heard(run, card) - made[label]).max() <= 0.5 / 32768 + 1e-7
            assert card["label"] == f"Play “{label}”, seed {seed}"
    gan = systems.load_baseline(models / "wavegan").generate(COLUMNS + 1, SEED)
    for number, card in enumerate(cards(page, "wavegan-")):
        assert np.abs(heard(run, card) - centred(gan[number], 8192).numpy()).max() <= 1 / 32768 + 1e-7
    held = datasets.load(data).held
    for digit, card in enumerate(cards(page, "recorded-")):
        name = re.search(r"\d_\w+_\d", card["text"])[0]
        assert name.startswith(f"{digit}_") and "recorded" in card["classes"]
        assert np.abs(heard(run, card) - held.waveforms[held.names.index(name)].numpy()).max() <= 0.5 / 32768 + 1e-7


def test_verdicts_are_the_classifiers(run, page, classifier):
    right = wrong = 0
    for card in page.cards:
        p, _ = classifier.classify(heard(run, card)[None])
        label, sure = int(p.argmax()), f"{100 * p.max():.0f}\xa0%"
        assert f"“{label}”, {sure}" in card["text"], card
        asked = re.search(r"said-(\d)", card["sound"]) or re.search(r"(\d)_(?:ann|bob)_\d\n", card["text"])
        if asked is None:
            continue
        fits = int(asked[1]) == label
        right, wrong = right + fits, wrong + (not fits)
        assert ("✓" in card["text"]) == fits and ("✗ wrong" in card["text"]) != fits
        assert ("wrong" in card["classes"]) != fits
    assert right and wrong  # both are on the page
    for card in [*cards(page, "mute-"), *cards(page, "wavegan-")]:
        assert "classified as" in card["text"] and "wrong" not in card["classes"]


def test_the_summary_counts(text, page):
    right = sum("✓" in card["text"] for card in cards(page, "said-"))
    recorded = sum("✓" in card["text"] for card in cards(page, "recorded-"))
    assert f"agrees with the label of {right} of the 20 generated clips" in text
    assert f"agrees with {right} of 20 generated clips and {recorded} of 10 recordings" in text


# The tables


def test_numbers_are_those_of_the_summary(run, page):
    rows = json.loads((run / "summary.json").read_text())["rows"]
    first, second = page.tables
    assert [line[0].removesuffix(" (untrained)") for line in first[1:]] == [row["label"] for row in rows]
    for line, row in zip(first[1:], rows):
        for place, (key, decimals) in enumerate([("fid", 3), ("is", 2), ("mis", 1), ("am", 3), ("ndb", 2)], start=1):
            found = row["values"][key]
            bounds = f" [{found['low']:.{decimals}f}, {found['high']:.{decimals}f}]"
            assert line[place] == f"{found['value']:.{decimals}f}{bounds}", key
    assert first[0][1:6] == ["FID ↓", "IS ↑", "mIS ↑", "AM ↓", "NDB/K ↓"] and second[0][1] == "accuracy ↑"
    spoken = next(row for row in rows if row["name"].startswith("spoken"))
    (line,) = (line for line in second if line[0] == spoken["label"])
    assert line[1].startswith(f"{spoken['values']['accuracy']['value']:.3f} [")
    assert len(second) == 4  # the heading, two sets of the corpus, and the one generator with labels


def test_words_of_the_run_are_text(text):
    assert "3 CPU minutes &amp; &lt;a tea&gt;" in text and "<a tea>" not in text
    assert "Arrows point to the better end" in text and "✗ wrong, in a dashed frame" in text
    assert "/tmp" not in text and "python eval/generation_page.py" in text
    assert "<dt>rows in the tables</dt><dd>spoken, 3 steps, DDIM, guidance 0</dd>" in text


def test_a_table_of_denoising_where_there_is_one(text, tmp_path):
    assert "section 5.4)</h3>" not in text
    rows = [
        {"name": "a", "label": "a|b", "noise": "0.1", "clips": 4,
         "values": {"gain": {"value": 9.123, "low": 8.5, "high": 9.75}, "accuracy": {"value": 1.0}}},
        {"name": "b", "label": "noise left on", "noise": "0.1", "clips": 4,
         "values": {"after": {"value": -8.0, "low": None, "high": None}}},
    ]  # fmt: skip
    assert tables.denoising(rows).to_dict("split")["data"] == [
        ["a|b", "0.1", "4", "9.12 [8.50, 9.75]", "1.000", "–"],
        ["noise left on", "0.1", "4", "–", "–", "-8.00"],
    ]
    assert "a\\|b" in tables.markdown(tables.denoising(rows))


def test_interpolation(run, page, text, models):
    ends = cards(page, "end-")
    names = [re.search(r"\d_\w+_\d", card["text"])[0] for card in ends]
    assert names[0][0] == names[1][0] and names[0][2:5] != names[1][2:5]
    assert f"recordings of “{names[0][0]}”, {names[0]} and {names[1]}" in text
    a, b = (torch.from_numpy(heard(run, card)) for card in ends)
    spoken = load_generator(str(models / "spoken"))
    made = spoken.interpolate(a, b, 50, POINTS, seed=SEED, label=names[0][0]).numpy()
    for clip, card in zip(made, cards(page, "between-")):
        assert np.abs(heard(run, card) - clip).max() <= 0.5 / 32768 + 1e-7
    order = [card["sound"] for card in page.cards if re.search("page/(between|end)-", card["sound"])]
    assert [name[5] for name in order] == ["e", *"b" * POINTS, "e"]


def test_denoised_recordings(run, page, models):
    spoken = load_generator(str(models / "spoken"))
    speakers = set()
    for clean, noisy, one, many in zip(*(cards(page, f"{name}-") for name in ("clean", "noisy", "one", "many"))):
        speakers.add(re.search(r"\d_(\w+)_\d", clean["text"])[1])
        target, given = heard(run, clean), heard(run, noisy)
        assert np.std(given - target) == pytest.approx(NOISE, rel=0.05)
        for card in (noisy, one, many):
            found = heard(run, card).astype(float)
            scale = (found @ target) / (target.astype(float) @ target)
            rest = found - scale * target
            expected = 10 * math.log10((scale * target @ (scale * target)) / (rest @ rest))
            printed = float(re.search(r"SI-SDR (\S+) dB", card["text"])[1].replace("−", "-"))
            assert printed == pytest.approx(expected, abs=0.06)
        for card, steps in ((one, 1), (many, None)):
            made = spoken.denoise(torch.from_numpy(given), noise=NOISE, steps=steps)[0].numpy()
            assert np.abs(heard(run, card) - made).max() <= 1 / 32768
        assert "1 step" in one["text"] and re.search(r"\b(?!1\b)\d+ steps", many["text"])
    assert speakers == {"ann", "bob"}


# Made again


def test_the_same_line_makes_the_same_page(run, data, models, text):
    """And what another page left behind goes."""
    before = {path.name: path.read_bytes() for path in (run / "page").iterdir()}
    (run / "page" / "old.flac").write_bytes(b"of another page")
    assert program.main(generation_page, command(run, data, models)) == 0
    assert {path.name: path.read_bytes() for path in (run / "page").iterdir()} == before
    assert (run / "index.html").read_text(encoding="utf-8") == text


def test_another_seed_draws_other_recordings(data, models, classifier):
    (system,) = registry.find_generators([str(models / "spoken")], "cpu")
    corpus = datasets.load(data)
    first, second = (generation_page.SampleMaker(corpus, classifier, system, seed) for seed in (0, 1))
    assert [row[-1].source for row in first.grid(1)] != [row[-1].source for row in second.grid(1)]


# What is refused


@pytest.mark.parametrize(
    "words, said",
    [
        (["--columns", 0], "argument --columns: '0' is not a whole number from 1"),
        (["--points", 22], "not a whole number from 2 to 21"),
        (["--t", 101], "t=101 is no step"),
        (["--noise", 1e6], "knows noise up to"),
        (["--model", "nobody"], "no generator or checkpoint folder 'nobody'"),
        (["--model", "mute"], "has no labels"),
        (["--unlabelled", "spoken"], "has labels; give a generator without"),
        (["--model", "fast"], "makes 16,000 Hz, FSDD has 8,000 Hz"),
    ],
)
def test_bad_words(words, said, run, data, models, capsys):
    before = (run / "index.html").stat().st_mtime_ns
    if words[1] == "fast":
        generator(models / "fast", rate=16000)
    known = words[1] in ("mute", "spoken", "fast")
    assert (
        program.main(generation_page, command(run, data, models, words[0], models / words[1] if known else words[1]))
        == 2
    )
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and "Traceback" not in error
    assert (run / "index.html").stat().st_mtime_ns == before and not list(run.glob(".page*"))


def test_bad_runs(run, data, models, tmp_path, capsys):
    assert program.main(generation_page, command(tmp_path, data, models)) == 2
    assert "has no summary.json" in capsys.readouterr().err
    (tmp_path / "summary.json").write_text('{"rows": [{"label": "x"}]}')
    assert program.main(generation_page, command(tmp_path, data, models)) == 2
    assert "not as unconditional.py writes it" in capsys.readouterr().err
    for name in ("summary", "systems"):
        shutil.copy(run / f"{name}.json", tmp_path)
    manifest = records.read(run, "manifest")
    manifest["options"]["classifier"]["digest"] = "of another"
    records.write(tmp_path, "manifest", manifest)
    assert program.main(generation_page, command(tmp_path, data, models)) == 2
    assert "measured with another classifier" in capsys.readouterr().err


# In a browser


@pytest.mark.skipif(browser.find() is None, reason="no Chromium is installed; on Debian: apt-get install chromium")
def test_in_chromium(run):
    """It plays by click and key, one sound at a time; it fits a telephone, light and dark."""
    with browser.Browser() as opened:
        for width in (1280, 390):
            for dark in (False, True):
                opened.size(width, 844, dark)
                opened.open(run / "index.html")
                assert opened.run("document.documentElement.scrollWidth") <= width
                assert opened.run(browser.CONTRAST) >= 4.5  # WCAG 2, level AA
        opened.run("document.querySelectorAll('img').forEach(image => { image.loading = 'eager'; })")
        opened.wait("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        links = "document.querySelectorAll('a.sound')"
        opened.run(f"{links}[0].click()")
        opened.wait("!audio.paused && audio.currentTime > 0.05")
        assert opened.run(f"{links}[0].getAttribute('aria-pressed')") == "true"
        assert opened.run("audio.duration") == pytest.approx(1.024, abs=0.01)
        opened.run(f"{links}[1].focus()")
        opened.key(" ", 32)
        assert opened.run(f"[{links}[0], {links}[1]].map(link => link.getAttribute('aria-pressed'))") == [
            "false",
            "true",
        ]
        opened.key("Enter", 13, "\r")
        assert opened.run("audio.paused && document.querySelectorAll('.playing').length === 0")
        assert opened.run(f"[...{links}].every(link => link.getAttribute('role') === 'button')")
        assert opened.troubles() == []
