"""Speed and memory: known durations, a made-up device and clock, and records whose summary is known."""

import time

import numpy as np
import pandas as pd
import pytest
import threadpoolctl
import torch
from small_vocoders import random_vocoder
from torch import nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import timing
from tts_diffvoc_eval.timing import Setting, measure, speed, summarise

MEL = torch.zeros(1, 80, 86)
FRAME = 256 / 22050
ONE_SECOND = (Setting(1, 1.0),)


def silence(mel, seed):
    return torch.zeros(mel.shape[0], mel.shape[2] * 256)


def sleeper(seconds):
    def synthesise(mel, seed):
        time.sleep(seconds)
        return silence(mel, seed)

    return synthesise


class Device:
    """A device that works in the background, and its clock: work is done only when someone waits for it."""

    def __init__(self):
        self.now = 0.0
        self.pending = 0.0
        self.log = []

    def clock(self):
        self.log.append("clock")
        return self.now

    def synchronise(self):
        self.log.append("wait")
        self.now += self.pending
        self.pending = 0.0

    def system(self, name="work", pace=None, seconds=None):
        """A system that takes ``pace`` seconds a second of audio, or ``seconds`` whatever the audio."""

        def synthesise(mel, seed):
            self.log.append(name)
            self.pending += seconds if pace is None else pace * mel.shape[0] * mel.shape[2] * FRAME
            return silence(mel, seed)

        return synthesise

    def measure(self, systems, chosen=ONE_SECOND, **options):
        return measure(systems, MEL, chosen, synchronise=self.synchronise, clock=self.clock, **options)


@pytest.mark.parametrize("seconds, repeats, slack", [(0.05, 5, 0.002), (0.5, 3, 0.0)])
def test_a_system_that_sleeps_is_timed(seconds, repeats, slack):
    records = pd.DataFrame(measure({"sleeper": sleeper(seconds)}, MEL, [Setting(1, 1.0)], repeats=repeats))
    row = summarise(records).iloc[0]
    assert row["repetitions"] == repeats
    assert row["p50"] == pytest.approx(seconds, abs=0.05 * seconds + slack)
    assert row["latency"] == row["p50"]
    assert row["rtf"] == pytest.approx(row["p50"] / (86 * FRAME))


def test_two_copies_tie():
    noise = torch.randn(300, 300)

    def work(mel, seed):
        for _ in range(20):
            noise @ noise
        return silence(mel, seed)

    records = pd.DataFrame(measure({"a": work, "b": work}, MEL, [Setting(1, 1.0)], repeats=12, threads=1))
    table = summarise(records, reference="a").set_index("system")
    low, high = table.loc["b", ["ratio_low", "ratio_high"]]
    assert low * low / high <= 1 <= high * high / low  # thrice as wide as 95 %: chance alone does not fail this
    assert tuple(table.loc["a", ["ratio", "ratio_low", "ratio_high"]]) == (1, 1, 1)


def test_work_in_the_background_is_counted():
    device = Device()
    records = device.measure({"asynchronous": device.system(seconds=0.5)}, repeats=2)
    assert [record["took"] for record in records] == pytest.approx([0.5, 0.5])
    # two first calls, the warm-up, two repetitions: each between two waits, with the clock inside them
    assert device.log == ["wait", "clock", "work", "wait", "clock"] * 5


def test_work_left_over_from_before_is_not_counted():
    device = Device()
    device.pending = 7.0
    assert device.measure({"a": device.system(seconds=0.5)}, repeats=1)[0]["took"] == 0.5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_kernel_on_a_gpu_is_counted():
    cycles = 200_000_000  # 0.1 s and more at 2 GHz and less
    big = 50_000_000

    def synthesise(mel, seed):
        torch.empty(big, dtype=torch.uint8, device="cuda")
        torch.cuda._sleep(cycles)
        return torch.zeros(mel.shape[0], 256, device="cuda")

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(cycles)
    start.record()
    torch.cuda._sleep(cycles)
    end.record()
    torch.cuda.synchronize()
    expected = start.elapsed_time(end) / 1000
    records = measure({"kernel": synthesise}, MEL, [Setting(1, 1.0)], device="cuda", repeats=3)
    for record in records:
        assert record["took"] == pytest.approx(expected, rel=0.05)
        assert big <= record["device_memory"] < 1.2 * big


