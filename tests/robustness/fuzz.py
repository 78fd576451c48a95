"""Thousands of bad inputs, drawn from a seed, and what became of each: a table by kind and outcome.

    make fuzz                                       # 2,640 inputs; writes results/robustness/
    python tests/robustness/fuzz.py --inputs 100    # of each kind; prints alone

Outcomes: "used" (a sound or a corpus, checked), "refused" (one sentence, status 2), "failed" (one sentence, status 1),
and what may not be: "traceback", "hang" (over a minute), "bad sound" (not finite, or above full scale), "left over" (a
part file, or a second line of an error). No input is kept.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

os.environ["HF_HUB_OFFLINE"] = "1"  # names with a slash are not asked for
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from damage import PUT, WRONG, damaged  # noqa: E402
from small_corpus import MEL, write_corpus  # noqa: E402
from small_generators import random_generator  # noqa: E402
from small_vocoders import CONFIGS, SPECTRAL, random_vocoder  # noqa: E402
from small_voice import options, save_voice  # noqa: E402

import tts_diffvoc  # noqa: E402
from tts_diffvoc.arguments import spoken, whole  # noqa: E402
from tts_diffvoc.audio import read_audio  # noqa: E402
from tts_diffvoc.checkpoint import load_generator, load_vocoder, save_checkpoint  # noqa: E402
from tts_diffvoc.cli import main  # noqa: E402
from tts_diffvoc.errors import DiffvocError, Failure  # noqa: E402
from tts_diffvoc.training.corpus import scan  # noqa: E402

RESULTS = HERE.parents[1] / "results" / "robustness"
ALLOWED = ("used", "refused", "failed")
TEXTS = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.text("0123456789.,:-/$%€#'", max_size=50),
        st.sampled_from(
            ["hello", "😀", "世界", "Привет", "...", "\u202e\u200f", "\0\x07", "Ich bin nicht da.", "\ud800"]
        ),
    ),
    max_size=3,
).map(" ".join)
NUMBERS = st.sampled_from(
    ["0", "1", "2", "-1", "nan", "inf", "1e400", "", "x", "0.5", str(2**64), "1" * 50, "1e9", " 3", "١", "0x10", "1_0"]
)


class Hang(BaseException):
    """What the alarm raises; no handler of ours takes it for an error."""


def outcome(action: Callable[[], Any]) -> str:
    """What became of one input."""

    def ring(*_: Any) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(60)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return judged(action())
    except Hang:
        return "hang"
    except DiffvocError as error:
        return ("failed" if isinstance(error, Failure) else "refused") if "\n" not in str(error) else "left over"
    except Exception as error:
        print(f"{type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        return "traceback"
    finally:
        signal.alarm(0)


def judged(made: Any) -> str:
    """ "used" for a sound in [-1, 1] and for what is no sound; an outcome in words is itself."""
    if isinstance(made, str):
        return made
    if isinstance(made, torch.Tensor) and not (made.isfinite().all() and made.abs().max() <= 1):
        return "bad sound"
    return "used"


def command(arguments: list[str], folder: Path) -> str:
    """What became of a command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    errors = [line for line in err.getvalue().splitlines() if line.startswith("error: ")]
    if list(folder.rglob("*.part")) or "Traceback" in err.getvalue() or len(errors) != (status != 0):
        return "left over"
    return {0: "used", 1: "failed", 2: "refused"}[status]


