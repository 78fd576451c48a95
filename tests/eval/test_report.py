"""The report of a made-up run: its numbers, beside pandas' own from the same records, and what it says of failures."""

import csv
import json
import re
import shutil
from pathlib import Path

import make_run
import pandas as pd
import pytest

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval import intervals, program, records, report
from tts_diffvoc_eval.reporting import tables
from tts_diffvoc_eval.reporting.leaderboard import load

FEW = {name: make_run.SYSTEMS[name] for name in ("original", "griffin-lim", "hifigan-v2", "diffwave-6", "diffwave-50")}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = make_run.make(tmp_path_factory.mktemp("runs") / "whole")
    report.redraw(folder)
    return folder


@pytest.fixture
def small(tmp_path):
    return make_run.make(tmp_path / "small", FEW, make_run.CLIPS[:2])


def means(run: Path, metric: str) -> dict[str, pd.Series]:
    """Values by system, one a clip, read with nothing of the report's."""
    lines = [json.loads(line) for line in (run / "quality.jsonl").read_text().splitlines()]
    flat = pd.DataFrame([{**line, "value": line["values"].get(metric)} for line in lines])
    by_clip = flat.dropna(subset=["value"]).groupby(["system", "clip"])["value"].mean()
    return {name: by_clip[name] for name in by_clip.index.levels[0]}


