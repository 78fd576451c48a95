"""The answer in words: every figure of it, computed again from the records with pandas and SciPy alone."""

import json
import re
from dataclasses import replace
from pathlib import Path

import make_run
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tts_diffvoc_eval import intervals
from tts_diffvoc_eval.reporting import answer, tables
from tts_diffvoc_eval.reporting.leaderboard import load

COMMITTED = Path(__file__).parents[2] / "results" / "leaderboard"
CLIPS = tuple(f"LJ00{number}-0001" for number in range(1, 7))
NUMBER = r"(-?[\d.]+)"
GAIN = rf"{NUMBER} (more|less) (PESQ-WB|DNSMOS) \[{NUMBER}, {NUMBER}\]( \(a tie\))?"
METRICS = {"PESQ-WB": "pesq_wb", "DNSMOS": "dnsmos"}


def systems():
    """A checkpoint at three counts of steps and its prior, beside rivals of equal and of other training."""
    ours = make_run.MadeUp("", "diffusion", "DiffWave", 0.7, 0.02, 1, minutes=60.0, trained_on="CPU")
    made = {"original": make_run.SYSTEMS["original"]}
    for steps, quality in ((0, 0.6), (1, 0.68), (4, 0.75), (16, 0.76)):
        label = f"DiffWave, {steps} steps" if steps else "DiffWave's prior"
        made[f"diffwave-{steps}"] = replace(ours, label=label, steps=steps, quality=quality, slowness=0.01 + steps / 50)
    control = {"label": "DiffWave's prior, Griffin-Lim", "title": "DiffWave, Griffin-Lim", "steps": 0}
    made["diffwave-consistency=60"] = replace(ours, quality=0.74, slowness=0.02, **control)
    rival = {"minutes": 60.0, "trained_on": "CPU", "steps": None}
    made["waveglow"] = replace(ours, label="WaveGlow", title="WaveGlow", family="flow", quality=0.5, **rival)
    made["univnet"] = replace(ours, label="UnivNet", title="UnivNet", family="gan", quality=0.9, **rival)
    made["hifigan-v1"] = replace(made["univnet"], label="HiFi-GAN V1", title="HiFi-GAN V1", minutes=600.0, quality=0.95)
    return made


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    return make_run.make(tmp_path_factory.mktemp("run") / "run", systems(), CLIPS, parts=("quality", "speed"))


@pytest.fixture(scope="module", params=["made up", "committed"])
def run(request, made_up):
    return COMMITTED if request.param == "committed" else made_up


@pytest.fixture(scope="module")
def leaderboard(run):
    return load(run)


class Records:
    """Values of a run, read with nothing of the report's; systems are found by what a sentence calls them."""

    def __init__(self, run):
        quality, calls = ([json.loads(line) for line in (run / f"{kind}.jsonl").read_text().splitlines()]
                          for kind in ("quality", "speed"))  # fmt: skip
        self.quality = pd.DataFrame([{**line, **line["values"]} for line in quality])
        calls = pd.DataFrame(calls)
        calls = calls[calls.device == json.loads((run / "manifest.json").read_text())["device"]]
        calls = calls[calls.batch == calls.batch.min()]
        calls = calls[calls.asked == calls.asked.max()]
        calls["rtf"] = calls.took / calls.batch / calls.seconds
        self.rtf = calls.pivot_table(index="repeat", columns="system", values="rtf")
        self.systems = json.loads((run / "systems.json").read_text())

    def named(self, words):
        """The system that a sentence calls "DiffWave at 4 steps", or by its label."""
        title, _, steps = words.partition(" at ")
        count = int(steps.split()[0]) if steps else None
        wanted = {"title": title, "steps": count} if steps else {"label": words}
        found = [name for name, entry in self.systems.items() if wanted.items() <= entry.items()]
        assert len(found) == 1, words
        return found[0]

    def scores(self, metric):
        return self.quality.groupby(["clip", "system"])[METRICS[metric]].mean().unstack()

    def gains(self, text, one, other):
        """Checks each difference that ``text`` states between two systems; returns how many."""
        found = re.findall(GAIN, text)
        for value, word, metric, low, high, tie in found:
            mean, (below, above) = difference(self.scores(metric), one, other)
            sign = 1 if word == "more" else -1
            assert float(value) == pytest.approx(sign * mean, abs=0.00501)
            assert sorted([float(low), float(high)]) == pytest.approx(sorted([sign * below, sign * above]), abs=0.00501)
            assert bool(tie) == (below <= 0 <= above)
        return len(found)


