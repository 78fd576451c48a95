"""Word error of everyday sentences by an independent recogniser, beside the voice that the data came from.

    python eval/intelligibility.py --vocoders diffwave wavegrad griffin_lim --output intelligibility

Every sentence goes through Coqui's Python API with the bundled acoustic model and each vocoder, and through
Debian's `flite` (voice slt, the source of the acoustic model's training data) where it is installed.
pocketsphinx with its own English model writes down what it hears; jiwer counts words wrong, without case and
punctuation. None of the sentences is in the training data. `--output` gets a .json and a .md file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from metrics.recogniser import Recogniser, words

SENTENCES = """Could you tell me the way to the nearest post office?
The children are playing in the park after school.
I would like a cup of tea with milk and no sugar.
The train to London leaves from platform nine.
She has been working at the hospital for three years.
We went to the beach because the weather was warm.
My grandfather told us stories about the war.
Please turn off the lights before you go to bed.
He bought a new car and sold the old one to his cousin.
The meeting has been moved to Thursday morning.
It rained so hard that the river flooded the fields.
They are building a new library next to the town hall.
What time does the museum close on Sundays?
A good night of sleep is the best medicine.
The cat jumped over the fence and ran into the woods.
You should always check the oil before a long drive.
Most people in the village know each other by name.
I cannot find my glasses, have you seen them anywhere?
The company plans to open an office in Chicago next year.
Thank you very much for helping me carry these boxes.""".split("\n")

Speak = Callable[[str], tuple[np.ndarray, int]]


def flite(text: str) -> tuple[np.ndarray, int]:
    """The source voice itself: waveform and sample rate."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        subprocess.run(
            ["flite", "-voice", "slt", "-t", text, "-o", str(wav)], check=True, capture_output=True
        )
        return soundfile.read(wav, dtype="float32")


def coqui(vocoder: str) -> Speak:
    """The bundled acoustic model with a vocoder; `griffin_lim` is Coqui's own way when there is none."""
    import tts_diffvoc
    from tts_diffvoc import voices

    tts_diffvoc.register()
    if vocoder == "griffin_lim":
        from TTS.utils.synthesizer import Synthesizer

        folder = voices.ACOUSTIC["slt"]
        synthesizer = Synthesizer(
            tts_checkpoint=str(folder / "model.safetensors"), tts_config_path=str(folder / "config.json")
        )
    else:
        from TTS.api import TTS

        name = vocoder if "/" in vocoder else f"vocoder_models/en/diffvoc/{vocoder}"
        synthesizer = TTS("tts_models/en/diffvoc/slt", vocoder_name=name, progress_bar=False).synthesizer
    return lambda text: (np.asarray(synthesizer.tts(text), np.float32), synthesizer.output_sample_rate)


def measure(speak: Speak, recogniser: Recogniser, sentences: list[str]) -> dict:
    """Word error in percent, words heard, and how long speaking took for each second of audio."""
    import jiwer

    heard, spent, seconds = [], 0.0, 0.0
    for sentence in sentences:
        start = time.perf_counter()
        audio, rate = speak(sentence)
        spent += time.perf_counter() - start
        seconds += len(audio) / rate
        heard.append(recogniser(audio, rate))
    error = 100 * jiwer.wer([words(s) for s in sentences], heard)
    return {"word_error": round(error, 1), "seconds_per_second": round(spent / seconds, 3), "heard": heard}


def table(results: dict[str, dict]) -> str:
    """Markdown of all results."""
    source = results.get("flite slt", {}).get("word_error")
    lines = [
        "| voice | words wrong, % | against the source | s per s of audio |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in results.items():
        more = "" if source is None else f"{row['word_error'] - source:+.1f}"
        lines.append(f"| {name} | {row['word_error']:.1f} | {more} | {row['seconds_per_second']:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vocoders", nargs="*", default=["diffwave", "wavegrad", "griffin_lim"])
    parser.add_argument("--count", type=int, default=len(SENTENCES), help="sentences to use")
    parser.add_argument("--output", type=Path, help="write OUTPUT.json and OUTPUT.md")
    args = parser.parse_args()
    recogniser, results = Recogniser(), {}
    if shutil.which("flite"):
        results["flite slt"] = measure(flite, recogniser, SENTENCES[: args.count])
    else:
        print("flite is not installed here: the source voice is skipped, and differences are not shown.")
    for vocoder in args.vocoders:
        results[vocoder] = measure(coqui(vocoder), recogniser, SENTENCES[: args.count])
    text = f"{min(args.count, len(SENTENCES))} sentences, pocketsphinx.\n\n{table(results)}\n"
    print(text)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.with_suffix(".md").write_text(text, "utf-8")
        sentences = {"sentences": SENTENCES[: args.count], "results": results}
        args.output.with_suffix(".json").write_text(json.dumps(sentences, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
