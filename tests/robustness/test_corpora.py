"""A folder of recordings in which anything may lie: the good ones are used, each other is listed with a reason (11)."""

import json
import os

import numpy as np
import pytest
import soundfile
from damage import PUT
from hypothesis import given
from hypothesis import strategies as st
from small_corpus import MEL, tones, write_corpus

from tts_diffvoc.training.compare import ClipScore, comparison, verdict
from tts_diffvoc.training.corpus import read_transcripts, scan
from tts_diffvoc.training.crops import read_clip


def test_one_of_everything_that_is_bad(tmp_path):
    write_corpus(tmp_path, 3)
    bad = {}
    for put in PUT:
        put(tmp_path / f"{put.__name__}.wav")
        bad[f"{put.__name__}.wav"] = ""
    for name, samples, rate, reason in [
        ("one.wav", np.zeros(1), 8000, "shorter than"),
        ("none.wav", np.zeros(0), 8000, "0 seconds long"),
        ("silence.wav", np.zeros(9000), 8000, "silent"),
        ("nan.wav", np.full(9000, np.nan), 8000, "NaN"),
        ("inf.wav", np.full(9000, np.inf), 8000, "NaN"),
        ("far.wav", np.full(9000, 1e30), 8000, "far above full scale"),
        ("slow.wav", tones(1), 500, "samples a second"),
    ]:
        soundfile.write(tmp_path / name, samples.astype(np.float32), rate, subtype="FLOAT")
        bad[name] = reason
    whole = tones(1, 3.0)
    soundfile.write(tmp_path / "cut.flac", whole, 8000)
    (tmp_path / "cut.flac").write_bytes((tmp_path / "cut.flac").read_bytes()[:9000])
    bad["cut.flac"] = "cannot be read to its end"
    soundfile.write(tmp_path / "five.wav", np.stack([tones(2)] * 5, 1), 8000)
    soundfile.write(tmp_path / "fast.wav", tones(3, rate=192_000), 192_000)
    found = scan(tmp_path, MEL)
    assert sorted(r.name for r in found.recordings) == ["clip0", "clip1", "clip2", "fast", "five"]
    told = dict(found.skipped)
    nowhere = {"put_loop.wav", "put_dangling.wav", "put_folder.wav", "put_fifo.wav"}  # no files, so no recordings
    assert told.keys() == bad.keys() - nowhere
    assert all(reason in told[name] for name, reason in bad.items() if name in told)
    for recording in found.recordings:
        assert read_clip(recording, MEL)[0].isfinite().all()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_listed(tmp_path):
    write_corpus(tmp_path, 3)
    (tmp_path / "clip1.wav").chmod(0)
    assert scan(tmp_path, MEL).skipped == [("clip1.wav", "cannot be read (Permission denied)")]


@given(
    st.lists(st.tuples(st.text("abc _-.", max_size=9), st.text(max_size=9)), max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
def test_any_list_of_transcripts_can_be_read(tmp_path_factory, rows, end, mark):
    path = tmp_path_factory.mktemp("list") / "metadata.csv"
    text = end.join(f"{name}|{text}" for name, text in rows)
    path.write_bytes(
        ("\ufeff" if mark else "").encode() + text.encode("utf-8", "surrogatepass") + b'\n"quoted|\xff\n\n'
    )
    lines = read_transcripts(path)
    assert lines[-1][0] == '"quoted' and all(lines) and not any("\ufeff" in line[0] for line in lines[:1])


def test_a_report_never_says_nan():
    scores = [ClipScore("a", float("nan"), float("nan")), ClipScore("b", 0.5, None)]
    assert "nan" not in verdict(scores, scores) + comparison(scores, scores).splitlines()[-1]
    assert verdict(scores[:1], scores[:1]) == ""
    assert json.dumps(verdict(scores, scores))