def difference(table, one, other):
    values = (table[one] - table[other]).dropna()
    return values.mean(), stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))


def close(stated, values):
    assert [float(one) for one in stated] == pytest.approx(list(values), rel=0.006)


def rivals(records, sentence):
    one, told = re.fullmatch(r"At equal training \([\d.]+ .+ minutes each\) (.+?) has (.+)\.", sentence).groups()
    told, *lost = told.split("; the ")
    for part in lost:
        named, wrong = re.fullmatch(
            r"(.+) ha(?:s|ve) not learnt to .+ \((\d+) % of the words or more .+\)", part
        ).groups()
        stated = {tuple(one.split(" ", 1)) for one in re.split(r", the | and the ", named)}
        words = records.quality.groupby(["system", "clip"])["wer"].mean().groupby("system").mean()
        alike = [name for name in words.index[words >= int(wrong)] if records.systems[name]["minutes"] is not None]
        assert stated == {(records.systems[name]["family"], records.systems[name]["title"]) for name in alike}
    for part in told.split("; and "):
        gains, family, other = re.fullmatch(r"(.+) than the best (flow|GAN), (.+)", part).groups()
        one_name, other_name = records.named(one), records.named(other)
        ours, theirs = records.systems[one_name], records.systems[other_name]
        assert theirs["family"] == family.lower() and theirs["trained_on"] == ours["trained_on"]
        assert theirs["minutes"] == pytest.approx(ours["minutes"], rel=answer.ALIKE)
        assert records.gains(gains, one_name, other_name) == 2


def cost(records, sentence):
    one, told = re.fullmatch(r"To make a second of speech (.+?) takes (.+)\.", sentence).groups()
    for part in told.split(" and "):
        *stated, other = re.fullmatch(rf"{NUMBER} times \[{NUMBER}, {NUMBER}\] as long as (.+)", part).groups()
        mean, ends = difference(np.log(records.rtf), records.named(one), records.named(other))
        close(stated, np.exp([mean, *ends]))


def steps(records, sentence):
    pattern = r"(.+)'s steps from (\d+) to (\d+) buy (.+?)(?:, and take (.+) each for a second of speech)?\."
    found = re.fullmatch(pattern, sentence)
    title, few, most, gains, time = found.groups()
    line = {entry["steps"]: name for name, entry in records.systems.items() if entry["title"] == title}
    assert (int(few), int(most)) == (min(filter(None, line)), max(filter(None, line)))
    assert records.gains(gains, line[int(most)], line[int(few)]) == 2
    if time:
        mean, ends = difference(records.rtf, line[int(most)], line[int(few)])
        stated = re.fullmatch(rf"{NUMBER} ms \[{NUMBER}, {NUMBER}\]", time).groups()
        close(stated, 1000 * np.array([mean, *ends]) / (int(most) - int(few)))


def network(records, sentence):
    one, told = re.fullmatch(r"With its network (.+?) has (.+)\.", sentence).groups()
    name = records.named(one)
    title = records.systems[name]["title"]
    (prior,) = (key for key, entry in records.systems.items() if entry["title"] == title and entry["steps"] == 0)
    alone, *others = (re.fullmatch(r"(.+) than (.+)", part).groups() for part in told.split("; and "))
    assert alone[1] == "its prior alone" and records.gains(alone[0], name, prior) == 2
    for gains, other in others:
        assert records.gains(gains, name, records.named(other)) == 2


