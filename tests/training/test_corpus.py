"""What a look at a folder of recordings finds, and what it says of each thing that cannot be used."""

import numpy as np
import pytest
import soundfile
from small_corpus import MEL, tones, write_corpus

from tts_diffvoc import audio
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.training.corpus import scan
from tts_diffvoc.training.crops import read_clip


def write(path, samples, rate=8000, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def refusal(*arguments, **options) -> str:
    """The one sentence with which a folder is refused."""
    with pytest.raises(DiffvocError) as caught:
        scan(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")
    return text


@pytest.fixture
def good(tmp_path):
    """A folder with three clips that can be used."""
    return write_corpus(tmp_path / "good", 3)


def test_wav_and_flac_of_any_rate_and_channels_at_any_depth(tmp_path):
    write(tmp_path / "a.wav", tones(0))
    write(tmp_path / "deep/er/b.flac", tones(1, rate=16000), 16000)
    write(tmp_path / "deep/c.WAV", tones(2, rate=44100, channels=2), 44100)
    found = scan(tmp_path, MEL)
    assert [(r.name, r.rate, r.channels) for r in found.recordings] == [
        ("a", 8000, 1),
        ("deep/c", 44100, 2),
        ("deep/er/b", 16000, 1),
    ]
    assert found.skipped == [] and found.clipped == []
    assert found.seconds == pytest.approx(1.8, abs=1e-3)
    report = found.report()
    assert "3 clips, 0.0 minutes" in report and "1 at 44,100 Hz" in report and "1 with several channels" in report


def test_several_channels_are_averaged(tmp_path):
    stereo = tones(0, channels=2)
    write(tmp_path / "a.wav", stereo, subtype="FLOAT")
    waveform, _ = read_clip(scan(tmp_path, MEL, highpass=False).recordings[0], MEL)
    assert np.allclose(waveform.numpy(), stereo.mean(1)[: len(waveform)], atol=1e-6)


@pytest.mark.parametrize("layout", ["whole", "only its wavs"])
def test_a_transcript_without_its_clip_is_told(tmp_path, layout):
    wavs = write_corpus(tmp_path / "LJSpeech-1.1/wavs", 3)
    lines = [f'clip{i}|some text, with "quotes|some text' for i in (0, 1, 2)]
    (tmp_path / "LJSpeech-1.1/metadata.csv").write_text("\n".join([*lines, "clip77|gone|gone", ""]))
    found = scan(wavs.parent if layout == "whole" else wavs, MEL)
    assert len(found.recordings) == 3
    assert found.skipped == [("clip77", "a transcript without its clip")]
    assert "skipped 1, a transcript without its clip: clip77" in found.report()


def test_a_missing_folder(tmp_path):
    text = refusal(tmp_path / "nowhere", MEL)
    assert str(tmp_path / "nowhere") in text and "there is no folder" in text


def test_an_empty_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    assert "holds no recordings" in refusal(tmp_path, MEL)


def test_text_that_is_named_wav(good, tmp_path):
    (good / "letter.wav").write_text("Dear recording,\n" * 99)
    found = scan(good, MEL)
    assert found.skipped == [("letter.wav", "cannot be read as audio")]
    assert "skipped 1, cannot be read as audio: letter.wav" in found.report() and len(found.recordings) == 3
    (tmp_path / "alone").mkdir()
    (good / "letter.wav").rename(tmp_path / "alone/letter.wav")
    text = refusal(tmp_path / "alone", MEL)
    assert "nothing that can be trained on" in text and "letter" in text and "cannot be read as audio" in text


def test_a_rate_too_low_for_the_mel(tmp_path):
    write_corpus(tmp_path, 3, seconds=1.0)
    text = refusal(tmp_path, MelConfig())
    assert "8,000 Hz" in text and "nothing above 4,000 Hz" in text and "the mel reaches 8,000 Hz" in text
    assert scan(tmp_path, MelConfig(fmax=4000.0)).skipped == []


def test_two_clips_are_too_few_to_split(tmp_path):
    found = scan(write_corpus(tmp_path / "two", 2), MEL)
    with pytest.raises(DiffvocError, match="2 usable clips in all.*at least 3"):
        found.split(1)
    enough = scan(write_corpus(tmp_path / "three", 3), MEL)
    train, held = enough.split(1)
    assert len(train) == 2 and len(held) == 1 and {r.name for r in train + held} == {"clip0", "clip1", "clip2"}
    for count in (0, 3):
        with pytest.raises(DiffvocError, match="from 1 to 2"):
            enough.split(count)


def test_clips_are_held_back_evenly_and_always_the_same(tmp_path):
    found = scan(write_corpus(tmp_path, 10), MEL)
    train, held = found.split(2)
    assert [r.name for r in held] == ["clip2", "clip7"] and len(train) == 8
    assert scan(tmp_path, MEL).split(2) == (train, held)


def test_a_clipped_recording_is_used_and_told(good):
    write(good / "loud.wav", np.clip(20 * tones(9), -1, 1))
    found = scan(good, MEL)
    assert found.clipped == ["loud"] and len(found.recordings) == 4
    assert "1 clipped" in found.report() and "loud" in found.report()


def test_clipping_across_two_blocks_is_heard(good, monkeypatch):
    samples = tones(9)
    samples[1022:1026] = 1.0
    write(good / "loud.wav", samples, subtype="FLOAT")
    monkeypatch.setattr(audio, "BLOCK", 1024)
    assert scan(good, MEL).clipped == ["loud"]


def test_the_share_of_silence_is_told(good):
    write(good / "pause.wav", np.concatenate([tones(9), np.zeros(16000)]))
    found = scan(good, MEL)
    assert 0.4 < found.quiet_share < 0.55
    assert f"{found.quiet_share:.0%} of the time is silence" in found.report()


def test_hidden_files_are_left_out(good):
    write(good / ".trash/old.wav", tones(9))
    write(good / "._clip0.wav", tones(9))
    found = scan(good, MEL)
    assert len(found.recordings) == 3 and found.skipped == []


def test_a_corpus_below_a_hidden_folder_is_found(tmp_path):
    assert len(scan(write_corpus(tmp_path / ".cache/voice", 3), MEL).recordings) == 3


def test_saved_mels_belong_to_recordings_by_name(good, tmp_path):
    mels = tmp_path / "mels"
    mels.mkdir()
    for name in ("clip0", "clip2"):
        np.save(mels / f"{name}.npy", np.zeros((20, 75), np.float32))
    found = scan(good, MEL, mels)
    assert [(r.name, r.mel) for r in found.recordings] == [(n, mels / f"{n}.npy") for n in ("clip0", "clip2")]
    assert found.skipped == [("clip1.wav", f"no saved mel of it in {mels}")]
    assert "no saved mel" in refusal(good, MEL, tmp_path)


def test_headers_alone_can_be_read(good):
    write(good / "silent.wav", np.zeros(4800))
    assert len(scan(good, MEL, listen=False).recordings) == 4


def test_many_skipped_files_are_counted_and_a_few_named(good):
    for i in range(9):
        (good / f"text{i}.wav").write_text("no")
    report = scan(good, MEL).report(shown=2)
    assert "skipped 9, cannot be read as audio: text0.wav, text1.wav and 7 more" in report
