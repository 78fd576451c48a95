"""Crops by seek equal crops of whole clips, and come in an order that does not depend on where training stopped."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from small_corpus import MEL, tones, write_corpus
from torch.utils.data import DataLoader

from tts_diffvoc.audio import read_audio, resample
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc.training.conditions import conditioned
from tts_diffvoc.training.corpus import read_header, scan
from tts_diffvoc.training.crops import (
    CropBatches,
    CropDataset,
    CropKey,
    as_recordings,
    change_gain,
    collate,
    count_frames,
    fixed_crops,
    read_clip,
    read_crop,
    read_waveform,
)

TACOTRON = MelConfig()
FRAMES = 16


def whole_clip(path, rate: int) -> torch.Tensor:
    """All of a file at ``rate``, [1, T]."""
    samples, own = read_audio(path)
    return resample(samples, own, rate).unsqueeze(0)


def starts(whole: int, frames: int) -> list[int]:
    """Places of crops: both ends, beside them, and some between."""
    last = whole - frames
    return sorted({0, 1, 2, 3, last // 3, last // 2, last - 3, last - 2, last - 1, last})


@pytest.mark.parametrize("rate", [16000, 44100, 22050, 48000, 96000])
@pytest.mark.parametrize("suffix, channels", [("wav", 1), ("flac", 2)])
def test_a_crop_is_the_whole_clip_cut(tmp_path, rate, suffix, channels):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tones(0, 1.23, rate, channels), rate)
    recording = read_header(path)
    clip = whole_clip(path, 22050)
    assert recording.length(22050) == clip.shape[1]
    mel, whole = log_mel(clip, TACOTRON)[0], count_frames(recording, TACOTRON)
    assert whole == clip.shape[1] // 256
    for start in starts(whole, FRAMES):
        waveform, columns = read_crop(recording, TACOTRON, start, FRAMES)
        assert waveform.shape == (FRAMES * 256,) and columns.shape == (80, FRAMES)
        assert (waveform - clip[0, start * 256 : (start + FRAMES) * 256]).abs().max() < 1e-5
        assert (columns - mel[:, start : start + FRAMES]).abs().max() < 2e-4


@pytest.mark.parametrize("hop", [200, 300, 512, 700])
def test_crops_of_other_hops(tmp_path, hop):
    config = dataclasses.replace(TACOTRON, hop_length=hop)
    soundfile.write(tmp_path / "a.wav", tones(0, 1.0, 22050), 22050, subtype="FLOAT")
    recording = read_header(tmp_path / "a.wav")
    mel, whole = log_mel(whole_clip(recording.path, 22050), config)[0], count_frames(recording, config)
    for frames in (1, 4, whole):
        for start in {0, (whole - frames) // 2, whole - frames}:
            _, columns = read_crop(recording, config, start, frames)
            assert (columns - mel[:, start : start + frames]).abs().max() < 1e-4


def test_samples_from_anywhere_to_anywhere(tmp_path):
    soundfile.write(tmp_path / "a.wav", tones(0, 0.5, 176400), 176400, subtype="FLOAT")
    recording = read_header(tmp_path / "a.wav")
    clip = whole_clip(recording.path, 22050)[0]
    for start, stop in [(0, 1), (0, len(clip)), (5000, 5001), (4321, 8765), (len(clip) - 1, len(clip))]:
        assert (read_waveform(recording, start, stop, 22050) - clip[start:stop]).abs().max() < 1e-5


@pytest.mark.parametrize("suffix, rate", [("wav", 8000), ("flac", 8000), ("flac", 11025)])
def test_little_more_than_the_crop_is_read(tmp_path, monkeypatch, suffix, rate):
    path = tmp_path / f"long.{suffix}"
    soundfile.write(path, tones(0, 30, rate), rate)
    recording = read_header(path)
    read, plain = [], soundfile.SoundFile.read

    def counted(self, frames=-1, *arguments, **options):
        read.append(frames)
        return plain(self, frames, *arguments, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    read_crop(recording, MEL, 2000, FRAMES)
    assert min(read) > 0 and sum(read) < (FRAMES + 2 * 256) * 64 + 3 * rate / 8000 * 256
    assert sum(read) < 0.2 * recording.samples


@pytest.mark.parametrize("start", [-1, 60])
def test_frames_that_are_not_there(tmp_path, start):
    recording = scan(write_corpus(tmp_path, 1), MEL).recordings[0]
    with pytest.raises(DiffvocError, match="it has 75"):
        read_crop(recording, MEL, start, FRAMES)


@pytest.fixture
def saved(tmp_path):
    """A recording of 75 frames with a saved mel of its own, and where that lies."""
    folder = write_corpus(tmp_path / "clips", 1)
    place = tmp_path / "mels/clip0.npy"
    place.parent.mkdir()
    np.save(place, np.random.default_rng(0).normal(size=(20, 75)).astype(np.float32))
    return scan(folder, MEL, place.parent).recordings[0], place


def test_saved_mels_are_used(saved):
    recording, place = saved
    waveform, mel = read_crop(recording, MEL, 10, FRAMES)
    assert np.array_equal(mel.numpy(), np.load(place)[:, 10 : 10 + FRAMES])
    assert torch.equal(waveform, read_crop(dataclasses.replace(recording, mel=None), MEL, 10, FRAMES)[0])


@pytest.mark.parametrize("frames, counted", [(74, 74), (76, 75), (77, 75)])
def test_a_saved_mel_may_differ_by_two_frames(saved, frames, counted):
    np.save(saved[1], np.zeros((20, frames), np.float16))
    assert count_frames(saved[0], MEL) == counted
    assert read_clip(saved[0], MEL)[1].shape == (20, counted)


@pytest.mark.parametrize(
    "values, says",
    [
        (np.zeros((80, 75)), r"shape \(80, 75\).*takes \(20, frames\)"),
        (np.zeros(75), r"shape \(75,\)"),
        (np.zeros((20, 300)), "300 frames and clip0.wav has 75.*hop and rate"),
        (np.array(["not", "numbers"], dtype=object), "cannot be read as a saved mel"),
    ],
)
def test_saved_mels_of_another_shape(saved, values, says):
    np.save(saved[1], values, allow_pickle=True)
    with pytest.raises(DiffvocError, match=says):
        CropDataset([saved[0]], MEL, FRAMES)


def test_a_clip_shorter_than_the_crop_is_padded_with_silence(tmp_path):
    folder = write_corpus(tmp_path, 1, seconds=0.1)
    config = dataclasses.replace(MEL, shift=tuple(float(m) for m in range(20)))
    dataset = CropDataset(scan(folder, config).recordings, config, FRAMES)
    waveform, mel, seed = dataset[CropKey(0, 0, 5)]
    assert waveform.shape == (FRAMES * 64,) and mel.shape == (20, FRAMES) and seed == 5
    own, columns = read_clip(dataset.recordings[0], config)
    assert torch.equal(waveform[: len(own)], own) and not waveform[len(own) :].any()
    assert torch.equal(mel[:, :12], columns)
    assert torch.allclose(mel[:, 12:], log_mel(torch.zeros(1, 8000), config)[0, :, :4])


LENGTHS = [40, 16, 9, 75, 33]


def crops(position=0, **options):
    """Every batch from a position to its epoch's end."""
    batches = CropBatches(LENGTHS, FRAMES, **{"batch_size": 3, "seed": 7, **options})
    batches.position = position
    return list(batches)


