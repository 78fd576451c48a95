"""README.md as a newcomer follows it: its blocks run, its links lead somewhere, its figures are those of results/."""

import csv
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

import tts_diffvoc
from tts_diffvoc.commands.vocode import OPTIONS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text("utf-8")
WAYS = {way[0]: way for way in re.split(r"^\*\*(?=\d\.)", TEXT.split("## Where it stands")[0], flags=re.M)[1:]}
# What a test shortens, and nothing else.
LESS = {
    "--port 5002": "--port PORT",
    "localhost:5002": "localhost:PORT",
    "--max-minutes 20": "--max-steps 2 --held-back 1 --batch-size 2",
    "--retry 60": "--retry 600",  # on a busy machine
    "--quick": "--quick --clips 1 --seconds 0.5 --seeds 1 --workers 1 --threads 1 --repeats 1 --cap 0.5 --metrics lsd",
}


def blocks(text):
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S)


def rows(text):
    """Cells of the tables in ``text``, without emphasis."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    return [[cell.strip().strip("*") for cell in line.split("|")[1:-1]] for line in lines]


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to work in, with recordings."""
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "my_voice").mkdir()
    for name in ("slt-01", "slt-04", "slt-08"):
        shutil.copy(ROOT / f"eval/tts_diffvoc_eval/clips/{name}.flac", folder / "my_voice")
    return folder


def follow(place, way):
    """Run the blocks of a way in their order; processes that they leave behind end with them."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    bin_folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    for language, block in blocks(WAYS[way]):
        for long, short in LESS.items():
            block = block.replace(long, short.replace("PORT", str(port)))
        if block.startswith("# my_vocoder.py"):
            (place / "my_vocoder.py").write_text(block)
            continue
        command = ["bash", "-e", "-c", block] if language == "sh" else [sys.executable, "-c", block]
        with open(place / f"{way}.log", "a+") as log:
            process = subprocess.Popen(
                command, cwd=place, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            try:
                returned = process.wait(600)
            finally:
                if " &\n" in block:
                    os.killpg(process.pid, signal.SIGKILL)
            log.seek(0)
            assert returned == 0, log.read()[-2000:]


def heard(path, least=0.3):
    samples, rate = soundfile.read(path)
    assert rate == 22050 and len(samples) > least * rate and abs(samples).max() > 0.05


def test_on_the_command_line_and_in_python(place):
    follow(place, "1")
    for name in ("hello", "joe", "again"):
        heard(place / f"{name}.wav")
    follow(place, "2")
    assert "torch.Size([1, 16384])" in (place / "2.log").read_text()


def test_as_a_server(place):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed; on Debian: apt-get install curl")
    follow(place, "3")
    heard(place / "served.wav")


def test_with_ones_own_voice(place):
    follow(place, "4")
    heard(place / "mine.wav")


def test_to_compare(place):
    follow(place, "5")
    assert "| White noise " in (place / "results/mine/README.md").read_text("utf-8")
    assert (place / "results/mine/index.html").is_file()


def test_a_newcomer_finishes_it():
    assert TEXT.count("\n") <= 120
    assert list(WAYS) == ["1", "2", "3", "4", "5"] and all(blocks(way) for way in WAYS.values())
    for target in ("speak", "test"):
        assert f"make {target}" in TEXT
        assert subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True).returncode == 0


@pytest.mark.parametrize("name", ["README.md", "results/README.md", "CONTRIBUTING.md", "SECURITY.md",
                                  *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])  # fmt: skip
def test_links_lead_somewhere(name):
    file = ROOT / name
    for target in re.findall(r"\]\(([^)\s:#]+)(?:#[^)]*)?\)", file.read_text("utf-8")):
        assert (file.parent / target).exists(), target


def test_the_table_is_the_ablations():
    measured = {row[0]: row for row in rows((ROOT / "results/ablation/ablation.md").read_text("utf-8"))}
    told = [row for row in rows(section("Where it stands")) if row[0] in measured and row[0] != ""]
    assert len(told) == 5
    for name, pesq, dnsmos, speed in told:
        found = measured[name]
        assert dnsmos == found[3] and speed == found[5]
        assert pesq == (found[1] or "4.64")
    gain = re.search(r"add (\S+) PESQ-WB\n?\s?\[(\S+), (\S+)\]", section("Where it stands")).groups()
    assert "+{} [+{}, +{}]".format(*gain) in measured["network, 4 steps"][2]


def test_the_options_and_their_defaults():
    table = {row[0].strip("`"): row[2:] for row in rows(section("How to choose"))[1:]}
    assert set(table) == {*OPTIONS, "mel"}
    kinds = ("spectral.vocoder.SpectralVocoder", "vocoder.Vocoder", "flow.FlowVocoder")
    for column, kind in enumerate(kinds):
        module, _, name = f"tts_diffvoc.{kind}".rpartition(".")
        options = vars(getattr(__import__(module, fromlist=[name]), name))["GENERATE_OPTIONS"]
        assert {option for option, cells in table.items() if cells[column]} - {"mel"} == set(options)
    for name in ("diffwave", "wavegrad"):
        qualities = tts_diffvoc.load_vocoder(name).qualities
        for option in ("steps", "consistency"):
            steps = ", ".join(str(qualities[quality][option]) for quality in ("fast", "default", "best"))
            assert table[option][0] == steps


def test_figures_of_equal_training_are_the_leaderboards():
    with (ROOT / "results" / "leaderboard" / "leaderboard.csv").open(encoding="utf-8") as file:
        systems = {row["system"]: row for row in csv.DictReader(file)}
    pattern = (
        r"After (\d+) CPU minutes .*?`wavegrad` has (\S+), a small Vocos (\S+) and a small HiFi-GAN V1 (\S+); "
        r"small ones of WaveGlow, WaveRNN and, on waveforms as published, WaveGrad and DiffWave have not learnt"
    )
    minutes, *stated = re.search(pattern, " ".join(TEXT.split())).groups()
    ranked = [systems[name] for name in ("wavegrad", "vocos", "hifigan-v1")]
    others = [systems[name] for name in ("waveglow", "wavernn", "wavegrad-waveform", "diffwave-waveform")]
    assert all(row["training"].startswith(f"{minutes} CPU minutes") for row in ranked + others)
    assert stated == [f"{float(row['pesq_wb']):.2f}" for row in ranked]
    assert all(row["rank"] for row in ranked) and not any(row["rank"] for row in others)
