"""Metrics against closed forms and second implementations; missing values in words; the registry and users' own."""

import doctest
import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import get_window, resample_poly, stft

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.metrics import BUNDLED, METRICS, from_file, measure, registry, select

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / "eval" / "tts_diffvoc_eval" / "clips"
RATE = 22050
NAMES = [metric.name for metric in BUNDLED]
TEXT = "Fresh bread and cheese are all we need for lunch."
CEILING = {"pesq_wb": 4.644, "stoi": 1, "lsd": 0, "mrstft": 0, "log_mel_l1": 0, "mcd": 0, "f0_rmse": 0,
           "vuv_f1": 1, "periodicity": 0, "speaker_similarity": 1}  # fmt: skip


def read(name: str) -> np.ndarray:
    return soundfile.read(CLIPS / f"{name}.flac", dtype="float32")[0]


def noise(length: int, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


def tone(pitch: float, seconds: float = 1.5, harmonics: int = 15) -> np.ndarray:
    """A voice-like sound [T]: harmonics of ``pitch`` Hz that fall by 6 dB an octave."""
    time = np.arange(int(seconds * RATE)) / RATE
    return sum(np.cos(2 * np.pi * k * pitch * time + k * k) / k for k in range(1, harmonics)).astype(np.float32) * 0.1


def compute(name: str, degraded: np.ndarray, reference: np.ndarray, rate: int = RATE, **more) -> float:
    return METRICS[name].compute(degraded, reference, rate, **more)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return read("slt-08")


@pytest.fixture(scope="module")
def scores(speech) -> dict[str, tuple[dict, dict]]:
    """Values and reasons of the original, of a copy in some noise, and of noise alone."""
    sounds = {"original": speech, "copy": speech + noise(len(speech), 0.01), "noise": noise(len(speech), 0.2)}
    return {name: measure(NAMES, sound, speech, RATE, TEXT) for name, sound in sounds.items()}


@pytest.fixture
def own_registry(monkeypatch):
    """The registry, as it was again afterwards."""
    monkeypatch.setattr(registry, "METRICS", dict(METRICS))
    return registry.METRICS


# What every metric must do


@pytest.mark.parametrize("name", CEILING)
def test_the_original_reaches_the_ceiling(scores, name):
    assert scores["original"][0][name] == pytest.approx(CEILING[name], abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_original_before_copy_before_noise(scores, name):
    sign = 1 if METRICS[name].better == "higher" else -1
    original, copy = (sign * scores[which][0][name] for which in ("original", "copy"))
    assert original >= copy if name == "wer" else original > copy
    worst = scores["noise"][0][name]
    if name == "f0_rmse":
        assert worst is None and scores["noise"][1][name] == "no frame is voiced in both sounds."
    else:
        assert copy > sign * worst


def test_noise_is_on_the_floor(scores):
    worst = scores["noise"][0]
    assert worst["pesq_wb"] < 1.1 and worst["dnsmos"] < 1.3 and worst["stoi"] < 0.5 and worst["vuv_f1"] == 0
    assert worst["wer"] == 100 and worst["periodicity"] > 0.6 and worst["mcd"] > 10


def test_metrics_are_pure(speech):
    degraded, reference = speech + noise(len(speech), 0.01), speech.copy()
    before = degraded.copy()
    first = measure(select(["quick"]), degraded, reference, RATE)
    measure(select(["quick"]), noise(30000), noise(30000, seed=1), RATE)
    again = measure(select(["quick"]), degraded.astype(np.float64), reference, RATE)
    assert first == again
    assert np.array_equal(degraded, before) and np.array_equal(reference, speech)


# Models of listeners


def test_pesq_of_the_same_is_the_end_of_its_scale(speech):
    best = 0.999 + 4 / (1 + math.exp(-1.3669 * 4.5 + 3.8224))  # P.862.2 maps a raw 4.5 to this
    assert compute("pesq_wb", speech, speech) == pytest.approx(best, abs=1e-4)


def test_pesq_agrees_with_the_library_on_another_resampling(speech):
    from pesq import pesq

    degraded = speech + noise(len(speech), 0.003)
    other = [resample_poly(x, 320, 441).astype(np.float32) for x in (speech, degraded)]
    assert compute("pesq_wb", degraded, speech) == pytest.approx(pesq(16000, *other, "wb"), abs=0.1)


def test_pesq_refuses_what_would_crash_it():
    """Bursts overflow the library's 50 utterances, beyond its guard; up to 20 s they are too few."""
    bursts = noise(25 * 16000, 0.2) * (np.arange(25 * 16000) % 6600 < 3300)
    with pytest.raises(DiffvocError, match="up to 20 s; this one lasts 25.0 s"):
        compute("pesq_wb", bursts, bursts, 16000)
    assert compute("pesq_wb", bursts[: 20 * 16000], bursts[: 20 * 16000], 16000) > 4.6


def one_third_octaves(sound: np.ndarray) -> np.ndarray:
    """Envelopes [15, frames] at 10 kHz as STOI has them: 256 samples, half overlapping, 512 bins."""
    window = np.hanning(258)[1:-1]
    pieces = np.stack([sound[i : i + 256] * window for i in range(0, len(sound) - 256, 128)])
    power = np.abs(np.fft.rfft(pieces, 512)) ** 2
    bins = np.arange(257) * 10000 / 512
    edges = [150 * 2 ** ((2 * k + s) / 6) for k in range(15) for s in (-1, 1)]
    nearest = [int(np.argmin(np.abs(bins - edge))) for edge in edges]
    return np.stack([np.sqrt(power[:, a:b].sum(1)) for a, b in zip(nearest[::2], nearest[1::2])])


def stoi_by_hand(degraded: np.ndarray, reference: np.ndarray) -> float:
    x, y = one_third_octaves(reference), one_third_octaves(degraded)

    def unit(values: np.ndarray) -> np.ndarray:
        values = values - values.mean(1, keepdims=True)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    found = []
    for end in range(30, x.shape[1] + 1):
        a, b = x[:, end - 30 : end], y[:, end - 30 : end]
        b = b * np.linalg.norm(a, axis=1, keepdims=True) / np.linalg.norm(b, axis=1, keepdims=True)
        b = np.minimum(b, a * (1 + 10 ** (15 / 20)))
        found.append((unit(a) * unit(b)).sum() / 15)
    return float(np.mean(found))


def test_stoi_by_hand():
    swell = 1 + 0.8 * np.sin(2 * np.pi * 4 * np.arange(20000) / 10000)  # never silent, so that no frame is left out
    reference = noise(20000) * swell
    degraded = reference + noise(20000, 0.05, seed=1)
    by_hand = stoi_by_hand(degraded, reference)
    assert 0.4 < by_hand < 0.95
    assert compute("stoi", degraded, reference, 10000) == pytest.approx(by_hand, abs=0.01)


def test_too_little_speech_for_stoi():
    with pytest.raises(DiffvocError, match="too little for STOI"):
        compute("stoi", noise(5000), noise(5000))


@pytest.mark.parametrize("seconds", [2.5, 11.0])
def test_dnsmos_agrees_with_its_library(speech, seconds):
    from speechmos import dnsmos

    sound = np.resize(resample_poly(speech, 320, 441).astype(np.float32), int(16000 * seconds))
    library = dnsmos.run(sound, 16000)
    assert compute("dnsmos", sound, sound, 16000) == pytest.approx(library["ovrl_mos"], abs=1e-3)


# Spectra


@pytest.mark.parametrize("gain", [0.5, 1.7])
def test_spectral_distances_of_a_louder_copy(gain):
    reference = noise(RATE)
    degraded = np.float32(gain) * reference
    gain = float(np.float32(gain))
    assert compute("lsd", degraded, reference) == pytest.approx(abs(20 * math.log10(gain)), rel=1e-5)
    assert compute("log_mel_l1", degraded, reference) == pytest.approx(abs(math.log(gain)), rel=1e-5)
    assert compute("mrstft", degraded, reference) == pytest.approx(abs(1 - gain) + abs(math.log(gain)), rel=1e-3)


def test_two_noises_are_as_far_apart_as_theory_says():
    """Logarithms of exponential variables vary by pi^2 / 6: sqrt(2) 10 / ln 10 pi / sqrt(6) = 7.88 dB."""
    distance = compute("lsd", noise(5 * RATE), noise(5 * RATE, seed=1))
    assert distance == pytest.approx(10 / math.log(10) * math.pi / math.sqrt(3), rel=0.02)


def magnitude(sound: np.ndarray, n_fft: int, hop: int, span: int) -> np.ndarray:
    """Centred, periodic Hann, edges reflected; not scaled: [bins, frames]."""
    padded = np.pad(sound.astype(np.float64), n_fft // 2, mode="reflect")
    window = np.zeros(n_fft)
    window[(n_fft - span) // 2 :][:span] = get_window("hann", span)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    return np.abs(np.fft.rfft(pieces * window)).T


def test_mrstft_by_hand(speech):
    degraded, total = speech + noise(len(speech), 0.01), 0.0
    for n_fft, hop, span in ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240)):
        x, y = (np.maximum(magnitude(s, n_fft, hop, span), 1e-4) for s in (degraded, speech))
        total += np.linalg.norm(x - y) / np.linalg.norm(y) + np.abs(np.log(x / y)).mean()
    assert compute("mrstft", degraded, speech) == pytest.approx(total / 3, rel=2e-3)


def test_lsd_by_scipy(speech):
    degraded = speech + noise(len(speech), 0.01)
    settings = {"nperseg": 1024, "noverlap": 768, "boundary": "even", "padded": False}
    x, y = (np.abs(stft(s.astype(np.float64), RATE, **settings)[2][:372]) for s in (degraded, speech))
    ratio = 20 * np.log10(np.maximum(x, y.max() / 1e4) / np.maximum(y, y.max() / 1e4))
    assert compute("lsd", degraded, speech) == pytest.approx(np.sqrt((ratio**2).mean(0)).mean(), rel=1e-3)


def test_log_mel_by_librosa(speech):
    import librosa

    degraded = speech + noise(len(speech), 0.01)
    settings = {"sr": RATE, "n_fft": 1024, "hop_length": 256, "fmax": 8000, "n_mels": 80, "power": 1.0}
    x, y = (
        np.log(np.maximum(librosa.feature.melspectrogram(y=s, pad_mode="reflect", **settings), 1e-5))
        for s in (degraded, speech)
    )
    assert compute("log_mel_l1", degraded, speech) == pytest.approx(np.abs(x - y).mean(), rel=1e-3)


# Timbre, pitch, voicing


def freqt(cepstrum: np.ndarray, order: int, alpha: float) -> np.ndarray:
    """A cepstrum's frequency transformed by Oppenheim's recursion, written out."""
    warped = np.zeros(order + 1)
    for value in cepstrum[::-1]:
        before = warped.copy()
        warped[0] = value + alpha * before[0]
        warped[1] = (1 - alpha**2) * before[0] + alpha * before[1]
        for m in range(2, order + 1):
            warped[m] = before[m - 1] + alpha * (before[m] - warped[m - 1])
    return warped


def test_mel_cepstrum_by_recursion():
    from tts_diffvoc_eval.metrics.voice import ALPHA, ORDER, warped_cepstrum

    decay = np.exp(-np.arange(60) / 8)
    cepstrum = np.random.default_rng(0).standard_normal(60) * decay
    angle = np.pi * np.arange(513)[:, None] / 512
    amplitude = (np.cos(angle * np.arange(60)) * cepstrum).sum(1)
    assert warped_cepstrum(amplitude[None])[0] == pytest.approx(freqt(cepstrum, ORDER, ALPHA), abs=2e-3)


def test_mcd_of_a_known_filter():
    """log|H| = a cos(w~) moves coefficient 1 by a, which is 10 / ln 10 sqrt(2) a dB; a gain moves none of 1 to 24."""
    from tts_diffvoc_eval.metrics.voice import ALPHA

    sound, a = noise(3 * 16000).astype(np.float64), 0.5
    angle = np.pi * np.arange(len(sound) // 2 + 1) / (len(sound) // 2)
    warped = angle + 2 * np.arctan2(ALPHA * np.sin(angle), 1 - ALPHA * np.cos(angle))
    filtered = np.fft.irfft(np.fft.rfft(sound) * np.exp(a * np.cos(warped)))
    assert compute("mcd", filtered, sound, 16000) == pytest.approx(10 / math.log(10) * math.sqrt(2) * a, rel=0.03)


@pytest.mark.parametrize("gain", [0.1, 1.3])
def test_mcd_does_not_hear_loudness(speech, gain):
    assert compute("mcd", gain * speech, speech) < 0.01


@pytest.mark.parametrize("cents", [-40, 10, 150])
def test_f0_error_of_two_tones(cents):
    found = compute("f0_rmse", tone(150 * 2 ** (cents / 1200)), tone(150))
    assert found == pytest.approx(abs(cents), abs=1)


def test_vuv_of_known_parts():
    """Voiced for 1 s of 2 s against 1.5 s of 2 s: F1 = 2 * 1 / (1 + 1.5)."""
    voice, hiss = tone(150, 2.0), noise(2 * RATE, 0.05)
    time = np.arange(2 * RATE) / RATE
    reference, degraded = (np.where(time < end, voice, hiss) for end in (1.0, 1.5))
    assert compute("vuv_f1", degraded, reference) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("pitch", [80, 313.7])
@pytest.mark.parametrize("decibels", [20, 5])
def test_harmonic_strength_is_the_share_of_power(pitch, decibels):
    from tts_diffvoc_eval.metrics.voice import harmonic_strength

    voice = tone(pitch)
    mixed = voice + noise(len(voice), voice.std() * 10 ** (-decibels / 20))
    share = 1 / (1 + 10 ** (-decibels / 10))
    assert harmonic_strength(mixed, RATE)[4:-4].mean() == pytest.approx(share, abs=0.02)


def test_periodicity_of_noise_against_a_tone():
    assert compute("periodicity", noise(int(1.5 * RATE)), tone(150)) == pytest.approx(0.86, abs=0.03)
    assert compute("periodicity", tone(210), tone(150)) < 0.05  # another pitch is as periodic


@pytest.mark.parametrize("frames", [40, 86])
def test_lengths_of_whole_hops(frames):
    sound = tone(150)[: 256 * frames]
    values, reasons = measure(["mcd", "f0_rmse", "vuv_f1", "periodicity", "lsd"], 0.5 * sound, sound, RATE)
    assert not reasons and values["vuv_f1"] == 1


# Words


def edits(said: list[str], heard: list[str]) -> int:
    """Least substitutions, insertions and deletions."""
    row = list(range(len(heard) + 1))
    for i, a in enumerate(said, 1):
        before, row = row, [i]
        for j, b in enumerate(heard, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
    return row[-1]


def test_word_error_by_edit_distance(speech):
    from tts_diffvoc_eval.metrics.recognition import heard, words

    found = heard(speech, RATE)
    assert "bread and cheese" in found
    for text in (TEXT, found, "Stale bread and no cheese are all we need.", "Lunch!"):
        said = words(text).split()
        wrong = 100 * edits(said, found.split()) / len(said)
        assert compute("wer", speech, speech, text=text) == pytest.approx(wrong)
    assert compute("wer", speech, speech, text="Lunch!") > 100


def test_the_recogniser_forgets_what_it_heard_before(speech):
    from tts_diffvoc_eval.metrics.recognition import heard

    hear, other = heard.__wrapped__, read("kal16-07")  # without what was kept
    first = hear(speech, RATE)
    hear(other + noise(len(other), 0.02), RATE)
    assert hear(speech, RATE) == first


# What has no value says why


def reason(name: str, degraded: np.ndarray, reference: np.ndarray, **more) -> str:
    values, reasons = measure([name], degraded, reference, RATE, **more)
    assert values == {name: None}
    return reasons[name]


@pytest.mark.parametrize("name", NAMES)
def test_unusable_sounds_are_said_in_words(speech, name):
    broken = speech.copy()
    broken[100] = np.nan
    assert reason(name, broken, speech, text=TEXT) == "the sound holds NaN or infinite values."
    assert reason(name, speech, 0 * speech, text=TEXT) == "the original is silent."
    assert "fewer than 256 may differ" in reason(name, speech[:-256], speech, text=TEXT)
    assert "it must be [T]" in reason(name, speech[None], speech, text=TEXT)
    assert "at least 0.1 s are needed" in reason(name, speech[:2000], speech[:2000], text=TEXT)


def test_silence_has_words_or_the_worst_value(speech):
    values, reasons = measure(NAMES, 0 * speech, speech, RATE, TEXT)
    without = {"pesq_wb", "stoi", "dnsmos", "distillmos", "mcd", "f0_rmse", "speaker_similarity"}
    assert set(reasons) == without and set(reasons.values()) == {"the sound is silent."}
    assert values["wer"] == 100 and values["vuv_f1"] == 0 and values["lsd"] > 10


def test_a_longer_end_is_cut(speech):
    longer = np.concatenate([speech, noise(255)])
    values, reasons = measure(["lsd", "stoi", "mcd"], longer, speech, RATE)
    assert not reasons and values["lsd"] == 0


def test_reasons_of_single_metrics(speech):
    hiss = noise(len(speech))
    assert reason("wer", speech, speech) == "there is no transcript."
    assert reason("wer", speech, speech, text="Привет") == "there is no transcript in English letters."
    assert reason("vuv_f1", speech, hiss) == "the original has no voiced frame."
    assert reason("f0_rmse", hiss, speech) == "no frame is voiced in both sounds."
    assert reason("pesq_wb", speech[:4000], speech[:4000]).startswith(
        "PESQ: Buffer needs to be at least 1/4 of a second"
    )


def test_a_missing_library_is_named(speech, monkeypatch):
    monkeypatch.setitem(sys.modules, "pesq", None)
    values, reasons = measure(["pesq_wb", "lsd"], speech, speech, RATE)
    assert values == {"pesq_wb": None, "lsd": 0} and reasons == {"pesq_wb": "needs pip install pesq."}


# The registry, plug-ins, the documentation


@pytest.mark.parametrize("name", ["waveforms", "perceptual", "spectral", "speaker", "voice", "recognition"])
def test_examples_in_docstrings(name):
    module = importlib.import_module(f"tts_diffvoc_eval.metrics.{name}")
    found = doctest.testmod(module)
    assert found.failed == 0 and (found.attempted > 1 or name == "waveforms")


def test_selection():
    assert select(["all"]) == NAMES
    assert select(["wer", "lsd", "lsd"]) == ["lsd", "wer"]
    assert set(select(["quick"])) < set(NAMES) and "pesq_wb" in select(["quick"])
    with pytest.raises(DiffvocError, match="there is no metric 'pesk'; known are pesq_wb, stoi"):
        select(["pesk"])


PLUG_IN = """
from .beside import scale
BETTER, LABEL, UNIT, DECIMALS = "higher", "Loudness", "dB", 1
def loudness(preds, target, sample_rate, text=None):
    "How loud it is. More lines."
    return scale(preds.std() / target.std()) + len(text or "")
def broken(degraded, reference, rate):
    raise RuntimeError("no weights here")
def nothing(degraded, reference, rate):
    return float("nan")
def WRONG(degraded, reference, rate):
    return 0
"""


def test_a_metric_of_your_own(tmp_path, own_registry, speech):
    (tmp_path / "beside.py").write_text("import math\nscale = lambda x: 20 * math.log10(x)\n")
    (tmp_path / "mine.py").write_text(PLUG_IN)
    file = tmp_path / "mine.py"
    names = select([f"{file}:loudness", "lsd", f"{file}:broken", f"{file}:nothing"])
    assert names == ["lsd", "loudness", "broken", "nothing"]
    mine = own_registry["loudness"]
    assert (mine.label, mine.unit, mine.better, mine.decimals) == ("Loudness", "dB", "higher", 1)
    assert mine.description == "How loud it is. More lines."
    values, reasons = measure(names, 0.1 * speech, speech, RATE, "abc")
    assert values["loudness"] == pytest.approx(-17, abs=1e-3)
    assert reasons["broken"] == "RuntimeError: no weights here"
    assert reasons["nothing"] == "the metric gave nan for these sounds."
    wrong = {
        f"{file}:loudness": "there is a metric 'loudness' already",
        f"{file}:WRONG": "small letters",
        f"{file}:other": "has no function 'other'",
        "gone.py:f": "no Python file gone.py",
    }
    for word, why in wrong.items():
        with pytest.raises(DiffvocError, match=why):
            from_file(word)


def test_the_readme_shows_the_registry():
    readme = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    assert registry.table() in readme, "run `python -m tts_diffvoc_eval.metrics.registry`"


def test_the_readme_shows_a_metric_that_works(tmp_path, own_registry):
    text = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    (tmp_path / "mine.py").write_text(text.split("```python\n")[1].split("```")[0])
    names = select([f"{tmp_path / 'mine.py'}:snr"])
    reference = noise(RATE)
    values, _ = measure(names, 0.9 * reference, reference, RATE)
    assert values["snr"] == pytest.approx(20, abs=1e-3)
