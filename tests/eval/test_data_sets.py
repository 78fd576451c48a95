"""What speech a run is made on: data sets, their transcripts, voices that read sentences, and shares of each."""

import doctest
import shutil

import numpy as np
import pytest
import soundfile

from tts_diffvoc import cli
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import records, speech


def noise(path, seconds: float = 1.0) -> None:
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, int(22050 * seconds)), 22050)


def test_examples_in_docstrings():
    found = doctest.testmod(speech)
    assert found.failed == 0 and found.attempted > 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a/wavs", "b/a"], "two data sets are named a"),
        ([""], "--data has an empty word"),
        (["x=gone"], "no folder gone"),
    ],
)
def test_bad_words_are_refused(words, told):
    with pytest.raises(DiffvocError, match=told):
        speech.load(words, 4, None)


def test_every_metric_that_applies_is_there_and_no_other(tmp_path):
    """Recordings with an English transcript, with a German one, and sentences that a voice reads."""
    for name, clip in (("english", "slt-04"), ("german", "awb-06")):
        (tmp_path / name / "wavs").mkdir(parents=True)
        shutil.copy(speech.BUNDLED / f"{clip}.flac", tmp_path / name / "wavs")
        (tmp_path / name / "metadata.csv").write_text(f"{clip}|She measured the length of the table twice.\n")
    sets = [f"{tmp_path}/english/wavs", f"other={tmp_path}/german:de", "read=ada"]
    options = "--clips 3 --seconds 0 --seeds 1 --workers 1 --threads 1 --metrics wer lsd dnsmos --no-speed".split()
    command = ["compare", *options, "--systems", "original", "griffin-lim", "--data", *sets]
    assert cli.main([*command, "--output", str(tmp_path / "run")]) == 0
    found = {(one["data_set"], one["system"]): one for one in records.lines(tmp_path / "run", "quality")}
    applies = {"english": {"wer", "lsd", "dnsmos"}, "other": {"lsd", "dnsmos"}, "read": {"wer", "dnsmos"}}
    assert set(found) == {(name, system) for name in applies for system in ("original", "griffin-lim")} - {
        ("read", "original")
    }
    for (name, _), record in found.items():
        assert record["error"] is None and not record["reasons"]
        assert {metric for metric, value in record["values"].items() if value is not None} == applies[name]
    assert found["read", "griffin-lim"]["values"]["wer"] < 60
    manifest = records.read(tmp_path / "run", "manifest")
    assert manifest["data_sets"]["other"] == {"place": "german", "language": "de"}
    assert manifest["data_sets"]["read"] == {"place": "ada", "language": "en"}


def test_a_voice_is_no_match_for_metrics_that_need_a_recording(tmp_path, capsys):
    run = ["compare", "--tts", "--systems", "griffin-lim", "--metrics", "lsd", "--clips", "1"]
    assert cli.main([*run, "--output", str(tmp_path)]) == 2
    assert "no clip can be scored by lsd" in capsys.readouterr().err


def test_transcripts_are_found_where_corpora_keep_them(tmp_path):
    for name in ("a", "b", "c"):
        noise(tmp_path / f"{name}.wav")
    (tmp_path / "metadata.csv").write_text("a|Dr. One|Doctor One\n")
    (tmp_path / "x.trans.txt").write_text("b TWO WORDS\n")
    (tmp_path / "c.txt").write_text("Three.\n")
    assert speech.transcripts(tmp_path) == {"a": "Doctor One", "b": "TWO WORDS", "c": "Three."}


def test_held_back_clips_are_those_that_no_recipe_trains_on(tmp_path):
    for reader in (103, 196, 200, 302, 500):
        noise(tmp_path / f"{reader}-1-0001.flac")
    names = [clip.name for clip in speech.load([tmp_path], 40, None, held=True)[0]]
    assert names == ["196-1-0001", "302-1-0001"]
    assert len(speech.load([tmp_path], 40, None)[0]) == 5


@pytest.mark.parametrize(
    ("counts", "asked", "shares"),
    [((28, 12), 40, (28, 12)), ((12, 28), 40, (12, 28)), ((28, 12), 20, (10, 10)), ((3, 50, 50), 21, (3, 9, 9))],
)
def test_clips_are_shared_out_over_sets(counts, asked, shares):
    """A set that has too few leaves the rest to the others, whatever order they come in."""
    chosen = speech.choose([range(count) for count in counts], asked)
    assert tuple(map(len, chosen)) == shares and all(len(set(one)) == len(one) for one in chosen)


def test_sets_take_turns(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            noise(tmp_path / name / f"{name}{number}.wav")
    clips, _ = speech.load([tmp_path / "a", tmp_path / "b"], 4, None)
    assert [clip.name for clip in clips] == ["a0", "b0", "a1", "b1"]


def test_the_sounds_of_a_former_run_are_read_without_a_word(tmp_path, capfd):
    """As MP3, of which libmpg123 complains where it is read in small pieces."""
    samples = np.random.default_rng(0).normal(0, 0.1, 6 * 22050).astype(np.float32)
    for name in ("a", "b", "c"):
        soundfile.write(tmp_path / f"{name}.mp3", samples, 22050)
    assert len(speech.load([tmp_path], 3, None)[0]) == 3
    assert capfd.readouterr().err == ""


def test_what_is_cut_loses_its_transcript(tmp_path):
    noise(tmp_path / "a.wav", 2.0)
    (tmp_path / "a.txt").write_text("Hello.")
    assert [speech.load([tmp_path], 1, seconds)[0][0].text for seconds in (None, 1.0)] == ["Hello.", None]
