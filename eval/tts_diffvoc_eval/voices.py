"""The bundled acoustic voices as a user hears them, beside the teachers that they learnt from.

    cut -d "|" -f 2 eval/tts_diffvoc_eval/sentences.txt > texts.txt
    python recipes/voices/acoustic/render.py --teacher hibari --texts texts.txt --audio --output ada-teacher
    python recipes/voices/acoustic/render.py --teacher joe --texts texts.txt --audio --output joe-teacher
    python eval/voices.py --voices ada joe slt --teachers ada=ada-teacher joe=joe-teacher --output results/voices

Coqui TTS speaks each sentence with the voice and the vocoder, as `tts` does; the sound is measured without the digital
silence that Coqui adds. DNSMOS is P.835's overall score, words are recognised by pocketsphinx, loudness is that of all
sentences in a row (ITU-R BS.1770). Speed is the acoustic model's alone, from symbols to mel: seconds of speech for each
second of CPU time on one thread. With a teacher's folder come the teacher's own scores, and, from mels, durations and
F0 of the same symbols:

- F0 correlation: Pearson's, of log F0 over the symbols that both voice throughout, each resampled to the teacher's
  frames;
- duration error: mean absolute difference in mel frames, over all symbols but the first and the last;
- mel contrast: mean absolute difference of neighbouring bands of the log-mel over the frames of phones, divided by the
  teacher's. Blur lowers it.

Writes voices.md, and every sentence's values to voices.json.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import torch

from tts_diffvoc import jobs
from tts_diffvoc.acoustic import AcousticModel
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import make_folder, write_beside
from tts_diffvoc.jobs import bar
from tts_diffvoc_eval import provenance, records
from tts_diffvoc_eval.intervals import interval
from tts_diffvoc_eval.metrics import dnsmos, wer
from tts_diffvoc_eval.metrics.recognition import heard
from tts_diffvoc_eval.prosody import compared, predicted, read_teacher
from tts_diffvoc_eval.systems import digest
from tts_diffvoc_eval.text_to_speech import SENTENCES, Sentence, load, read_sentences

SEED = 0
# Key of the values, row of the table, decimals.
ROWS = (
    ("dnsmos", "DNSMOS ↑", 2),
    ("teacher_dnsmos", "teacher's DNSMOS", 2),
    ("word_error", "words wrong, % ↓", 1),
    ("teacher_word_error", "teacher's words wrong, %", 1),
    ("f0_correlation", "F0 correlation with the teacher ↑", 3),
    ("duration_error", "duration error, frames a symbol ↓", 2),
    ("contrast", "mel contrast, share of the teacher's", 3),
    ("speed", "acoustic model, times real time ↑", 0),
    ("loudness", "loudness, LUFS", 1),
)


# Measures


def scored(audio: np.ndarray, rate: int, spoken: str) -> dict[str, Any]:
    """DNSMOS, word error in percent, and the words that the recogniser hears."""
    scores = {"dnsmos": dnsmos(audio, None, rate), "word_error": wer(audio, None, rate, spoken)}
    return {**scores, "heard": heard(audio, rate)}


def speed(model: Any, text: str) -> float:
    """Seconds of speech that the acoustic model makes mels of in a second of CPU time."""
    symbols = torch.tensor([model.tokenizer.text_to_ids(text)])
    given = {"x_lengths": torch.tensor([symbols.shape[1]]), "speaker_ids": None, "d_vectors": None}
    start = time.process_time()
    mel = model.inference(symbols, given)["model_outputs"]
    spent = time.process_time() - start
    return mel.shape[1] * model.config.audio["hop_length"] / model.config.audio["sample_rate"] / spent


def loudness(sounds: Sequence[np.ndarray], rate: int) -> float:
    """Integrated loudness of the sounds in a row, in LUFS."""
    import pyloudnorm

    return float(pyloudnorm.Meter(rate).integrated_loudness(np.concatenate(sounds).astype(np.float64)))


# Voices and teachers


def measure(options: argparse.Namespace, sentences: Sequence[Sentence], voice: str) -> tuple[str, dict[str, Any]]:
    """Speak all sentences and measure them: the voice's name, and its loudness and a row a sentence."""
    torch.set_num_threads(1)
    name, vocoder = Path(voice).name, options.vocoder
    seeded = vocoder if "seed=" in vocoder else f"{vocoder}{'&' if '?' in vocoder else '?'}seed={SEED}"
    synthesizer = load(voice, None if vocoder == "griffin_lim" else seeded)
    model, rate = synthesizer.tts_model, synthesizer.output_sample_rate
    folder = {voice: folder for voice, _, folder in (one.partition("=") for one in options.teachers)}.get(name)
    teacher = read_teacher(Path(folder), [one.text for one in sentences]) if folder else []
    if teacher and not isinstance(getattr(model, "network", None), AcousticModel):
        raise DiffvocError(f"{name} is not an AcousticModel and cannot be compared with a teacher; leave it out.")
    speed(model, sentences[0].text)  # the first call is slower
    rows, sounds = [], []
    for index, sentence in enumerate(bar(sentences, name)):
        sounds.append(np.trim_zeros(np.asarray(synthesizer.tts(sentence.text), np.float32)))
        row = {**sentence._asdict(), **scored(sounds[-1], rate, sentence.spoken), "speed": speed(model, sentence.text)}
        if teacher:
            utterance, sound = teacher[index]
            row |= compared(predicted(model.network, sentence.text), utterance)
            samples, at = soundfile.read(sound, dtype="float32")
            scores = scored(samples, at, sentence.spoken)
            row |= {f"teacher_{key}": value for key, value in scores.items()}
        if options.audio:
            soundfile.write(options.output / "audio" / f"{name}-{index:02d}.wav", sounds[-1], rate)
        rows.append(row)
    return name, {"loudness": loudness(sounds, rate), "weights": digest(synthesizer.tts_checkpoint), "sentences": rows}