def test_the_same_seed_gives_the_same_crops_each_epoch_others():
    assert crops() == crops()
    assert crops() != crops(seed=8)
    assert crops() != crops(position=len(crops()))


def test_epochs_follow_one_another_from_any_position():
    batches = CropBatches(LENGTHS, FRAMES, 3, 7)
    three = [batch for _ in range(3) for batch in batches]
    assert len(three) == 3 * len(batches)
    for position in range(len(three)):
        batches = CropBatches(LENGTHS, FRAMES, 3, 7)
        batches.position = position
        rest = [batch for _ in range(3 - position // len(batches)) for batch in batches]
        assert rest == three[position:]


@pytest.mark.parametrize("position", [0, 1])
def test_the_batches_of_two_processes_joined_are_those_of_one(position):
    one = crops(position, batch_size=6)
    first, second = (crops(position, rank=rank, world=2) for rank in (0, 1))
    assert len(one) == len(first) == len(second)
    for joined, a, b in zip(one, first, second):
        assert joined == [key for pair in zip(a, b) for key in pair]


def test_every_piece_of_every_clip_is_covered_and_the_last_batch_is_full():
    found = crops(passes=2)
    keys = [key for batch in found for key in batch]
    assert {len(batch) for batch in found} == {3}
    counts = Counter(key.clip for key in keys)
    pieces = {0: 2, 1: 1, 2: 1, 3: 4, 4: 2}
    assert all(counts[clip] >= 2 * n for clip, n in pieces.items())
    assert 0 <= len(keys) - 2 * sum(pieces.values()) < 3
    for key in keys:
        assert 0 <= key.start <= max(0, LENGTHS[key.clip] - FRAMES)
    assert len({key.seed for key in keys}) == len(keys)


def test_a_batch_larger_than_the_corpus_is_filled():
    (batch,) = crops(batch_size=64)
    assert len(batch) == 64


def test_crops_begin_everywhere():
    keys = [key for epoch in range(40) for batch in crops(epoch * len(crops())) for key in batch]
    found = {key.start for key in keys if key.clip == 0}
    assert found == set(range(LENGTHS[0] - FRAMES + 1))


def test_validation_crops_lie_in_the_middle_and_stay():
    assert fixed_crops([40, 9], FRAMES, 3) == [(0, 12, 3), (1, 0, 4)] == fixed_crops([40, 9], FRAMES, 3)


@pytest.mark.parametrize("workers", [0, 1])
def test_loaders_give_whole_batches_or_words(tmp_path, workers):
    recordings = scan(write_corpus(tmp_path, 2), MEL).recordings
    dataset = CropDataset(recordings, MEL, FRAMES)
    batches = CropBatches(dataset.lengths, FRAMES, 4, 0)
    loader = DataLoader(dataset, batch_sampler=batches, collate_fn=collate, num_workers=workers)
    for batch in loader:
        assert batch["waveform"].shape == (4, FRAMES * 64) and batch["mel"].shape == (4, 20, FRAMES)
        assert batch["seed"].shape == (4,)
    recordings[0].path.unlink()
    recordings[1].path.unlink()
    error = next(iter(loader))["error"]
    assert "is not there" in error and str(tmp_path) in error and error.endswith(".")


def test_batches_with_conditions(tmp_path):
    clips = conditioned(scan(write_corpus(tmp_path, 3), MEL).recordings, r"clip(\d)")
    dataset = CropDataset(clips, MEL, FRAMES, ("2", "0", "1"))
    batch = collate([dataset[CropKey(clip, 0, 7 + clip)] for clip in (0, 1, 2, 0)])
    assert batch["condition"].tolist() == [1, 2, 0, 1] and batch["condition"].dtype == torch.int64
    assert batch["seed"].tolist() == [7, 8, 9, 7] and batch["mel"].shape == (4, 20, FRAMES)
    assert "condition" not in collate([CropDataset(clips, MEL, FRAMES)[CropKey(0, 0, 1)]])
    with pytest.raises(DiffvocError, match="clip1 belongs to '1', which is not among what is trained on: 0, 2"):
        CropDataset(clips, MEL, FRAMES, ("0", "2"))


def test_a_recording_that_became_shorter(tmp_path):
    recording = scan(write_corpus(tmp_path, 1), MEL).recordings[0]
    soundfile.write(recording.path, tones(0, 0.2), 8000)
    with pytest.raises(DiffvocError, match="put it back"):
        read_crop(recording, MEL, FRAMES, FRAMES)


def test_gain_changes_waveform_and_mel_alike(tmp_path):
    clip, _ = read_clip(scan(write_corpus(tmp_path, 1), MEL).recordings[0], MEL)
    waveform = torch.stack([clip, 0.5 * clip, 0.01 * clip])
    mel = log_mel(waveform, MEL)
    batch = {"waveform": waveform, "mel": mel, "seed": torch.tensor([1, 2, 3])}
    louder, its_mel, _ = change_gain(batch, 12.0, MEL).values()
    ratio = louder.abs().amax(1) / waveform.abs().amax(1)
    assert ratio.min() >= 10 ** (-12 / 20) and ratio.max() <= 10 ** (6 / 20) and len(set(ratio.tolist())) == 3
    assert louder.abs().max() <= 1
    loud = mel > -6
    assert (its_mel - log_mel(louder, MEL))[loud].abs().max() < 1e-3
    alone = change_gain({name: rows[1:2] for name, rows in batch.items()}, 12.0, MEL)
    assert torch.equal(alone["waveform"][0], louder[1])


def test_what_coquis_loaders_list(tmp_path):
    folder = write_corpus(tmp_path, 2)
    paths = sorted(str(p) for p in folder.glob("*.wav"))
    assert [r.name for r in as_recordings(paths, MEL)] == ["clip0", "clip1"]
    pairs = [(paths[0], str(tmp_path / "clip0.npy"))]
    assert as_recordings(pairs, MEL)[0].mel == tmp_path / "clip0.npy"
    assert [r.name for r in as_recordings(paths, MEL, tmp_path.parent)] == [f"{tmp_path.name}/clip{i}" for i in (0, 1)]
    assert [r.name for r in as_recordings(paths, MEL, tmp_path / "elsewhere")] == ["clip0", "clip1"]
    with pytest.raises(DiffvocError, match="no clips to train on"):
        as_recordings([], MEL)
    with pytest.raises(DiffvocError, match="is not there"):
        as_recordings([tmp_path / "gone.wav"], MEL)
    with pytest.raises(DiffvocError, match="cannot be trained on: recorded at 8,000 Hz"):
        as_recordings(paths, TACOTRON)
