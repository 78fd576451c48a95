"""Turn a folder made by render.py into training features: symbols, frames per symbol, pitch and mel.

python recipes/slt/prepare.py --data slt          # writes slt/features/<id>.npz, goes on where it stopped
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy.signal import resample_poly

from tts_diffvoc.coqui.acoustic import BREAKS, GAP, START, phonemes
from tts_diffvoc.mel import MelConfig, log_mel

RATE, HOP = 22050, 256
# flite's phones (CMU's) and the symbols of gruut that they most often stand for.
CMU = dict(
    pair.split(":")
    for pair in """aa:ɑ ae:æ ah:ʌ ao:ɔ aw:aʊ ax:ə ay:aɪ b:b ch:t͡ʃ d:d dh:ð eh:ɛ er:ɚ ey:eɪ f:f g:ɡ hh:h ih:ɪ
    iy:i jh:d͡ʒ k:k l:l m:m n:n ng:ŋ ow:oʊ oy:ɔɪ p:p r:ɹ s:s sh:ʃ t:t th:θ uh:ʊ uw:u v:v w:w y:j z:z
    zh:ʒ""".split()
)
VOWELS = set("ɑ æ ʌ ɔ aʊ ə aɪ ɛ ɚ eɪ ɪ i oʊ ɔɪ ʊ u".split())
SILENT = {START, GAP, *BREAKS}
SKIP_SYMBOL, SKIP_PHONE = 1.2, 1.2


def cost(symbol: str, phone: str) -> float:
    """How unlike a symbol of the model and a phone of flite are: 0 the same, 3 never the same."""
    if (symbol in SILENT) != (phone == "pau"):
        return 3.0
    if phone == "pau":
        return 0.6 if symbol == GAP else 0.0
    bare = symbol.lstrip("ˈˌ")
    if CMU[phone] == bare:
        return 0.0
    return (0.4 if bare in VOWELS else 0.8) if (bare in VOWELS) == (CMU[phone] in VOWELS) else 2.5


def align(symbols: tuple[str, ...], phones: list[list]) -> tuple[list[float], float]:
    """End time of every symbol by dynamic programming over two strings, and the mean cost a phone.

    A symbol without a phone lasts no time; a phone without a symbol is given to the symbol before it.
    """
    rows, columns = len(symbols) + 1, len(phones) + 1
    table = np.zeros((rows, columns))
    skips = [0.0 if s in SILENT else SKIP_SYMBOL for s in symbols]
    table[1:, 0] = np.cumsum(skips)
    table[0, 1:] = SKIP_PHONE * np.arange(1, columns)
    for i in range(1, rows):
        for j in range(1, columns):
            table[i, j] = min(
                table[i - 1, j - 1] + cost(symbols[i - 1], phones[j - 1][0]),
                table[i - 1, j] + skips[i - 1],
                table[i, j - 1] + SKIP_PHONE,
            )
    taken = [0] * len(symbols)
    i, j = rows - 1, columns - 1
    while i:
        if j and np.isclose(table[i, j], table[i, j - 1] + SKIP_PHONE):
            taken[i - 1] = max(taken[i - 1], j)
            j -= 1
        elif j and np.isclose(table[i, j], table[i - 1, j - 1] + cost(symbols[i - 1], phones[j - 1][0])):
            taken[i - 1] = max(taken[i - 1], j)
            i, j = i - 1, j - 1
        else:
            i -= 1
    ends, last = [], 0.0
    for count in taken:
        last = max(last, phones[count - 1][1] if count else last)
        ends.append(last)
    return ends, float(table[-1, -1]) / len(phones)


def pitch(audio: np.ndarray, frames: int) -> np.ndarray:
    """Fundamental frequency in Hz of each frame by autocorrelation (60 ms windows), 0 where unvoiced."""
    size = 1324
    padded = np.pad(audio, (size // 2, size // 2 + HOP))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[::HOP][:frames] * np.hanning(size)
    spectrum = np.abs(np.fft.rfft(windows, 4096)) ** 2
    spectrum[:, int(1000 / RATE * 4096) :] = 0
    correlation = np.fft.irfft(spectrum)[:, : RATE // 110]
    window_correlation = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(size), 4096)) ** 2)[: RATE // 110]
    correlation /= (correlation[:, :1] + 1e-9) * window_correlation / window_correlation[0]
    low = RATE // 320
    lag = low + correlation[:, low:].argmax(1)
    voiced = (correlation[np.arange(len(lag)), lag] > 0.75) & (windows.std(1) > 0.005)
    return np.where(voiced, RATE / lag, 0.0).astype(np.float32)


def features(wav: Path, text: str, phones: list[list], config: MelConfig) -> dict[str, np.ndarray] | None:
    """Features of one utterance, or None when flite read the text otherwise than gruut does."""
    symbols = phonemes(text)
    ends, price = align(symbols, phones)
    if price > 0.3:
        return None
    audio, rate = soundfile.read(wav, dtype="float32")
    audio = resample_poly(audio, 441, 320).astype(np.float32) if rate == 16000 else audio
    mel = log_mel(torch.from_numpy(audio)[None], config)[0].numpy()
    frames = np.minimum(np.round(np.array(ends) * RATE / HOP).astype(int), mel.shape[1])
    frames[-1] = mel.shape[1]
    return {
        "symbols": np.array(symbols),
        "durations": np.diff(frames, prepend=0),
        "pitch": pitch(audio, mel.shape[1]),
        "mel": mel.astype(np.float16),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder made by render.py")
    args = parser.parse_args()
    torch.set_num_threads(1)
    (args.data / "features").mkdir(exist_ok=True)
    kept = read = 0
    for line in (args.data / "phones.jsonl").open():
        item = json.loads(line)
        target = args.data / "features" / f"{item['id']}.npz"
        if target.exists():
            continue
        read += 1
        found = features(args.data / "wavs" / f"{item['id']}.wav", item["text"], item["phones"], MelConfig())
        if found is not None:
            kept += 1
            part = target.with_suffix(".part.npz")
            np.savez(part, **found)
            part.rename(target)
    print(f"{kept} of {read} utterances kept")


if __name__ == "__main__":
    main()