class Kinds:
    """One method a kind: takes what draws, makes one input, and returns what ``outcome`` is to judge."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.vocoders = {kind: random_vocoder(kind) for kind in (*CONFIGS, *SPECTRAL)}
        self.generator = random_generator("plain with labels")
        for kind, vocoder in self.vocoders.items():
            save_checkpoint(vocoder, root / "whole" / kind, "# A\n")
        save_checkpoint(self.generator, root / "whole" / "generator", "# A\n")
        soundfile.write(root / "good.wav", 0.1 * np.sin(np.arange(9000) / 9), 22050)
        self.client, self.api = self._server()

    def _server(self) -> tuple[Any, Any]:
        """Coqui's server in this process, and the API that it uses, with a small voice and vocoder."""
        voice = save_voice(self.root / "voice")
        before = sys.argv
        sys.argv = ["tts-server", *options(voice, self.root / "whole" / "spectral diffwave")]
        try:
            from TTS.server import server
        finally:
            sys.argv = before
        for name in ("TTS", "tts_diffvoc"):  # their logs hold the texts
            logging.getLogger(name).setLevel(logging.CRITICAL)
        return server.app.test_client(), server.api

    def mels(self, draw: Any) -> Callable[[], Any]:
        """Tensors of any type, shape and values as mels (kinds 1, 9 and 14)."""
        vocoder = self.vocoders[draw(st.sampled_from(sorted(self.vocoders)))]
        shape = draw(
            st.sampled_from([(80, 3), (1, 80, 4), (2, 80, 1), (80,), (3, 80), (1, 3, 80), (0, 80, 3), (80, 0)])
        )
        values = draw(arrays.arrays(np.float32, shape, elements=st.floats(-1e4, 1e4, width=32), fill=st.just(-4.0)))
        mel: Any = torch.from_numpy(values).to(draw(st.sampled_from([torch.float32, torch.float16, torch.complex64])))
        mel = draw(st.sampled_from([mel, mel, mel, values, values.tolist(), None, mel * float("nan")]))
        seeds = st.one_of(st.none(), st.integers(-1, 2**64), WRONG)
        options = {"steps": draw(st.sampled_from([None, 1, 2, 0, -1, 10**6, "2", 1.5])), "seed": draw(seeds)}
        return lambda: vocoder.generate(mel, **options)

    def waveforms(self, draw: Any) -> Callable[[], Any]:
        """The same as audio, to a mel and to a denoiser (kind 14)."""
        shape = draw(st.sampled_from([(700,), (1, 700), (2, 700), (1, 2, 700), (0,), (1,), (7, 1)]))
        values = draw(arrays.arrays(np.float32, shape, elements=st.floats(-3, 3, width=32), fill=st.just(0.1)))
        values = values * draw(st.sampled_from([1.0, 1e-9, 1e30, np.inf, np.nan]))
        waveform: Any = draw(st.sampled_from([torch.from_numpy(values), values, torch.from_numpy(values).short()]))
        if draw(st.booleans()):
            return lambda: self.vocoders["spectral diffwave"].mel(waveform) is None or "used"
        return lambda: self.generator.denoise(waveform, draw(st.integers(-1, 60)), steps=1, seed=1)

    def numbers(self, draw: Any) -> Callable[[], Any]:
        """Numbers, seeds and counts on command lines (kinds 3 and 7)."""
        flags = {
            "vocode": [
                "--steps",
                "--seed",
                "--consistency",
                "--sigma",
                "--quality",
                "--sampler",
                "--device",
                "--channel",
            ],
            "generate": ["--count", "--steps", "--guidance", "--seconds", "--seed", "--label", "--device"],
            "denoise": ["--t", "--noise", "--steps", "--seed", "--label", "--device"],
            "interpolate": ["--t", "--steps", "--sampling-steps", "--seed"],
            "bound": ["--clips", "--bits", "--terms", "--seed"],
        }
        name = draw(st.sampled_from(sorted(flags)))
        folder = Path(tempfile.mkdtemp(dir=self.root))
        good, generator = str(self.root / "good.wav"), ["--model", str(self.root / "whole" / "generator")]
        needed = {
            "vocode": [good, "-o", str(folder / "a.wav"), "--vocoder", str(self.root / "whole" / "spectral wavegrad")],
            "generate": ["-o", str(folder / "out"), *generator],
            "denoise": [good, "-o", str(folder / "a.wav"), *generator, "--steps", "1"],
            "interpolate": [good, good, "-o", str(folder / "out"), "--sampling-steps", "1", *generator],
            "bound": ["--data", str(self.root), "--terms", "1", "--clips", "1", *generator],
        }
        given = [
            f"{flag}={draw(NUMBERS)}" for flag in draw(st.lists(st.sampled_from(flags[name]), min_size=1, max_size=2))
        ]
        return lambda: command([name, *needed[name], *given], folder)

    def paths(self, draw: Any) -> Callable[[], Any]:
        """Names of files, folders, vocoders and outputs (kind 6)."""
        folder = Path(tempfile.mkdtemp(dir=self.root))
        inside = st.sampled_from(
            ["a.wav", "b/c.wav", "..", ".", "a" * 300, "a\0b", "a\nb", "~nosuchuser", "é" * 200, " "]
        )
        name = draw(st.one_of(inside, st.text(min_size=1, max_size=20)))
        place = draw(st.sampled_from(["input", "output", "vocoder", "info"]))
        words = {
            "input": str(self.root / "good.wav"),
            "output": str(folder / "out.wav"),
            "vocoder": "spectral diffwave",
        }
        words["vocoder"] = str(self.root / "whole" / words["vocoder"])
        if place == "info":
            return lambda: command(["info", "--", name], folder)
        words[place] = f"{folder}/{name}" if draw(st.booleans()) else name
        if place == "output" and not words[place].startswith(str(folder)):
            words[place] = f"{folder}/{name}"
        line = [
            "vocode",
            f"--output={words['output']}",
            f"--vocoder={words['vocoder']}",
            "--steps=1",
            "--",
            words["input"],
        ]
        return lambda: command(line, folder)

    def files(self, draw: Any) -> Callable[[], Any]:
        """Another thing in the place of a recording or a saved mel (kinds 6 and 14)."""
        folder = Path(tempfile.mkdtemp(dir=self.root))
        source = self._put(draw, folder, "a")
        line = ["vocode", str(source), "-o", str(folder / "out.wav"), "--steps", "1", "--vocoder"]
        return lambda: command([*line, str(self.root / "whole" / "spectral diffwave")], folder)

    def folders(self, draw: Any) -> Callable[[], Any]:
        """Several files, a folder and standard input at once, any of them bad (kinds 6, 11 and 14)."""
        folder = Path(tempfile.mkdtemp(dir=self.root))
        given = [str(self._put(draw, folder, name)) for name in draw(st.sets(st.sampled_from("abc"), max_size=3))]
        (folder / "in").mkdir()
        for name in draw(st.sets(st.sampled_from("def"), max_size=3)):
            self._put(draw, folder / "in", name)
        given += draw(st.lists(st.sampled_from([str(folder / "in"), "-", str(self.root / "good.wav")]), max_size=3))
        flags = [f"--format={draw(st.sampled_from(['mp3', 'opus', 'wav', 'x', '']))}", "--skip-existing", "--steps=1"]
        where = [f"--output-dir={folder / draw(st.sampled_from(['out', 'in', 'a.wav', 'in/out']))}"]
        stdin = draw(st.one_of(st.binary(max_size=99), st.just((self.root / "good.wav").read_bytes())))

        def vocode() -> str:
            sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
            voice = f"--vocoder={self.root / 'whole' / 'spectral diffwave'}"
            return command(["vocode", *where, *flags, voice, "--", *given], folder)

        return vocode

    def _put(self, draw: Any, folder: Path, name: str) -> Path:
        """Put something that may be a recording or a mel in a folder."""
        suffixes = ["wav", "flac", "npy", "pt", "ogg", "txt", "mp3", "opus", "safetensors"]
        source = folder / f"{name}.{draw(st.sampled_from(suffixes))}"
        how = draw(st.sampled_from([*PUT, "array", "cut", "noise"]))
        if callable(how):
            how(source)
        elif how == "array":
            kinds = [np.float32, np.float64, np.int16, np.complex64, np.bool_, "U3", "S2"]
            shape = draw(st.sampled_from([(80, 4), (1, 80, 4), (3, 80, 4), (4, 80), ()]))
            with source.open("wb") as file:
                np.save(file, np.zeros(shape, draw(st.sampled_from(kinds))))
        else:
            content = (self.root / "good.wav").read_bytes()
            size = draw(st.integers(0, 2000))
            source.write_bytes(content[:size] if how == "cut" else draw(st.binary(max_size=300)) + content[size:])
        return source

    def checkpoints(self, draw: Any) -> Callable[[], Any]:
        """Configurations and weights of every kind of checkpoint (kinds 4 and 5)."""
        kind = draw(st.sampled_from([*self.vocoders, "generator"]))
        whole_one, folder = self.root / "whole" / kind, Path(tempfile.mkdtemp(dir=self.root))
        values = json.loads((whole_one / "config.json").read_text())
        content = (whole_one / "model.safetensors").read_bytes()
        if draw(st.booleans()):
            values = draw(damaged(values))
        elif draw(st.booleans()):
            content = content[: draw(st.integers(0, len(content)))]
        else:
            place = draw(st.integers(0, len(content) - 1))
            content = content[:place] + bytes([content[place] ^ draw(st.integers(1, 255))]) + content[place + 1 :]
        (folder / "config.json").write_text(json.dumps(values))
        (folder / "model.safetensors").write_bytes(content)
        if kind == "generator":
            return lambda: load_generator(folder).generate(steps=1, seed=1, length=64)

        def speak() -> torch.Tensor:
            vocoder = load_vocoder(folder)
            return vocoder.generate(torch.full((vocoder.mel_config.n_mels, 3), -4.0), steps=1, seed=1)

        return speak

    def corpora(self, draw: Any) -> Callable[[], Any]:
        """Folders of recordings among which anything may lie (kind 11)."""
        folder = Path(tempfile.mkdtemp(dir=self.root))
        if draw(st.booleans()):
            write_corpus(folder, 2)
        for number, how in enumerate(draw(st.lists(st.sampled_from([*PUT, "loud", "rate", "cut"]), max_size=4))):
            path = folder / f"{number}.wav"
            if callable(how):
                how(path)
            elif how == "cut":
                path.write_bytes((self.root / "good.wav").read_bytes()[: draw(st.integers(0, 2000))])
            else:
                samples = np.full(draw(st.integers(0, 9000)), 1e20 if how == "loud" else 0.1, np.float32)
                rate = draw(st.sampled_from([1, 999, 8000, 22051, 768_000]))
                soundfile.write(path, samples, rate, subtype="FLOAT")
        (folder / "metadata.csv").write_text(draw(st.text(max_size=60)), encoding="utf-8", errors="replace")

        def use() -> str:
            found = scan(folder, MEL)
            for recording in found.recordings:
                read_audio(recording.path)
            return "used" if found.report() else "traceback"

        return use

    def imports(self, draw: Any) -> Callable[[], Any]:
        """Published checkpoints (kind 5)."""
        folder = Path(tempfile.mkdtemp(dir=self.root))
        state: dict[str, Any] = dict(self.vocoders["diffwave"].network.state_dict())
        if draw(st.booleans()):
            state[draw(st.sampled_from(sorted(state)))] = draw(st.one_of(WRONG, st.just(torch.zeros(3))))
        params = {"sample_rate": 22050, "n_fft": 1024, "hop_samples": 256, "dilation_cycle_length": 3}
        torch.save({"model": state, "params": draw(damaged(params))}, folder / "weights.pt")
        return lambda: command(["import", str(folder / "weights.pt"), "-o", str(folder / "out")], folder)

    def texts(self, draw: Any) -> Callable[[], Any]:
        """Texts to a voice (kind 8)."""
        text = draw(TEXTS)
        return lambda: torch.tensor(self.api.tts(text)) * 0.999

    def server(self, draw: Any) -> Callable[[], Any]:
        """Requests to Coqui's server (kinds 8 and 13)."""
        text = draw(TEXTS)

        def ask() -> str:
            answer = self.client.get("/api/tts", query_string={"text": text.encode("utf-8", "replace")})
            if answer.status_code == 200:
                samples, _ = soundfile.read(io.BytesIO(answer.data))
                return "used" if len(samples) else "bad sound"
            return "refused" if answer.status_code == 400 and answer.get_json()["error"] else "traceback"

        return ask