def test_systems_take_turns_each_round_begun_by_the_next():
    device = Device()
    systems = {name: device.system(name, seconds=0.01) for name in "abc"}
    records = device.measure(systems, repeats=4)
    calls = [entry for entry in device.log if entry in systems]
    assert "".join(calls) == "aabbcc" + "abc" + "abc" + "bca" + "cab" + "abc"
    assert [(r["system"], r["repeat"]) for r in records[:6]] == [
        ("a", 0),
        ("b", 0),
        ("c", 0),
        ("b", 1),
        ("c", 1),
        ("a", 1),
    ]


def test_a_slow_system_gets_fewer_repetitions():
    device = Device()
    systems = {"quick": device.system(pace=0.1), "slow": device.system(pace=2.0)}
    records = pd.DataFrame(device.measure(systems, repeats=5, cap=9.5))
    slow = records[records["system"] == "slow"]
    # the cap holds two calls of a quarter second, the warm-up and three repetitions
    assert len(slow) == 3 and set(slow["repeats"]) == {3}
    assert slow["seconds"].tolist() == pytest.approx([86 * FRAME] * 3)
    assert (records["system"] == "quick").sum() == 5


def test_a_system_that_is_far_too_slow_gets_a_shorter_clip():
    device = Device()
    records = device.measure({"slow": device.system(pace=10.0)}, [Setting(1, 5.0)], repeats=5, cap=15.0)
    assert len(records) == 1
    assert records[0]["asked"] == 5.0
    assert 0.25 < records[0]["seconds"] < 0.6
    assert device.now < 15.5  # within the cap, but for rounding to whole frames
    row = summarise(pd.DataFrame(records)).iloc[0]
    assert row["shortened"]
    assert row["rtf"] == pytest.approx(10.0)
    assert row["latency"] == pytest.approx(50.0)


def test_the_shortest_clip_is_measured_even_beyond_the_cap():
    device = Device()
    records = device.measure({"slow": device.system(pace=1000.0)}, [Setting(1, 1.0), Setting(4, 1.0)], cap=10.0)
    assert [(r["batch"], r["repeats"]) for r in records] == [(1, 1), (4, 1)]
    assert all(r["seconds"] == pytest.approx(22 * FRAME, abs=FRAME) for r in records)
    assert all(r["process_memory"] is not None for r in records)


def test_a_larger_batch_does_not_mislead_about_a_longer_clip():
    device = Device()

    def autoregressive(mel, seed):  # as slow for one as for many
        device.pending += 10.0 * mel.shape[2] * FRAME
        return silence(mel, seed)

    chosen = timing.settings([1, 8], [0.25, 2.5])
    device.measure({"a": autoregressive}, chosen, cap=60.0, repeats=3)
    assert device.now < 75.0


def test_a_system_that_takes_as_long_for_any_clip_is_given_the_one_asked_for():
    device = Device()
    records = pd.DataFrame(device.measure({"a": device.system(seconds=0.5)}, [Setting(1, 5.0)], cap=10.0))
    row = summarise(records).iloc[0]
    assert not row["shortened"] and row["latency"] == pytest.approx(0.5) and row["repetitions"] == 5
    assert device.now < 10.5


def test_settings_come_in_the_order_of_their_audio():
    assert timing.settings([4, 1], [5.0, 1.0]) == [(1, 1.0), (4, 1.0), (1, 5.0), (4, 5.0)]
    with pytest.raises(DiffvocError, match="batch size"):
        timing.settings([0], [1.0])