def published(records, sentence):
    pattern = rf"On (\d+) clips of LJ Speech (.+?) has {NUMBER} PESQ-WB \[{NUMBER}, {NUMBER}\]; the papers' own (.+)\."
    count, one, *stated, told = re.fullmatch(pattern, sentence).groups()
    values = records.scores("PESQ-WB")[records.named(one)].dropna()
    values = values[values.index.str.contains("LJ")]
    assert len(values) == int(count)
    close(stated, [values.mean(), *intervals.interval(values)])
    assert all(f"{name} {value:.2f}" in told for name, value in answer.PUBLISHED.items())


CHECKS = {"At equal": rivals, "To make": cost, "With its": network, "On ": published, "": steps}


def test_every_figure_again_from_the_records(run, leaderboard):
    records = Records(run)
    for sentence in leaderboard.answer:
        next(check for start, check in CHECKS.items() if sentence.startswith(start))(records, sentence)


def test_the_readme_opens_with_the_answer(run, leaderboard):
    text = (run / "README.md").read_text("utf-8") if run == COMMITTED else tables.markdown(leaderboard)
    listed = [line[2:].replace("\\", "") for line in text.split("\n\n")[1].splitlines()]
    assert listed == leaderboard.answer and answer.NOTE in text


def test_all_five_are_said(made_up):
    said = load(made_up).answer
    assert len(said) == 5
    assert "than the best flow, WaveGlow; and" in said[0] and said[0].endswith("than the best GAN, UnivNet.")
    assert said[0].startswith("At equal training (60 CPU minutes each) DiffWave at 16 steps has ")
    assert said[2].startswith("DiffWave's steps from 1 to 16 buy ") and " ms [" in said[2]


@pytest.mark.parametrize("gone, left", [
    (["waveglow", "univnet"], ["DiffWave's", "With its", "On 6 clips"]),
    (["waveglow", "hifigan-v1", "diffwave-0"], ["At equal", "To make", "DiffWave's"]),
    (["diffwave-1", "diffwave-16"], ["At equal", "To make", "With its", "On 6 clips"]),
    (["diffwave-1", "diffwave-4", "diffwave-16"], []),
])  # fmt: skip
def test_what_is_not_in_the_run_is_not_said(tmp_path, gone, left):
    some = {name: system for name, system in systems().items() if name not in gone}
    said = load(make_run.make(tmp_path / "run", some, CLIPS, parts=("quality", "speed"))).answer
    assert len(said) == len(left) and all(one.startswith(start) for one, start in zip(said, left))


def test_what_has_not_learnt_to_speak_is_named_and_has_no_rank(tmp_path):
    made = systems()
    made["waveglow"] = replace(made["waveglow"], quality=-0.7)
    run = make_run.make(tmp_path / "run", made, CLIPS, parts=("quality", "speed"))
    board = load(run)
    assert re.search(r"than the best GAN, UnivNet; the flow WaveGlow has not learnt .+\.$", board.answer[0])
    rivals(Records(run), board.answer[0])
    assert board.row("waveglow").rank is None and board.systems()[-1].name == "waveglow"
    assert board.row("univnet").rank and all(row.rank[1] < len(board.rows) - 1 for row in board.systems()[:-1])
    assert "(90 % of the words or more are wrong): WaveGlow." in " ".join(tables.notes(board))


def test_without_times_and_with_one_clip(tmp_path):
    said = load(make_run.make(tmp_path / "timeless", systems(), CLIPS, parts=("quality",))).answer
    assert len(said) == 4 and not any(" ms " in one or " times " in one for one in said)
    assert load(make_run.make(tmp_path / "clip", systems(), CLIPS[:1], parts=("quality",))).answer == []


def test_a_difference_either_way_and_a_tie():
    table = pd.DataFrame({"a": [1.0, 1.1, 0.9], "b": [2.0, 2.2, 1.9], "c": [1.1, 1.0, 0.9]})
    one, other, same = (type("Row", (), {"name": name})() for name in "abc")
    assert re.fullmatch(r"1.03 less MOS \[0.\d\d, 1.\d\d\]", answer._gain({"MOS": table}, one, other))
    assert re.fullmatch(r"1.03 more MOS \[0.\d\d, 1.\d\d\]", answer._gain({"MOS": table}, other, one))
    assert answer._gain({"MOS": table}, one, same).endswith("(a tie)")
