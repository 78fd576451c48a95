"""The command that compares generators of digits, on a small corpus of tones and with the bundled classifier."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from digit_corpus import write_corpus

from tts_diffvoc.checkpoint import load_generator, save_checkpoint
from tts_diffvoc.diffusion.schedules import linear_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.generator import Generator, GeneratorConfig
from tts_diffvoc.networks.diffwave import DiffWaveConfig
from tts_diffvoc_eval import program, records, registry, unconditional
from tts_diffvoc_eval.generation import classifier as classifiers
from tts_diffvoc_eval.generation import datasets, metrics, tables
from tts_diffvoc_eval.generation.classifier import Classifier, ClassifierConfig, mel_for
from tts_diffvoc_eval.generation.datasets import LABELS
from tts_diffvoc_eval.generation.wavegan import WaveGan, WaveGanConfig

OWN = """
import torch

LABEL, TRAINING = "of my own", "untrained"
time = torch.arange(8000) / 8000  # shorter than a clip


def tone(count, seed, labels):
    draw = torch.Generator().manual_seed(seed)
    pitch = 150 * (1 + torch.tensor(labels)) + torch.rand(count, generator=draw)
    return 0.3 * torch.sin(2 * torch.pi * pitch[:, None] * time)


def hiss(count, seed):
    return 5 * torch.randn(count, 9000, generator=torch.Generator().manual_seed(seed)).numpy()


def broken(count, seed):
    raise RuntimeError("out of digits")


def short(count, seed):
    return torch.zeros(count - 1, 8192)


def endless(count, seed):
    return torch.full((count, 8192), torch.inf)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """100 clips, of which 40 are held back."""
    return write_corpus(tmp_path_factory.mktemp("fsdd"), (0, 1, 9, 10, 11))


@pytest.fixture
def own(tmp_path):
    return write_own(tmp_path)


def write_own(folder):
    """Functions of a user's own; one text, wherever it lies."""
    path = folder / "own.py"
    path.write_text(OWN)
    return path


def command(data, output, *more, count=20):
    quick = ["--count", count, "--bins", 4, "--resamples", 8, "--batch", 8, "--threads", 1]
    return [str(word) for word in ("--data", data, "--output", output, *quick, *more)]