def test_a_batch_and_a_long_clip_are_made_of_the_mel():
    mel = torch.arange(5.0).expand(1, 2, 5)
    made = speed.fit_mel(mel, 3, 7)
    assert made.shape == (3, 2, 7)
    assert made[2, 1].tolist() == [0, 1, 2, 3, 4, 0, 1]
    with pytest.raises(DiffvocError, match=r"\[1, M, F\]"):
        speed.fit_mel(torch.zeros(2, 80, 5), 1, 5)


def test_systems_get_the_batch_the_length_and_the_number_of_the_repetition():
    seen = []

    def synthesise(mel, seed):
        seen.append((tuple(mel.shape), seed, torch.is_grad_enabled()))
        return silence(mel, seed)

    records = measure({"a": synthesise}, MEL, [Setting(2, 1.5)], repeats=2)
    assert seen[-2:] == [((2, 80, 129), 0, False), ((2, 80, 129), 1, False)]
    assert records[0]["seconds"] == pytest.approx(129 * FRAME)
    assert summarise(pd.DataFrame(records)).iloc[0]["shortened"] == np.False_


def test_a_failure_is_a_record_and_others_go_on():
    def fails_in_batches(mel, seed):
        if mel.shape[0] > 1:
            raise RuntimeError("out of memory\nand a long trace")
        return silence(mel, seed)

    written = []
    systems = {"a": fails_in_batches, "b": silence, "wrong": lambda mel, seed: silence(mel, seed)[0]}
    records = measure(systems, MEL, [Setting(1, 1.0), Setting(2, 1.0)], repeats=2, write=written.append)
    assert records == written
    failed = [r for r in records if r["error"]]
    assert [(r["system"], r["batch"], r["took"]) for r in failed] == [("wrong", 1, None), ("a", 2, None)] + [
        ("wrong", 2, None)
    ]
    assert failed[1]["error"] == "RuntimeError: out of memory"
    assert "must be a tensor [B, T]" in failed[0]["error"]
    table = summarise(pd.DataFrame(records), reference="b").set_index(["system", "batch"])
    assert table.loc[("a", 2), "error"] == "RuntimeError: out of memory"
    assert pd.isna(table.loc[("a", 2), "p50"]) and table.loc[("a", 2), "ratio_reason"]
    assert table.loc[("a", 1), "repetitions"] == 2


def test_threads_are_fixed_and_restored():
    before = torch.get_num_threads()
    seen = []

    def synthesise(mel, seed):
        pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
        seen.append({torch.get_num_threads(), *pools})
        return silence(mel, seed)

    measure({"a": synthesise}, MEL, [Setting(1, 1.0)], repeats=1, threads=before + 1)
    assert seen and all(count == {before + 1} for count in seen)
    with pytest.raises(KeyboardInterrupt), speed.fixed_threads(before + 2):
        raise KeyboardInterrupt
    assert torch.get_num_threads() == before


def test_memory_of_a_call_is_seen_and_that_of_the_call_before_is_not():
    def allocates(mel, seed):
        block = np.ones(200_000_000, dtype=np.uint8)
        time.sleep(0.01)
        return silence(mel, seed) * float(block[0])

    systems = {"large": allocates, "small": silence}
    records = {r["system"]: r for r in measure(systems, MEL, [Setting(1, 1.0)], repeats=1)}
    assert 190e6 < records["large"]["process_memory"] < 240e6
    assert records["small"]["process_memory"] < 20e6
    assert records["large"]["device_memory"] is None


def made_up(took, reference):
    rows = []
    for name, values in {"a": took, "reference": reference}.items():
        for repeat, value in enumerate(values):
            record = {"system": name, "device": "cpu", "batch": 2, "seconds": 1.0, "repeat": repeat, "took": value}
            rows.append(record | {"device_memory": None, "process_memory": 10 + repeat, "error": None})
    return pd.DataFrame(rows)