KINDS = (
    "mels",
    "waveforms",
    "numbers",
    "paths",
    "files",
    "folders",
    "checkpoints",
    "corpora",
    "imports",
    "texts",
    "server",
)


def run(kinds: Kinds, name: str, inputs: int, first: int) -> Counter:
    """How often each outcome came of so many inputs of a kind."""
    counts: Counter = Counter()

    @seed(first)
    @settings(
        max_examples=inputs,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def each(data: Any) -> None:
        action = getattr(kinds, name)(data.draw)
        counts[outcome(action)] += 1

    each()
    return counts


def table(counts: dict[str, Counter]) -> str:
    """Counts by kind and outcome, in Markdown."""
    outcomes = [*ALLOWED, *sorted({one for row in counts.values() for one in row} - set(ALLOWED))]
    lines = [f"| kind | inputs | {' | '.join(outcomes)} |", "| --- |" + " ---: |" * (len(outcomes) + 1)]
    total: Counter = sum(counts.values(), Counter())
    for name, row in {**counts, "all": total}.items():
        lines.append(f"| {name} | {sum(row.values())} | {' | '.join(str(row[one]) for one in outcomes)} |")
    return "\n".join(lines)


def fuzz() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=whole(1, 10**6), default=240, help="of each kind; default: 240")
    parser.add_argument("--seed", type=whole(0, 2**31), default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--write", action="store_true", help=f"write the table to {RESULTS}")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        kinds, counts = Kinds(Path(folder)), {}
        for name in wanted.kinds:
            counts[name] = run(kinds, name, wanted.inputs, wanted.seed)
            print(name, dict(counts[name]), flush=True)
    print(table(counts))
    if wanted.write:
        RESULTS.mkdir(parents=True, exist_ok=True)
        facts = {"seed": wanted.seed, "inputs of each kind": wanted.inputs, "tts-diffvoc": tts_diffvoc.__version__}
        text = f"# Bad inputs, and what became of them\n\n`make fuzz`, {json.dumps(facts)}\n\n{table(counts)}\n"
        (RESULTS / "README.md").write_text(text)
    bad = sum(count for row in counts.values() for one, count in row.items() if one not in ALLOWED)
    if bad:
        raise Failure(f"{bad} inputs were neither used nor refused in a sentence; the lines above say which kinds.")


if __name__ == "__main__":
    with spoken():
        fuzz()
