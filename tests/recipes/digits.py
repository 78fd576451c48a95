"""What tests of the digits' recipes share: the recipes as modules, and a small corpus of tones."""

import importlib.util
from pathlib import Path

import numpy as np
import soundfile

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def recipe(place):
    """A recipe as a fresh module, by its place below recipes/."""
    spec = importlib.util.spec_from_file_location("recipe_" + place.replace("/", "_"), RECIPES / f"{place}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tone(pitch, length, rate=8000, phase=0.0):
    return 0.3 * np.sin(2 * np.pi * pitch * np.arange(length) / rate + phase)


def write(path, samples, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)
    return path


def write_fsdd(folder):
    """Ten digits of one speaker, eight takes each, of which the first is held back; each digit has its own pitch."""
    for digit in range(10):
        for take in (0, *range(10, 17)):
            write(folder / f"{digit}_ann_{take}.wav", tone(150 * 1.3**digit, 4000, phase=take))
    return folder


def write_speech_commands(folder, words, speakers=(None, None)):
    """Speech Commands: a clip of each training speaker, one in each list, in each word's folder."""
    lists = {"testing_list.txt": [], "validation_list.txt": []}
    for place, word in enumerate(words):
        for number, part in enumerate((*speakers, *lists)):
            name = f"{word}/{number}a_nohash_0.wav"
            write(folder / name, tone(200 * (number + 1) + 10 * place, 16000, 16000), 16000)
            if part:
                lists[part].append(name)
    for part, names in lists.items():
        (folder / part).write_text("\n".join(names) + "\n")
    return folder