# Output


def cell(result: dict[str, Any], key: str, decimals: int) -> str:
    """A mean with its interval over sentences, the median speed, the loudness, or a dash."""
    rows = result["sentences"]
    if key == "loudness":
        return f"{result[key]:.{decimals}f}"
    if key not in rows[0]:
        return "–"
    values = np.array([row[key] for row in rows])
    if key == "speed":
        return f"{np.median(values):.{decimals}f}"
    if key.endswith("word_error"):  # of all words, not of sentences
        words = np.array([len(row["spoken"].split()) for row in rows])
        values = values * words / words.mean()
    low, high = interval(values) or (np.nan, np.nan)
    return f"{np.nanmean(values):.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown with a column a voice."""
    columns = {name: [cell(result, key, decimals) for key, _, decimals in ROWS] for name, result in results.items()}
    return pd.DataFrame(columns, [label for _, label, _ in ROWS]).to_markdown(disable_numparse=True)


def page(results: dict[str, dict[str, Any]], sentences: Sequence[Sentence], vocoder: str) -> str:
    """voices.md."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(one.kind for one in sentences).items())
    return (
        f"{len(sentences)} sentences ({kinds}) through Coqui TTS with the vocoder `{vocoder}`. Mean over sentences,\n"
        f"or over words, with its 95 % bootstrap interval over sentences; speed is a median, on one thread of\n"
        f"{provenance.processor()}. `python eval/voices.py --help` defines the measures.\n\n{table(results)}\n"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--voices", nargs="+", default=["ada", "joe", "slt"], help="names or folders")
    add("--teachers", nargs="*", default=[], metavar="VOICE=FOLDER", help="of render.py --audio")
    add("--vocoder", default="diffwave", help="name or folder, or griffin_lim (default: diffwave)")
    add("--sentences", type=Path, default=SENTENCES, help="file with lines kind|text|as spoken")
    add("--output", type=Path, default=Path("results/voices"), help="default: results/voices")
    add("--audio", action="store_true", help="keep the sounds in OUTPUT/audio")
    jobs.add_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Measure the voices, and write voices.md and voices.json."""
    make_folder(options.output / "audio" if options.audio else options.output)
    sentences = read_sentences(options.sentences)
    found = dict(jobs.each(partial(measure, options, sentences), options.voices, options))
    results = {name: found[name] for name in (Path(one).name for one in options.voices)}
    command, texts = provenance.command_line("python eval/voices.py", options.typed), options.sentences
    made = provenance.manifest(command, {texts.name: digest(texts)}, {}, {}, [SEED])
    text = page(results, sentences, options.vocoder)
    write_beside(options.output / "voices.md", text)
    records.write(options.output, "voices", {"manifest": made, "voices": results})
    print(text)
