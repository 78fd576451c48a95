"""The one reader, writer and resampler: what comes back, what is refused, what is taken off."""

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from tts_diffvoc.audio import (
    FORMATS,
    HIGHPASS_HZ,
    MOST_SAMPLES,
    read_audio,
    remove_dc,
    resample,
    resampled_length,
    write_audio,
)
from tts_diffvoc.errors import DiffvocError

RATE = 22050


def tone(frequency: float, rate: int = RATE, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("rate", [16000, 22051, 44100, 192000])
def test_a_tone_keeps_its_pitch_at_any_rate(rate):
    made = resample(torch.from_numpy(tone(440, rate)).float(), rate, RATE)
    assert len(made) == RATE
    expected = torch.from_numpy(tone(440)).float()
    assert (made - expected)[500:-500].abs().max() < 1e-3


@given(st.integers(0, 3000), st.integers(1000, 768_000), st.integers(8000, 48_000))
def test_lengths_are_those_that_were_foretold(samples, rate, wanted):
    made = resample(torch.zeros(2, samples), rate, wanted)
    assert made.shape == (2, samples if rate == wanted else resampled_length(samples, rate, wanted))


def test_what_would_fill_memory_is_not_resampled():
    with pytest.raises(DiffvocError, match="too many"):
        resample(torch.zeros(1).expand(MOST_SAMPLES // 4), 1000, 8000)


def test_an_offset_and_rumble_go_and_speech_stays():
    gain = {f: np.sqrt(2) * remove_dc(tone(f), RATE)[3000:-3000].std() / 0.5 for f in (5, HIGHPASS_HZ, 60, 150, 1000)}
    assert gain[5] < 0.15 and abs(gain[HIGHPASS_HZ] - 0.71) < 0.02
    assert all(abs(gain[f] - 1) < 0.02 for f in (60, 150, 1000))
    assert np.abs(remove_dc(np.full(5000, 0.1), RATE)).max() < 1e-6
    pair = tone(200), tone(200) + 0.05
    assert np.abs(remove_dc(pair[0], RATE) - remove_dc(pair[1], RATE)).max() < 1e-6


def test_the_reader_takes_the_offset_off_unless_told_not_to(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(300) + 0.1, RATE, subtype="FLOAT")
    assert abs(float(read_audio(path)[0].mean())) < 1e-3
    assert float(read_audio(path, highpass=False)[0].mean()) == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize(
    "name, highpass", [("flac", True), ("flac", False), ("mp3", False), ("ogg", True), ("opus", False)]
)
def test_a_part_is_the_whole_cut(tmp_path, name, highpass):
    path = tmp_path / f"a.{name}"
    sound = torch.from_numpy(tone(300, 24000, 150_000 / 24000)).float()
    write_audio(path, sound, 24000)
    whole = read_audio(path, highpass=highpass)[0]
    assert (whole - sound)[4000:-4000].abs().max() < 0.1
    for start, stop in [(0, 10), (5_000, 20_000), (60_000, 140_000), (149_000, 150_000), (7, 7)]:
        part = read_audio(path, start, stop, highpass=highpass)[0]
        assert torch.allclose(part, whole[start:stop], atol=1e-6)
    with pytest.raises(DiffvocError, match="has 150,000 samples"):
        read_audio(path, 0, 150_001)


def test_a_peak_is_scaled_with_a_warning_and_never_cut(tmp_path):
    sound = torch.from_numpy(tone(440)).float()
    with pytest.warns(UserWarning, match="peak of 1.5"):
        write_audio(tmp_path / "a.wav", 3 * sound, RATE)
    written = torch.from_numpy(soundfile.read(tmp_path / "a.wav", dtype="float32")[0])
    assert (written - 2 * sound).abs().max() < 2e-3


@pytest.mark.parametrize("name, made", [(name, FORMATS[name]) for name in FORMATS])
def test_a_name_s_ending_says_how_it_is_written(tmp_path, name, made):
    path, sound = tmp_path / f"a.{name}", torch.from_numpy(tone(440, seconds=6.0)).float()
    write_audio(path, sound, RATE)
    written = soundfile.info(path)
    assert (written.format, written.subtype) == (made.container, made.subtype)
    assert written.samplerate == (24000 if name == "opus" else RATE)
    read = resample(*read_audio(path, highpass=False), RATE)
    assert len(read) == len(sound) and (read - sound)[RATE:-RATE].abs().max() < 0.02


@pytest.mark.parametrize("name", ["a", "a.aiff", "a.wav.txt"])
def test_an_ending_that_says_nothing_is_refused(tmp_path, name):
    with pytest.raises(DiffvocError, match="names no format to write"):
        write_audio(tmp_path / name, torch.zeros(9), RATE)
    assert not list(tmp_path.iterdir())


def test_a_channel_is_taken_or_all_are_averaged(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([tone(300), -0.5 * tone(300)], 1), RATE, subtype="FLOAT")
    both = [read_audio(path, highpass=False, channel=channel)[0] for channel in (1, 2, None)]
    assert torch.allclose(both[1], -0.5 * both[0]) and torch.allclose(both[2], 0.25 * both[0])
    with pytest.raises(DiffvocError, match="has 2 channels and no channel 3"):
        read_audio(path, channel=3)


@pytest.mark.parametrize(
    "bad", [torch.tensor([0.0, float("nan")]), torch.tensor([float("inf")]), torch.zeros(2, 5), torch.zeros(0)]
)
def test_what_is_no_sound_is_not_written(tmp_path, bad):
    (tmp_path / "a.wav").write_bytes(b"old")
    with pytest.raises(DiffvocError):
        write_audio(tmp_path / "a.wav", bad, RATE)
    assert (tmp_path / "a.wav").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