def test_summary_of_known_records():
    row = summarise(made_up([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0]), reference="reference").iloc[0]
    assert (row["p50"], row["p95"], row["rtf"], row["latency"]) == pytest.approx((2.5, 3.85, 1.25, 2.5))
    assert row["process_memory"] == 13 and row["device_memory"] is None
    logs = np.log([1, 2, 3, 4])
    half = 3.182446 * logs.std(ddof=1) / 2  # Student's 97.5 % with three degrees of freedom
    assert row["ratio"] == pytest.approx(24 ** (1 / 4))
    assert row["ratio_low"] == pytest.approx(np.exp(logs.mean() - half), rel=1e-5)
    assert row["ratio_high"] == pytest.approx(np.exp(logs.mean() + half), rel=1e-5)


def test_pairing_by_repetition_takes_a_drift_out():
    drift = np.array([1.0, 1.4, 2.0, 2.8, 4.0])
    row = summarise(made_up(2 * drift, drift), reference="reference").iloc[0]
    assert row["ratio_low"] == pytest.approx(2) and row["ratio_high"] == pytest.approx(2)


def test_why_there_is_no_ratio():
    one = made_up([1.0], [2.0])
    row = summarise(one, reference="reference").iloc[0]
    assert row["ratio"] == 0.5 and "one repetition" in row["ratio_reason"] and row["ratio_low"] is None
    assert "no repetition" in summarise(one, reference="absent").iloc[0]["ratio_reason"]
    assert summarise(pd.DataFrame()).empty


def test_of_a_repetition_measured_twice_the_last_counts():
    records = pd.concat([made_up([9.0], [9.0]), made_up([1.0], [1.0])])
    assert summarise(records).iloc[0][["repetitions", "p50"]].tolist() == [1, 1.0]


def test_bad_options_are_refused():
    with pytest.raises(DiffvocError, match="repeats=0"):
        measure({}, MEL, [], repeats=0)
    with pytest.raises(DiffvocError, match="cannot be measured"):
        speed.synchroniser("xpu")


def test_operations_of_plain_modules():
    conv, linear = nn.Conv1d(80, 16, 3, padding=1), nn.Linear(16, 4)
    mel = torch.zeros(2, 80, 10)

    def synthesise(mel, seed):
        return linear(conv(mel).transpose(1, 2))[..., 0]

    expected = 2 * 2 * 10 * (80 * 16 * 3 + 16 * 4)
    assert timing.count_flops(synthesise, mel) == (expected, None)
    with torch.inference_mode():
        assert timing.count_flops(synthesise, mel).total == expected


def test_operations_of_transforms_and_vectors():
    count = timing.count_flops
    mel = torch.zeros(3, 80, 1024)
    assert count(lambda mel, seed: torch.fft.rfft(mel[:, 0]).abs(), mel).total == 3 * 2.5 * 1024 * 10
    assert count(lambda mel, seed: torch.fft.irfft(mel[:, 0, :513] + 0j), mel).total == 3 * 2.5 * 1024 * 10
    assert count(lambda mel, seed: torch.fft.fft(mel[:, 0] + 0j).abs(), mel).total == 3 * 5 * 1024 * 10
    assert count(lambda mel, seed: mel[0] @ mel[0, 0], mel).total == 2 * 80 * 1024


def test_why_operations_cannot_be_counted():
    mel = torch.zeros(1, 80, 10)
    lstm = nn.LSTM(80, 8, batch_first=True)
    assert "_rnn" in timing.count_flops(lambda mel, seed: lstm(mel.transpose(1, 2))[0][..., 0], mel).reason
    assert "outside PyTorch" in timing.count_flops(lambda mel, seed: torch.from_numpy(np.zeros((1, 9))), mel).reason
    flops = timing.count_flops(lambda mel, seed: mel.nothing, mel)
    assert flops.total is None and "failed" in flops.reason


def test_operations_of_a_vocoder_on_its_fast_path():
    vocoder = random_vocoder("diffwave")
    flops = timing.count_flops(lambda mel, seed: vocoder.generate(mel, seed=seed), torch.randn(1, 80, 8))
    layer = 3 * 2 * 8 * 8 + 2 * 8 * 8  # the dilated convolution and the output projection: multiply-adds a sample
    assert flops.reason is None and flops.total > 6 * 3 * 2 * layer * 8 * 256
