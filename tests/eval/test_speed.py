"""Speed and memory: known durations, turns, clips that are cut for slow systems, failures, and summaries."""

import time

import numpy as np
import pandas as pd
import pytest
import torch

from tts_diffvoc_eval import speed
from tts_diffvoc_eval.speed import FRAME, Setting, measure, settings, summarise

MEL = torch.zeros(1, 80, 86)
ONE_SECOND = [Setting(1, 1.0)]


def silence(mel, seed):
    return torch.zeros(mel.shape[0], mel.shape[2] * 256)


def sleeper(seconds=0.0, pace=0.0):
    """A system that takes so many seconds, and so many more for a second of audio."""

    def synthesise(mel, seed):
        time.sleep(seconds + pace * mel.shape[0] * mel.shape[2] * FRAME)
        return silence(mel, seed)

    return synthesise


@pytest.mark.parametrize("seconds, repeats, slack", [(0.05, 5, 0.004), (0.3, 3, 0.0)])
def test_a_system_that_sleeps_is_timed(seconds, repeats, slack):
    row = summarise(pd.DataFrame(measure({"sleeper": sleeper(seconds)}, MEL, ONE_SECOND, repeats=repeats))).iloc[0]
    assert (row["repetitions"], row["error"], row["shortened"]) == (repeats, None, False)
    assert row["latency"] == pytest.approx(seconds, abs=0.05 * seconds + slack)
    assert row["rtf"] == pytest.approx(row["latency"] / (86 * FRAME))


def test_systems_take_turns_each_round_begun_by_the_next():
    log = []

    def system(name):
        def synthesise(mel, seed):
            log.append(name)
            return silence(mel, seed)

        return synthesise

    records = list(measure({name: system(name) for name in "abc"}, MEL, ONE_SECOND, repeats=3))
    assert "".join(log[-9:]) == "abcbcacab"
    assert [record["repeat"] for record in records] == [0] * 3 + [1] * 3 + [2] * 3


def test_a_slow_system_gets_a_shorter_clip_and_fewer_repetitions():
    found = measure({"slow": sleeper(pace=0.4), "quick": sleeper(0.001)}, MEL, [Setting(2, 2.0)], repeats=4, cap=0.8)
    table = summarise(pd.DataFrame(found)).set_index("system")
    slow, quick = table.loc["slow"], table.loc["quick"]
    assert slow["shortened"] and 0.25 < slow["seconds"] < 0.8 and slow["repetitions"] < 4
    assert slow["rtf"] == pytest.approx(0.4, rel=0.1)
    assert slow["latency"] == pytest.approx(2 * 2.0 * 0.4, rel=0.1)  # of the clip that was asked for
    assert not quick["shortened"] and quick["repetitions"] == 4


def test_what_fails_is_a_record_and_the_rest_goes_on():
    def broken(mel, seed):
        if mel.shape[0] > 1:
            raise RuntimeError("it takes one mel\nat a time")
        return silence(mel, seed)

    systems = {"broken": broken, "flat": lambda mel, seed: torch.zeros(5), "good": silence}
    records = measure(systems, MEL, [Setting(1, 0.5), Setting(2, 0.5)], repeats=2)
    table = summarise(pd.DataFrame(records)).set_index(["system", "batch"])
    assert table.loc[("broken", 1), "repetitions"] == table.loc[("good", 2), "repetitions"] == 2
    assert table.loc[("broken", 2), "error"] == "RuntimeError: it takes one mel"
    assert "must be a tensor [B, T]" in table.loc[("flat", 1), "error"] and np.isnan(table.loc[("flat", 1), "rtf"])


def test_memory_is_what_a_call_needs():
    if speed.memory("cpu") is None:
        pytest.skip("this system does not tell")

    def hungry(mel, seed):
        np.ones(20_000_000)
        return silence(mel, seed)

    table = summarise(pd.DataFrame(measure({"hungry": hungry, "modest": silence}, MEL, ONE_SECOND, repeats=1)))
    memory = table.set_index("system")["memory"]
    assert 150e6 < memory["hungry"] < 200e6 and memory["modest"] < 20e6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_kernel_on_a_gpu_is_counted():
    cycles, big = 200_000_000, 50_000_000  # 0.1 s and more at 2 GHz and less

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
    row = summarise(pd.DataFrame(measure({"kernel": synthesise}, MEL, ONE_SECOND, device="cuda", repeats=3))).iloc[0]
    assert row["latency"] == pytest.approx(start.elapsed_time(end) / 1000, rel=0.05)
    assert big <= row["memory"] < 1.2 * big


def test_threads_are_set_and_put_back():
    before, seen = torch.get_num_threads(), []

    def synthesise(mel, seed):
        seen.append(torch.get_num_threads())
        return silence(mel, seed)

    list(measure({"a": synthesise}, MEL, ONE_SECOND, repeats=1, threads=2))
    assert set(seen) == {2} and torch.get_num_threads() == before


def test_settings_come_with_the_least_audio_first():
    assert settings([4, 1], [5.0, 1.0, 1.0]) == [(1, 1.0), (4, 1.0), (1, 5.0), (4, 5.0)]


def test_a_mel_is_repeated_and_cut():
    mel = torch.arange(3.0).repeat(80, 1)[None]
    made = speed.fit_mel(mel, 2, 7 * FRAME)
    assert made.shape == (2, 80, 7) and made[1, 0].tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_no_records_and_records_written_twice():
    assert summarise(pd.DataFrame()).empty
    records = list(measure({"a": sleeper(0.01)}, MEL, ONE_SECOND, repeats=2))
    again = [{**record, "took": 1.0} for record in records]
    assert summarise(pd.DataFrame(records + again))["latency"].tolist() == [1.0]
