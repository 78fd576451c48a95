"""The acoustic model: expansion by fractional durations, places in words, harmonics, learning, control of prosody."""

import math

import pytest
import torch

from tts_diffvoc.acoustic import (
    F0_MAX,
    F0_MIN,
    AcousticConfig,
    AcousticModel,
    expand,
    harmonic_mels,
    word_places,
)
from tts_diffvoc.english.symbols import SYMBOL_IDS
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel

SMALL = AcousticConfig(
    channels=32, encoder_blocks=1, prosody_channels=16, prosody_blocks=1, decoder_blocks=2, kernel_size=3, widening=2
)


def ids(symbols: str) -> torch.Tensor:
    return torch.tensor([[SYMBOL_IDS[s] for s in symbols]])


def batch() -> dict[str, torch.Tensor]:
    """Two utterances whose mel and F0 follow from their symbols."""
    symbols = torch.cat([ids("^b k m."), ids("^p s.__")])
    durations = torch.tensor([[3.0, 4.5, 1.25, 6.25, 2, 5, 4], [2, 5.5, 1, 4.5, 3, 0, 0]])
    durations = durations[:, : symbols.shape[1]]
    frames = durations.sum(1).ceil().long()
    levels, _ = expand(symbols.unsqueeze(2).float(), durations, int(frames.max()))
    mel = (levels / 10 - 6).expand(-1, -1, 80).clone() + torch.linspace(0, -2, 80)
    f0 = torch.where(levels[..., 0] % 2 == 0, 120.0 + levels[..., 0], 0.0)
    return {
        "symbols": symbols,
        "lengths": torch.tensor([7, 5]),
        "durations": durations,
        "mel": mel,
        "frames": frames,
        "f0": f0,
    }


def test_a_frame_belongs_to_the_symbol_that_lasts_when_it_starts():
    x = torch.tensor([[[1.0], [2.0], [3.0]]])
    out, place = expand(x, torch.tensor([[1.5, 1.25, 2.0]]), 5)
    assert out[0, :, 0].tolist() == [1, 1, 2, 3, 3]  # symbols end at 1.5, 2.75 and 4.75
    torch.testing.assert_close(place[0, :, 0], torch.tensor([0, 1 / 1.5, 0.5 / 1.25, 0.25 / 2, 1.25 / 2]))
    torch.testing.assert_close(place[0, 3], torch.tensor([0.125, 0.025, 0.175]))


def test_a_symbol_without_duration_has_no_frame():
    out, _ = expand(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[2.0, 0.0, 1.0]]), 3)
    assert out[0, :, 0].tolist() == [1, 1, 3]


def test_places_in_words_count_from_both_ends():
    start, end = word_places(ids("^bkm sd.__"), torch.tensor([8]))
    assert start[0, :8].tolist() == [1, 2, 3, 4, 0, 1, 2, 3]
    assert end[0].tolist() == [4, 3, 2, 1, 0, 3, 2, 1, 0, 0]


def test_harmonics_are_those_of_a_pulse_train():
    config, table = MelConfig(), harmonic_mels(MelConfig())
    f0 = torch.tensor([100.0, 150.0, 210.0, 300.0, 400.0])
    time = torch.arange(22050, dtype=torch.float64) / 22050
    pulses = [sum(torch.cos(2 * torch.pi * f * k * time) for k in range(1, int(8000 / f) + 1)) for f in f0]
    measured = log_mel(0.01 * torch.stack(pulses).float(), config)[:, :25, 20:60].mean(2)
    rows = table[((len(table) - 1) * (f0 / F0_MIN).log() / math.log(F0_MAX / F0_MIN)).round().long(), :25]
    measured, rows = measured - measured.mean(0), rows - rows.mean(0)
    likeness = torch.corrcoef(torch.cat([measured, rows]))[: len(f0), len(f0) :]
    assert likeness.diagonal().min() > 0.85
    assert likeness.argmax(1).tolist() == list(range(len(f0)))


def test_a_few_steps_learn_mel_durations_and_pitch():
    torch.manual_seed(0)
    model = AcousticModel(SMALL)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    first = {name: float(value.detach()) for name, value in model.loss(batch()).items()}
    for _ in range(120):
        optimizer.zero_grad()
        model.loss(batch())["loss"].backward()
        optimizer.step()
    last = {name: float(value.detach()) for name, value in model.loss(batch()).items()}
    for name in ("mel", "duration", "f0", "voicing", "energy"):
        assert last[name] < 0.4 * first[name], name
    mel, frames, durations = model.generate(batch()["symbols"], batch()["lengths"])
    torch.testing.assert_close(durations, batch()["durations"], rtol=0.3, atol=0.3)
    assert mel.shape == (2, 80, int(frames.max())) and (frames - batch()["frames"]).abs().max() <= 2


def test_rows_without_sound_teach_durations_and_nothing_else():
    torch.manual_seed(0)
    model = AcousticModel(SMALL).eval()
    rows = batch()
    sound = {"mel": rows["mel"][:1], "frames": rows["frames"][:1], "f0": rows["f0"][:1]}
    torch.manual_seed(0)
    alone = model.loss({name: value[:1] for name, value in rows.items()})
    torch.manual_seed(0)  # which rows are decoded from the model's own prosody is drawn
    joined = model.loss({**rows, **sound})
    for name in ("mel", "f0", "voicing", "energy"):
        torch.testing.assert_close(joined[name], alone[name])
    torch.testing.assert_close(joined["duration"], model.loss(rows)["duration"])
    assert joined["duration"] != alone["duration"]


def test_padding_changes_nothing():
    torch.manual_seed(0)
    model = AcousticModel(SMALL).eval()
    rows = batch()
    both, frames, _ = model.generate(rows["symbols"], rows["lengths"])
    alone, count, _ = model.generate(rows["symbols"][1:, :5])
    assert count[0] == frames[1]
    torch.testing.assert_close(both[1, :, : int(count[0])], alone[0], rtol=1e-4, atol=1e-4)


def test_speed_divides_durations_and_semitones_raise_the_pitch():
    torch.manual_seed(0)
    model = AcousticModel(SMALL).eval()
    symbols = ids("^bkm sd.")
    slow, fast = (model.generate(symbols, speed=speed)[2] for speed in (0.5, 2.0))
    torch.testing.assert_close(slow, 4 * fast)
    seen = []
    model.decode = lambda x, place, octaves, *rest: seen.append(octaves) or torch.zeros(1, octaves.shape[1], 80)
    for semitones in (0.0, 12.0):
        model.generate(symbols, semitones=semitones)
    torch.testing.assert_close(seen[1] - seen[0], torch.ones_like(seen[0]))


@pytest.mark.parametrize("options", [{"speed": 0}, {"speed": -1}, {"speed": float("nan")}, {"semitones": 99}])
def test_impossible_speeds_and_pitches_are_refused(options):
    with pytest.raises(DiffvocError, match="was asked for; give one from"):
        AcousticModel(SMALL).generate(ids("^b."), **options)
