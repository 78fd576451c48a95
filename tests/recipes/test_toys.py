"""The toys: each runs as a command, and short training already brings samples nearer to the data than noise is."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TOYS = ROOT / "recipes" / "toys"
sys.path.insert(0, str(TOYS))

import additive_waveforms  # noqa: E402
import swiss_roll  # noqa: E402


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def figures(said: str) -> dict[str, float]:
    """The printed figures by name."""
    return {name: float(value) for name, value in re.findall(r"^  (.+): (\S+)$", said, re.M)}


def check_picture(path: Path) -> None:
    picture = Image.open(path)
    assert picture.format == "PNG" and min(picture.size) > 500 and path.stat().st_size < 150_000
    assert len(picture.convert("RGB").getcolors()) > 8


@pytest.mark.parametrize("name", ["swiss_roll", "additive_waveforms"])
def test_each_runs_as_a_command(name, tmp_path):
    output = tmp_path / "new" / "picture.png"
    line = [sys.executable, TOYS / f"{name}.py", "--output", output, "--steps", "2", "--seed", "3"]
    done = subprocess.run(list(map(str, line)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = figures(done.stdout)
    assert len(found) >= 3 and all(math.isfinite(value) for value in found.values())
    assert done.stdout.splitlines()[-1] == str(output)
    check_picture(output)


def test_the_roll_beats_noise_after_short_training(tmp_path, capsys):
    swiss_roll.main(["--output", str(tmp_path / "roll.png"), "--steps", "600"])
    found = figures(capsys.readouterr().out)
    assert len(found) == 5 and found["other data"] < 0.06 and found["noise"] > 0.2
    ways = [found[name] for name in swiss_roll.WAYS]
    assert all(found["other data"] / 2 < distance < 0.7 * found["noise"] for distance in ways)


def test_tones_beat_noise_after_short_training(tmp_path, capsys):
    additive_waveforms.main(["--output", str(tmp_path / "tones.png"), "--steps", "150"])
    found = figures(capsys.readouterr().out)
    assert found["data"] > 0.99 and found["noise"] < 0.1
    assert 2.5 * found["noise"] < found["made"] < found["data"]


def test_the_same_seed_gives_the_same_figures(tmp_path, capsys):
    said = []
    for seed in ("1", "1", "2"):
        swiss_roll.main(["--output", str(tmp_path / "roll.png"), "--steps", "3", "--seed", seed])
        said.append(figures(capsys.readouterr().out))
    assert said[0] == said[1] != said[2]


def test_the_roll_is_about_zero_with_a_deviation_about_one():
    roll = swiss_roll.swiss_roll(20_000, seeded())
    assert roll.mean(0).abs().max() < 0.3
    assert roll.std(0).tolist() == pytest.approx([1, 1], abs=0.25)


def test_sliced_wasserstein_of_a_shift():
    """All points moved by d: along an angle t by |d cos t|, 2 / pi |d| on average."""
    points = swiss_roll.swiss_roll(500, seeded())
    moved = points + torch.tensor([0.3, -0.4])
    assert swiss_roll.sliced_wasserstein(points, points[torch.randperm(500)]) == pytest.approx(0, abs=1e-9)
    assert swiss_roll.sliced_wasserstein(points, moved) == pytest.approx(0.5 * 2 / math.pi, rel=1e-3)


def test_periodic_share_of_what_is_known():
    tones = additive_waveforms.tones(50, seeded())
    assert tones.shape == (50, 256) and tones.std(1).tolist() == pytest.approx([0.2] * 50, abs=0.01)
    assert additive_waveforms.periodic_share(tones).min() > 0.99
    # As much energy in noise as in the tone: half is left, and a little of the noise.
    noise = torch.randn(50, 256, generator=seeded(1))
    noise = 0.2 * noise / noise.square().mean(1, keepdim=True).sqrt()
    assert additive_waveforms.periodic_share(tones + noise).mean().item() == pytest.approx(0.52, abs=0.04)
    # A series of 300 Hz is none of a fundamental from 187 to 303 Hz once it is out of range: 320 Hz and a fifth.
    time = torch.arange(256) / additive_waveforms.RATE
    apart = torch.sin(2 * math.pi * 230 * time) + torch.sin(2 * math.pi * 345 * time)
    assert additive_waveforms.periodic_share(apart.unsqueeze(0)).item() < 0.6
    assert additive_waveforms.periodic_share(torch.zeros(1, 256)).item() == 0