def read_csv(run: Path) -> dict[str, dict[str, str]]:
    with (run / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        return {line["system"]: line for line in csv.DictReader(file)}


def markdown_rows(run: Path) -> dict[str, dict[str, str]]:
    """Rows of the overview, by label."""
    text = (run / "README.md").read_text(encoding="utf-8")
    lines = re.search(r"(\|.*\|\n)+", text)[0].strip().splitlines()
    split = [[cell.strip().replace("\\", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {cells[1]: dict(zip(split[0], cells)) for cells in split[2:]}


@pytest.mark.parametrize("metric", ["pesq_wb", "wer"])
def test_means_agree_with_pandas(run, metric):
    written = read_csv(run)
    cells = {entry["system"]: entry["cells"] for entry in json.loads((run / "leaderboard.json").read_text())["systems"]}
    for name, values in means(run, metric).items():
        assert float(written[name][metric]) == pytest.approx(values.mean(), rel=1e-12)
        assert cells[name][metric]["value"] == pytest.approx(values.mean(), rel=1e-12)
        assert int(written[name][f"{metric}_clips"]) == cells[name][metric]["count"] == len(values)
        low, high = intervals.interval(values)
        assert (float(written[name][f"{metric}_low"]), float(written[name][f"{metric}_high"])) == (low, high)


def test_markdown_shows_the_rounded_means(run):
    shown = markdown_rows(run)
    labels = {name: system.label for name, system in make_run.SYSTEMS.items()}
    for name, values in means(run, "pesq_wb").items():
        low, high = intervals.interval(values)
        cell = shown[labels[name]]["PESQ-WB (MOS-LQO) ↑"].replace("*", "").replace("†", "")
        assert cell == f"{values.mean():.2f} ± {(high - low) / 2:.2f}"


def test_speed_and_diversity_agree_with_pandas(run):
    speed = pd.DataFrame([json.loads(line) for line in (run / "speed.jsonl").read_text().splitlines()])
    chosen = speed[(speed["batch"] == 1) & (speed["asked"] == 5.0)]
    rtf = (chosen["took"] / chosen["seconds"]).groupby(chosen["system"])
    written = read_csv(run)
    for name, middle in rtf.median().items():
        assert float(written[name]["rtf"]) == pytest.approx(middle)
        assert float(written[name]["speed"]) == pytest.approx(1 / middle)
    assert "‡" in markdown_rows(run)["WaveRNN_10-bit"]["Speed (× real time) ↑"]  # timed on a shorter clip
    table = pd.DataFrame([json.loads(line) for line in (run / "diversity.jsonl").read_text().splitlines()])
    spread = table.assign(value=[values["spread_lsd"] for values in table["values"]]).groupby("system")["value"].mean()
    for name, value in spread.items():
        assert float(written[name]["spread_lsd"]) == pytest.approx(value)
    text = (run / "README.md").read_text(encoding="utf-8")
    assert f"Noise floor: {spread['original']:.2f} dB" in text


def test_a_failed_clip_is_shown_and_no_zero(run):
    row = markdown_rows(run)["WaveRNN_10-bit"]
    assert row["failures"] == "2 of 8"
    assert "†" in row["PESQ-WB (MOS-LQO) ↑"]
    text = (run / "README.md").read_text(encoding="utf-8")
    assert "failed on 2 of 8 sounds, bell-02 (seed 0, 1): the decoder ran out of memory." in text
    assert "MelGAN (untrained) has no PESQ-WB on bell-03 (seed 0): PESQ found no utterance in the clip." in text
    assert "was not timed, or not to the end, with 4 clips of 5 s on cpu: took more than 60 s" in text
    written = read_csv(run)["wavernn"]
    assert (written["sounds_failed"], written["pesq_wb_clips"]) == ("2", "3")


def test_copies_tie(small):
    lines = (small / "quality.jsonl").read_text().splitlines()
    copies = [line.replace('"hifigan-v2"', '"twin"') for line in lines if '"hifigan-v2"' in line]
    (small / "quality.jsonl").write_text("\n".join([*lines, *copies]) + "\n")
    leaderboard = load(small)
    first, second = leaderboard.row("hifigan-v2"), leaderboard.row("twin")
    assert first.rank == second.rank and first.rank[0] < first.rank[1]
    assert "–" in first.rank_text()
    assert not any(cell.best for row in (first, second) for cell in row.cells.values())


def test_the_best_is_first_and_bold(tmp_path):
    clips = tuple(f"clip-{number}" for number in range(8))
    leaderboard = load(make_run.make(tmp_path / "run", FEW, clips, parts=("quality",)))
    assert [row.name for row in leaderboard.rows][:2] == ["original", "diffwave-50"]
    assert leaderboard.row("diffwave-50").rank == (1, 1) and leaderboard.row("griffin-lim").rank == (4, 4)
    assert leaderboard.row("original").rank is None
    assert leaderboard.row("diffwave-50").cell("pesq_wb").best
    assert not leaderboard.row("diffwave-6").cell("pesq_wb").best
    assert re.search(r"\| +\*\*", tables.overview(leaderboard))


def test_a_run_draws_the_same_bytes_again_wherever_it_lies(run, tmp_path):
    """And what a former drawing left behind goes."""
    moved = shutil.copytree(run, tmp_path / "moved")
    (moved / "plots" / "quality-speed-gone.png").write_bytes(b"of a former drawing")
    (moved / "spectrograms" / "gone.webp").write_bytes(b"of a former drawing")
    report.redraw(moved)
    before, after = (
        {p.relative_to(top): p.read_bytes() for p in top.rglob("*") if p.is_file()} for top in (run, moved)
    )
    assert sorted(after) == sorted(before)
    assert [path.name for path in after if after[path] != before[path]] == []
    for path in moved.glob("*.*"):
        assert str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.parametrize("parts", [("quality",), ("speed",), ("diversity",), ("quality", "diversity")], ids="+".join)
def test_partial_runs_are_drawn(tmp_path, parts):
    run = make_run.make(tmp_path / "run", FEW, make_run.CLIPS[:1], parts=parts)
    report.redraw(run)
    text = (run / "README.md").read_text(encoding="utf-8")
    assert ("Speed was not measured." in text) == ("speed" not in parts)
    assert ("Noise floor" in text) == ("diversity" in parts)
    assert ("Quality was not measured" in text) == ("quality" not in parts)
    assert (run / "index.html").is_file() and set(read_csv(run)) == set(FEW)


def test_an_interrupted_run_is_drawn_by_the_command(small, capsys):
    lines = (small / "quality.jsonl").read_text().splitlines()
    kept = [line for line in lines if '"diffwave-50"' not in line]
    (small / "quality.jsonl").write_text("\n".join(kept) + '\n{"system": "diffwave-50", "cl')
    for sound in (small / "audio").rglob("*.mp3"):
        sound.unlink()
    assert program.main(report, [str(small)]) == 0
    said = capsys.readouterr().out
    assert re.match(r"\| rank +\| system +\|", said) and "index.html" in said
    leaderboard = load(small)
    assert leaderboard.row("diffwave-50").rank is None and leaderboard.row("hifigan-v2").rank is not None
    assert any(failure.endswith("has no quality record in this run.") for failure in leaderboard.failures)
    assert markdown_rows(small)["DiffWave, 50 steps"]["failures"] == "not run"
    assert list((small / "spectrograms").rglob("*.webp")) == []


def test_ranks_stand_on_the_clips_that_all_were_given(small):
    lines = (small / "quality.jsonl").read_text().splitlines()
    kept = [line for line in lines if not ('"diffwave-50"' in line and make_run.CLIPS[1] in line)]
    (small / "quality.jsonl").write_text("\n".join(kept) + "\n")
    leaderboard = load(small)
    assert leaderboard.ranked_clips == 1 and {row.rank for row in leaderboard.systems()} == {(1, 4)}


def rewrite(run, edit):
    """Write each quality record anew."""
    lines = [json.loads(line) for line in (run / "quality.jsonl").read_text().splitlines()]
    (run / "quality.jsonl").unlink()
    for line in lines:
        edit(line)
        records.append(run, "quality", line)


def test_a_metric_without_any_value_is_named_once(small):
    def edit(record):
        record["values"]["dnsmos"], record["reasons"]["dnsmos"] = None, "needs pip install speechmos."

    rewrite(small, edit)
    leaderboard = load(small)
    assert leaderboard.failures == ["DNSMOS has no value for any system: needs pip install speechmos."]
    assert "dnsmos" not in leaderboard.by_name and "dnsmos" not in leaderboard.primary


def test_a_metric_that_does_not_apply_to_a_clip_is_no_failure(small):
    def edit(record):
        if record["clip"] == make_run.CLIPS[0]:
            record["values"]["wer"], record["reasons"]["wer"] = None, "there is no transcript."

    rewrite(small, edit)
    leaderboard = load(small)
    assert leaderboard.failures == []
    assert all((row.cell("wer").count, row.cell("wer").partial) == (1, False) for row in leaderboard.rows)


def test_tables_by_data_set(small):
    def edit(record):
        record["data_set"] = "read" if record["clip"] == make_run.CLIPS[0] else "told"
        if record["data_set"] == "told":
            record["values"]["wer"] = None

    rewrite(small, edit)
    report.redraw(small)
    tables = (small / "README.md").read_text().split("## By data set")[1]
    for name, clip in (("read", 0), ("told", 1)):
        table = tables.split(f"**{name}, 1 clip**")[1].split("**")[0]
        assert ("Word error" in table) == (name == "read") and "PESQ-WB" in table and "MCD" not in table
        lines = [json.loads(line) for line in (small / "quality.jsonl").read_text().splitlines()]
        values = [one["values"]["dnsmos"] for one in lines if (one["system"], one["clip"]) ==
                  ("diffwave-6", make_run.CLIPS[clip])]  # fmt: skip
        row = next(line for line in table.splitlines() if "DiffWave, 6 steps" in line)
        assert len(values) == 2 and f"{sum(values) / 2:.2f}" in row
        cells = {one["system"]: one["cells"] for one in
                 json.loads((small / "leaderboard.json").read_text())["data_sets"][name]}  # fmt: skip
        assert cells["diffwave-6"]["dnsmos"]["value"] == pytest.approx(sum(values) / 2)
        assert f'<th scope="col" class="name">{name}, 1 clip</th>' in (small / "index.html").read_text()


def test_a_metric_of_a_user_has_a_column(small):
    rewrite(small, lambda record: record["values"].update(my_score=1.5))
    assert load(small).by_name["my_score"].better == "neither"
    about = {"label": "My score", "unit": "points", "better": "higher", "description": "What I like.", "decimals": 1}
    records.write(small, "manifest", {**records.read(small, "manifest"), "metrics": {"my_score": about}})
    column = load(small).by_name["my_score"]
    assert (column.label, column.unit, column.better, column.decimals) == ("My score", "points", "higher", 1)


@pytest.mark.parametrize("content", [None, "{}", "{"], ids=["no file", "no records", "no JSON"])
def test_a_folder_that_is_no_run(tmp_path, content, capsys):
    if content is not None:
        (tmp_path / "systems.json").write_text(content)
    with pytest.raises(DiffvocError):
        report.redraw(tmp_path)
    assert program.main(report, [str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Traceback" not in said


@pytest.mark.parametrize(
    "value, said", [(0.0, "0"), (1.0, "1"), (12.345, "12.3"), (0.04904, "0.0490"), (123456.7, "123457"), (-0.0, "0")]
)
def test_three_digits_without_powers_of_ten(value, said):
    assert tables.shown(value) == said