def run(*words, **options):
    return program.main(unconditional, command(*words, **options))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A run of two functions and two seeds."""
    folder = tmp_path_factory.mktemp("finished")
    own = write_own(folder)
    assert run(data, folder / "run", "--seeds", 0, 3, "--model", f"{own}:tone", f"{own}:hiss") == 0
    return folder / "run"


@pytest.fixture
def done(finished, tmp_path):
    """A copy of that run, to be changed."""
    return shutil.copytree(finished, tmp_path / "run")


# The tables


def test_tables_of_a_run(finished):
    text = (finished / "summary.md").read_text()
    first, second = text.split("## Generation")[1:]
    cells = [line.strip("|").split("|") for line in first.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in cells[0]][:6] == ["system", "FID ↓", "IS ↑", "mIS ↑", "AM ↓", "NDB/K ↓"]
    names = [row[0].strip() for row in cells[2:]]
    assert names == ["training set", "held-back set", "of my own (untrained)", "of my own (untrained)"]
    assert [row[7].strip() for row in cells[2:]] == ["the other 40 training clips", *["60 training clips"] * 3]
    assert [row[6].strip() for row in cells[2:]] == ["20", "20", "2 x 20", "2 x 20"]
    labelled = [line.split("|")[1].strip() for line in second.splitlines() if line.startswith("|")]
    assert labelled[2:] == ["training set", "held-back set", "of my own"]  # hiss takes no labels
    assert "60 clips to train on, 40 held back" in text and "K = 4 bins" in text
    assert str(finished) not in text and "/tmp" not in text


def test_numbers_of_a_run(finished):
    """The same in the CSV and the JSON, and in the order that they should have."""
    rows = {row["name"]: row for row in json.loads((finished / "summary.json").read_text())["rows"]}
    assert list(rows) == ["training-set", "held-back-set", "own-tone", "own-hiss"]
    fid = {name: row["values"]["fid"] for name, row in rows.items()}
    assert fid["own-tone"]["high"] < fid["own-hiss"]["low"]
    for row in rows.values():
        for key in ("fid", "is", "mis", "am", "ndb"):
            found = row["values"][key]
            assert found["low"] <= found["value"] <= found["high"] or key == "ndb"
        assert row["values"]["is"]["value"] >= 1 and 0 <= row["values"]["ndb"]["value"] <= 1
    assert {"accuracy", "fid_class", "fid_class_deviation"} <= rows["own-tone"]["values"].keys()
    assert "accuracy" not in rows["own-hiss"]["values"] and rows["own-hiss"]["training"] == "untrained"
    with (finished / "summary.csv").open() as file:
        table = {row["name"]: row for row in csv.DictReader(file)}
    assert table.keys() == rows.keys()
    assert float(table["own-tone"]["fid_low"]) == fid["own-tone"]["low"] and table["own-hiss"]["accuracy"] == ""
    assert table["own-tone"]["sets"] == "2" and float(table["own-tone"]["seconds_per_clip"]) > 0


def test_records_and_manifest(finished, data):
    found = list(records.lines(finished, "quality"))
    assert [(one["system"], one["seed"]) for one in found] == [
        ("training-set", 0), ("held-back-set", 0), ("own-tone", 0), ("own-tone", 3), ("own-hiss", 0), ("own-hiss", 3)
    ]  # fmt: skip
    assert found[2]["values"]["fid"] != found[3]["values"]["fid"]  # another seed, other clips
    manifest = records.read(finished, "manifest")
    assert manifest["seeds"] == [0, 3] and manifest["sample_rate"] == 8000
    assert manifest["checkpoints"].keys() == {"own-tone", "own-hiss"} and len(manifest["clips"]["held"]) == 64
    assert manifest["options"]["classifier"]["digest"] and manifest["options"]["clips_held_back"] == 40
    assert str(data) not in json.dumps(manifest)


def test_what_is_measured_is_the_metric_of_16_bit_clips(finished, data, own):
    """FID of the record, from the clips, the corpus and the classifier alone."""
    tone, hiss = registry.find_generators([f"{own}:tone", f"{own}:hiss"], "cpu")
    labels = np.arange(20) % 10
    clips = unconditional.generate_set(tone, 0, 8, 8192, labels)
    assert clips.shape == (20, 8192) and np.allclose(32767 * clips, np.round(32767 * clips), atol=1e-3)
    assert not clips[:, :96].any() and not clips[:, -96:].any() and clips[:, 96:-96].any()  # padded on both sides
    classifier, train = classifiers.load(), datasets.load(data).train
    expected = metrics.fid(*(metrics.gaussian(classifier.classify(part)[1]) for part in (train.waveforms, clips)))
    record = next(one for one in records.lines(finished, "quality") if one["system"] == "own-tone")
    assert record["values"]["fid"]["value"] == pytest.approx(expected, rel=1e-6)
    loud = unconditional.generate_set(hiss, 0, 8, 8192, labels)
    assert loud.max() == 1 and loud.min() == -1  # clipped, not wrapped


# Resuming


def test_resume_makes_only_what_is_missing(done, data, own):
    lines = (done / "quality.jsonl").read_text()
    summary = (done / "summary.json").read_text()
    cut = lines.splitlines(keepends=True)
    (done / "quality.jsonl").write_text("".join(cut[:-1]) + cut[-1][:40])  # killed while it wrote
    models = [f"{own}:tone", f"{own}:hiss"]
    assert run(data, done, "--seeds", 0, 3, "--model", *models, "--resume") == 0
    after = (done / "quality.jsonl").read_text()
    assert after.startswith("".join(cut[:-1])) and after.count("\n") == 6
    again = json.loads((done / "summary.json").read_text())
    for row, old in zip(again["rows"], json.loads(summary)["rows"]):
        assert row["values"] == old["values"], row["name"]


def test_more_can_be_added_but_nothing_changed(done, data, own, capsys):
    assert run(data, done, "--seeds", 0, "--model", f"{own}:short", "--resume") == 0
    rows = json.loads((done / "summary.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["training-set", "held-back-set", "own-tone", "own-hiss", "own-short"]
    assert records.read(done, "manifest")["seeds"] == [0, 3]
    for words, count, said in (
        (["--resume", "--bins", 5], 20, "started with other bins"),
        (["--resume"], 16, "started with other count"),
        ([], 20, "holds a run already"),
    ):
        capsys.readouterr()
        assert run(data, done, "--model", f"{own}:tone", *words, count=count) == 2
        assert said in capsys.readouterr().err
    own.write_text(OWN.replace("150", "160"))
    assert run(data, done, "--model", f"{own}:tone", "--resume") == 2
    assert "started with other own-tone" in capsys.readouterr().err
    assert run(data, done / "none", "--model", f"{own}:tone", "--resume") == 2
    assert "no run to continue" in capsys.readouterr().err


def test_a_failure_is_a_record_and_is_tried_again(data, own, tmp_path, capsys):
    names = ("broken", "short", "endless", "hiss")
    models = [f"{own}:{name}" for name in names]
    assert run(data, tmp_path / "run", "--model", *models) == 0
    errors = [one["error"] for one in records.lines(tmp_path / "run", "quality") if one.get("error")]
    assert errors == [
        "RuntimeError: out of digits",
        "it made waveforms of shape [7, 8192] for 8 clips.",
        "it made NaN or infinite samples.",
    ]
    text = (tmp_path / "run" / "summary.md").read_text()
    assert "## What failed" in text and "seed 0: RuntimeError: out of digits" in text
    assert sum(line.count("–") >= 6 for line in text.splitlines()) == 3
    assert run(data, tmp_path / "run", "--model", *models, "--resume") == 0
    assert len(list(records.lines(tmp_path / "run", "quality"))) == 9  # 6 and the 3 that failed once more
    rows = json.loads((tmp_path / "run" / "summary.json").read_text())["rows"]
    assert [len(row["failed"]) for row in rows] == [0, 0, 1, 1, 1, 0]


# What is refused


@pytest.mark.parametrize(
    "words, said",
    [
        (["--count", "1"], "not a whole number from 2"),
        (["--steps", "0"], "not a whole number from 1"),
        (["--seeds", "1", "1"], "names one twice"),
        (["--seeds", "-1"], "not a whole number from 0"),
        (["--model", "nobody"], "no generator or checkpoint folder 'nobody'"),
        (["--model", "nothing.py:none"], "no Python file"),
        (["--classifier", "nowhere"], "there is no folder nowhere"),
        (["--bins", "61"], "61 bins were asked for of 60 sounds"),
    ],
)
def test_bad_words(words, said, data, own, tmp_path, capsys):
    model = [] if "--model" in words else ["--model", f"{own}:hiss"]
    assert run(data, tmp_path / "run", *model, *words) == 2
    assert said in capsys.readouterr().err


def test_other_rates_are_refused(data, own, tmp_path, capsys):
    own.write_text(OWN + "\nSAMPLE_RATE = 16000\n")
    assert run(data, tmp_path / "run", "--model", f"{own}:hiss") == 2
    assert "makes 16,000 Hz, FSDD has 8,000 Hz" in capsys.readouterr().err
    other = Classifier(ClassifierConfig(length=16384, mel=mel_for(16000, 16384)))
    classifiers.save(other, tmp_path / "other", "a card")
    assert run(data, tmp_path / "run", "--model", f"{own}:tone", "--classifier", tmp_path / "other") == 2
    assert "the classifier takes 16,384 samples at 16,000 Hz" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# Systems


def test_a_baseline_in_a_folder(data, tmp_path, capsys):
    torch.manual_seed(0)
    folder = tmp_path / "gan" / "generator"  # as a run of train_baseline.py leaves it
    WaveGan(WaveGanConfig(width=1)).save(folder, "untrained", "nothing")
    assert run(data, tmp_path / "run", "--model", folder) == 0
    row = json.loads((tmp_path / "run" / "summary.json").read_text())["rows"][-1]
    assert (row["name"], row["family"], row["labelled"], row["training"]) == ("gan", "gan", False, "untrained")
    assert row["parameters"] > 1000 and row["values"]["fid"]["value"] > 0
    text = (tmp_path / "run" / "summary.md").read_text()
    assert "(small) (untrained)" in text and "by label" not in text  # no system here has labels


def tiny_generator(folder, labels):
    sizes = DiffWaveConfig(4, 2, 2, n_mels=0, upsample_factors=(), labels=len(labels), label_channels=4)
    config = GeneratorConfig(sizes, linear_schedule(1e-4, 0.3, 40), 8000, 8192, labels, defaults={"steps": 2})
    save_checkpoint(Generator(config), folder, "---\ntraining: 3 CPU minutes\n---\nTiny.\n")
    return folder


def test_generators_at_several_settings(data, tmp_path, capsys):
    """Every combination, guidance only with labels; every clip is what the generator makes of the batch's seed."""
    plain = tiny_generator(tmp_path / "plain", ())
    labelled = tiny_generator(tmp_path / "spoken" / "generator", LABELS)
    words = ["--steps", 1, 2, "--samplers", "ddim", "--guidance", 0, 1.5, "--seeds", 4]
    assert run(data, tmp_path / "run", "--model", plain, f"{labelled}?seed=9", *words, count=10) == 0
    rows = json.loads((tmp_path / "run" / "summary.json").read_text())["rows"][2:]
    assert [row["name"] for row in rows] == [
        "plain-1-ddim", "plain-2-ddim", *(f"spoken-seed=9-{s}-ddim-g{g}" for s in (1, 2) for g in ("0", "1.5"))
    ]  # fmt: skip
    assert rows[1]["label"] == "plain, 2 steps, DDIM" and rows[1]["training"] == "3 CPU minutes"
    assert rows[3]["label"] == "spoken-seed=9, 1 step, DDIM, guidance 1.5" and rows[3]["guidance"] == 1.5
    assert ["accuracy" in row["values"] for row in rows] == [False] * 2 + [True] * 4
    (one,) = registry.find_generators([str(labelled)], "cpu", {"steps": [2], "sampler": ["ddim"], "guidance": [1.5]})
    made = load_generator(str(labelled)).generate(2, [8, 9], 2, "ddim", 4 * 100_000 + 1, 1.5)
    clips = unconditional.generate_set(one, 4, 8, 8192, np.arange(10))
    assert np.abs(clips[8:] - made.numpy()).max() <= 1 / 32767


def test_generators_by_default_and_refused(tmp_path):
    folder = str(tiny_generator(tmp_path / "spoken", LABELS))
    (one,) = registry.find_generators([folder], "cpu")
    assert (one.name, one.steps, one.sampler, one.guidance) == ("spoken-2-ddpm-g0", 2, "ddpm", 0.0)
    assert one.digest and one.labelled and one.parameters > 100
    for choices, said in (
        ({"steps": [41]}, "at most 40"),
        ({"sampler": ["guess"]}, "sampler='guess' is none of"),
        ({"guidance": [-1.0]}, "guidance='-1.0' is not a number from 0"),
    ):
        with pytest.raises(DiffvocError, match=said):
            registry.find_generators([folder], "cpu", choices)
    with pytest.raises(DiffvocError, match="the labels one, two, which are not 0 to 9"):
        registry.find_generators([str(tiny_generator(tmp_path / "words", ("one", "two")))], "cpu")
    with pytest.raises(DiffvocError, match="two systems are named spoken-2-ddpm-g0"):
        registry.find_generators([folder] * 2, "cpu")


def test_cells():
    values = {"fid": {"value": 2.0, "low": 1.5, "high": 2.75}}
    assert tables.cells({"values": values}, ["fid", "is"]) == {"FID ↓": "2.000 [1.500, 2.750]", "IS ↑": "–"}
    values["fid_deviation"] = {"value": 0.5, "low": None, "high": None}
    assert tables.cells({"values": values}, ["fid"]) == {"FID ↓": "2.000 ± 0.500 [1.500, 2.750]"}
    values["fid"] = {"value": 3.0, "low": None, "high": None}
    assert tables.cells({"values": values}, ["fid"]) == {"FID ↓": "3.000 ± 0.500"}
